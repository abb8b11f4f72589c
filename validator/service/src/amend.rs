//! Changing a published competition: a title or contact at any time, a later end with notice, an early one with time to enter, more
//! submissions a day or another engine from a later round on. Each change is stated in the public log in the transaction that makes it.
//!
//! It does not know who the operator is, nor HTTP. Rewards change by `rounds::change`.

use crate::administration::ActReason;
use protocol::amendment::{Amended, Amendment, EXTENSION_NOTICE_SECONDS, TERMS_AMENDED_MAX, is_hidden};
use protocol::competition::{EngineName, Manifest, ManifestError, OfficialEngine, Taken};
use protocol::leaf::{Act, Administration};
use protocol::round::Step;
use protocol::{CompetitionId, Hotkey};
use store::db::competitions::StoredCompetition;
use store::db::leaves::enqueue;
use store::db::{Db, DbError, amendments, is_duplicate};
use store::failpoints::{self, Change};
use transparency::EntryKind;

/// What an operator asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Another title.
    Title(String),
    /// Another description.
    Description(String),
    /// Another contact.
    Contact(String),
    /// To be left out of lists, or not any more.
    Hidden(bool),
    /// A later end, in Unix seconds.
    ClosesAt(u64),
    /// An end as early as can be.
    CloseEarly,
    /// More submissions a day.
    SubmissionsPerDay(u32),
    /// To be measured on another engine.
    Engine {
        /// As this machine has it.
        engine: OfficialEngine,
        /// From which round on; the next unless it is said.
        from_round: Option<u64>,
    },
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum AmendError {
    /// There is no such competition.
    #[error("no competition is called {0}")]
    Unknown(CompetitionId),
    /// It is over.
    #[error("{0} is over: nothing but its title, description, contact and place in lists can be changed")]
    Over(CompetitionId),
    /// It isn't allowed.
    #[error("{0}")]
    Refused(String),
    /// It would make no sense.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Somebody else changed it just now.
    #[error("{0} was changed at the same time: look at it and try again")]
    Raced(CompetitionId),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Makes a change and states it. It needs no ledger, so it works beside a serving process.
///
/// # Errors
/// When there is no such competition, or the change isn't allowed.
pub async fn amend(
    db: &Db,
    validator: Hotkey,
    id: &CompetitionId,
    wish: Wish,
    ActReason(reason): ActReason,
    now: u64,
) -> Result<Amendment, AmendError> {
    let stored = db.competition(id).await?.ok_or_else(|| AmendError::Unknown(id.clone()))?;
    let before = db.amendments(id).await?;
    let change = granted(db, &stored, wish, now).await?;
    if change.is_of_terms() && before.iter().filter(|earlier| earlier.change.is_of_terms()).count() >= TERMS_AMENDED_MAX
    {
        let most =
            format!("a competition's end, quota and engine change {TERMS_AMENDED_MAX} times at most, and {id}'s have");
        return Err(AmendError::Refused(most));
    }
    let number = before.last().map_or(0, |last| last.number).saturating_add(1);
    let amendment = Amendment { number, at: now, change, reason };
    stored.competition.manifest.clone().amended([&amendment], u64::MAX).check()?;
    if changes_nothing(&stored.competition.manifest, &before, &amendment) {
        return Err(AmendError::Refused(format!("{id} is like that already: there is nothing to change")));
    }
    let mut tx = db.write().await?;
    match amendments::insert(&mut tx, id, &amendment).await {
        Err(DbError::Sql(error)) if is_duplicate(&error) => return Err(AmendError::Raced(id.clone())),
        written => written?,
    }
    let act = Act::CompetitionAmended { competition: id.clone(), amendment: amendment.clone() };
    let key = act.key();
    enqueue(&mut tx, &key, EntryKind::Administration, &Administration { validator, act, at: now }).await?;
    failpoints::commit(tx, Change::Act).await?;
    tracing::warn!(competition = %id, number, "the operator amended {id}");
    Ok(amendment)
}

/// What a wish would come to now. Nothing is changed.
///
/// # Errors
/// When there is no such competition, or the change isn't allowed.
pub async fn foreseen(db: &Db, id: &CompetitionId, wish: Wish, now: u64) -> Result<Amended, AmendError> {
    let stored = db.competition(id).await?.ok_or_else(|| AmendError::Unknown(id.clone()))?;
    granted(db, &stored, wish, now).await
}

/// Whether all is as `amendment` says already: stated in the log, that would be an entry about nothing for ever.
fn changes_nothing(published: &Manifest, before: &[Amendment], amendment: &Amendment) -> bool {
    if let Amended::Hidden(hidden) = amendment.change {
        return hidden == is_hidden(before);
    }
    // With what is to come at the next round.
    let manifest = published.clone().amended(before, u64::MAX);
    manifest.clone().amended([amendment], u64::MAX) == manifest
}

/// The change that a wish comes to, if it may be made at `now`.
async fn granted(db: &Db, stored: &StoredCompetition, wish: Wish, now: u64) -> Result<Amended, AmendError> {
    let manifest = &stored.competition.manifest;
    let change = match wish {
        Wish::Title(title) => return Ok(Amended::Title(title)),
        Wish::Description(description) => return Ok(Amended::Description(description)),
        Wish::Contact(contact) => return Ok(Amended::Contact(contact)),
        Wish::Hidden(hidden) => return Ok(Amended::Hidden(hidden)),
        wish => wish,
    };
    if manifest.is_closed(now) {
        return Err(AmendError::Over(manifest.id.clone()));
    }
    match change {
        Wish::ClosesAt(at) => later_end(manifest, at, now),
        Wish::CloseEarly => earliest_end(db, manifest).await,
        Wish::SubmissionsPerDay(quota) => {
            let current = manifest.limits.submissions_per_day;
            if quota <= current {
                return Err(AmendError::Refused(format!("{current} submissions a day are allowed; quotas only rise")));
            }
            let from_round = next_round(db, manifest).await?;
            Ok(Amended::SubmissionsPerDay { quota, from_round })
        }
        Wish::Engine { engine, from_round } => another_engine(db, stored, engine, from_round).await,
        Wish::Title(_) | Wish::Description(_) | Wish::Contact(_) | Wish::Hidden(_) => {
            unreachable!("granted above; this is a bug")
        }
    }
}

/// The first round that hasn't begun.
async fn next_round(db: &Db, manifest: &Manifest) -> Result<u64, DbError> {
    Ok(db.latest_round(&manifest.id).await?.map_or(0, |round| round.number) + 1)
}

/// A change of engine: from a round that hasn't begun, and to one that takes all models that were admitted.
async fn another_engine(
    db: &Db,
    stored: &StoredCompetition,
    engine: OfficialEngine,
    from_round: Option<u64>,
) -> Result<Amended, AmendError> {
    let manifest = &stored.competition.manifest;
    let refused = |why: String| Err(AmendError::Refused(why));
    let next = next_round(db, manifest).await?;
    let from_round = from_round.unwrap_or(next);
    if from_round < next {
        return refused(format!("round {from_round} has begun: the first that can go by another engine is {next}"));
    }
    let last = stored.engine_in(u64::MAX);
    if last.engine == engine {
        return refused(format!("{} is like that already: it goes by {engine}", manifest.id));
    }
    if last.since >= from_round {
        let (engine, since) = (last.engine, last.since);
        return refused(format!("it goes by {engine} from round {since} on: a further change comes after that"));
    }
    // A champion that doesn't run could never be dethroned.
    let takes_all = engine.name == EngineName::Onnxruntime || engine.name == last.engine.name;
    if manifest.takes(Taken::Onnx) && !takes_all {
        return refused(format!(
            "{} lacks operators of ONNX, and models with them may sit already: only onnxruntime takes all that {} admits",
            engine.name, manifest.id
        ));
    }
    Ok(Amended::Engine { engine, from_round })
}

fn later_end(manifest: &Manifest, at: u64, now: u64) -> Result<Amended, AmendError> {
    let refused = |why: &str| Err(AmendError::Refused(why.to_owned()));
    match manifest.closes_at {
        None => refused("it has no end that could be later; --close-early gives it one"),
        Some(old) if at <= old => refused("that is no later end; --close-early ends it after the next full round"),
        Some(old) if now.saturating_add(EXTENSION_NOTICE_SECONDS) > old => refused(
            "a later end is stated at least 24 hours before the old one: some have sent their last model by now",
        ),
        Some(_) => Ok(Amended::ClosesAt(at)),
    }
}

/// At the end of the next full round, so that whoever is at work can still enter what it makes.
async fn earliest_end(db: &Db, manifest: &Manifest) -> Result<Amended, AmendError> {
    let refused = |why: &str| Err(AmendError::Refused(why.to_owned()));
    let running = db.latest_round(&manifest.id).await?.filter(|round| round.step == Step::Open);
    let Some(ends_at) = running.and_then(|round| round.closes_at).filter(|_| manifest.rounds.seconds > 0) else {
        return refused(
            "its end is that of the round after the one that runs, and no round with a time of its own does",
        );
    };
    let at = ends_at.saturating_add(manifest.rounds.seconds);
    match manifest.closes_at {
        Some(old) if old <= at => refused("it ends no later than the next full round as it is"),
        _ => Ok(Amended::ClosesAt(at)),
    }
}
