//! `retort validator round`: shows rounds, closes one early, drives one to its end, gives one its beacon.
//!
//! A serving validator drives rounds by itself; `run` is for a validator that isn't serving.

use super::validator::{open_app, runtime, who_has_it};
use super::{print_json, when};
use crate::cli::RoundCommand;
use crate::typed;
use anyhow::{Context, Result, bail};
use datasets::hidden::RoundView;
use protocol::round::Step;
use protocol::{CompetitionId, Hotkey};
use std::fs;
use std::path::Path;
use std::time::Duration;
use validator::evaluator::silent;
use validator::rounds::{self, Advanced, RoundError};
use validator::{App, Home, db::Db, jobs, why};

/// After which rest it is looked again whether something may be measured.
const RETRY_REST: Duration = Duration::from_millis(500);

pub(crate) fn run(command: RoundCommand) -> Result<()> {
    runtime()?.block_on(async {
        match command {
            RoundCommand::Status { home, competition, json } => status(&home.dir, &competition, json).await,
            RoundCommand::Close { home, competition } => close(&home.dir, &competition).await,
            RoundCommand::Run { home, competition } => drive(&home.dir, &competition).await,
            RoundCommand::Beacon { home, competition, file } => beacon(&home.dir, &competition, &file).await,
        }
    })
}

/// The database alone: a serving process may have everything else.
pub(super) async fn database(dir: &Path) -> Result<Db> {
    let home = Home::new(dir);
    home.load(std::env::vars())?;
    Db::open(&home.database()).await.with_context(|| format!("open the validator in {}", dir.display()))
}

fn hotkey(dir: &Path) -> Result<Hotkey> {
    Ok(Home::new(dir).keypair()?.hotkey())
}

async fn status(dir: &Path, competition: &CompetitionId, json: bool) -> Result<()> {
    let db = database(dir).await?;
    if db.competition(competition).await?.is_none() {
        return Err(RoundError::UnknownCompetition(competition.clone()).into());
    }
    let views = rounds::views(&db, competition).await?;
    if json {
        return print_json(&views);
    }
    if views.is_empty() {
        println!("{competition} has no rounds yet; the first opens when the validator serves");
    }
    let now = validator::Clock::System.now();
    for view in views {
        println!("{}", line(&view, now));
    }
    Ok(())
}

fn line(view: &RoundView, now: u64) -> String {
    // What is behind us has a step that says it; an open round whose time is over is closed in a moment.
    let closes = match (view.closes_at, view.step) {
        (None, Step::Open) => "closes when told to".to_owned(),
        (None, _) => "closed by hand".to_owned(),
        (Some(at), Step::Open) if at > now => format!("closes {}", when(at)),
        (Some(at), Step::Open) => format!("was to close {}", when(at)),
        (Some(at), _) => format!("closed at {}", when(at)),
    };
    let seat = view.champion.as_ref().map_or(String::new(), |champion| format!(", champion {champion}"));
    format!("round {:>3}  {:9} {closes}  commitment {}{seat}", view.round, view.step, hex(&view.commitment.root))
}

/// The first digits of a hash.
fn hex(hash: &[u8; 32]) -> String {
    protocol::Digest::from(*hash).short()
}

async fn close(dir: &Path, competition: &CompetitionId) -> Result<()> {
    let round =
        rounds::close_now(&database(dir).await?, hotkey(dir)?, competition, validator::Clock::System.now()).await?;
    println!("round {round} of {competition} takes no more submissions");
    match super::validator::serves(&Home::new(dir)) {
        Some(address) => println!("the validator at http://{address}/ does the rest"),
        None => println!("next: retort validator round run {competition}{}", typed::dir(dir)),
    }
    Ok(())
}

async fn drive(dir: &Path, competition: &CompetitionId) -> Result<()> {
    let app = open_app(dir, None).await.map_err(|error| who_has_it(dir, error))?;
    jobs::dispatch::recover(&app).await?;
    if rounds::advance(&app, competition).await? == Advanced::To(Step::Open) {
        println!("open");
    }
    if let Some(round) = app.db.latest_round(competition).await?.filter(|round| round.step == Step::Open) {
        rounds::close_now(&app.db, app.hotkey, competition, app.clock.now()).await?;
        println!("round {} of {competition}", round.number);
    }
    loop {
        match rounds::advance(&app, competition).await {
            Ok(Advanced::To(Step::Revealed)) => break,
            Ok(Advanced::To(Step::Abandoned)) => bail!("the round is abandoned: its beacon never came"),
            Ok(Advanced::To(step)) => println!("{step}"),
            Ok(Advanced::Waiting(what)) => bail!("the round waits for {what}"),
            Ok(Advanced::Measuring(_)) => measure(&app, competition).await?,
            Err(error) => return Err(error.into()),
        }
    }
    println!("revealed");
    tell(&app, competition).await
}

/// Measures what the round asks, since nobody serves who would; what a restless host spoiled is made again after a rest.
async fn measure(app: &App, competition: &CompetitionId) -> Result<()> {
    if !jobs::measure_for(app, competition, silent()).await? {
        tokio::time::sleep(RETRY_REST).await;
    }
    Ok(())
}

async fn tell(app: &App, competition: &CompetitionId) -> Result<()> {
    let Some(view) = rounds::views(&app.db, competition).await?.into_iter().next() else { return Ok(()) };
    match &view.champion {
        Some(champion) => println!("the seat is {champion}'s"),
        None => {
            println!(
                "the seat stays empty: nobody was above the gate on the round's items, timed by a host at rest, and no copy"
            );
            if view.entries.is_empty() {
                println!("no submission was in it: `retort submissions {competition}` says how far each had come");
            }
            for entry in &view.entries {
                println!("{}: {}", entry.submission, why::entered(entry, &view));
            }
        }
    }
    for weight in &view.weights {
        println!("{} {:.2} %", weight.hotkey, f64::from(weight.weight_ppm) / 1e4);
    }
    println!("round {} of {competition} is on the ledger", view.round);
    Ok(())
}

async fn beacon(dir: &Path, competition: &CompetitionId, file: &Path) -> Result<()> {
    let json = fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let round = rounds::supply_beacon(&database(dir).await?, competition, &json).await?;
    println!("round {round} of {competition} has its beacon");
    Ok(())
}
