//! Rounds and who was measured in them.
//!
//! [`advance`] is the one place where a round's step changes. It does not decide which step is due.

use super::{Db, DbError, Tx, from_json, int, parse, to_json, uint};
use datasets::hidden::{Beacon, RoundCommitment, Secret, Terms};
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::reward::{PastRound, Reason, Standing, Weight};
use protocol::score::{Ceiling, Score};
use protocol::{CompetitionId, Digest, Hotkey, Report, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use std::fmt;
use std::str::FromStr;

/// How far a round is. In this order, and never back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Takes submissions; committed to.
    Open,
    /// Takes none any more; waits for its beacon.
    Closed,
    /// Its items exist and the teacher has answered them; who is measured on them is known.
    Drawn,
    /// Champion and challengers are measured.
    Measured,
    /// There are verdicts, and the seat is given.
    Judged,
    /// The ledger has the weights.
    Paid,
    /// Everything about it is public.
    Revealed,
}

/// A round.
#[derive(Clone, Debug)]
pub struct Round {
    /// Whose.
    pub competition: CompetitionId,
    /// From 1 upwards.
    pub number: u64,
    /// How far it is.
    pub step: Step,
    /// When it opened, in Unix seconds.
    pub opened_at: u64,
    /// When it closes or closed; `None` while only a command closes it.
    pub closes_at: Option<u64>,
    /// When it came to its step.
    pub changed_at: u64,
    /// Not to be shown before the round is revealed.
    pub secret: Secret,
    /// Under which the ledger has its weights, once paid.
    pub epoch: Option<u64>,
    /// Everything else.
    pub record: Record,
}

/// What came of a round so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is bound to; secret until it is revealed, but for the commitment.
    pub terms: Terms,
    /// What was published when it opened.
    pub commitment: RoundCommitment,
    /// Who held the seat when it opened.
    pub champion_before: Option<SubmissionId>,
    /// When the seat's holder took it, in Unix seconds; 0 while it is empty.
    pub crowned_at: u64,
    /// How long the holder had reigned when the round closed, once judged.
    pub champion_age_seconds: u64,
    /// Once it has come.
    pub beacon: Option<Beacon>,
    /// Once it is drawn.
    pub drawn: Option<Drawn>,
    /// Who holds the seat at its end, once judged.
    pub champion: Option<SubmissionId>,
    /// Who is paid, once judged.
    pub weights: Vec<Weight>,
    /// How it stood and what was paid for, once judged: what later rounds are paid by, and what a preview replays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled: Option<Settled>,
    /// Its opening, once revealed (format `RTREV1`).
    pub reveal: Option<ObjectRef>,
}

/// A judged round, as the reward rules see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// How it stood.
    pub standing: Standing,
    /// What it added to the history of payments.
    pub past: PastRound,
    /// Why everybody earned what they earned.
    pub why: Vec<Reason>,
}

/// A round's items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drawn {
    /// Items with labels (`RTIMG1`), fixed ones first: private until the reveal.
    pub items: ObjectRef,
    /// The teacher's logits on them (`RTLOG1`): likewise.
    pub teacher_logits: ObjectRef,
    /// How many of them are fixed.
    pub fixed: u32,
    /// The seed of the fixed part.
    pub fixed_seed: Digest,
    /// The round's own seed.
    pub seed: Digest,
    /// The teacher on public and fixed items.
    pub known_ceiling: Ceiling,
    /// The teacher on fresh items.
    pub fresh_ceiling: Ceiling,
}

/// Why a submission is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EntryRole {
    /// It holds the seat.
    Champion,
    /// It wants the seat, and is measured on hidden items.
    Challenger,
    /// It is not significantly better on public items, or there were more significant ones than a round takes.
    Outsider,
}

