//! The evaluation engine: loads a package in a worker process, measures it, and says what it found. It never judges.
//!
//! The path of an evaluation reads top to bottom in [`Engine::evaluate_on`], for whoever has the machine's [`Lease`]: `prepare` (bytes to a
//! model's outline and pixels to inputs) → `accuracy_pass` (all items through one worker) → `latency` (launches of
//! fresh pairs of workers) → an answer.
//!
//! ```text
//! parent: evaluate, process (spawn, bound, kill)  ──frames──▶  child: worker (model, inputs; no labels, no keys)
//! ```
//!
//! Architecture invariant: this crate knows no HTTP, no object store, no ledger, no competition rules and no truth: an order has
//! no labels and none of the teacher's answers, and what an answer is worth is decided where the order came from (the crate
//! `task`). Only [`worker_main`] deserialises a stranger's weights.

#![warn(missing_docs)]

mod accuracy_pass;
mod backend;
mod blame;
mod cancel;
mod confinement;
mod effort;
mod evaluate;
mod frames;
mod handicap;
mod holder;
mod host;
mod latency;
mod lease;
mod library;
mod placement;
mod prepare;
mod process;
mod runner;
mod runtime;
mod samples;
pub mod statistics;
mod watchdog;
mod worker;

pub use cancel::{Cancel, CancelOnDrop};
pub use confinement::{Confinement, WorkerCommand};
pub use effort::Effort;
pub use evaluate::{Engine, Home, Phase, Progress};
pub use handicap::Handicap;
pub use holder::{Holder, holder_of};
pub use host::hardware_class;
pub use lease::{LEASE_DIR_VARIABLE, LEASE_POLL, Lease, LeaseError, LeaseFolder, Waiting};
pub use library::{Library, ONNXRUNTIME_VARIABLE};
pub use placement::Pinning;
pub use runtime::RuntimeKind;
pub use samples::{Launch, Pair, SAMPLES_FORMAT, Samples, Side};
pub use worker::worker_main;
