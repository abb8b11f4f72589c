//! Whether a model a little wider or narrower would be much faster: the engine's kernels work in whole tiles, and what
//! doesn't fill one costs extra.
//!
//! Each neighbour is timed beside the model itself by the protocol's own launches, only fewer and without checks. It says
//! what to look at, never what a model is worth.

use crate::cli::BenchLatencyArgs;
use crate::commands::print_json;
use anyhow::Result;
use comfy_table::{Table, presets::ASCII_MARKDOWN};
use eval::{Effort, Engine, Handicap};
use protocol::architecture::Architecture;
use protocol::evaluation::Order;
use protocol::package::PackageConfig;
use protocol::report::Estimate;
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;

use super::latency::{engine_for, load_milli};
use super::load::Load;
use super::subject::Subject;
use super::zoo;

/// Fields of architectures that are widths, whichever family they are of.
const WIDTHS: [&str; 6] = ["hidden", "width", "stem", "channels", "head", "mlp_width"];

/// Around a width for `miner check`: one less and up to the next multiple of four is where tiles end.
const STEPS: [i64; 4] = [-1, 1, 2, 3];

/// The most that `miner check` times, some three quarters of a second each.
const HINTS_MAX: usize = 12;

/// A neighbour is told that takes at most this share of the time, by its whole interval.
const FASTER_PPM_MAX: i64 = 900_000;

/// Launches of a neighbour beside the model.
const LAUNCHES: u32 = 5;

/// A model that differs in one width.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Neighbour {
    /// Where in the architecture, as a JSON pointer.
    pub(crate) field: String,
    /// The model's own width there.
    pub(crate) own: u64,
    /// The neighbour's.
    pub(crate) width: u64,
    /// Its latency over the model's own; between the fastest and the slowest of a few launches.
    pub(crate) ratio: Estimate,
}

impl Neighbour {
    /// A sentence for whoever trained the model.
    pub(crate) fn hint(&self) -> String {
        format!(
            "{} = {} instead of {} would take {:.2} of the time [{:.2}, {:.2}]: the engine works in tiles that this width \
             doesn't fill",
            self.field,
            self.width,
            self.own,
            self.ratio.value_ppm as f64 / 1e6,
            self.ratio.low_ppm as f64 / 1e6,
            self.ratio.high_ppm as f64 / 1e6,
        )
    }
}

/// What `retort bench latency --neighbours` prints.
pub(super) fn run(args: &BenchLatencyArgs) -> Result<()> {
    let subject = Subject::find(args.package.as_deref(), &args.model)?;
    let request = subject.request(&subject.package, args.seed.unwrap_or_else(rand::random))?;
    let reach = i64::from(args.reach);
    let steps: Vec<i64> = (-reach..=reach).filter(|step| *step != 0).collect();
    let load = Load::start(args.load)?;
    let timed = timed(&engine_for(args)?, &request.order, &steps, usize::MAX)?;
    drop(load);
    if args.json {
        return print_json(&timed);
    }
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(["field", "width", "time over the model's own", "from", "to"]);
    let unit = |ppm: i64| format!("{:.3}", ppm as f64 / 1e6);
    for Neighbour { field, width, ratio, .. } in &timed {
        let Estimate { value_ppm, low_ppm, high_ppm } = *ratio;
        table.add_row([field.clone(), width.to_string(), unit(value_ppm), unit(low_ppm), unit(high_ppm)]);
    }
    println!("{table}");
    println!("{}, load average {:.1}", subject.name, load_milli() as f64 / 1e3);
    Ok(())
}

/// Neighbours of an order's candidate that are much faster, the fastest first.
pub(crate) fn faster(engine: &Engine, order: &Order) -> Result<Vec<Neighbour>> {
    let mut faster = timed(engine, order, &STEPS, HINTS_MAX)?;
    faster.retain(|neighbour| neighbour.ratio.high_ppm <= FASTER_PPM_MAX);
    faster.sort_by_key(|neighbour| neighbour.ratio.value_ppm);
    Ok(faster)
}

