//! Latency with the candidate treated unlike the reference: for measuring how well this engine measures. No evaluation uses it.

use crate::cancel::Cancel;
use crate::confinement::Confinement;
use crate::evaluate::{Engine, bounds};
use crate::latency::{self, Handicapped, Stopped};
use crate::placement::Placement;
use crate::prepare::prepare;
use crate::process::{Launcher, WorkerFailure};
use crate::samples::Samples;
use engine::Mode;
use protocol::evaluation::{EvaluationFailure, Order};

/// How the candidate of [`Engine::latency_with`] is treated unlike the reference.
#[derive(Clone, Copy, Debug, Default)]
pub struct Handicap {
    /// By how much each of its inferences is drawn out, in parts per million.
    pub slow_down_ppm: u32,
    /// Another confinement than the engine's.
    pub confinement: Option<Confinement>,
}

impl Engine {
    /// Measures latency alone, with the candidate treated unlike the reference.
    ///
    /// # Errors
    /// As [`Engine::evaluate`].
    pub fn latency_with(&self, order: &Order, handicap: Handicap) -> Result<Samples, EvaluationFailure> {
        let jail = self.jail(self.confinement, self.device, order)?;
        let other = handicap.confinement.map(|other| self.jail(other, self.device, order)).transpose()?;
        let handicapped = Handicapped { slow_down_ppm: handicap.slow_down_ppm, jail: other.as_ref() };
        let (_machine, cancel) = (self.machine()?, Cancel::default());
        let prepared = prepare(order)?;
        let placement = Placement::take(self.pinning, self.prior);
        let runtime = &self.runtime_for(order.engine)?;
        let launcher = self.launcher(&jail, runtime, 1, bounds(order), &cancel);
        let launcher = Launcher { placement: placement.workers, mode: Mode::Fast, ..launcher };
        let seed = order.exact_seed();
        let measured = latency::measure(launcher, &prepared, &[], seed, &self.effort, handicapped, &|_| {});
        measured.map_err(|stopped| match stopped {
            Stopped::Failed(failure) => failure,
            Stopped::Late(used) => WorkerFailure::Timeout(used).of_candidate(),
        })
    }
}
