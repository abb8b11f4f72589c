//! The crate through its public door. One binary, since each more is one more link.

mod classification;
mod evaluation;
