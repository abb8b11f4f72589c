//! What changes submissions, each inside a transaction of whoever has reason to.

use super::super::column::Text;
use super::super::{Db, DbError, Tx, int, leaves, to_json};
use super::Submission;
use protocol::api::FileDeclaration;
use protocol::architecture::Costs;
use protocol::auth::SignedText;
use protocol::leaf::{Attempt, Ended};
use protocol::name::DisplayName;
use protocol::package::ModelKind;
use protocol::submission::{Rejection, State};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use transparency::EntryKind;

/// A hotkey's living entry of this package, if there is one.
///
/// # Errors
/// When the database fails.
pub async fn living(
    tx: &mut Tx,
    competition: &CompetitionId,
    hotkey: &Hotkey,
    package_sha256: &Digest,
) -> Result<Option<Submission>, DbError> {
    let query = "SELECT * FROM submissions WHERE competition_id = $1 AND hotkey = $2 AND package_sha256 = $3
                 AND state NOT IN ('failed', 'expired', 'withdrawn')";
    Ok(sqlx::query_as(query)
        .bind(competition.as_ref())
        .bind(hotkey.to_string())
        .bind(package_sha256.to_string())
        .fetch_optional(&mut **tx)
        .await?)
}

/// The times of a hotkey's entries since `since` that count against its quota, earliest first.
///
/// # Errors
/// When the database fails.
pub async fn counted_since(
    tx: &mut Tx,
    competition: &CompetitionId,
    hotkey: &Hotkey,
    since: u64,
) -> Result<Vec<u64>, DbError> {
    let query = "SELECT created_at FROM submissions WHERE hotkey = $1 AND competition_id = $2 AND created_at > $3
                 AND state NOT IN ('failed', 'expired') ORDER BY created_at";
    Ok(sqlx::query_scalar(query)
        .bind(hotkey.to_string())
        .bind(competition.as_ref())
        .bind(int(since))
        .fetch_all(&mut **tx)
        .await?)
}

/// Whether a hotkey has a submission that waits for us: all of its files are there, and it isn't done.
///
/// # Errors
/// When the database fails.
pub async fn is_waiting(tx: &mut Tx, hotkey: &Hotkey) -> Result<bool, DbError> {
    let query =
        "SELECT EXISTS (SELECT 1 FROM submissions WHERE hotkey = $1 AND state IN ('checking', 'queued', 'evaluating'))";
    Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).fetch_one(&mut **tx).await?)
}

/// Writes a new submission with its files; returns its place in the order of arrival.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, new: &Submission, files: &[FileDeclaration]) -> Result<u64, DbError> {
    let written = sqlx::query_scalar(
        "INSERT INTO submissions (id, competition_id, hotkey, address, network_56, network_48, package_sha256, state,
         created_at, changed_at, upload_until, first_byte_until, name, name_folded)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) RETURNING arrival",
    )
    .bind(new.id.to_string())
    .bind(new.competition.as_ref())
    .bind(new.hotkey.to_string())
    .bind(&new.origin.address)
    .bind(&new.origin.network_56)
    .bind(&new.origin.network_48)
    .bind(new.package_sha256.to_string())
    .bind(new.state.as_str())
    .bind(int(new.created_at))
    .bind(int(new.changed_at))
    .bind(int(new.upload_until))
    .bind(new.first_byte_until.map(int))
    .bind(new.name.as_ref().map(DisplayName::as_str))
    .bind(new.name.as_ref().map(DisplayName::folded))
    .fetch_one(&mut **tx)
    .await?;
    for file in files {
        sqlx::query("INSERT INTO submission_files (submission_id, path, size_bytes, sha256) VALUES ($1, $2, $3, $4)")
            .bind(new.id.to_string())
            .bind(&file.path)
            .bind(int(file.size))
            .bind(file.sha256.to_string())
            .execute(&mut **tx)
            .await?;
    }
    append_event(tx, &new.id, None, new.state, None, new.created_at).await?;
    Ok(written)
}

/// Whether a model can't be called that: another model that is alive or scored is, or a hotkey that isn't this one; or
/// something that looks like it. The same package may carry its name into other competitions.
///
/// # Errors
/// When the database fails.
pub async fn is_name_taken(
    tx: &mut Tx,
    name: &DisplayName,
    hotkey: &Hotkey,
    package_sha256: &Digest,
) -> Result<bool, DbError> {
    let query = "SELECT EXISTS (SELECT 1 FROM submissions WHERE name_folded = $1
                     AND state NOT IN ('rejected', 'expired', 'withdrawn')
                     AND NOT (hotkey = $2 AND (package_sha256 = $3 OR state = 'failed')))
                 OR EXISTS (SELECT 1 FROM names WHERE folded = $1 AND hotkey <> $2)";
    Ok(sqlx::query_scalar(query)
        .bind(name.folded())
        .bind(hotkey.to_string())
        .bind(package_sha256.to_string())
        .fetch_one(&mut **tx)
        .await?)
}

