//! Architectures as data, built as burn modules; safetensors in and out.
//!
//! A [`protocol::architecture::Plan`] says what a model is, [`Weights`] hold its numbers under PyTorch's names, and a
//! [`Network`] is both of them on a device. This crate knows no competition, no metric and no network protocol.

#![warn(missing_docs)]

mod device;
mod network;

pub use device::{DeviceError, DeviceKind};
pub use network::Network;
pub use weights::{Array, Weights, WeightsError, fold_batch_norm};
