//! The quality gate of a competition beside what a model reaches: how much of the teacher's accuracy it asks for, and on
//! which side of that a student lies.
//!
//! It decides nothing: who is below is still entered, and rounds ask about other items.

use super::super::answer::graph_logits;
use crate::engine::official_or_other;
use crate::progress::Phases;
use anyhow::{Context, Result, anyhow, bail};
use datasets::Images;
use engine::Refused;
use eval::{Library, RuntimeKind};
use miner_template::augment::Augmentation;
use miner_template::client::Client;
use miner_template::files::PackageFiles;
use miner_template::source::public_part;
use miner_template::teacher;
use models::DeviceKind;
use program::package::Admitted;
use protocol::competition::EngineName;
use protocol::published::Competition;
use protocol::report::Estimate;
use protocol::score::{Ceiling, PPM, ScoreRules, share_ppm, wilson};
use protocol::submission::{Code, Rejection};
use serde::Serialize;

/// Pixels of the items that are tried, which are held in memory.
const HELD_BYTES_MAX: u64 = 64 << 20;
/// What a look before submitting may cost, and how few items still tell something.
const MACS_MAX: u64 = 100_000_000_000;
const ITEMS_MIN: u64 = 300;
/// The same of graphs, which run one item after the other on one core.
const GRAPH_MACS_MAX: u64 = 20_000_000_000;
const GRAPH_ITEMS_MIN: u64 = 100;

/// The least accuracy that a competition asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Gate {
    /// In parts per million.
    pub(super) accuracy_ppm: i64,
    /// Of the teacher's.
    pub(super) share_ppm: u32,
    /// On the same items.
    pub(super) teacher_ppm: i64,
}

impl Gate {
    /// The gate under a teacher with these right answers.
    pub(super) fn of(rules: &ScoreRules, ceiling: Ceiling) -> Self {
        let teacher_ppm = share_ppm(u64::from(ceiling.correct), u64::from(ceiling.items));
        let least = teacher_ppm.saturating_mul(i64::from(rules.gate_ppm));
        // The least that passes, as `Scale::gate` has it.
        Self {
            accuracy_ppm: least.div_euclid(PPM) + i64::from(least % PPM != 0),
            share_ppm: rules.gate_ppm,
            teacher_ppm,
        }
    }

    fn asks(&self) -> String {
        format!(
            "{:.2} %, which is {} % of the teacher's {:.2} %",
            self.accuracy_ppm as f64 / 1e4,
            f64::from(self.share_ppm) / 1e4,
            self.teacher_ppm as f64 / 1e4
        )
    }

    /// The gate, and on which side of it a model is.
    pub(super) fn beside(&self, accuracy: &Estimate) -> String {
        let side = match (accuracy.value_ppm >= self.accuracy_ppm, accuracy.low_ppm >= self.accuracy_ppm) {
            (true, true) => "above, with its whole interval",
            (true, false) => "above by its own number, with the interval on both sides: other items may say otherwise",
            (false, _) if accuracy.high_ppm >= self.accuracy_ppm => {
                "below by its own number, with the interval on both sides"
            }
            (false, _) => "below, with its whole interval",
        };
        format!("{}: {side}", self.asks())
    }
}

/// What was tried of a package before it is sent.
struct Looked {
    /// What ran it in place of the competition's engine, where this host lacks that.
    instead: Option<EngineName>,
    gate: Gate,
    accuracy: Estimate,
    items: u32,
    of: u32,
}

/// Says what was tried of a package that is about to be sent and where it lies beside the gate, below which it may: only its
/// owner knows why. What can't be tried here holds up nothing.
///
/// # Errors
/// When the competition's engine refuses the model: the validator's would, too.
pub(super) fn try_out(client: &Client, published: &Competition, files: &PackageFiles, passed: &Admitted) -> Result<()> {
    match looked(client, published, files, passed) {
        Ok(looked) => eprintln!("{}", looked.told(published.manifest.engine.name)),
        Err(problem) => match problem.downcast::<Rejection>() {
            Ok(rejection) => bail!(would_reject(&rejection)),
            Err(problem) => eprintln!("admitted by the rules; not tried on the public items: {problem:#}"),
        },
    }
    Ok(())
}

/// What the validator would say to a package, before it is asked.
pub(super) fn would_reject(rejection: &Rejection) -> String {
    format!("the validator would reject this package: {rejection}. {}", rejection.code.hint())
}

