//! What a model computes, as data: an ONNX graph of a closed list of operators, with exact shapes and costs, and the
//! bytes in which it is written. It reads what strangers wrote: every number in a file is checked before it is used.
//!
//! It runs no model, does no I/O and knows no engine.

#![warn(missing_docs)]
#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

mod builder;
mod costs;
mod draft;
mod fold;
mod forms;
mod graph;
mod lower;
mod norms;
mod numbers;
mod order;
mod refusal;
mod rules;
mod signature;
mod tensor;
mod twin;

pub mod catalogue;
pub mod onnx;
pub mod op;
pub mod package;

pub use costs::{Costs, Limits};
pub use forms::Range;
pub use graph::{Graph, Node, ValueId};
pub use op::Op;
pub use refusal::{Code, Refusal};
pub use signature::{Dim, Port, Signature};
pub use tensor::{AXIS_MAX, Constant, Dtype, RANK_MAX, Shape, TensorType};
