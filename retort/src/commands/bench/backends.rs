//! `retort bench backends`: what this host's backends make of the same items, in items per second and in distance from the official
//! engine. It ranks nobody.

use super::subject::Subject;
use crate::cli::BenchBackendsArgs;
use crate::commands::print_json;
use crate::engine::engine;
use anyhow::{Context, Result};
use models::DeviceKind;
use protocol::backend::Backend;
use protocol::competition::EngineName;
use protocol::evaluation::{Order, arg_max};
use serde::Serialize;
use validator::config::LatencyEffort;

/// What one of them came to.
#[derive(Serialize)]
struct Row {
    backend: Backend,
    /// What it lacks here, or how it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<Found>,
}

#[derive(Serialize)]
struct Found {
    items_per_second: f64,
    /// Items that it says another class of than the official engine.
    other_classes: usize,
    /// The furthest that a logit is off the official engine's.
    delta_max: f32,
}

pub(crate) fn run(args: &BenchBackendsArgs) -> Result<()> {
    let subject = Subject::find(args.package.as_deref(), "teacher")?;
    let engine = engine(DeviceKind::Flex, LatencyEffort::Quick)?;
    let order = subject.request_on(0..args.items, &subject.package, 0)?.order;
    let official = Backend::from(EngineName::from(args.official));
    eprintln!("{} on {} items, held against {official}", subject.name, args.items);
    let (exact, _) = engine.answers_on(official, &order).with_context(|| format!("ask {official}"))?;
    let rows: Vec<Row> = Backend::ALL.into_iter().map(|backend| row(&engine, backend, &order, &exact)).collect();
    if args.json {
        return print_json(&rows);
    }
    println!("{:12} {:>10} {:>14} {:>16}", "backend", "items/s", "largest delta", "other classes");
    for Row { backend, problem, found } in &rows {
        match found {
            Some(found) => println!(
                "{:12} {:>10.0} {:>14.6} {:>16}",
                backend.as_str(),
                found.items_per_second,
                found.delta_max,
                format!("{} of {}", found.other_classes, args.items)
            ),
            None => println!("{:12} {}", backend.as_str(), problem.as_deref().unwrap_or_default()),
        }
    }
    Ok(())
}

fn row(engine: &eval::Engine, backend: Backend, order: &Order, exact: &[f32]) -> Row {
    let answered =
        engine.backend(backend).and_then(|_| engine.answers_on(backend, order).map_err(|failure| failure.to_string()));
    match answered {
        Ok((logits, throughput_milli)) => {
            let classes = exact.len() / order.inputs.count().max(1);
            let found = Found {
                items_per_second: throughput_milli as f64 / 1e3,
                other_classes: differing(&logits, exact, classes.max(1)),
                delta_max: logits.iter().zip(exact).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max),
            };
            Row { backend, problem: None, found: Some(found) }
        }
        Err(problem) => Row { backend, problem: Some(problem), found: None },
    }
}

fn differing(logits: &[f32], exact: &[f32], classes: usize) -> usize {
    let pairs = logits.chunks(classes).zip(exact.chunks(classes));
    pairs.filter(|(one, other)| arg_max(one) != arg_max(other)).count()
}
