//! Real data and what is done to it before a model sees it: decoding files that nobody vouches for, splitting by a
//! key that anyone can replay, and committing to the items that stay hidden.
//!
//! The path of an evaluation set reads: [`FashionMnist::load`] → [`Split::new`] → [`Images::select`] →
//! [`Images::to_bytes`] for the public part and [`round::Commitment`] for the hidden one. What is drawn from the hidden
//! part in a round, and how anyone checks it, is [`hidden`].
//!
//! It knows files and bytes only: no tensors, no normalisation beyond two published constants, no competition rules,
//! no network and no clock. Whoever feeds a model turns bytes into tensors.

pub mod digits;
pub mod fashion_mnist;
mod files;
mod format;
pub mod gzip;
pub mod hidden;
pub mod idx;
mod images;
mod logits;
pub mod merkle;
pub mod round;
pub mod split;

pub use digits::load_digits;
pub use fashion_mnist::FashionMnist;
pub use files::{DATA_DIR_VARIABLE, DataError, data_dir};
pub use format::FormatError;
pub use images::Images;
pub use logits::{Logits, arg_max};
pub use split::Split;
