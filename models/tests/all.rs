//! The one integration test binary of `models`: a list of modules. It does NOT hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod conformance;
mod fixture;
mod forms;
mod graphs;
mod pytorch;
