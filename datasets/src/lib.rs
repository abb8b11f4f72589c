//! Real data and what is done to it before a model sees it: decoding files that nobody vouches for, splitting by a
//! key that anyone can replay, and committing to the items that stay hidden.
//!
//! The path of an evaluation set reads: [`FashionMnist::load`] → [`Split::new`] → [`Images::select`] →
//! [`published::table`] for the public part and [`commitment::Commitment`] for the hidden one. What is drawn from the hidden
//! part in a round, and how anyone checks it, is [`hidden`].
//!
//! It knows bytes only: no tensors, no normalisation beyond two published constants, no competition rules,
//! no network and no clock. Whoever feeds a model turns bytes into tensors.

#![warn(missing_docs)]

pub mod commitment;
pub mod digits;
pub mod fashion_mnist;
mod format;
pub mod gzip;
pub mod hidden;
pub mod idx;
mod images;
pub mod inspect;
mod labelled;
mod logits;
pub mod merkle;
mod opened;
pub mod picture;
mod pool;
pub mod published;
pub mod source;
pub mod split;

pub use digits::load_digits;
pub use fashion_mnist::FashionMnist;
pub use format::FormatError;
pub use images::Images;
pub use labelled::Labelled;
pub use logits::Logits;
pub use protocol::evaluation::arg_max;
pub use split::Split;

/// Why a data set that is part of this binary can't be used.
#[derive(Debug, thiserror::Error)]
#[error("the data set {name}, compiled in, can't be decoded: {reason}; was its file in the clone damaged?")]
pub struct DataError {
    name: &'static str,
    reason: String,
}

impl DataError {
    fn of(name: &'static str, reason: &impl ToString) -> Self {
        Self { name, reason: reason.to_string() }
    }
}
