//! The real binary, as its users run it. One test binary; each module is a user's day.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod answers;
mod attacks;
mod backends;
mod fleet;
mod forms;
mod graphs;
mod habits;
mod journey;
mod machine;
mod nulls;
#[cfg(feature = "ort")]
mod official;
mod onnx;
mod own_data;
mod pytorch;
mod snippets;
mod support;
mod terminal;
mod verify;
