//! `retort bench latency --same N`: one model submitted N times. Its ratio to the reference should not move, and no
//! copy of it should be ranked apart from another.
//!
//! Each submission is a whole evaluation, measured again while the host is unstable as a validator does. The model is
//! its own ceiling, so that only latency can separate the copies.

use super::latency::{Measured, line, of};
use super::load::Load;
use super::subject::Subject;
use super::summary::quantile;
use crate::cli::BenchLatencyArgs;
use crate::commands::print_json;
use crate::engine::evaluated;
use anyhow::{Context, Result};
use eval::{Engine, Samples};
use protocol::Digest;
use protocol::evaluation::Evaluation;
use protocol::latency::LatencyVerdict;
use protocol::score::{Ceiling, ScoreRules};
use protocol::significance::{Basis, Part, Replicates};
use protocol::standing::{RankEntry, groups};
use serde::Serialize;
use std::time::Instant;

/// How often an unstable measurement is repeated, as in the validator's default settings.
const UNSTABLE_MAX: u32 = 3;

/// What N submissions of one model came to.
#[derive(Serialize)]
struct Same {
    model: String,
    submissions: usize,
    busy_processes: u32,
    /// Evaluations that had to be repeated because the host was unstable.
    repeated: u32,
    ratio_ppm_min: i64,
    ratio_ppm_median: i64,
    ratio_ppm_max: i64,
    /// (largest - smallest) / median.
    spread_ppm: i64,
    /// Rank groups that the copies fell into; 1 when nothing flipped.
    groups: usize,
    measurements: Vec<Measured>,
}

pub(super) fn run(args: &BenchLatencyArgs, engine: &Engine, subject: &Subject, times: u32, load: Load) -> Result<()> {
    let reference = Subject::reference()?;
    let (mut evaluations, mut measurements, mut repeated) = (Vec::new(), Vec::new(), 0);
    for number in 0..times {
        for attempt in 0..=UNSTABLE_MAX {
            let seed = args.seed.map_or_else(rand::random, |seed| seed.wrapping_add(u64::from(number)));
            let start = Instant::now();
            let evaluation = evaluated(engine, &subject.request(&reference, seed)?, &|_| {})?;
            let samples: Samples = serde_json::from_slice(&evaluation.latency_samples)?;
            let measured = of(&samples, start.elapsed());
            eprintln!("{:>4}/{times} {}", number + 1, line(&measured));
            let unstable = matches!(measured.verdict, LatencyVerdict::Unstable(_));
            if unstable && attempt < UNSTABLE_MAX {
                repeated += 1;
                continue;
            }
            evaluations.push(evaluation);
            measurements.push(measured);
            break;
        }
    }
    drop(load);
    let mut ratios: Vec<i64> = measurements.iter().map(|one| one.ratio.value_ppm).collect();
    ratios.sort_unstable();
    let [least, middle, most] = [0, 50, 100].map(|percent| quantile(&ratios, percent));
    let same = Same {
        model: subject.name.clone(),
        submissions: measurements.len(),
        busy_processes: args.load,
        repeated,
        ratio_ppm_min: least,
        ratio_ppm_median: middle,
        ratio_ppm_max: most,
        spread_ppm: (most - least) * 1_000_000 / middle.max(1),
        groups: rank_groups(&evaluations)?,
        measurements,
    };
    if args.json {
        return print_json(&same);
    }
    println!("{}", text(&same));
    Ok(())
}

/// How many groups the copies fall into under the default rules.
fn rank_groups(evaluations: &[Evaluation]) -> Result<usize> {
    let rules = ScoreRules::default();
    let draw = |evaluation: &Evaluation| {
        let (correct, items) = (evaluation.report.quality.correct, evaluation.report.data.items);
        let round = Basis {
            part: Part::Public,
            seed: Digest::of(b"retort bench latency --same"),
            ceiling: Ceiling { correct, items },
            rules: &rules,
        };
        Replicates::draw(&evaluation.outcomes, &round).context("an evaluation without latency has no rank")
    };
    let replicates = evaluations.iter().map(draw).collect::<Result<Vec<Replicates>>>()?;
    let entries =
        (0..).zip(&replicates).map(|(arrival, replicates)| RankEntry { key: arrival, arrival, replicates }).collect();
    let mut ranks: Vec<u32> = groups::<u64>(entries).into_iter().map(|placed| placed.rank).collect();
    ranks.dedup();
    Ok(ranks.len())
}

fn text(same: &Same) -> String {
    let ratio = |ppm: i64| ppm as f64 / 1e6;
    format!(
        "{} submitted {} times beside {} busy processes of ours: ratio {:.4} to {:.4}, median {:.4}, spread {:.2} %\n  \
         rank groups: {} ({})\n  repeated because the host was unstable: {}",
        same.model,
        same.submissions,
        same.busy_processes,
        ratio(same.ratio_ppm_min),
        ratio(same.ratio_ppm_max),
        ratio(same.ratio_ppm_median),
        same.spread_ppm as f64 / 1e4,
        same.groups,
        if same.groups <= 1 { "nothing flipped" } else { "copies were ranked apart" },
        same.repeated,
    )
}
