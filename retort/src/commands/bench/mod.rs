//! `retort bench`: how good this machine and this engine are at what they claim. Figures, never verdicts on a model.

mod health;
mod latency;
mod load;
mod same;
mod subject;
mod summary;

use crate::cli::BenchCommand;
use anyhow::Result;

pub(crate) use health::latency_health;
pub(crate) use load::burn;

pub(crate) fn run(command: &BenchCommand) -> Result<()> {
    match command {
        BenchCommand::Latency(args) => latency::run(args),
    }
}