/// A submission that is measured in a round.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Which.
    pub submission: SubmissionId,
    /// Its order of arrival.
    pub arrival: u64,
    /// Why.
    pub role: EntryRole,
    /// Measurements that failed through our fault.
    pub attempts: u64,
    /// What was measured.
    pub result: Option<EntryResult>,
    /// Why nothing was.
    pub failure: Option<String>,
    /// What the rules make of it; `None` where no bout took place.
    pub verdict: Option<Verdict>,
}

/// What was measured on a submission in a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryResult {
    /// The measurements.
    pub report: Report,
    /// Their canonical JSON, an object.
    pub report_object: ObjectRef,
    /// The raw latency samples, an object.
    pub samples_object: ObjectRef,
    /// Item by item (`RTOUT1`), an object.
    pub outcomes_object: ObjectRef,
    /// Right answers on public items, all of them clean.
    pub clean_correct: u32,
    /// Public items.
    pub clean_items: u32,
    /// Right answers on hidden items, all of them changed.
    pub changed_correct: u32,
    /// Hidden items.
    pub changed_items: u32,
}

/// A scored submission that a round may take up.
#[derive(Clone, Debug)]
pub struct Contender {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Order of arrival.
    pub arrival: u64,
    /// What was measured at intake.
    pub report: Report,
    /// What the rules make of it.
    pub score: Score,
    /// Its answers to public items, an object.
    pub outcomes_sha256: Digest,
}

impl Step {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Open, "open"),
        (Self::Closed, "closed"),
        (Self::Drawn, "drawn"),
        (Self::Measured, "measured"),
        (Self::Judged, "judged"),
        (Self::Paid, "paid"),
        (Self::Revealed, "revealed"),
    ];

    /// The name, as in JSON.
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(step, _)| *step == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::NAMES.iter().find(|(_, name)| *name == text);
        named.map(|(step, _)| *step).ok_or_else(|| format!("no step is called {text}"))
    }
}

impl EntryRole {
    fn as_str(self) -> &'static str {
        match self {
            Self::Champion => "champion",
            Self::Challenger => "challenger",
            Self::Outsider => "outsider",
        }
    }
}

