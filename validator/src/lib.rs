//! A validator: its rooms put together. [`store`] keeps, [`service`] does, [`publishing`] makes competitions, [`face`] shows; what
//! runs for as long as the service serves is started here.
//!
//! Invariant: none of them deserialises a model or links an ML crate. Everything that measures lies behind
//! [`evaluator::Measurer`], which the binary implements; truth doesn't leave this side. State lives in the database; objects are immutable.

mod run;
#[cfg(feature = "failpoints")]
pub mod scripted;
#[cfg(feature = "otel")]
pub mod telemetry;

pub use face::openapi;
pub use face::witness::serve as serve_witness;
pub use publishing;
pub use publishing::Publisher;
pub use run::{ServeError, run, work};
#[cfg(feature = "failpoints")]
pub use scripted::ScriptedEvaluator;
pub use service::{
    App, Evaluator, Machine, OpenError, Progress, ProgressFn, administration, amend, appeals, blocks, copies, doctor,
    engines, evaluator, fleet, jobs, materials, relay, rounds, sweep, why, witness,
};
pub use store::{Clock, Config, Home, backup, clock, config, db, failpoints, log, objects, secret};
