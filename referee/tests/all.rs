//! The one integration test binary of `referee`: a list of modules. It does NOT hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod dethrone;
mod market;
mod preview;
mod rounds;
mod screening;