impl Db {
    /// A round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round(&self, competition: &CompetitionId, number: u64) -> Result<Option<Round>, DbError> {
        let row = sqlx::query("SELECT * FROM rounds WHERE competition_id = ? AND round = ?")
            .bind(competition.as_ref())
            .bind(int(number))
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(round).transpose()
    }

    /// A competition's rounds, newest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn rounds(&self, competition: &CompetitionId) -> Result<Vec<Round>, DbError> {
        let rows = sqlx::query("SELECT * FROM rounds WHERE competition_id = ? ORDER BY round DESC")
            .bind(competition.as_ref())
            .fetch_all(self.pool())
            .await?;
        rows.iter().map(round).collect()
    }

    /// Its newest round.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_round(&self, competition: &CompetitionId) -> Result<Option<Round>, DbError> {
        let row = sqlx::query("SELECT * FROM rounds WHERE competition_id = ? ORDER BY round DESC LIMIT 1")
            .bind(competition.as_ref())
            .fetch_optional(self.pool())
            .await?;
        row.as_ref().map(round).transpose()
    }

    /// The newest round with verdicts: who holds the seat is in it.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn latest_judged(&self, competition: &CompetitionId) -> Result<Option<Round>, DbError> {
        let query = "SELECT * FROM rounds WHERE competition_id = ? AND step IN ('judged', 'paid', 'revealed')
                     ORDER BY round DESC LIMIT 1";
        let row = sqlx::query(query).bind(competition.as_ref()).fetch_optional(self.pool()).await?;
        row.as_ref().map(round).transpose()
    }

    /// Who is or was measured in a round, the champion first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn round_entries(&self, competition: &CompetitionId, number: u64) -> Result<Vec<Entry>, DbError> {
        let query = "SELECT e.*, s.arrival FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     WHERE e.competition_id = ? AND e.round = ? ORDER BY e.role != 'champion', s.arrival";
        let rows = sqlx::query(query).bind(competition.as_ref()).bind(int(number)).fetch_all(self.pool()).await?;
        rows.iter().map(entry).collect()
    }

    /// The last time that each submission of a competition was measured in a judged round, with the round's number.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn last_attempts(&self, competition: &CompetitionId) -> Result<Vec<(u64, Entry)>, DbError> {
        let query =
            "SELECT e.*, s.arrival, max(e.round) FROM round_entries e JOIN submissions s ON s.id = e.submission_id
                     JOIN rounds r ON r.competition_id = e.competition_id AND r.round = e.round
                     WHERE e.competition_id = ? AND r.step IN ('judged', 'paid', 'revealed') GROUP BY e.submission_id";
        let rows = sqlx::query(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        rows.iter().map(|row| Ok((uint(row.get("round")), entry(row)?))).collect()
    }

    /// Whether a submission that was complete by `before` waits for its score.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn stragglers(&self, competition: &CompetitionId, before: u64) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE competition_id = ? AND created_at < ?
                     AND state IN ('checking', 'queued', 'evaluating'))";
        let waits: bool =
            sqlx::query_scalar(query).bind(competition.as_ref()).bind(int(before)).fetch_one(self.pool()).await?;
        Ok(waits)
    }

    /// Scored submissions, but for disqualified ones, that were announced before `before`, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn contenders(&self, competition: &CompetitionId, before: u64) -> Result<Vec<Contender>, DbError> {
        let query = "SELECT s.id, s.hotkey, s.arrival, e.report, e.score, e.outcomes_sha256 FROM evaluations e
                     JOIN submissions s ON s.id = e.submission_id
                     WHERE e.competition_id = ? AND s.created_at < ? AND s.state = 'scored' ORDER BY s.arrival";
        let rows = sqlx::query(query).bind(competition.as_ref()).bind(int(before)).fetch_all(self.pool()).await?;
        rows.iter().map(contender).collect()
    }

    /// Lets a round close at `now` at the latest. Nothing changes for one that is closed.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn close_round_at(&self, competition: &CompetitionId, number: u64, now: u64) -> Result<bool, DbError> {
        let query = "UPDATE rounds SET closes_at = min(coalesce(closes_at, ?), ?)
                     WHERE competition_id = ? AND round = ? AND step = 'open'";
        let changed = sqlx::query(query)
            .bind(int(now))
            .bind(int(now))
            .bind(competition.as_ref())
            .bind(int(number))
            .execute(self.pool())
            .await?;
        Ok(changed.rows_affected() == 1)
    }

    /// Writes what was measured, once: whoever comes second changes nothing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn set_result(
        &self,
        round: &Round,
        submission: &SubmissionId,
        result: Result<&EntryResult, &str>,
    ) -> Result<(), DbError> {
        let query = "UPDATE round_entries SET result = ?, failure = ? WHERE competition_id = ? AND round = ?
                     AND submission_id = ? AND result IS NULL AND failure IS NULL";
        sqlx::query(query)
            .bind(result.ok().map(to_json))
            .bind(result.err())
            .bind(round.competition.as_ref())
            .bind(int(round.number))
            .bind(submission.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }

    /// Counts a measurement that failed through our fault.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_round_attempt(&self, round: &Round, submission: &SubmissionId) -> Result<(), DbError> {
        let query = "UPDATE round_entries SET attempts = attempts + 1
                     WHERE competition_id = ? AND round = ? AND submission_id = ?";
        sqlx::query(query)
            .bind(round.competition.as_ref())
            .bind(int(round.number))
            .bind(submission.to_string())
            .execute(self.pool())
            .await?;
        Ok(())
    }
}

