//! The one integration test binary of `transparency`: a list of modules. It does NOT hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod checker;
mod crashes;
mod files;
mod large;
mod logs;
mod notes;
mod proofs;
mod support;
mod witnesses;
