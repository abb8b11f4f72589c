//! `retort validator amend`: what an operator changes about a competition; `requeue` and `disqualify`: what an operator does
//! to a submission by hand; `answer-appeal`: what an operator says about one; `block` and `allow`: who may not come;
//! `invite` and `register`: who is let in.
//!
//! They write to the database, beside a serving validator or without one; stating the act in the public log is part of
//! it. Over HTTP the same is done by `POST /api/v1/operator/submissions/{id}/…`.

use super::print_json;
use super::round::database;
use super::validator::runtime;
use super::when;
use crate::cli::{ActArgs, AmendArgs, BlockArgs, Which, WishArgs};
use crate::{table, typed};
use anyhow::{Context, Result, ensure};
use eval::Library;
use protocol::amendment::Amended;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use std::path::Path;
use validator::administration::{self, ActReason};
use validator::amend::{self, Wish};
use validator::appeals::{self, Words};
use validator::blocks;
use validator::db::Db;
use validator::db::lists::ListFilter;
use validator::objects::Objects;
use validator::{Clock, Home};

/// Where the end of an id is looked for: the latest submissions.
const LATEST_MAX: u32 = 10_000;

pub(crate) fn requeue(args: &ActArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(&args.home.dir, &args.reason).await?;
        let submission = named(&db, &args.submission).await?;
        administration::requeue(&db, hotkey, &submission, reason, Clock::System.now()).await?;
        println!("{submission} will be checked and evaluated again");
        stated(&args.home.dir);
        Ok(())
    })
}

/// The submission that is meant.
async fn named(db: &Db, which: &Which) -> Result<SubmissionId> {
    if let Some(id) = which.whole() {
        return Ok(id);
    }
    let latest = db.list(&ListFilter::default(), None, LATEST_MAX).await?;
    super::only(which, latest.into_iter().map(|submission| submission.id))
}

pub(crate) fn disqualify(args: &ActArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(&args.home.dir, &args.reason).await?;
        let submission = named(&db, &args.submission).await?;
        let before = administration::disqualify(&db, hotkey, &submission, reason, Clock::System.now()).await?;
        println!("{submission} is out of {}", before.competition);
        stated(&args.home.dir);
        Ok(())
    })
}

pub(crate) fn amend(args: AmendArgs) -> Result<()> {
    let AmendArgs { competition, wish, from_round, reason, yes, home } = args;
    let wish = wished(wish, from_round).context("say what to change")?;
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(&home.dir, &reason).await?;
        let wish = as_it_is_here(wish, &db, &home.dir).await?;
        if wish == Wish::CloseEarly && !yes {
            let foreseen = amend::foreseen(&db, &competition, wish, Clock::System.now()).await?;
            println!("{}", table::in_room(&early_end(&competition, &foreseen), 0));
            let why = typed::word(Path::new(&reason.0));
            let dir = typed::dir(&home.dir);
            println!("next: retort validator amend {competition} --close-early --reason {why} --yes{dir}");
            return Ok(());
        }
        let amendment = amend::amend(&db, hotkey, &competition, wish, reason, Clock::System.now()).await?;
        let change = match amendment.change {
            Amended::Title(_) => "has another title".to_owned(),
            Amended::Description(_) => "has another description".to_owned(),
            Amended::Contact(contact) => format!("answers questions at {contact}"),
            Amended::Hidden(true) => "is left out of lists".to_owned(),
            Amended::Hidden(false) => "is in lists again".to_owned(),
            Amended::ClosesAt(at) => format!("ends {}", when(at)),
            Amended::SubmissionsPerDay { quota, from_round } => {
                format!("takes {quota} submissions a day of each hotkey from round {from_round} on")
            }
            Amended::Engine { engine, from_round } => {
                format!("is measured on {engine} from round {from_round} on: each model is timed again by it")
            }
        };
        println!("{competition} {change}");
        stated(&home.dir);
        Ok(())
    })
}

/// What an early end would do, to be read before it is made.
fn early_end(competition: &CompetitionId, change: &Amended) -> String {
    let at = if let Amended::ClosesAt(at) = change { when(*at) } else { "at the end of a round".to_owned() };
    format!(
        "{competition} would take submissions until {at}, the end of the round after the one that runs. Who has submitted keeps \
         everything: what is entered by then is measured, and decided and paid in its round, the last one included. Afterwards \
         nobody enters, and no round follows. The public log says so at once, with your reason; it is one of three changes of \
         end and quota, and what takes it back, a later end, has to be stated 24 hours before that. Nothing is changed yet"
    )
}

