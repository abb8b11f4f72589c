//! Why there is no fingerprint.

use protocol::architecture::ArchitectureError;
use protocol::submission::Rejection;
use weights::WeightsError;

/// A package or a file that has no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum FingerprintError {
    /// The configuration isn't one.
    #[error("read config.json: {0}")]
    Config(#[from] Rejection),
    /// The architecture can't be built.
    #[error("build the architecture: {0}")]
    Architecture(#[from] ArchitectureError),
    /// The weights don't fit the architecture.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The logits on the probes aren't what they must be.
    #[error("the logits on the probes: {0}")]
    Probes(String),
    /// The bytes are no stored fingerprint.
    #[error("read a fingerprint: {0}")]
    Format(String),
}
