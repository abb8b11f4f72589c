//! What runs a [`program::Graph`]: engines behind one seam, and the suite that each has to pass.
//!
//! A graph is all that an engine gets: it was read strictly, its shapes are numbers and it fits the limits. What an engine
//! reads is the canonical bytes that we wrote of it, never a stranger's. It knows no package, no task, no clock and no
//! jail; who runs it in one calls [`Runtime::prepare`] before it locks itself.
//!
//! Against the design's sketch three things differ. [`Runtime::load`] takes a graph and not a sealed file: the graph is
//! what both kinds of program become, and it is read behind the lock. Inputs and outputs are [`Tensor`]s in the order of
//! the graph's ports, whose buffers are used again. And [`Runtime::within`] is there because an engine may have a thread of
//! its own: whoever runs all work on it pays no change of threads, and whoever locks a process has to lock it, too.

#![deny(clippy::unwrap_used, clippy::indexing_slicing)]

pub mod conformance;
mod failure;
mod id;
mod ports;
pub mod scripted;
mod tensor;

#[cfg(feature = "burn")]
pub mod burn;
#[cfg(feature = "ort")]
pub mod ort;
#[cfg(feature = "rten")]
pub mod rten;

pub use failure::{Refused, RunError};
pub use id::{EngineId, Mode};
pub use ports::Ports;
pub use tensor::{Tensor, Values};

use program::Graph;
use std::io;

/// An engine: makes sessions of graphs.
pub trait Runtime: Send + Sync {
    /// Its name, version and build, as receipts show it.
    fn id(&self) -> EngineId;

    /// Does what can't be done once the process is locked: loads libraries, starts threads, reads what the system says of
    /// the processor. Doing it again does nothing.
    ///
    /// # Errors
    /// When the engine can't run here.
    fn prepare(&self) -> io::Result<()>;

    /// Runs `work` on the thread on which the engine computes; that of the caller, unless it has one of its own.
    fn within(&self, work: &mut (dyn FnMut() + Send)) {
        work();
    }

    /// Makes a graph ready to run, on one thread.
    ///
    /// # Errors
    /// When the engine doesn't take it.
    fn load(&self, graph: &Graph<'_>, mode: Mode) -> Result<Box<dyn Session>, Refused>;
}

/// A graph that is ready to run.
pub trait Session {
    /// What goes in and what comes out.
    fn ports(&self) -> &Ports;

    /// Answers `inputs`, which are in the order of the graph's, into `outputs`, which may be of anything.
    ///
    /// # Errors
    /// When inputs aren't what the graph says, or the engine fails. A session that failed may be asked again.
    fn run(&mut self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), RunError>;
}
