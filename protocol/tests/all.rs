//! The one integration test binary of `protocol`: a list of modules. It does NOT hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod auth;
mod competition;
mod latency;
mod needs;
mod outcomes;
mod package;
mod receipt;
mod reward;
mod score;
mod significance;
mod standing;