impl Looked {
    fn told(&self, official: EngineName) -> String {
        let Self { instead, gate, accuracy, items, of } = self;
        let estimate = format!(
            "{:.2} % [{:.2}, {:.2}]",
            accuracy.value_ppm as f64 / 1e4,
            accuracy.low_ppm as f64 / 1e4,
            accuracy.high_ppm as f64 / 1e4
        );
        let engine =
            instead.map_or_else(String::new, |other| format!(", and on {other} where the competition has {official}"));
        let tried = format!(
            "tried on {items} of {of} public items{engine}; not tried: latency and likeness (`retort miner check`)"
        );
        if accuracy.value_ppm >= gate.accuracy_ppm {
            return format!("its accuracy here is {estimate}, {tried}");
        }
        format!(
            "it would get no rank: its accuracy here is {estimate}, and the gate is {}; it is sent all the same; {tried}",
            gate.beside(accuracy)
        )
    }
}

/// The gate, and the accuracy on the first public items, as many as take seconds.
fn looked(client: &Client, published: &Competition, files: &PackageFiles, passed: &Admitted) -> Result<Looked> {
    let (public, answers) = public_part(client, published)?;
    let right = teacher::count_right(&answers.values, &public.labels);
    let of = public.count();
    let gate = Gate::of(&published.manifest.score, Ceiling { correct: right as u32, items: of });
    let (macs_max, items_min) = match passed {
        Admitted::Catalogue(_) => (MACS_MAX, ITEMS_MIN),
        Admitted::Onnx(_) => (GRAPH_MACS_MAX, GRAPH_ITEMS_MIN),
    };
    let held_max = (HELD_BYTES_MAX / public.shape.values().max(1)).max(1);
    let count = (macs_max / passed.costs().macs.max(1)).max(items_min).min(u64::from(of)).min(held_max);
    let first = public.part(0..usize::try_from(count)?).held()?;
    let (runtime, lacks) = official_or_other(&Library::named(), published.manifest.engine);
    let right =
        count_right(published, files, passed, &first, &runtime).map_err(|problem| match problem.downcast() {
            // What stands in for an engine refuses for itself alone.
            Ok(Refused::NotReady(why)) => anyhow!(why),
            Ok(refused) if lacks.is_none() => Code::EngineRefused.because(refused.to_string()).into(),
            Ok(refused) => refused.into(),
            Err(problem) => problem,
        })?;
    let instead = lacks.map(|_| runtime.name()).filter(|other| *other != published.manifest.engine.name);
    Ok(Looked { instead, gate, accuracy: wilson(right as u64, u64::from(first.count)), items: first.count, of })
}

fn count_right(
    published: &Competition,
    files: &PackageFiles,
    passed: &Admitted,
    images: &Images,
    runtime: &RuntimeKind,
) -> Result<usize> {
    let scale = published.manifest.input.normalisation();
    let phases = Phases::on_terminal("before submitting");
    let all = u64::from(images.count);
    let told = |done| phases.at("public items", done, all);
    let logits = match passed {
        Admitted::Catalogue(passed) => {
            let device = DeviceKind::Flex.open()?;
            let network = teacher::load(&passed.plan, &files.weights, &device).context("load the weights")?;
            teacher::logits(&network, images, Augmentation::default(), &scale, &device, told)
        }
        Admitted::Onnx(passed) => graph_logits(&*runtime.here()?, &passed.canonical, images, &scale, told)?,
    };
    phases.finish();
    Ok(teacher::count_right(&logits, &images.labels))
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::score::Scale;

    #[test]
    fn the_gate_is_the_least_that_passes_and_sides_are_told_with_the_interval() {
        let rules = ScoreRules::default();
        for correct in [9_137, 9_999, 10_000, 1, 0] {
            let ceiling = Ceiling { correct, items: 10_000 };
            let (gate, scale) = (Gate::of(&rules, ceiling), Scale::new(&rules, ceiling));
            assert!(scale.gate(gate.accuracy_ppm), "{correct}");
            assert!(correct == 0 || !scale.gate(gate.accuracy_ppm - 1), "{correct}");
        }
        let gate = Gate::of(&rules, Ceiling { correct: 9_000, items: 10_000 });
        let side = |value_ppm: i64| {
            let beside = Estimate { value_ppm, low_ppm: value_ppm - 10_000, high_ppm: value_ppm + 10_000 };
            gate.beside(&beside)
        };
        assert!(side(850_000).starts_with("81.00 %, which is 90 % of the teacher's 90.00 %: above, with its whole"));
        assert!(side(815_000).contains("above by its own number"));
        assert!(side(805_000).contains("below by its own number"));
        assert!(side(790_000).ends_with("below, with its whole interval"));
    }
}