/// Times at most `count_max` neighbours beside the candidate.
fn timed(engine: &Engine, order: &Order, steps: &[i64], count_max: usize) -> Result<Vec<Neighbour>> {
    let config = PackageConfig::from_json(&order.candidate.config_json)?;
    let moment = Duration::from_millis(40);
    let effort = Effort { looks: vec![LAUNCHES], launch: moment, warm_up: moment, checks: 0 };
    let engine = Engine { effort, ..engine.clone() };
    let mut timed = Vec::new();
    for (field, own, width, architecture) in neighbours(&config.architecture, steps)? {
        let config = PackageConfig { architecture, ..config.clone() };
        if timed.len() == count_max || config.plan().is_err() {
            continue;
        }
        let neighbour = Order {
            candidate: zoo::package(&config, order.seed, 1.0)?,
            reference: order.candidate.clone(),
            ..order.clone()
        };
        let ratio = engine.latency_with(&neighbour, Handicap::default())?.ratio();
        timed.push(Neighbour { field, own, width, ratio });
    }
    Ok(timed)
}

/// Each width of an architecture moved by each step: where, from what, to what, and what comes of it. Not all of them
/// are models: heads must divide a transformer's width.
fn neighbours(own: &Architecture, steps: &[i64]) -> Result<Vec<(String, u64, u64, Architecture)>> {
    let json = serde_json::to_value(own)?;
    let mut fields = Vec::new();
    widths(&json, String::new(), false, &mut fields);
    let mut found = Vec::new();
    for (field, width) in fields {
        for moved in steps.iter().filter_map(|step| width.checked_add_signed(*step)).filter(|width| *width > 0) {
            let mut json = json.clone();
            if let Some(slot) = json.pointer_mut(&field) {
                *slot = moved.into();
            }
            found.push((field.clone(), width, moved, serde_json::from_value(json)?));
        }
    }
    Ok(found)
}

/// JSON pointers of all numbers that are widths.
fn widths(json: &Value, at: String, is_width: bool, found: &mut Vec<(String, u64)>) {
    match json {
        Value::Object(fields) => {
            for (name, value) in fields {
                widths(value, format!("{at}/{name}"), WIDTHS.contains(&name.as_str()), found);
            }
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                widths(value, format!("{at}/{index}"), is_width, found);
            }
        }
        value => found.extend(value.as_u64().filter(|_| is_width).map(|width| (at, width))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(architecture: &str) -> Vec<(String, u64, u64)> {
        let own: Architecture = serde_json::from_str(architecture).unwrap();
        neighbours(&own, &[-1, 2]).unwrap().into_iter().map(|(field, own, width, _)| (field, own, width)).collect()
    }

    #[test]
    fn every_width_of_every_family_has_neighbours() {
        let hidden = |index, own, width| (format!("/hidden/{index}"), own, width);
        assert_eq!(
            fields(r#"{"kind":"mlp","hidden":[129,1]}"#),
            [hidden(0, 129, 128), hidden(0, 129, 131), hidden(1, 1, 3)]
        );
        let names = |architecture| {
            let mut names: Vec<String> = fields(architecture).into_iter().map(|(field, ..)| field).collect();
            names.dedup();
            names
        };
        assert_eq!(names(r#"{"kind":"resnet","width":12,"blocks":[1,1],"stem_stride":2}"#), ["/width"]);
        assert_eq!(
            names(r#"{"kind":"depthwise_cnn","stem":16,"stem_stride":2,"blocks":[{"channels":32,"stride":1}]}"#),
            ["/blocks/0/channels", "/stem"]
        );
        assert_eq!(
            names(r#"{"kind":"vit","patch":4,"width":64,"depth":4,"heads":4,"mlp_width":128}"#),
            ["/mlp_width", "/width"]
        );
    }
}
