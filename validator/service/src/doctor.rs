//! What `retort validator doctor` looks at: whether each part works, and what to do when it doesn't.
//!
//! It changes nothing but a probe object that it removes again.

use crate::app::App;
use crate::engines;
use crate::relay::RelayError;
use crate::witness;
use chain::Replica;
use datasets::hidden::DrandChain;
use protocol::round::BeaconSource;
use store::causes::Chain;
use store::clock;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::objects::ObjectError;
use transparency::LogError;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub name: &'static str,
    /// Whether it works.
    pub healthy: bool,
    /// What was found, or what is wrong.
    pub detail: String,
}

/// Looks at everything that can be looked at without evaluating a model.
pub async fn examine(app: &App) -> Vec<Finding> {
    let ledger = ledger(app).await;
    findings(app, ledger).await
}

/// The same beside a process that has the ledger, of which this is a copy.
pub async fn examine_beside(app: &App, ledger: &Replica) -> Vec<Finding> {
    findings(app, Ok(beside(ledger))).await
}

async fn findings(app: &App, ledger: Result<String, String>) -> Vec<Finding> {
    let database = app.db.ping().await.map(|()| "answers".to_owned());
    let store = object_store(app).await;
    vec![
        finding("database", database.map_err(|error| Chain(&error).to_string())),
        finding("object store", store.map_err(|error| Chain(&error).to_string())),
        finding("disk", disk(app)),
        finding("ledger", ledger),
        finding("beacons", beacons(app).await),
        finding("competitions", competitions(app).await),
        finding("engines", engines::described(app).await),
        finding("queue", queue(app).await),
        finding("public log", public_log(app).await),
        finding("witnesses", witnesses(app).await),
    ]
}

fn finding(name: &'static str, looked: Result<String, String>) -> Finding {
    let healthy = looked.is_ok();
    Finding { name, healthy, detail: looked.unwrap_or_else(|problem| problem) }
}

async fn object_store(app: &App) -> Result<String, ObjectError> {
    app.objects.probe().await?;
    app.objects.probe_conditional_writes().await?;
    let past_us = if app.objects.signs() { "; uploads and downloads go past us" } else { "" };
    Ok(format!("writes, reads, removes, and writes a name once where asked{past_us}"))
}

fn disk(app: &App) -> Result<String, String> {
    let free = app.objects.free_bytes().map_err(|error| Chain(&error).to_string())?;
    let reserve = app.config.limits.disk_reserve_bytes;
    let found = format!("{} MiB free, {} MiB kept in reserve", free >> 20, reserve >> 20);
    if free > reserve { Ok(found) } else { Err(format!("{found}: uploads are refused until there is space")) }
}

/// What is in a ledger that somebody else writes.
fn beside(ledger: &Replica) -> String {
    let height = ledger.next_height().saturating_sub(1);
    format!("height {height}, {} registered; a validator that serves has it", ledger.registrations().len())
}

async fn ledger(app: &App) -> Result<String, String> {
    let ledger = std::sync::Arc::clone(&app.ledger);
    let looked = tokio::task::spawn_blocking(move || Ok((ledger.height()?, ledger.registrations()?.len())));
    let looked: Result<_, chain::LedgerError> = looked.await.map_err(|error| error.to_string())?;
    let (height, registered) = looked.map_err(|error| Chain(&error).to_string())?;
    Ok(format!("height {height}, {registered} registered"))
}

/// Whether drand can be had, if somebody needs it.
async fn beacons(app: &App) -> Result<String, String> {
    let competitions = app.db.competitions().await.map_err(|error| Chain(&error).to_string())?;
    let bound = |stored: &StoredCompetition| stored.competition.manifest.rounds.beacon == Some(BeaconSource::Drand);
    let bound = competitions.into_iter().filter(bound).count();
    match app.relay.check(&DrandChain::quicknet(), app.clock.now()).await {
        Ok(()) => Ok(format!("{} follows drand's quicknet", app.config.drand_url)),
        Err(RelayError::NotSet) if bound == 0 => Ok("no drand_url is set and no competition is bound to drand".into()),
        Err(RelayError::NotSet) => Ok(format!(
            "no drand_url is set: {bound} competitions get their beacons by hand, or their rounds end without"
        )),
        Err(error) => Err(format!("{} is no help: {}", app.config.drand_url, Chain(&error))),
    }
}

async fn competitions(app: &App) -> Result<String, String> {
    let competitions = app.db.competitions().await.map_err(|error| Chain(&error).to_string())?;
    for stored in &competitions {
        let id = &stored.competition.manifest.id;
        let read = app.materials.of(&app.objects, stored).await;
        read.map_err(|error| format!("{id} can't be evaluated: {}", Chain(&error)))?;
    }
    match competitions.len() {
        0 => Ok(format!("none yet: run `retort validator publish MANIFEST{}`", app.config.dir_option())),
        count => Ok(format!("{count}, with all their data")),
    }
}

async fn public_log(app: &App) -> Result<String, String> {
    let (logged, pending) = app.db.count_leaves().await.map_err(|error| Chain(&error).to_string())?;
    let view = match app.log.view(&app.objects).await {
        Ok(view) => view,
        // Nothing was ever promised: serving begins the log.
        Err(LogError::CheckpointMissing) if logged == 0 => return Ok(format!("not begun, {pending} on their way")),
        Err(error) => return Err(Chain(&error).to_string()),
    };
    let found = view.checkpoint().size();
    let counts = format!("{found} entries, {pending} on their way, key {}", app.log.key());
    if found >= logged { Ok(counts) } else { Err(format!("{counts}: there were {logged}; put its files back")) }
}

async fn witnesses(app: &App) -> Result<String, String> {
    let states = witness::states(app).await.map_err(|error| Chain(&error).to_string())?;
    if states.is_empty() {
        return Ok("none: nobody but you says that the public log only grew; name some in the settings".into());
    }
    let mut problems = Vec::new();
    let mut found = Vec::new();
    for (witness, state) in states {
        let name = witness.key.name();
        let last = state.last.map_or("nothing".to_owned(), |(size, time)| format!("{size} entries at {time}"));
        found.push(format!("{name} cosigned {last}"));
        problems.extend(state.problem.map(|(problem, since)| format!("{name} since {since}: {problem}")));
    }
    if problems.is_empty() { Ok(found.join("; ")) } else { Err(problems.join("; ")) }
}

async fn queue(app: &App) -> Result<String, String> {
    let told = |error: DbError| Chain(&error).to_string();
    let now = app.clock.now();
    let (asked, asked_since) = app.db.work_due(now).await.map_err(told)?;
    let waits = [app.db.queued_since().await.map_err(told)?, asked_since];
    let age = waits.into_iter().flatten().min().map(|since| clock::age(now, since));
    match age {
        None => Ok("empty".into()),
        Some(age @ ..0) => Err(format!("something is queued since {} s from now: the clock was set back", -age)),
        Some(age) => {
            Ok(format!("whatever waits longest waits for {age} s; {asked} are asked by rounds and publications"))
        }
    }
}
