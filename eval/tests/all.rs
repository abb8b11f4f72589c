//! The crate through its public door. One binary, since each more is one more link.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod backends;
mod blocks;
#[cfg(any(feature = "wgpu", feature = "tch"))]
mod devices;
mod engine;
mod golden;
mod graphs;
mod repeats;
mod samples;
mod statistics;
mod support;
mod workers;
