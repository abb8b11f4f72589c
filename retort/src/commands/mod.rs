//! One file per command.

mod acts;
mod answer;
pub(crate) mod bench;
pub(crate) mod board;
mod built_in;
pub(crate) mod demo;
pub(crate) mod fleet;
pub(crate) mod keys;
pub(crate) mod likeness;
pub(crate) mod lists;
pub(crate) mod manual;
mod market;
pub(crate) mod miner;
pub(crate) mod model;
mod new_competition;
mod onnx;
mod own_data;
pub(crate) mod predict;
pub(crate) mod pull;
mod reference;
pub(crate) mod rewards;
pub(crate) mod round;
pub(crate) mod simulate;
mod tally;
pub(crate) mod validator;
pub(crate) mod verify;
pub(crate) mod witness;
pub(crate) mod worker;

use crate::cli::Which;
use crate::table::in_room;
use crate::typed::at;
use anyhow::{Context, Result, anyhow, ensure};
use miner_template::client::Client;
use protocol::api::{CompetitionView, SubmissionSummary};
use protocol::{CompetitionId, Manifest, SubmissionId};
use serde::Serialize;
use std::path::Path;

/// A competition by id at `validator`, or by its whole address.
fn competition(what: &str, validator: &str) -> Result<(Client, CompetitionId)> {
    // No id has a slash.
    if what.contains('/') {
        return Ok(Client::for_competition(what)?);
    }
    let id = what.parse::<CompetitionId>().map_err(|problem| match what.to_lowercase().parse::<CompetitionId>() {
        Ok(meant) => anyhow!("{what:?} is no competition's id, which has small letters: write {meant}"),
        Err(_) => anyhow!("read {what:?} as a competition: {problem}"),
    })?;
    Ok((Client::new(validator), id))
}

/// A competition's address or its manifest's file, where an id alone is one at the validator that the environment names.
fn address_or_file(what: &str) -> Result<String> {
    if what.contains('/') || Path::new(what).exists() {
        return Ok(what.to_owned());
    }
    let Ok(id) = what.parse::<CompetitionId>() else { return Ok(what.to_owned()) };
    let at = std::env::var("RETORT_VALIDATOR").ok().with_context(|| {
        format!(
            "there is no file {id}, and nothing says which validator's competition it is: write http://HOST:PORT/competitions/{id}, \
             or set RETORT_VALIDATOR"
        )
    })?;
    Ok(format!("{}/competitions/{id}", Client::new(&at).base()))
}

/// The same; where none is written, the only one there is, or else the one that is built in.
fn competition_or_only(what: Option<&str>, validator: &str) -> Result<(Client, CompetitionId)> {
    if let Some(what) = what {
        return competition(what, validator);
    }
    let client = Client::new(validator);
    // Two are enough to say that one isn't the only one.
    let some: Vec<CompetitionView> = client.list("/api/v1/competitions", 2)?;
    let [only] = some.as_slice() else { return competition(built_in::ID, validator) };
    let id = only.manifest(0).id;
    if id.to_string() != built_in::ID {
        eprintln!("competition {id}, the only one at {}", client.base());
    }
    Ok((client, id))
}

/// Where the end of an id is looked for: the latest submissions.
const LATEST_MAX: usize = 10_000;

/// The submission that is meant.
fn submission(client: &Client, which: &Which) -> Result<SubmissionId> {
    if let Some(id) = which.whole() {
        return Ok(id);
    }
    let latest: Vec<SubmissionSummary> = client.list("/api/v1/submissions?", LATEST_MAX)?;
    only(which, latest.into_iter().map(|submission| submission.id))
}

/// The one that is meant.
fn only(which: &Which, ids: impl Iterator<Item = SubmissionId>) -> Result<SubmissionId> {
    let mut meant = ids.filter(|id| which.may_mean(id));
    let first = meant.next().with_context(|| format!("no submission's id ends with {which}"))?;
    ensure!(meant.next().is_none(), "several submissions' ids end with {which}: write more of it");
    Ok(first)
}

/// A time of day, as operators and logs write it.
fn when(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok());
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_else(|| unix_seconds.to_string())
}

/// A line for whoever meets a competition that doesn't decide about money: its page says why not, at length.
fn for_trying_out(client: &Client, manifest: &Manifest) -> Option<String> {
    let told = || format!("for trying out: {}/competitions/{} says why", client.base(), manifest.id);
    (!manifest.caveats().is_empty()).then(|| in_room(&told(), 0))
}

/// Prints a value as JSON on standard output.
fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
