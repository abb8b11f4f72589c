//! `retort bench latency`: measures what is known already, and prints how often and how closely it was found.
//!
//! A/A times a model beside itself (the truth is 1), A/B beside itself drawn out by a known share. The measurement is
//! the one that ranks submissions, with the same launches, checks and verdicts. `--checks` and `--neighbours` are stories
//! of their own.

use super::load::Load;
use super::subject::Subject;
use super::{checks, neighbours, same, summary};
use crate::cli::{BenchLatencyArgs, EffortName, PinName};
use crate::commands::print_json;
use crate::engine::{engine, runtime};
use anyhow::{Context, Result};
use eval::{Confinement, Engine, Handicap, Pinning, Samples};
use models::DeviceKind;
use protocol::latency::{LatencyVerdict, half_width_ppm, judge};
use protocol::report::{Clock, Estimate};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use validator::config::LatencyEffort;

/// What one measurement found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Measured {
    pub(super) ratio: Estimate,
    pub(super) half_width_ppm: i64,
    pub(super) launches: u32,
    pub(super) clock: Clock,
    pub(super) overhead_ppm: u64,
    pub(super) control_ppm: i64,
    pub(super) p50_ns: u64,
    pub(super) elapsed_ms: u64,
    /// The load average over a minute at its end, in thousandths.
    pub(super) load_milli: u64,
    pub(super) verdict: LatencyVerdict,
}

pub(crate) fn run(args: &BenchLatencyArgs) -> Result<()> {
    if args.checks {
        return checks::run(args);
    }
    if args.neighbours {
        return neighbours::run(args);
    }
    let subject = Subject::find(args.package.as_deref(), &args.model)?;
    let engine = engine_for(args)?;
    let load = Load::start(args.load)?;
    if args.load > 0 {
        // The load average takes a while; the busy processes themselves only have to be up.
        std::thread::sleep(Duration::from_secs(1));
    }
    if let Some(times) = args.same {
        return same::run(args, &engine, &subject, times, load);
    }
    let (what, slow_down_ppm) = if args.ab { ("A/B", args.slow_down_ppm) } else { ("A/A", 0) };
    eprintln!(
        "{what} of {}: true ratio {:.4}, {} measurements",
        subject.name,
        1.0 + f64::from(slow_down_ppm) / 1e6,
        args.measurements
    );
    if let Some(folder) = &args.samples {
        miner_template::outputs::try_folder(folder)
            .with_context(|| format!("{} can't be written", folder.display()))?;
    }
    let confinement = args.unconfined.then_some(Confinement::Process);
    let mut measured = Vec::new();
    for number in 0..args.measurements {
        let request = subject
            .request(&subject.package, args.seed.unwrap_or_else(rand::random).wrapping_add(u64::from(number)))?;
        let start = Instant::now();
        let samples = engine.latency_with(&request.order, Handicap { slow_down_ppm, confinement })?;
        let one = of(&samples, start.elapsed());
        eprintln!("{:>4}/{} {}", number + 1, args.measurements, line(&one));
        keep(args.samples.as_deref(), number, &samples)?;
        measured.push(one);
    }
    drop(load);
    let summary = summary::of(what, &subject.name, slow_down_ppm, args.load, &measured);
    if args.json {
        return print_json(&serde_json::json!({ "summary": summary, "measurements": measured }));
    }
    println!("{}", summary::text(&summary));
    let ran_on = engine.instead.unwrap_or_default();
    println!("  on {}, not official but in competitions whose manifest names it", ran_on.id());
    Ok(())
}

/// The engine of evaluations with what the command line changes about it.
pub(super) fn engine_for(args: &BenchLatencyArgs) -> Result<Engine> {
    let effort = match args.effort {
        EffortName::Full => LatencyEffort::Full,
        EffortName::Quick => LatencyEffort::Quick,
    };
    let mut engine = engine(DeviceKind::Flex, effort)?;
    if let Some(launch_ms) = args.launch_ms {
        engine.effort.launch = Duration::from_millis(launch_ms);
    }
    engine.pinning = match args.pin {
        None => engine.pinning,
        Some(PinName::Off) => Pinning::Off,
        Some(PinName::Workers) => Pinning::Workers,
        Some(PinName::Apart) => Pinning::Apart,
        Some(PinName::Together) => Pinning::Together,
    };
    engine.prior &= !args.ordinary_priority;
    engine.instead = runtime(args.runtime)?;
    Ok(engine)
}

pub(super) fn of(samples: &Samples, elapsed: Duration) -> Measured {
    let latency = samples.summary();
    Measured {
        ratio: latency.ratio,
        half_width_ppm: half_width_ppm(latency.ratio),
        launches: latency.launches,
        clock: latency.clock,
        overhead_ppm: latency.overhead_ppm,
        control_ppm: latency.checks.control.ratio.value_ppm,
        p50_ns: latency.p50_ns,
        elapsed_ms: elapsed.as_millis() as u64,
        load_milli: load_milli(),
        verdict: judge(&latency),
    }
}

/// One measurement in a line.
pub(super) fn line(one: &Measured) -> String {
    format!(
        "ratio {:.4} [{:.4}, {:.4}] ±{:.2} %  {} launches  p50 {} ns  {} clock, overhead {:.1} %  control {:.4}  {:.1} s  load {:.1}  {}",
        one.ratio.value_ppm as f64 / 1e6,
        one.ratio.low_ppm as f64 / 1e6,
        one.ratio.high_ppm as f64 / 1e6,
        one.half_width_ppm as f64 / 1e4,
        one.launches,
        one.p50_ns,
        match one.clock {
            Clock::Parent => "parent's",
            Clock::Worker => "workers'",
        },
        one.overhead_ppm as f64 / 1e4,
        one.control_ppm as f64 / 1e6,
        one.elapsed_ms as f64 / 1e3,
        one.load_milli as f64 / 1e3,
        one.verdict,
    )
}

/// The load average over the last minute in thousandths; 0 where the system doesn't say.
pub(super) fn load_milli() -> u64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = text.split_whitespace().next().and_then(|first| first.parse().ok()).unwrap_or(0.0);
    (load * 1e3).round() as u64
}

pub(super) fn keep(folder: Option<&Path>, number: u32, samples: &Samples) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let path = folder.join(format!("{number:03}.json"));
    fs::write(&path, samples.to_json()).with_context(|| format!("write {}", path.display()))
}
