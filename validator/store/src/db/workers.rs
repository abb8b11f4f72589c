//! Workers on other machines: who was let in, how each stands, and what each has claimed. It does not know what is measured, nor how
//! they are spoken with.

use super::attempts::Begun;
use super::column::Text;
use super::{Db, DbError, Tx, int, to_json};
use protocol::fleet::{Standing, Trust, WorkerFacts, WorkerName};
use protocol::{Digest, Hotkey, SubmissionId};
use serde::Serialize;
use sqlx::FromRow;
use utoipa::ToSchema;

/// A worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema, FromRow)]
#[schema(as = FleetWorker)]
pub struct Worker {
    /// What it signs with.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub key: Hotkey,
    /// What the operator calls it.
    #[sqlx(try_from = "Text<WorkerName>")]
    pub name: WorkerName,
    /// Whose machine it is.
    #[sqlx(try_from = "Text<Trust>")]
    pub trust: Trust,
    /// How it stands.
    #[sqlx(try_from = "Text<Standing>")]
    pub state: Standing,
    /// Why, where somebody chose so.
    pub reason: Option<String>,
    /// Since when it stands so, in Unix seconds.
    pub stands_since: u64,
    /// What it said of itself last.
    #[sqlx(json)]
    pub facts: WorkerFacts,
    /// When it was let in, in Unix seconds.
    pub enrolled_at: u64,
    /// When it was last heard of, in Unix seconds.
    pub seen_at: u64,
    /// Claims that it answered.
    pub answered: u64,
    /// What it said that a machine of ours found, too, where it isn't one itself.
    pub confirmed: u64,
    /// Claims that failed through its fault.
    pub failed: u64,
    /// Claims after which it was never heard of.
    pub lost: u64,
    /// How steady its machine was lately, where it measured anything.
    #[sqlx(skip)]
    pub control: Option<Steadiness>,
    /// The submission that it measures.
    #[sqlx(try_from = "super::column::Maybe<SubmissionId>")]
    pub measures: Option<SubmissionId>,
}

/// How far back a worker's machine is looked at, in seconds: a week.
pub const STEADINESS_SECONDS: u64 = 7 * 24 * 3_600;

/// What a machine's controls said in the last days: the reference over itself, which is 1 wherever nothing disturbs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Steadiness {
    /// Measurements with a control.
    pub measurements: u64,
    /// Of them those that the machine spoiled.
    pub unstable: u64,
    /// The middle one, ppm.
    pub median_ppm: i64,
    /// What 99 of 100 lie within, ppm.
    pub band_ppm: [i64; 2],
}

impl Steadiness {
    /// Of controls in order of size.
    fn of(controls: &[i64], unstable: u64) -> Option<Self> {
        let at =
            |per_mille: usize| controls.get((controls.len().saturating_sub(1) * per_mille).div_ceil(1_000)).copied();
        let low = controls.get(controls.len().saturating_sub(1) * 5 / 1_000).copied()?;
        Some(Self { measurements: controls.len() as u64, unstable, median_ppm: at(500)?, band_ppm: [low, at(995)?] })
    }
}

/// What a worker has claimed.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Hold {
    /// The submission.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// The attempt at it.
    pub attempt: u64,
    /// The claim's name.
    pub claim: String,
    /// Whose it is.
    #[sqlx(try_from = "Text<Hotkey>")]
    pub worker: Hotkey,
    /// Part of the addresses that its files have.
    pub secret: String,
    /// The measurement's number in the public log.
    pub measurement: u64,
    /// Its seed, as SQLite has it.
    pub seed: i64,
    /// When it was claimed, in Unix seconds.
    pub begun_at: u64,
    /// Until when it is the worker's unless it is renewed.
    pub held_until: u64,
    /// Workers that had this submission and were never heard of again.
    pub losses: u64,
}

impl Hold {
    /// The measurement that it is.
    pub fn begun(&self) -> Begun {
        Begun { number: self.measurement, seed: self.seed.cast_unsigned() }
    }
}

/// A claim that is about to be a worker's.
#[derive(Clone, Copy, Debug)]
pub struct NewHold<'a> {
    /// The claim's name.
    pub claim: &'a str,
    /// Whose it is.
    pub worker: &'a Hotkey,
    /// Part of the addresses that its files have.
    pub secret: &'a str,
    /// Until when it is the worker's unless it is renewed.
    pub held_until: u64,
}

