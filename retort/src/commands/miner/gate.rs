//! The quality gate of a competition beside what a model reaches: how much of the teacher's accuracy it asks for, and on
//! which side of that a student lies.
//!
//! It decides nothing: who is below is still entered, and rounds ask about other items.

use crate::progress::Phases;
use anyhow::{Context, Result, bail};
use datasets::Images;
use miner_template::augment::Augmentation;
use miner_template::client::Client;
use miner_template::files::PackageFiles;
use miner_template::source::public_part;
use miner_template::teacher;
use models::DeviceKind;
use program::package::Admitted;
use protocol::package;
use protocol::published::Competition;
use protocol::report::Estimate;
use protocol::score::{Ceiling, PPM, ScoreRules, share_ppm, wilson};
use serde::Serialize;

/// What a look before submitting may cost, and how few items still tell something.
const MACS_MAX: u64 = 100_000_000_000;
const ITEMS_MIN: u64 = 300;

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

/// Says where a package that is about to be sent lies below the gate, which it may: only its owner knows why. What can't be
/// tried here holds up nothing.
pub(super) fn warn_below(client: &Client, published: &Competition, files: &PackageFiles, passed: &Admitted) {
    match looked(client, published, files, passed) {
        Ok((gate, accuracy)) if accuracy.value_ppm < gate.accuracy_ppm => eprintln!(
            "it would get no rank: its accuracy here is {:.2} % [{:.2}, {:.2}], and the gate is {}; it is sent all the same",
            accuracy.value_ppm as f64 / 1e4,
            accuracy.low_ppm as f64 / 1e4,
            accuracy.high_ppm as f64 / 1e4,
            gate.beside(&accuracy)
        ),
        Ok(_) => {}
        Err(problem) => eprintln!("not tried on the public items: {problem:#}"),
    }
}

/// The gate, and the accuracy on the first public items, as many as take seconds.
fn looked(
    client: &Client,
    published: &Competition,
    files: &PackageFiles,
    passed: &Admitted,
) -> Result<(Gate, Estimate)> {
    let (images, answers) = public_part(client, published)?;
    let right = teacher::count_right(&answers.values, &images.labels);
    let gate = Gate::of(&published.manifest.score, Ceiling { correct: right as u32, items: images.count });
    let count = (MACS_MAX / passed.costs().macs.max(1)).max(ITEMS_MIN).min(u64::from(images.count));
    let first = images.select(&(0..u32::try_from(count)?).collect::<Vec<u32>>());
    let Admitted::Catalogue(passed) = passed else { bail!("`retort miner check` tries ONNX files") };
    let right = count_right(published, files, passed, &first)?;
    Ok((gate, wilson(right as u64, u64::from(first.count))))
}

fn count_right(
    published: &Competition,
    files: &PackageFiles,
    passed: &package::Admitted,
    images: &Images,
) -> Result<usize> {
    let device = DeviceKind::Flex.open()?;
    let network = teacher::load(&passed.plan, &files.weights, &device).context("load the weights")?;
    let scale = published.manifest.input.normalisation();
    let phases = Phases::on_terminal("before submitting");
    let all = u64::from(images.count);
    let told = |done| phases.at("public items", done, all);
    let logits = teacher::logits(&network, images, Augmentation::default(), &scale, &device, told);
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
