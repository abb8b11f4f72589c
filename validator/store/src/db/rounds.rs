//! Rounds. Who was measured in them is in `entries`.
//!
//! [`advance`] is the one place where a round's step changes. It does not decide which step is due.

pub use super::entries::{
    Contender, EntryResult, RoundEntry, count_round_attempt, insert_entry, set_challenger, set_result, set_screening,
    set_seen, set_verdict,
};

use super::column::{Key, Text};
use super::{Db, DbError, Tx, int, to_json};
use datasets::hidden::{Abandonment, Beacon, BeaconWait, Drawn, RoundCommitment, Secret, Terms};
use protocol::competition::ObjectRef;
use protocol::reward::{PastRound, Reason, Standing, Weight};
use protocol::round::Step;
use protocol::{CompetitionId, SubmissionId};
use referee::Stand;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// A round.
#[derive(Clone, Debug, FromRow)]
pub struct Round {
    /// Whose.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// From 1 upwards.
    #[sqlx(rename = "round")]
    pub number: u64,
    /// How far it is.
    #[sqlx(try_from = "Text<Step>")]
    pub step: Step,
    /// When it opened, in Unix seconds.
    pub opened_at: u64,
    /// When it closes or closed; `None` while only a command closes it.
    pub closes_at: Option<u64>,
    /// When it came to its step.
    pub changed_at: u64,
    /// Not to be shown before the round is revealed.
    #[sqlx(try_from = "Key")]
    pub secret: Secret,
    /// Under which the ledger has its weights, once paid.
    pub epoch: Option<u64>,
    /// Everything else.
    #[sqlx(json)]
    pub record: Record,
}

/// What came of a round so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The version of the rules that it goes by to its end; it opened by the first where none is written.
    #[serde(default = "first_rules")]
    pub rules: u32,
    /// What it is bound to; secret until it is revealed, but for the commitment.
    pub terms: Terms,
    /// What was published when it opened.
    pub commitment: RoundCommitment,
    /// Who held the seat when it opened.
    pub champion_before: Option<SubmissionId>,
    /// When the seat's holder took it, in Unix seconds; 0 while it is empty.
    pub crowned_at: u64,
    /// The round that gave it the seat; 0 while it is empty. Evidence against it is pooled from the next one on.
    pub crowned_in: u64,
    /// How many challengers share the level, once screened.
    pub shared_by: u32,
    /// How long the holder had reigned when the round closed, once judged.
    pub champion_age_seconds: u64,
    /// From the close until the beacon has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wait: Option<BeaconWait>,
    /// Once it has come.
    pub beacon: Option<Beacon>,
    /// Why it has no beacon, once abandoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub abandoned: Option<Abandonment>,
    /// Once it is drawn.
    pub drawn: Option<Drawn>,
    /// Who holds the seat at its end, once judged.
    pub champion: Option<SubmissionId>,
    /// Who is paid, once judged.
    pub weights: Vec<Weight>,
    /// How it stood and what was paid for, once judged: what later rounds are paid by, and what a preview replays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// The record of all that ([`referee::RoundRecord`]), an object, once judged; public once revealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<ObjectRef>,
    /// Its opening, once revealed (format `RTREV1`).
    pub reveal: Option<ObjectRef>,
}

fn first_rules() -> u32 {
    1
}

/// A judged round, as the reward rules see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Everybody's place by fresh items, the best first: the board's order until the next round.
    pub stands: Vec<Stand>,
    /// How it stood.
    pub standing: Standing,
    /// What it added to the history of payments.
    pub past: PastRound,
    /// Why everybody earned what they earned.
    pub why: Vec<Reason>,
}

impl Db {
    /// A round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round(&self, competition: &CompetitionId, number: u64) -> Result<Option<Round>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM rounds WHERE competition_id = $1 AND round = $2")
            .bind(competition.as_ref())
            .bind(int(number))
            .fetch_optional(self.pool())
            .await?)
    }

    /// A competition's rounds, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rounds(&self, competition: &CompetitionId) -> Result<Vec<Round>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM rounds WHERE competition_id = $1 ORDER BY round DESC")
            .bind(competition.as_ref())
            .fetch_all(self.pool())
            .await?)
    }

    /// Its newest round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_round(&self, competition: &CompetitionId) -> Result<Option<Round>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM rounds WHERE competition_id = $1 ORDER BY round DESC LIMIT 1")
            .bind(competition.as_ref())
            .fetch_optional(self.pool())
            .await?)
    }

    /// The newest round with verdicts: who holds the seat is in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_judged(&self, competition: &CompetitionId) -> Result<Option<Round>, DbError> {
        let query = "SELECT * FROM rounds WHERE competition_id = $1 AND step IN ('judged', 'paid', 'revealed')
                     ORDER BY round DESC LIMIT 1";
        Ok(sqlx::query_as(query).bind(competition.as_ref()).fetch_optional(self.pool()).await?)
    }

    /// How many rounds were drawn.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_drawn(&self, competition: &CompetitionId) -> Result<u64, DbError> {
        let query = "SELECT count(*) FROM rounds
                     WHERE competition_id = $1 AND step NOT IN ('open', 'closed', 'abandoned')";
        Ok(sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(self.pool()).await?)
    }

    /// The first round that was drawn: its seed is that of the fixed part in all later ones.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn first_drawn(&self, competition: &CompetitionId) -> Result<Option<Round>, DbError> {
        let query = "SELECT * FROM rounds WHERE competition_id = $1 AND step NOT IN ('open', 'closed', 'abandoned')
                     ORDER BY round LIMIT 1";
        Ok(sqlx::query_as(query).bind(competition.as_ref()).fetch_optional(self.pool()).await?)
    }
}