/// Keeps a token that lets a worker of this name in; a name that waits already gets the new token.
///
/// # Errors
/// When the database fails.
pub async fn invite(
    tx: &mut Tx,
    token: &Digest,
    (name, trust): (&WorkerName, Trust),
    expires_at: u64,
) -> Result<(), DbError> {
    let query = "INSERT INTO enrolments (token_sha256, name, expires_at, trust) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (name) DO UPDATE SET token_sha256 = $1, expires_at = $3, trust = $4";
    let trust: &str = trust.into();
    let query = sqlx::query(query).bind(token.to_string()).bind(name.to_string()).bind(int(expires_at)).bind(trust);
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Uses a token up: the name that it lets in and whose machine that is, if it is good at `now`.
///
/// # Errors
/// When the database fails.
pub async fn use_up(tx: &mut Tx, token: &Digest, now: u64) -> Result<Option<(WorkerName, Trust)>, DbError> {
    let query = "DELETE FROM enrolments WHERE token_sha256 = $1 AND expires_at > $2 RETURNING name, trust";
    let query = sqlx::query_as(query).bind(token.to_string()).bind(int(now));
    let found: Option<(Text<WorkerName>, Text<Trust>)> = query.fetch_optional(&mut **tx).await?;
    Ok(found.map(|(Text(name), Text(trust))| (name, trust)))
}

/// Lets a worker in. One of the same name is replaced: its key opens nothing any more, and is no worker's.
///
/// # Errors
/// When the database fails, or the key is another worker's.
pub async fn enrol(
    tx: &mut Tx,
    key: &Hotkey,
    (name, trust): (&WorkerName, Trust),
    facts: &WorkerFacts,
    now: u64,
) -> Result<(), DbError> {
    // What the one before had claimed is nobody's.
    sqlx::query("DELETE FROM holds WHERE worker IN (SELECT key FROM fleet_workers WHERE name = $1)")
        .bind(name.to_string())
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM fleet_workers WHERE name = $1").bind(name.to_string()).execute(&mut **tx).await?;
    let query = "INSERT INTO fleet_workers (key, name, trust, state, stands_since, facts, enrolled_at, seen_at)
                 VALUES ($1, $2, $5, 'active', $4, $3, $4, $4)";
    let trust: &str = trust.into();
    let query = sqlx::query(query).bind(key.to_string()).bind(name.to_string()).bind(to_json(facts)).bind(int(now));
    let query = query.bind(trust);
    query.execute(&mut **tx).await?;
    Ok(())
}

/// Lets a worker stand otherwise: its key, or `None` where there is none of this name or it was shut out.
///
/// # Errors
/// When the database fails.
pub async fn set_standing(
    tx: &mut Tx,
    name: &WorkerName,
    (standing, reason): (Standing, &str),
    now: u64,
) -> Result<Option<Hotkey>, DbError> {
    let query = "UPDATE fleet_workers SET state = $1, reason = $2, stands_since = $4 WHERE name = $3 AND state != 'revoked' RETURNING key";
    let state: &str = standing.into();
    let query = sqlx::query_scalar(query).bind(state).bind(reason).bind(name.to_string()).bind(int(now));
    let key: Option<String> = query.fetch_optional(&mut **tx).await?;
    Ok(key.and_then(|key| key.parse().ok()))
}

/// Gives a submission's attempt to a worker. How often workers were lost with it stays.
///
/// # Errors
/// When the database fails.
pub async fn hold(
    tx: &mut Tx,
    (submission, attempt): (&SubmissionId, u64),
    begun: Begun,
    hold: NewHold<'_>,
    now: u64,
) -> Result<(), DbError> {
    let query = "INSERT INTO holds (submission_id, attempt, claim, worker, secret, measurement, seed, begun_at, held_until)
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
                 ON CONFLICT (submission_id) DO UPDATE SET attempt = $2, claim = $3, worker = $4, secret = $5, measurement = $6,
                 seed = $7, begun_at = $8, held_until = $9";
    sqlx::query(query)
        .bind(submission.to_string())
        .bind(int(attempt))
        .bind(hold.claim)
        .bind(hold.worker.to_string())
        .bind(hold.secret)
        .bind(int(begun.number))
        .bind(begun.seed.cast_signed())
        .bind(int(now))
        .bind(int(hold.held_until))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets what was claimed of a submission, which has its end.
///
/// # Errors
/// When the database fails.
pub async fn let_go(tx: &mut Tx, submission: &SubmissionId) -> Result<(), DbError> {
    sqlx::query("DELETE FROM holds WHERE submission_id = $1").bind(submission.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// How a claim ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimEnd {
    /// The worker answered, whatever it said of the package.
    Answered,
    /// The worker's machine or engine failed.
    Failed,
    /// Nobody heard of the worker any more.
    Lost,
}

impl Db {
    /// All workers, by name, with how steady their machines were in the week before `now`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fleet(&self, now: u64) -> Result<Vec<Worker>, DbError> {
        let mut workers: Vec<Worker> =
            sqlx::query_as("SELECT * FROM fleet ORDER BY name").fetch_all(self.pool()).await?;
        let since = now.saturating_sub(STEADINESS_SECONDS);
        for worker in &mut workers {
            let query = "SELECT control_ppm, unstable FROM latency_controls
                         WHERE worker = $1 AND at >= $2 AND control_launches > 0 ORDER BY control_ppm";
            let query = sqlx::query_as(query).bind(worker.key.to_string()).bind(int(since));
            let found: Vec<(i64, i64)> = query.fetch_all(self.pool()).await?;
            let (controls, unstable): (Vec<i64>, Vec<i64>) = found.into_iter().unzip();
            worker.control = Steadiness::of(&controls, unstable.iter().sum::<i64>().unsigned_abs());
        }
        Ok(workers)
    }

    /// The worker with this key.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn worker(&self, key: &Hotkey) -> Result<Option<Worker>, DbError> {
        let query = sqlx::query_as("SELECT * FROM fleet WHERE key = $1").bind(key.to_string());
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// Writes down what a worker said of itself, and when.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn worker_seen(&self, key: &Hotkey, facts: &WorkerFacts, now: u64) -> Result<(), DbError> {
        let query = "UPDATE fleet_workers SET facts = $1, seen_at = $2 WHERE key = $3";
        let query = sqlx::query(query).bind(to_json(facts)).bind(int(now)).bind(key.to_string());
        query.execute(self.pool()).await?;
        Ok(())
    }

    /// What of workers' claims submissions are still at, whether in time or not.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn holds(&self) -> Result<Vec<Hold>, DbError> {
        let query = "SELECT holds.* FROM holds JOIN submissions ON submissions.id = submission_id
                     WHERE submissions.state = 'evaluating' AND submissions.attempt = holds.attempt";
        Ok(sqlx::query_as(query).fetch_all(self.pool()).await?)
    }

    /// How many workers were lost with a submission.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn losses(&self, submission: &SubmissionId) -> Result<u64, DbError> {
        let query = "SELECT losses FROM holds WHERE submission_id = $1";
        let losses = sqlx::query_scalar(query).bind(submission.to_string()).fetch_optional(self.pool()).await?;
        Ok(losses.unwrap_or_default())
    }

    /// Renews a claim at `now`, if it is still this worker's and the submission is still at it; whether it was.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn renew_hold(&self, worker: &Hotkey, claim: &str, (now, until): (u64, u64)) -> Result<bool, DbError> {
        let query = "UPDATE holds SET held_until = $1 WHERE claim = $2 AND worker = $3 AND held_until >= $4 AND EXISTS
                     (SELECT 1 FROM submissions WHERE id = submission_id AND state = 'evaluating' AND submissions.attempt = holds.attempt)";
        let query = sqlx::query(query).bind(int(until)).bind(claim).bind(worker.to_string()).bind(int(now));
        let renewed = query.execute(self.pool()).await?.rows_affected() == 1;
        sqlx::query("UPDATE fleet_workers SET seen_at = $1 WHERE key = $2")
            .bind(int(now))
            .bind(worker.to_string())
            .execute(self.pool())
            .await?;
        Ok(renewed)
    }

    /// Counts how a claim ended, for its worker and, where that was lost, for the submission.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn count_claim(&self, worker: &Hotkey, claim: &str, end: ClaimEnd) -> Result<(), DbError> {
        let query = match end {
            ClaimEnd::Answered => "UPDATE fleet_workers SET answered = answered + 1 WHERE key = $1",
            ClaimEnd::Failed => "UPDATE fleet_workers SET failed = failed + 1 WHERE key = $1",
            ClaimEnd::Lost => "UPDATE fleet_workers SET lost = lost + 1 WHERE key = $1",
        };
        sqlx::query(query).bind(worker.to_string()).execute(self.pool()).await?;
        if end == ClaimEnd::Lost {
            let query = "UPDATE holds SET losses = losses + 1 WHERE claim = $1";
            sqlx::query(query).bind(claim).execute(self.pool()).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_band_holds_all_but_the_outermost_controls() {
        assert_eq!(Steadiness::of(&[], 0), None);
        let one = Steadiness::of(&[1_000_100], 0).unwrap();
        assert_eq!((one.measurements, one.median_ppm, one.band_ppm), (1, 1_000_100, [1_000_100; 2]));
        let many: Vec<i64> = (0..1_001).map(|step| 999_000 + 2 * step).collect();
        let many = Steadiness::of(&many, 3).unwrap();
        assert_eq!((many.measurements, many.unstable, many.median_ppm), (1_001, 3, 1_000_000));
        assert_eq!(many.band_ppm, [999_010, 1_000_990]);
    }
}