/// Gives a submission its name.
///
/// # Errors
/// When the database fails.
pub async fn give_name(tx: &mut Tx, id: &SubmissionId, name: &DisplayName) -> Result<(), DbError> {
    sqlx::query("UPDATE submissions SET name = $1, name_folded = $2 WHERE id = $3")
        .bind(name.as_str())
        .bind(name.folded())
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The first byte of a submission's files came.
///
/// # Errors
/// When the database fails.
pub async fn begun(db: &Db, id: &SubmissionId) -> Result<(), DbError> {
    let query = "UPDATE submissions SET first_byte_until = NULL WHERE id = $1 AND first_byte_until IS NOT NULL";
    sqlx::query(query).bind(id.to_string()).execute(db.pool()).await?;
    Ok(())
}

/// Changes the state of a submission as its journey goes. This, [`withdraw`] and [`overrule`] are the only places that do.
///
/// # Errors
/// [`DbError::StateChanged`] when it is not in state `from` any more, and the database's own.
///
/// # Panics
/// When the journey knows no such step, which is a bug in the caller.
pub async fn transition(
    tx: &mut Tx,
    id: &SubmissionId,
    from: State,
    to: State,
    reason: Option<&Rejection>,
    now: u64,
) -> Result<(), DbError> {
    assert!(from.may_become(to), "a submission can't go from {from} to {to}; this is a bug");
    change(tx, id, (from, to), (reason, None), now).await
}

/// Ends a submission as its miner asked.
///
/// # Errors
/// [`DbError::StateChanged`] when it is not in state `from` any more, and the database's own.
///
/// # Panics
/// When the journey knows no such step, which is a bug in the caller.
pub async fn withdraw(
    tx: &mut Tx,
    id: &SubmissionId,
    from: State,
    (reason, request): (&Rejection, SignedText),
    now: u64,
) -> Result<(), DbError> {
    assert!(from.may_become(State::Withdrawn), "a submission can't be taken back from {from}; this is a bug");
    change(tx, id, (from, State::Withdrawn), (Some(reason), Some(request)), now).await
}

/// Changes the state of a submission as its operator says, who has to state it in the public log in the same
/// transaction. Tasks that were handed out for it do nothing then, and its failures are forgotten.
///
/// # Errors
/// [`DbError::StateChanged`] when it is not in state `from` any more, and the database's own.
///
/// # Panics
/// When no operator may do that, which is a bug in the caller.
pub async fn overrule(
    tx: &mut Tx,
    id: &SubmissionId,
    from: State,
    to: State,
    reason: Option<&Rejection>,
    now: u64,
) -> Result<(), DbError> {
    assert!(from.may_be_moved(to), "nobody may move a submission from {from} to {to}; this is a bug");
    change(tx, id, (from, to), (reason, None), now).await?;
    sqlx::query("UPDATE submissions SET attempt = attempt + 1, failures = 0, retry_at = 0 WHERE id = $1")
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn change(
    tx: &mut Tx,
    id: &SubmissionId,
    (from, to): (State, State),
    (reason, request): (Option<&Rejection>, Option<SignedText>),
    now: u64,
) -> Result<(), DbError> {
    let changed = sqlx::query_scalar(
        "UPDATE submissions SET state = $1, changed_at = $2, code = $3, detail = $4 WHERE id = $5 AND state = $6
         RETURNING competition_id",
    )
    .bind(to.as_str())
    .bind(int(now))
    .bind(reason.map(|reason| reason.code.as_str()))
    .bind(reason.map(|reason| reason.detail.as_str()))
    .bind(id.to_string())
    .bind(from.as_str())
    .fetch_optional(&mut **tx)
    .await?;
    let Some(Text(competition)) = changed else { return Err(DbError::StateChanged { expected: from }) };
    if to.is_terminal() && to != State::Scored {
        state_end(tx, (competition, id), to, (reason, request), now).await?;
    }
    append_event(tx, id, Some(from), to, reason, now).await
}

/// States in the public log that a submission ended without a score.
async fn state_end(
    tx: &mut Tx,
    (competition, submission): (CompetitionId, &SubmissionId),
    state: State,
    (reason, request): (Option<&Rejection>, Option<SignedText>),
    at: u64,
) -> Result<(), DbError> {
    let code = reason.map(|reason| reason.code).expect("an end without a score has a reason; this is a bug");
    let attempt = leaves::count_under(tx, &Attempt::prefix(submission)).await?;
    let number = leaves::count_under(tx, &Ended::prefix(submission)).await? + 1;
    let (submission, blame) = (submission.clone(), code.blame());
    let ended = Ended { competition, submission, number, state, code, blame, attempt, at, request };
    leaves::enqueue(tx, &ended.key(), EntryKind::Ended, &ended).await
}

/// Counts a check without a verdict, and says when the next may begin.
///
/// # Errors
/// When the database fails.
pub async fn count_failed_check(tx: &mut Tx, id: &SubmissionId, retry_at: u64) -> Result<(), DbError> {
    let query = "UPDATE submissions SET failures = failures + 1, retry_at = $1 WHERE id = $2 AND state = 'checking'";
    sqlx::query(query).bind(int(retry_at)).bind(id.to_string()).execute(&mut **tx).await?;
    Ok(())
}

/// Writes what the admission check found out; its own failures are forgotten.
///
/// # Errors
/// When the database fails.
pub async fn set_admitted(
    tx: &mut Tx,
    id: &SubmissionId,
    architecture: &ModelKind,
    costs: &Costs,
) -> Result<(), DbError> {
    sqlx::query("UPDATE submissions SET architecture = $1, costs = $2, failures = 0, retry_at = 0 WHERE id = $3")
        .bind(to_json(architecture))
        .bind(to_json(costs))
        .bind(id.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

async fn append_event(
    tx: &mut Tx,
    id: &SubmissionId,
    from: Option<State>,
    to: State,
    reason: Option<&Rejection>,
    now: u64,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO events (submission_id, at, from_state, to_state, code, detail) VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(id.to_string())
    .bind(int(now))
    .bind(from.map(State::as_str))
    .bind(to.as_str())
    .bind(reason.map(|reason| reason.code.as_str()))
    .bind(reason.map(|reason| reason.detail.as_str()))
    .execute(&mut **tx)
    .await?;
    Ok(())
}
