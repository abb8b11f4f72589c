//! ONNX in and out: one strict reader of bytes that strangers wrote, one canonical writer.

mod decode;
mod inline;
mod look;
mod message;
mod names;
mod read;
mod wire;
mod write;

pub use decode::{INITIALISERS_MAX, NODES_MAX};
pub use inline::{beside, inlined};
pub use look::{foreign_operators, ports, read_as_stated};
pub use read::{Lowered, read};
pub use write::{digest, write};
