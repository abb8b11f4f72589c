//! `retort bench latency --checks`: how often the checks that catch cheats accuse honest models.
//!
//! Every model here is honest, so each breach is a false one. A breach is measured again as a validator does; only the
//! same breach twice would have rejected the model. With `--effort quick` the measurement is short but its checks are
//! whole, since checks of one launch accuse nobody.

use super::latency::{engine_for, keep, line, load_milli, of};
use super::load::Load;
use super::subject::Subject;
use super::zoo;
use crate::cli::{BenchLatencyArgs, EffortName};
use crate::commands::print_json;
use crate::engine::evaluated;
use anyhow::Result;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use eval::statistics::median;
use eval::{Effort, Engine, Launch, Samples};
use protocol::evaluation::Evaluation;
use protocol::latency::{Breach, FollowUp, LatencyVerdict, clock_breach, follow_up, judge, repeated_gain_ppm};
use protocol::report::{Clock, Latency};
use serde::Serialize;
use std::time::Instant;

/// As in the validator's default settings.
const UNSTABLE_MAX: u64 = 3;

/// One measurement of an honest model.
#[derive(Serialize)]
struct Run {
    model: String,
    /// Of its file of weights.
    size_bytes: u64,
    /// The load average over a minute at its end, in thousandths.
    load_milli: u64,
    elapsed_ms: u64,
    verdict: LatencyVerdict,
    /// What the clocks said against it, also where the host's restlessness keeps that from counting.
    clock_breach: Option<Breach>,
    /// How much one repeated item sped the model up, and its random twin: the processor's caches.
    cache_gain_ppm: [i64; 2],
    /// The first over the second, by paired launches: what the verdict looks at.
    repeated_gain_ppm: i64,
    latency: Latency,
}

/// All measurements of one model.
#[derive(Serialize)]
struct Row {
    model: String,
    size_bytes: u64,
    p50_ns: u64,
    runs: usize,
    unstable: usize,
    false_breaches: usize,
    /// The largest gain by one repeated item of the model itself.
    cache_gain_ppm_max: i64,
    /// The largest gain over the twin's.
    repeated_gain_ppm_max: i64,
    /// The furthest from random weights, as the ratio that it was.
    random_twin_ppm_furthest: i64,
    /// Between the medians on other items and on the measurement's.
    other_items_ppm_furthest: i64,
}

/// What a campaign came to.
#[derive(Serialize)]
struct Checked {
    effort: &'static str,
    busy_processes: u32,
    runs: usize,
    unstable: usize,
    /// Measurements that accused an honest model.
    false_breaches: usize,
    /// Unstable measurements whose clocks accused one: nothing follows, but it says how far the checks can be trusted.
    accused_beside_unstable: usize,
    /// Models that were accused of the same twice in a row of measurements: what a validator would have rejected.
    false_rejections: usize,
    /// The smallest and the largest load average.
    load_milli: [u64; 2],
    rows: Vec<Row>,
    measurements: Vec<Run>,
}

pub(super) fn run(args: &BenchLatencyArgs) -> Result<()> {
    let engine = with_whole_checks(engine_for(args)?);
    let models = models(args)?;
    let load = Load::start(args.load)?;
    let (mut runs, mut rejections) = (Vec::new(), 0);
    for number in 0..args.measurements as usize {
        let spreads = &models[number % models.len()];
        let subject = &spreads[(number + number / models.len()) % spreads.len()];
        rejections += usize::from(judged(args, &engine, subject, number, &mut runs)?);
    }
    drop(load);
    let checked = summary(args, runs, rejections);
    if args.json {
        return print_json(&checked);
    }
    print(&checked);
    Ok(())
}

/// Checks that may accuse: as many launches of them as a whole measurement has.
fn with_whole_checks(mut engine: Engine) -> Engine {
    engine.effort.checks = engine.effort.checks.max(Effort::full().checks);
    engine
}

/// What takes turns: untrained models, each with its spreads of weights, and trained ones.
fn models(args: &BenchLatencyArgs) -> Result<Vec<Vec<Subject>>> {
    let untrained = zoo::untrained(&args.families, &args.sizes_kb)?;
    let mut models: Vec<Vec<Subject>> = untrained.into_iter().map(Vec::from).collect();
    models.push(vec![Subject::find(None, "reference")?]);
    for folder in &args.also {
        models.push(vec![Subject::find(Some(folder), "")?]);
    }
    Ok(models)
}

/// Measures a model until a validator would let it be; whether that would have rejected it.
fn judged(
    args: &BenchLatencyArgs,
    engine: &Engine,
    subject: &Subject,
    number: usize,
    runs: &mut Vec<Run>,
) -> Result<bool> {
    let mut before = Vec::new();
    loop {
        let seed = args.seed.map_or_else(rand::random, |seed| seed.wrapping_add(runs.len() as u64));
        let start = Instant::now();
        let evaluation = evaluated(engine, &subject.request(&Subject::reference()?, seed)?, &|_| {})?;
        let samples: Samples = serde_json::from_slice(&evaluation.latency_samples)?;
        let measured = of(&samples, start.elapsed());
        eprintln!("{:>4}/{} {:<22} {}", number + 1, args.measurements, subject.name, line(&measured));
        keep(args.samples.as_deref(), runs.len() as u32, &samples)?;
        runs.push(found(subject, &evaluation, &samples, measured.elapsed_ms));
        match follow_up(&before, measured.verdict, UNSTABLE_MAX) {
            // A restless host is no business of this command: it counts what is accused.
            FollowUp::Repeat if !measured.verdict.is_unstable() => before.push(measured.verdict),
            FollowUp::Reject(_) => return Ok(true),
            FollowUp::Repeat | FollowUp::Count => return Ok(false),
        }
    }
}

