//! `retort fleet`: the workers on other machines, from the validator's side: let in, listed, given no more work, shut out.
//!
//! It writes to the database, beside a serving validator or without one. What a worker does is `commands::worker`.

use super::print_json;
use super::round::database;
use super::validator::{runtime, serves};
use super::when;
use crate::cli::{FleetActArgs, FleetCommand};
use crate::fitted::{self, Column, STAYS};
use crate::table::{narrow, tail};
use crate::typed;
use anyhow::Result;
use protocol::fleet::{Trust, WorkerName};
use std::path::Path;
use validator::db::workers::{Steadiness, Worker};
use validator::fleet::{self, FleetAct};
use validator::{Clock, Home};

pub(crate) fn run(command: FleetCommand) -> Result<()> {
    match command {
        FleetCommand::Enrol { name, trust, home } => enrol(&home.dir, (&name, trust)),
        FleetCommand::Ls { home, json } => list(&home.dir, json),
        FleetCommand::Drain(args) => act(&args, FleetAct::Drain, "ends what it measures and is given no more"),
        FleetCommand::Quarantine(args) => act(&args, FleetAct::Quarantine, "is quarantined: it is given no more work"),
        FleetCommand::Resume(args) => act(&args, FleetAct::Resume, "is given work again"),
        FleetCommand::Revoke(args) => {
            act(&args, FleetAct::Revoke, "is shut out, and what it measured goes to somebody else")
        }
    }
}

fn enrol(dir: &Path, (name, trust): (&WorkerName, Trust)) -> Result<()> {
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    runtime()?.block_on(async {
        let token = fleet::invite(&database(dir).await?, (name, trust), Clock::System.now()).await?;
        let url = config.endpoint(serves(&home));
        println!("on {name}, within a day:");
        println!("  retort worker --validator {url} --key {name}.json --enrol {token}");
        eprintln!("the token is good once; {}", how_far(trust));
        Ok(())
    })
}

/// How far the word of a worker on such a machine goes.
fn how_far(trust: Trust) -> &'static str {
    match trust {
        Trust::Own => {
            "whoever uses it measures for this validator and is believed: a machine of somebody else's is let in with --trust"
        }
        Trust::Partner | Trust::Rented => {
            "what such a worker says decides nothing until a machine of your own has measured the same: docs/FLEET.md"
        }
    }
}

fn list(dir: &Path, json: bool) -> Result<()> {
    runtime()?.block_on(async {
        let workers = database(dir).await?.fleet(Clock::System.now()).await?;
        if json {
            return print_json(&workers);
        }
        if workers.is_empty() {
            println!("no workers elsewhere; `retort fleet enrol NAME{}` lets one in", typed::dir(dir));
            return Ok(());
        }
        println!("{}", table(&workers));
        Ok(())
    })
}

/// As much of the workers as fits where it is shown.
fn table(workers: &[Worker]) -> String {
    let column = |name, worth, cell: &dyn Fn(&Worker) -> String| Column::new(name, worth, workers.iter().map(cell));
    let columns = vec![
        column("worker", STAYS, &|it| it.name.to_string()),
        column("whose", 6, &|it| it.trust.to_string()),
        column("stands", STAYS, &|it| it.state.to_string()),
        column("class", 4, &|it| it.facts.class.clone()),
        column("heard of", 3, &|it| when(it.seen_at)),
        column("control of 7 days", 4, &|it| it.control.map_or_else(String::new, shown)),
        column("unstable", 4, &|it| {
            it.control.map_or_else(String::new, |it| format!("{} of {}", it.unstable, it.measurements))
        }),
        column("measures", STAYS, &|it| it.measures.as_ref().map_or_else(String::new, tail)),
        column("answered", 6, &|it| it.answered.to_string()),
        column("confirmed", 4, &|it| if it.trust.is_own() { String::new() } else { it.confirmed.to_string() }),
        column("failed", 5, &|it| it.failed.to_string()),
        column("lost", 5, &|it| it.lost.to_string()),
        column("why it stands so", 1, &|it| it.reason.clone().unwrap_or_default()),
    ];
    fitted::table(columns, narrow().unwrap_or(240)).lines.join("\n")
}

/// The reference over itself: the middle, and what 99 of 100 lie within.
fn shown(control: Steadiness) -> String {
    let ratio = |ppm: i64| format!("{:.4}", ppm as f64 / 1e6);
    let [low, high] = control.band_ppm.map(ratio);
    format!("{} [{low}, {high}]", ratio(control.median_ppm))
}

fn act(args: &FleetActArgs, act: FleetAct, done: &str) -> Result<()> {
    runtime()?.block_on(async {
        let dir = &args.home.dir;
        let hotkey = Home::new(dir).keypair()?.hotkey();
        let db = database(dir).await?;
        fleet::act(&db, hotkey, (&args.name, act), args.reason.parse()?, Clock::System.now()).await?;
        println!("{} {done}", args.name);
        Ok(())
    })
}
