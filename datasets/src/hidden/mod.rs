//! Hidden rounds: what a round's hidden items are, how a validator is bound to them before it closes, and how anyone
//! checks them afterwards.
//!
//! The path of a round: [`Terms::commit`] (published before the close) → [`Beacon`] (after it) → [`seed`] → [`draw`] →
//! [`rendered`] → [`relabel`] → evaluation elsewhere → [`Ended::reveal`] → [`verify_reveal`], by anyone.
//!
//! It does NOT know when a round closes, which models there are, or where anything is stored. docs/HIDDEN_ROUNDS.md
//! tells the same as a story; `scripts/golden_hidden.py` is a second implementation, whose results are in the tests.
//!
//! Secrecy lies in the draw and the changes, not in the images: labels and pixels of a public data set are known to
//! the world, so no item of a round is shown as it lies in the pool.

mod beacon;
mod commitment;
mod drand;
mod draw;
mod ended;
mod hexadecimal;
mod render;
mod reveal;
mod secret;
mod shown;
mod spec;
mod stated;

pub use beacon::{Beacon, BeaconError, BeaconRule, MARGIN_SECONDS};
pub use commitment::{CommitError, Opening, RoundCommitment, Terms, TermsPart};
pub use drand::{DrandChain, DrandError, DrandRound, Scheme};
pub use draw::{Change, Draw, DrawError, DrawnItem, Spent, Transform, draw, draw_unspent};
pub use ended::Ended;
pub use protocol::transforms::{Family, SpecError};
pub use render::{RenderError, relabel, render, rendered};
pub use reveal::{Expected, Leaves, Reveal, RevealError, Revealed, verify_reveal};
pub use secret::{Secret, fixed_seed, seed};
pub use shown::{BeaconWait, Drawn, RoundEntryView, RoundView, Seen};
pub use spec::DrawSpec;
pub use stated::{AbandonCode, Abandonment, RoundAbandoned, RoundBeacon, RoundClosed};