/// Writes a new round.
///
/// # Errors
/// When the database fails, or another round of the competition is under way.
pub async fn insert(tx: &mut Tx, round: &Round) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO rounds (competition_id, round, step, opened_at, closes_at, changed_at, secret, record)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
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
    assert!(round.step < to, "a round can't go from {} to {to}; this is a bug", round.step);
    let changed = sqlx::query(
        "UPDATE rounds SET step = ?, record = ?, changed_at = ? WHERE competition_id = ? AND round = ? AND step = ?",
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

/// Changes what is known about a round that stays at its step.
///
/// # Errors
/// [`DbError::RoundMoved`] when it is at another step, and the database's own.
pub async fn set_record(db: &Db, round: &Round, record: &Record) -> Result<(), DbError> {
    let changed = sqlx::query("UPDATE rounds SET record = ? WHERE competition_id = ? AND round = ? AND step = ?")
        .bind(to_json(record))
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(round.step.as_str())
        .execute(db.pool())
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
                 WHERE competition_id = ? AND round = ? RETURNING epoch";
    let epoch: i64 =
        sqlx::query_scalar(query).bind(round.competition.as_ref()).bind(int(round.number)).fetch_one(&mut **tx).await?;
    Ok(uint(epoch))
}

/// Says that a submission is to be measured in a round.
///
/// # Errors
/// When the database fails.
pub async fn insert_entry(
    tx: &mut Tx,
    round: &Round,
    submission: &SubmissionId,
    role: EntryRole,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO round_entries (competition_id, round, submission_id, role) VALUES (?, ?, ?, ?)")
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .bind(role.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a verdict.
///
/// # Errors
/// When the database fails.
pub async fn set_verdict(
    tx: &mut Tx,
    round: &Round,
    submission: &SubmissionId,
    verdict: &Verdict,
) -> Result<(), DbError> {
    let query = "UPDATE round_entries SET verdict = ? WHERE competition_id = ? AND round = ? AND submission_id = ?";
    sqlx::query(query)
        .bind(to_json(verdict))
        .bind(round.competition.as_ref())
        .bind(int(round.number))
        .bind(submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn round(row: &SqliteRow) -> Result<Round, DbError> {
    let secret: &[u8] = row.get("secret");
    let corrupt = |_| DbError::Corrupt { what: "round's secret", problem: format!("{} bytes", secret.len()) };
    Ok(Round {
        competition: parse("competition id", row.get("competition_id"))?,
        number: uint(row.get("round")),
        step: parse("round's step", row.get("step"))?,
        opened_at: uint(row.get("opened_at")),
        closes_at: row.get::<Option<i64>, _>("closes_at").map(uint),
        changed_at: uint(row.get("changed_at")),
        secret: Secret::new(<[u8; 32]>::try_from(secret).map_err(corrupt)?),
        epoch: row.get::<Option<i64>, _>("epoch").map(uint),
        record: from_json("round", row.get("record"))?,
    })
}

fn contender(row: &SqliteRow) -> Result<Contender, DbError> {
    Ok(Contender {
        submission: parse("submission id", row.get("id"))?,
        hotkey: parse("hotkey", row.get("hotkey"))?,
        arrival: uint(row.get("arrival")),
        report: from_json("report", row.get("report"))?,
        score: from_json("score", row.get("score"))?,
        outcomes_sha256: parse("digest", row.get("outcomes_sha256"))?,
    })
}

fn entry(row: &SqliteRow) -> Result<Entry, DbError> {
    let json = |column: &str| row.get::<Option<&str>, _>(column);
    Ok(Entry {
        submission: parse("submission id", row.get("submission_id"))?,
        arrival: uint(row.get("arrival")),
        role: match row.get("role") {
            "champion" => EntryRole::Champion,
            "challenger" => EntryRole::Challenger,
            _ => EntryRole::Outsider,
        },
        attempts: uint(row.get("attempts")),
        result: json("result").map(|text| from_json("round's result", text)).transpose()?,
        failure: row.get("failure"),
        verdict: json("verdict").map(|text| from_json("verdict", text)).transpose()?,
    })
}