fn found(subject: &Subject, evaluation: &Evaluation, samples: &Samples, elapsed_ms: u64) -> Run {
    let latency = evaluation.report.latency.clone();
    let cache_gain_ppm = [true, false].map(|of_candidate| {
        let [distinct, repeated] = [&samples.random_twin, &samples.repeated_item]
            .map(|launches| inference_ns(launches, latency.clock, of_candidate));
        (1e6 * distinct / repeated) as i64
    });
    Run {
        model: subject.name.clone(),
        size_bytes: subject.package.weights.len() as u64,
        load_milli: load_milli(),
        elapsed_ms,
        verdict: judge(&latency),
        clock_breach: clock_breach(&latency),
        cache_gain_ppm,
        repeated_gain_ppm: repeated_gain_ppm(&latency.checks),
        latency,
    }
}

/// The median time of an inference over all blocks of the candidate, or of its twin. Launches on distinct and on repeated
/// items alternate, so that the weather of both is alike.
fn inference_ns(launches: &[Launch], clock: Clock, of_candidate: bool) -> f64 {
    let times = launches.iter().flat_map(|launch| {
        let side = if of_candidate { launch.subject } else { launch.baseline };
        launch.pairs.iter().map(move |pair| {
            let (candidate_ns, twin_ns) = pair.blocks_ns(clock);
            let block_ns = if of_candidate { candidate_ns } else { twin_ns };
            block_ns as f64 / f64::from(side.inferences_per_block.max(1))
        })
    });
    median(&times.collect::<Vec<f64>>()).unwrap_or(f64::NAN)
}

fn summary(args: &BenchLatencyArgs, measurements: Vec<Run>, false_rejections: usize) -> Checked {
    let mut names: Vec<&str> = Vec::new();
    for run in &measurements {
        if !names.contains(&run.model.as_str()) {
            names.push(&run.model);
        }
    }
    let of_model = |name: &str| measurements.iter().filter(|run| run.model == name).collect::<Vec<&Run>>();
    let rows: Vec<Row> = names.into_iter().filter_map(|name| row(&of_model(name))).collect();
    let loads = measurements.iter().map(|run| run.load_milli);
    Checked {
        effort: match args.effort {
            EffortName::Full => "full",
            EffortName::Quick => "quick",
        },
        busy_processes: args.load,
        runs: measurements.len(),
        unstable: rows.iter().map(|row| row.unstable).sum(),
        false_breaches: rows.iter().map(|row| row.false_breaches).sum(),
        accused_beside_unstable: measurements
            .iter()
            .filter(|run| run.verdict.is_unstable() && run.clock_breach.is_some())
            .count(),
        false_rejections,
        load_milli: [loads.clone().min().unwrap_or(0), loads.max().unwrap_or(0)],
        rows,
        measurements,
    }
}

/// The row of one model; nothing without runs.
fn row(runs: &[&Run]) -> Option<Row> {
    let first = runs.first()?;
    let furthest = |value: fn(&Run) -> i64| {
        runs.iter().map(|run| value(run)).max_by_key(|ratio| (ratio - 1_000_000).abs()).unwrap_or(0)
    };
    let count = |is: fn(&LatencyVerdict) -> bool| runs.iter().filter(|run| is(&run.verdict)).count();
    Some(Row {
        model: first.model.clone(),
        size_bytes: first.size_bytes,
        p50_ns: first.latency.p50_ns,
        runs: runs.len(),
        unstable: count(|verdict| verdict.is_unstable()),
        false_breaches: count(|verdict| matches!(verdict, LatencyVerdict::Breach(_))),
        cache_gain_ppm_max: runs.iter().map(|run| run.cache_gain_ppm[0]).max().unwrap_or(0),
        repeated_gain_ppm_max: runs.iter().map(|run| run.repeated_gain_ppm).max().unwrap_or(0),
        random_twin_ppm_furthest: furthest(|run| run.latency.checks.random_twin.ratio.value_ppm),
        other_items_ppm_furthest: furthest(|run| {
            let (other, main) = (run.latency.checks.other_items.ratio.value_ppm, run.latency.ratio.value_ppm);
            other.saturating_mul(1_000_000).checked_div(main).unwrap_or(0)
        }),
    })
}

fn print(checked: &Checked) {
    let ratio = |ppm: i64| format!("{:.3}", ppm as f64 / 1e6);
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header([
        "model",
        "kB",
        "p50 µs",
        "runs",
        "unstable",
        "false breaches",
        "gain by one item",
        "over the twin's",
        "over random weights",
        "other items over these",
    ]);
    for row in &checked.rows {
        table.add_row([
            row.model.clone(),
            format!("{:.1}", row.size_bytes as f64 / 1e3),
            format!("{:.1}", row.p50_ns as f64 / 1e3),
            row.runs.to_string(),
            row.unstable.to_string(),
            row.false_breaches.to_string(),
            ratio(row.cache_gain_ppm_max),
            ratio(row.repeated_gain_ppm_max),
            ratio(row.random_twin_ppm_furthest),
            ratio(row.other_items_ppm_furthest),
        ]);
    }
    println!("{table}");
    println!(
        "{} runs ({}), {} busy processes of ours, load average {:.1} to {:.1}: {} unstable ({} of \
         them would have accused), {} false breaches, {} false rejections (the same breach twice)",
        checked.runs,
        checked.effort,
        checked.busy_processes,
        checked.load_milli[0] as f64 / 1e3,
        checked.load_milli[1] as f64 / 1e3,
        checked.unstable,
        checked.accused_beside_unstable,
        checked.false_breaches,
        checked.false_rejections,
    );
}
