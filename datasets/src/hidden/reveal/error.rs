//! Why a reveal is refused, as whoever checks a round reads it.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::super::beacon::BeaconError;
use super::super::commitment::CommitError;
use super::super::draw::DrawError;
use super::super::render::RenderError;
use crate::FormatError;
use crate::commitment::CommitmentError;
use crate::merkle::MerkleError;

/// Why a reveal is refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RevealError {
    /// The bytes are no reveal.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A part is longer than allowed.
    #[error("{what} has {found} bytes, more than {max}")]
    TooLong {
        /// The part.
        what: &'static str,
        /// Its length.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A part isn't the JSON that it should be.
    #[error("{what} can't be read: {why}")]
    Json {
        /// The part.
        what: &'static str,
        /// What the parser says.
        why: String,
    },
    /// A part is spelt in another way than canonical JSON.
    #[error("{what} isn't canonical JSON")]
    NotCanonical {
        /// The part.
        what: &'static str,
    },
    /// The terms are those of another competition, round or pool.
    #[error("{what} of the reveal is {found:?}, expected {expected:?}")]
    Other {
        /// The field.
        what: &'static str,
        /// What the checker knows.
        expected: String,
        /// What the reveal says.
        found: String,
    },
    /// Terms and secret aren't those that were committed to.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// Drawn or changed otherwise than the manifest says.
    #[error("the round's items were drawn by {found}, which isn't what the manifest says")]
    OtherSpec {
        /// The specification that the validator was bound to.
        found: String,
    },
    /// The beacon isn't the one that the round was bound to.
    #[error(transparent)]
    Beacon(#[from] BeaconError),
    /// The beacon isn't the one that the checker got from its origin.
    #[error("the reveal's beacon {found} isn't what its origin gives under that number")]
    OtherBeacon {
        /// Height or round in the reveal.
        found: u64,
    },
    /// The fixed part is drawn from another seed.
    #[error("the fixed part is drawn from seed {found}, expected {expected}")]
    FixedSeed {
        /// The seed that follows or was known.
        expected: String,
        /// The seed in the reveal.
        found: String,
    },
    /// Nothing can be drawn on these terms.
    #[error(transparent)]
    Draw(#[from] DrawError),
    /// More or fewer leaves than the draw takes.
    #[error("the reveal opens {found} images, the draw takes {expected}")]
    Opened {
        /// Images that the draw takes.
        expected: usize,
        /// Images that are opened.
        found: usize,
    },
    /// The leaves do not lie under the pool's root.
    #[error(transparent)]
    Merkle(#[from] MerkleError),
    /// A leaf is malformed.
    #[error(transparent)]
    Leaf(#[from] CommitmentError),
    /// Leaves of different shapes or lengths.
    #[error("the pool's images have different shapes")]
    Shape,
    /// The items can't be made.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// More or fewer labels than items.
    #[error("the reveal has {found} labels for {expected} items")]
    Labels {
        /// Items.
        expected: usize,
        /// Labels.
        found: usize,
    },
    /// A label of an image that wasn't mixed isn't the pool's.
    #[error("item {index} has label {found}, the pool says {expected}")]
    Label {
        /// The item.
        index: usize,
        /// The pool's label.
        expected: u16,
        /// The reveal's label.
        found: u16,
    },
    /// Items or pool can't be read where they lie, or the reveal not be written.
    #[error("read or write what is revealed: {0}")]
    Io(String),
    /// The items are others than those that were shown to models.
    #[error("the items have digest {found}, the reveal says {expected}")]
    Items {
        /// The digest in the reveal.
        expected: String,
        /// The digest of what was made again.
        found: String,
    },
}
