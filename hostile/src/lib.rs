//! What strangers send, made to order: a corpus of malformed packages, a mutator, and the bodies of the fuzz targets.
//!
//! Development only; nothing that runs in production depends on it. It knows the public doors of the parsers and what
//! each must hold to, and does NOT know how they are written: every case here is one that another parser got wrong, or
//! that somebody tried in a real competition (docs/SECURITY.md).

pub mod corpus;
pub mod measure;
pub mod mutate;
pub mod oracle;
pub mod package;
pub mod rules;
pub mod targets;

pub use corpus::{Case, cases};
pub use mutate::Mutator;
pub use package::Package;
pub use rules::Rules;
