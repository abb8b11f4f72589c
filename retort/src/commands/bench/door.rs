//! `retort bench door`: this machine's engine behind the validator's door, held to what every door promises, and how soon
//! a cancelled measurement gives the machine back.
//!
//! Its processes are those that run strangers' models, in their jail. The machine is taken for as long as all of it lasts,
//! since many are begun; among themselves they line up in a folder of their own.

use super::latency::load_milli;
use super::subject::Subject;
use super::summary::quantile;
use crate::cli::BenchDoorArgs;
use crate::commands::print_json;
use crate::commands::validator::run_async;
use crate::engine::{ProcessMeasurer, engine};
use anyhow::{Context, Result, ensure};
use eval::{Effort, Engine, LeaseFolder};
use models::DeviceKind;
use protocol::evaluation::{EvaluationRequest, Scope};
use serde::Serialize;
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use validator::config::LatencyEffort;
use validator::evaluator::conformance::{self, cancelled, evaluator_conformance};
use validator::evaluator::{AtHome, Evaluator};

/// Items of an order that is done soon.
const ITEMS: u32 = 100;
/// Items through the teacher take minutes.
const MANY_ITEMS: Range<u32> = 0..10_000;
/// So do launches of an hour.
const LAUNCH: Duration = Duration::from_secs(3_600);

/// How long after its first process an order is cancelled: at each of these moments in turn, so that it happens while a
/// worker starts, loads, warms up and computes.
const MOMENTS_MS: [u64; 5] = [0, 20, 100, 300, 700];

/// What came of it.
#[derive(Serialize)]
struct Freed {
    tries: usize,
    /// From the word that an order isn't wanted to the moment at which nothing runs for it and whoever waits has the machine.
    freed_us_median: i64,
    freed_us_p99: i64,
    freed_us_max: i64,
    /// The load average over a minute at the end, in thousandths.
    load_milli: u64,
}

pub(crate) fn run(args: &BenchDoorArgs) -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder for a lease")?;
    let engine = engine(DeviceKind::Flex, LatencyEffort::Quick)?;
    let _machine = engine.lease.wait(engine.waits)?;
    let own = Engine { lease: LeaseFolder::at(folder.path().join("lease")), ..engine };
    let door = Door::new(own)?;
    let within = Duration::from_millis(args.within_ms);
    let took = run_async(async {
        evaluator_conformance(&door, within).await;
        eprintln!("the engine keeps its promises; it is cancelled {} times", args.tries);
        let mut took = Vec::new();
        for (number, moment) in (0..args.tries).zip(MOMENTS_MS.into_iter().cycle()) {
            took.push(cancelled(&door, number, Duration::from_millis(moment)).await);
        }
        took
    })?;
    let freed = Freed::of(&took);
    match args.json {
        true => print_json(&freed)?,
        false => println!("{}", freed.text()),
    }
    let p99 = Duration::from_micros(freed.freed_us_p99.unsigned_abs());
    ensure!(
        p99 <= within,
        "more than one in a hundred cancelled measurements kept the machine for {p99:?}, over {within:?}"
    );
    Ok(())
}

impl Freed {
    fn of(took: &[Duration]) -> Self {
        let mut micros: Vec<i64> = took.iter().map(|took| took.as_micros() as i64).collect();
        micros.sort_unstable();
        let [median, p99, max] = [50, 99, 100].map(|percent| quantile(&micros, percent));
        let tries = micros.len();
        Self { tries, freed_us_median: median, freed_us_p99: p99, freed_us_max: max, load_milli: load_milli() }
    }

    fn text(&self) -> String {
        let ms = |micros: i64| micros as f64 / 1e3;
        format!(
            "cancelled {} times: the machine was the next one's after {:.0} ms in the median, {:.0} ms at the 99th percentile, \
             {:.0} ms at most; load {:.1}",
            self.tries,
            ms(self.freed_us_median),
            ms(self.freed_us_p99),
            ms(self.freed_us_max),
            self.load_milli as f64 / 1e3,
        )
    }
}

/// The engine's door with orders to ask it.
struct Door {
    door: Arc<AtHome<ProcessMeasurer>>,
    orders: [EvaluationRequest; 2],
    endless: [EvaluationRequest; 2],
}

impl Door {
    fn new(engine: Engine) -> Result<Self> {
        let endless = Effort { launch: LAUNCH, ..Effort::quick() };
        let reference = Subject::reference()?;
        let order = |name: &str, items: Range<u32>, scope| -> Result<EvaluationRequest> {
            let mut request = Subject::find(None, name)?.request_on(items, &reference, 7)?;
            request.order.scope = scope;
            Ok(request)
        };
        Ok(Self {
            orders: [
                order("reference", 0..ITEMS, Scope::OutputsOnly)?,
                order("mlp", ITEMS..3 * ITEMS, Scope::OutputsOnly)?,
            ],
            endless: [order("teacher", MANY_ITEMS, Scope::OutputsOnly)?, order("mlp", 0..ITEMS, Scope::Full)?],
            door: Arc::new(AtHome(ProcessMeasurer(Engine { effort: endless, ..engine }))),
        })
    }
}

impl conformance::Subject for Door {
    fn door(&self) -> Arc<dyn Evaluator> {
        Arc::clone(&self.door) as Arc<dyn Evaluator>
    }

    fn order(&self, number: u32) -> EvaluationRequest {
        self.orders[number as usize % 2].clone()
    }

    fn endless(&self, number: u32) -> EvaluationRequest {
        self.endless[number as usize % 2].clone()
    }

    /// Whether this process has children: workers are, and nothing else is.
    fn is_at_work(&self) -> bool {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
        let mut children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
        children.any(|list| !list.trim().is_empty())
    }
}
