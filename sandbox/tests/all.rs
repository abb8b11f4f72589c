//! The integration tests of this crate.

mod escapes;
mod ordinary_user;
mod support;
mod workers;
