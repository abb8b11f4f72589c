//! Whom it blames that something wasn't measured in time: a package that takes far more than its architecture needs, or a busy host.
//!
//! It finds out what an architecture needs here, with random weights; it does not know what becomes of a failure.

use crate::accuracy_pass::accuracy_pass;
use crate::evaluate::{Engine, bounds};
use crate::latency;
use crate::prepare::Prepared;
use crate::process::{Launcher, WorkerFailure};
use protocol::evaluation::{EvaluationFailure, Order};
use protocol::submission::Code;
use std::time::Duration;

/// How many times the processor time that its architecture needs a package must have used to be blamed for being late.
const TIMES_TWIN_MAX: u32 = 3;

/// Items that tell how much an architecture needs.
const TWIN_ITEMS_MAX: usize = 256;

impl Engine {
    /// Whom it blames that the candidate didn't answer all items in time.
    pub(crate) fn late(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        used: Option<Duration>,
    ) -> EvaluationFailure {
        let needed = self.needed_by_twin(launcher, order, prepared);
        blamed(order, "in which it used", used, needed)
    }

    /// Whom it blames that the launches didn't end in time, of which the candidate used so much in one.
    pub(crate) fn late_launch(
        &self,
        launcher: Launcher<'_>,
        order: &Order,
        prepared: &Prepared,
        used: Option<Duration>,
    ) -> EvaluationFailure {
        // With as much time of its own.
        let launcher = Launcher { bounds: bounds(order), ..launcher };
        let needed = latency::needed_by_twin(launcher, prepared, order.exact_seed(), &self.effort);
        blamed(order, "in one launch of which it used", used, needed)
    }

    /// Processor time that the candidate's architecture needs for all items here, by random weights on the first of them;
    /// `None` where that can't be found out either.
    fn needed_by_twin(&self, launcher: Launcher<'_>, order: &Order, prepared: &Prepared) -> Option<Duration> {
        let twin = prepared.candidate.random_twin(&mut latency::coins(order.exact_seed())).ok()?;
        // With as much time of its own.
        let launcher = Launcher { bounds: bounds(order), ..launcher };
        let (some, none) = (prepared.inputs.first(TWIN_ITEMS_MAX), prepared.probes.first(0));
        let pass = accuracy_pass(launcher, &twin, &some, &none, self.batch.max(1) as usize, &|_| {}).ok()?;
        let all = prepared.inputs.len() + prepared.probes.len();
        // Loading is counted as often as items are: in the package's favour.
        Some(pass.processor_time?.mul_f64(all as f64 / some.len().max(1) as f64))
    }
}

/// Whom it blames that a package wasn't measured in time: the package, if it used far more of the processor than its
/// architecture needs for the same, and otherwise the host, on which it didn't get what it needs.
fn blamed(order: &Order, what: &str, used: Option<Duration>, needed: Option<Duration>) -> EvaluationFailure {
    let (Some(used), Some(needed)) = (used, needed) else {
        return WorkerFailure::Timeout(used).of_candidate();
    };
    let seconds = order.wall_seconds_max;
    let figures = format!(
        "no answer within {seconds} s, {what} {:.1} s of the processor; the same architecture with random weights needs \
         {:.1} s",
        used.as_secs_f64(),
        needed.as_secs_f64()
    );
    match used > needed * TIMES_TWIN_MAX {
        true => Code::EvaluationTimeout.because(figures).into(),
        false => EvaluationFailure::Infrastructure(format!("the host is too busy: {figures}")),
    }
}
