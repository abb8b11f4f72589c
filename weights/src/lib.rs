//! The numbers of a model: read from safetensors by a plan, written back, batch normalisation folded into them.
//!
//! Whoever compares packages needs these without a tensor library, so this crate knows no burn and runs no model.

#![warn(missing_docs)]

mod arrays;
mod fold;

pub use arrays::{Array, Weights, WeightsError, standard_normal};
pub use fold::fold_batch_norm;