/// The same with the engine as this machine has it, whose library is kept where the competition's objects are.
async fn as_it_is_here(wish: Wish, db: &Db, dir: &Path) -> Result<Wish> {
    let Wish::Engine { engine, from_round } = wish else { return Ok(wish) };
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let library = Library::at(&config.onnxruntime);
    let engine = library.official(engine).map_err(anyhow::Error::msg)?;
    if engine.library.is_some() {
        let objects = Objects::open_or_begin(&config.object_store_url(&home)?, home.tmp(), db.is_new().await?)?;
        objects.put(library.bytes().map_err(anyhow::Error::msg)?.into()).await?;
    }
    Ok(Wish::Engine { engine, from_round })
}

fn wished(args: WishArgs, from_round: Option<u64>) -> Option<Wish> {
    let WishArgs { title, description, contact, hide, show, closes_at, close_early, submissions_per_day, engine } =
        args;
    title
        .map(Wish::Title)
        .or(description.map(Wish::Description))
        .or(contact.map(Wish::Contact))
        .or((hide || show).then_some(Wish::Hidden(hide)))
        .or(closes_at.map(Wish::ClosesAt))
        .or(close_early.then_some(Wish::CloseEarly))
        .or(submissions_per_day.map(Wish::SubmissionsPerDay))
        .or(engine.map(|engine| Wish::Engine { engine, from_round }))
}

pub(crate) fn answer(dir: &Path, which: &Which, number: u64, text: &str) -> Result<()> {
    let words: Words = text.parse()?;
    runtime()?.block_on(async {
        let hotkey = Home::new(dir).keypair()?.hotkey();
        let db = database(dir).await?;
        let submission = &named(&db, which).await?;
        appeals::answer(&db, hotkey, submission, number, words, Clock::System.now()).await?;
        println!("appeal {number} of {submission} is answered");
        stated(dir);
        Ok(())
    })
}

pub(crate) fn block(args: &BlockArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(&args.home.dir, &args.reason).await?;
        blocks::block(&db, hotkey, args.whom, reason, Clock::System.now()).await?;
        println!("{} is blocked; a serving validator knows it within two seconds", args.whom);
        stated(&args.home.dir);
        Ok(())
    })
}

pub(crate) fn allow(args: &BlockArgs) -> Result<()> {
    runtime()?.block_on(async {
        let (db, hotkey, reason) = opened(&args.home.dir, &args.reason).await?;
        blocks::allow(&db, hotkey, args.whom, reason, Clock::System.now()).await?;
        println!("{} may come again", args.whom);
        stated(&args.home.dir);
        Ok(())
    })
}

pub(crate) fn blocks(dir: &Path, json: bool) -> Result<()> {
    runtime()?.block_on(async {
        let rows = database(dir).await?.blocks().await?;
        if json {
            return print_json(&rows);
        }
        for row in &rows {
            println!("{} since {}: {}", row.who, when(row.since), row.reason);
        }
        if rows.is_empty() {
            println!("nobody is blocked");
        }
        Ok(())
    })
}

/// Prints codes for `retort miner submit --invite`, a line each.
pub(crate) fn invite(dir: &Path, count: u32) -> Result<()> {
    runtime()?.block_on(async {
        for code in database(dir).await?.make_invites(count, Clock::System.now()).await? {
            println!("{code}");
        }
        Ok(())
    })
}

/// Has a hotkey registered by whoever serves, which alone writes the ledger.
pub(crate) fn register(dir: &Path, hotkey: Hotkey, owner: Option<Hotkey>) -> Result<()> {
    let owner = owner.unwrap_or(hotkey);
    for key in [hotkey, owner] {
        ensure!(!key.is_anybodys(), "anybody can sign for {key}: use a key that was drawn at random");
    }
    runtime()?.block_on(async {
        database(dir).await?.want_registration(&hotkey, &owner).await?;
        println!("{hotkey} is registered once the validator serves, within two seconds if it does");
        Ok(())
    })
}

/// The reason is read first: nothing is touched for a bad one.
async fn opened(dir: &Path, reason: &str) -> Result<(validator::db::Db, protocol::Hotkey, ActReason)> {
    let reason = reason.parse()?;
    let hotkey = Home::new(dir).keypair()?.hotkey();
    Ok((database(dir).await?, hotkey, reason))
}

fn stated(dir: &Path) {
    match super::validator::serves(&Home::new(dir)) {
        Some(address) => println!("the validator at http://{address}/ puts it into the public log"),
        None => println!("next: retort validator serve{}, which puts it into the public log", typed::dir(dir)),
    }
}
