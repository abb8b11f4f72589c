//! What `retort worker` and `retort fleet` are told: machines that measure for a validator elsewhere.

use super::{Home, Validator, at_home};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use protocol::fleet::{Trust, WorkerName};
use std::path::PathBuf;

#[derive(Args, Clone)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// The worker's own key file; made with --enrol where there is none
    #[arg(long, value_name = "FILE", value_parser = at_home)]
    pub(crate) key: PathBuf,
    /// The token that `retort fleet enrol` printed on the validator's machine: it lets this worker in, once
    #[arg(long, value_name = "TOKEN")]
    pub(crate) enrol: Option<String>,
    /// End after the first measurement
    #[arg(long)]
    pub(crate) once: bool,
    /// End when there is nothing to measure
    #[arg(long)]
    pub(crate) drain_when_idle: bool,
    /// Where files of orders are kept, each once; ~/.cache/retort/worker unless given
    #[arg(long, value_name = "DIR", value_parser = at_home)]
    pub(crate) cache: Option<PathBuf>,
    /// How many bytes of them are kept
    #[arg(long, value_name = "BYTES", default_value_t = 10 << 30)]
    pub(crate) cache_bytes: u64,
}

#[derive(Subcommand)]
pub(crate) enum FleetCommand {
    /// Print a command that lets a worker in, once and within a day, and the name that it will have
    Enrol {
        /// What the worker is called: small letters, digits, dots and dashes
        name: WorkerName,
        /// Whose machine it is, which says how far its word goes: docs/FLEET.md
        #[arg(long, default_value = "own", value_parser = PossibleValuesParser::new(["own", "partner", "rented"]).try_map(|it| it.parse::<Trust>()))]
        trust: Trust,
        #[command(flatten)]
        home: Home,
    },
    /// List the workers: how each stands, what it measures, and how its claims ended
    Ls {
        #[command(flatten)]
        home: Home,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Let a worker end what it measures, and give it no more; the public log will say so, and why
    Drain(FleetActArgs),
    /// The same because its measurements are in doubt
    Quarantine(FleetActArgs),
    /// Give a worker work again
    Resume(FleetActArgs),
    /// Shut a worker out: its key opens nothing any more, and what it measures goes to somebody else
    Revoke(FleetActArgs),
}

#[derive(Args)]
pub(crate) struct FleetActArgs {
    /// Which worker
    pub(crate) name: WorkerName,
    /// Why, in one line that everybody will be able to read
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) home: Home,
}