/// Lets an open round close at `now`, which is earlier than it was to. Says whether one was open that closes later.
///
/// # Errors
/// When the database fails.
pub async fn close_at(tx: &mut Tx, competition: &CompetitionId, number: u64, now: u64) -> Result<bool, DbError> {
    let query = "UPDATE rounds SET closes_at = $1
                 WHERE competition_id = $2 AND round = $3 AND step = 'open' AND (closes_at IS NULL OR closes_at > $1)";
    let changed =
        sqlx::query(query).bind(int(now)).bind(competition.as_ref()).bind(int(number)).execute(&mut **tx).await?;
    Ok(changed.rows_affected() == 1)
}

/// When the newest round that isn't open any more closed; 0 where there is none.
///
/// # Errors
/// When the database fails.
pub async fn last_closed_at(tx: &mut Tx, competition: &CompetitionId) -> Result<u64, DbError> {
    let query = "SELECT coalesce(max(closes_at), 0) FROM rounds WHERE competition_id = $1 AND step != 'open'";
    Ok(sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(&mut **tx).await?)
}

/// Writes a new round.
///
/// # Errors
/// When the database fails, or another round of the competition is under way.
pub async fn insert(tx: &mut Tx, round: &Round) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO rounds (competition_id, round, step, opened_at, closes_at, changed_at, secret, record)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(round.competition.as_ref())
    .bind(int(round.number))
    .bind(round.step.as_str())
    .bind(int(round.opened_at))
    .bind(round.closes_at.map(int))
    .bind(int(round.changed_at))
    .bind(round.secret.expose().as_slice())
    .bind(to_json(&round.record))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Brings a round to its next step with what is known by then: the only place that does.
///
/// # Errors
/// [`DbError::RoundMoved`] when it is not in step `from` any more, and the database's own.
pub async fn advance(tx: &mut Tx, round: &Round, to: Step, record: &Record, now: u64) -> Result<(), DbError> {
    assert!(round.step.may_become(to), "a round can't go from {} to {to}; this is a bug", round.step);
    let changed = sqlx::query(
        "UPDATE rounds SET step = $1, record = $2, changed_at = $3 WHERE competition_id = $4 AND round = $5 AND step = $6",
    )
    .bind(to.as_str())
    .bind(to_json(record))
    .bind(int(now))
    .bind(round.competition.as_ref())
    .bind(int(round.number))
    .bind(round.step.as_str())
    .execute(&mut **tx)
    .await?;
    if changed.rows_affected() != 1 {
        return Err(DbError::RoundMoved { expected: round.step });
    }
    Ok(())
}

/// Changes what is known about a closed round that has no beacon.
///
/// # Errors
/// [`DbError::RoundMoved`] when it has one, or is at another step, and the database's own.
pub async fn set_awaiting(tx: &mut Tx, round: &Round, record: &Record) -> Result<(), DbError> {
    let query = "UPDATE rounds SET record = $1 WHERE competition_id = $2 AND round = $3 AND step = 'closed'
                 AND record ->> 'beacon' IS NULL";
    let changed = sqlx::query(query)
        .bind(to_json(record))
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .execute(&mut **tx)
        .await?;
    if changed.rows_affected() != 1 {
        return Err(DbError::RoundMoved { expected: round.step });
    }
    Ok(())
}

/// Takes the next number under which the ledger gets a round's weights.
///
/// # Errors
/// When the database fails.
pub async fn take_epoch(tx: &mut Tx, round: &Round) -> Result<u64, DbError> {
    let query = "UPDATE rounds SET epoch = coalesce(epoch, (SELECT coalesce(max(epoch), 0) + 1 FROM rounds))
                 WHERE competition_id = $1 AND round = $2 RETURNING epoch";
    let query = sqlx::query_scalar(query).bind(round.competition.as_ref()).bind(int(round.number));
    Ok(query.fetch_one(&mut **tx).await?)
}
