//! `retort bench`: how good this machine and this engine are at what they claim. Figures, never verdicts on a model.

mod backends;
mod checks;
mod door;
mod health;
mod latency;
mod load;
mod neighbours;
mod nulls;
mod same;
mod subject;
mod summary;
mod zoo;

use crate::cli::BenchCommand;
use anyhow::Result;

pub(crate) use health::latency_health;
pub(crate) use load::burn;
pub(crate) use neighbours::{Neighbour, faster as faster_neighbours};

pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Backends(args) => backends::run(args),
        BenchCommand::Latency(args) => latency::run(args),
        BenchCommand::Door(args) => door::run(args),
        BenchCommand::Nulls(args) => nulls::run(args),
    }
}
