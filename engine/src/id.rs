//! What an engine is called.

use protocol::Digest;
use std::fmt;

/// An engine with its version and build, as manifests and receipts name it, so that the same can be run again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineId {
    /// Its name: `rten`, `onnxruntime`.
    pub name: &'static str,
    /// Its version, as it says itself.
    pub version: String,
    /// The digest of its library, where it is a file beside the binary.
    pub library: Option<Digest>,
}

impl fmt::Display for EngineId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, self.version)?;
        match &self.library {
            Some(digest) => write!(f, " sha256:{digest}"),
            None => Ok(()),
        }
    }
}

/// How a graph is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// The same bits on as many processors as the engine can be made to: for accuracy and receipts.
    Exact,
    /// As users run it: for latency.
    Fast,
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Fast => "fast",
        })
    }
}
