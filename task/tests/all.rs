//! The crate through its public door. One binary, since each more is one more link.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod classification;
mod evaluation;
