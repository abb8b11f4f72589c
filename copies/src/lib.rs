//! Recognises copied models: fingerprints of packages, evidence between two of them, relations, clusters.
//!
//! The path reads: [`probes`] → a worker's logits → [`Fingerprint::new`] → [`candidates`] → [`compare`] → [`relation`] →
//! [`clusters`].
//! Everything is a pure function of published bytes, so whoever doubts a verdict computes it again. This crate runs no
//! model, links no tensor library, keeps nothing and knows no network.

#![warn(missing_docs)]

mod clusters;
pub mod disguise;
mod error;
mod evidence;
mod fingerprint;
mod judge;
mod matching;
mod probes;
mod residuals;
mod rows;
mod shapes;
mod sketch;
mod spaces;
mod thresholds;

pub use clusters::clusters;
pub use error::FingerprintError;
pub use evidence::{Evidence, LayerEvidence, SAME_COSINE_PPM, compare};
pub use fingerprint::Fingerprint;
pub use judge::{Relation, Signal, Tier, relation, relation_to_entry, unless_known};
pub use probes::{PROBES_DEFAULT, own_probe_seed, probes};
pub use residuals::{FRESH_ITEMS_MIN, OutputEvidence, ProbeLogits, compare_outputs, same_on_items};
pub use sketch::{Bits, CANDIDATES_MAX, Known, Sketch, candidates};
pub use thresholds::{FUNCTION_PPM, Thresholds};
