//! One short A/A measurement of the reference student, for `retort validator doctor`.
//!
//! A restless host is told, not failed: it passes, and submissions that it spoils are measured again. An engine that
//! can't measure at all is a failure.

use super::latency::{load_milli, of};
use super::subject::Subject;
use crate::engine::engine;
use anyhow::Result;
use eval::{Engine, Handicap, LeaseFolder};
use models::DeviceKind;
use std::time::Instant;
use validator::config::LatencyEffort;
use validator::doctor::Finding;

/// Times the reference student beside itself for a few seconds, on the machine that is taken in `lease`.
pub(crate) fn latency_health(lease: LeaseFolder) -> Finding {
    let measured = measure(lease);
    let healthy = measured.is_ok();
    Finding { name: "latency", healthy, detail: measured.unwrap_or_else(|error| format!("{error:#}")) }
}

fn measure(lease: LeaseFolder) -> Result<String> {
    let load = load_milli();
    let subject = Subject::find(None, "reference")?;
    let request = subject.request(&subject.package, rand::random())?;
    let start = Instant::now();
    let engine = Engine { lease, ..engine(DeviceKind::Flex, LatencyEffort::Quick)? };
    let one = of(&engine.latency_with(&request.order, Handicap::default())?, start.elapsed());
    Ok(format!(
        "the reference over itself {:.4} ±{:.2} % in {} launches, load {:.1}: {}",
        one.ratio.value_ppm as f64 / 1e6,
        one.half_width_ppm as f64 / 1e4,
        one.launches,
        load as f64 / 1e3,
        one.verdict
    ))
}
