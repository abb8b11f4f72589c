//! Recognises copied models: fingerprints of packages, evidence between two of them, relations, clusters.
//!
//! The path reads: [`probes`] → a worker's logits → [`Fingerprint::new`] → [`compare`] → [`relation`] → [`clusters`].
//! Everything is a pure function of published bytes, so whoever doubts a verdict computes it again. This crate runs no
//! model, links no tensor library, keeps nothing and knows no network.

mod calibration;
mod clusters;
pub mod disguise;
mod evidence;
mod fingerprint;
mod judge;
mod matching;
mod probes;
mod residuals;
mod rows;
mod shapes;
mod spaces;

pub use calibration::FRESH_FUNCTION_PPM;
pub use clusters::clusters;
pub use evidence::{Evidence, LayerEvidence, SAME_COSINE_PPM, compare};
pub use fingerprint::{Fingerprint, FingerprintError};
pub use judge::{FUNCTION_PPM, Relation, Signal, Thresholds, Tier, relation, relation_to_entry, unless_known};
pub use probes::{PROBES_DEFAULT, probes};
pub use residuals::{OutputEvidence, ProbeLogits, compare_outputs, same_on_items};
