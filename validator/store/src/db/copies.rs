//! Fingerprints of submissions, what was compared with what, and what came of it.

mod entries;
mod pairs;

pub use entries::{EntryPair, EntryZero, insert_entry, insert_entry_pair, insert_probes, put_entry_pair};
pub use pairs::{Pair, RankedPair, Side, put_pair};

use super::column::{Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use protocol::{CompetitionId, Digest, SubmissionId};
use sqlx::FromRow;

/// A submission whose fingerprint is stored.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Fingerprinted {
    /// Which.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Where.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// Order of arrival.
    pub arrival: u64,
    /// The object; `None` where there could be no fingerprint.
    #[sqlx(try_from = "Maybe<Digest>")]
    pub fingerprint_sha256: Option<Digest>,
}

/// A scored submission that has no fingerprint yet.
#[derive(Clone, Debug, FromRow)]
pub struct Unprinted {
    /// Which.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Where.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// Order of arrival.
    pub arrival: u64,
    /// Its logits on the probes.
    #[sqlx(try_from = "Text<Digest>")]
    pub probe_logits_sha256: Digest,
}

/// Writes that a submission was compared, once: a second time is refused by the primary key.
///
/// # Errors
/// When the database fails or it was.
pub async fn insert_fingerprint(
    tx: &mut Tx,
    of: &Unprinted,
    fingerprint: Result<Digest, &str>,
    at: u64,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO fingerprints (submission_id, competition_id, fingerprint_sha256, problem, at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(of.submission.to_string())
    .bind(of.competition.as_ref())
    .bind(fingerprint.ok().map(|sha256| sha256.to_string()))
    .bind(fingerprint.err())
    .bind(int(at))
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE evaluations SET compared = 1 WHERE submission_id = $1")
        .bind(of.submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets all comparisons of a competition, so that they are made anew: after a change of the rules, say.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Tx, competition: &CompetitionId) -> Result<(), DbError> {
    for sql in [
        "DELETE FROM copy_pairs WHERE competition_id = $1",
        "DELETE FROM copy_entry_pairs WHERE competition_id = $1",
        "DELETE FROM fingerprints WHERE competition_id = $1",
        "UPDATE evaluations SET compared = 0 WHERE competition_id = $1",
    ] {
        sqlx::query(sql).bind(competition.as_ref()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// All fingerprints of competitions, as this transaction sees them, in order of arrival.
///
/// # Errors
/// When the database fails.
pub async fn fingerprinted(tx: &mut Tx, competitions: &[CompetitionId]) -> Result<Vec<Fingerprinted>, DbError> {
    Ok(sqlx::query_as(FINGERPRINTED).bind(to_json(&competitions)).fetch_all(&mut **tx).await?)
}

const FINGERPRINTED: &str = "SELECT f.submission_id, f.competition_id, f.fingerprint_sha256, s.arrival
     FROM json_each($1) c JOIN fingerprints f ON f.competition_id = c.value
     JOIN submissions s ON s.id = f.submission_id ORDER BY s.arrival";

impl Db {
    /// Scored submissions that were announced before this moment and weren't compared yet, earliest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unprinted(&self, announced_before: u64, most: u32) -> Result<Vec<Unprinted>, DbError> {
        let query = sqlx::query_as(
            "SELECT e.submission_id, e.competition_id, e.probe_logits_sha256, s.arrival
             FROM evaluations e INDEXED BY evaluations_to_compare JOIN submissions s ON s.id = e.submission_id
             WHERE e.compared = 0 AND s.created_at < $1 ORDER BY s.arrival LIMIT $2",
        )
        .bind(int(announced_before))
        .bind(most);
        Ok(query.fetch_all(self.pool()).await?)
    }

    /// All fingerprints of competitions, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fingerprints(&self, competitions: &[CompetitionId]) -> Result<Vec<Fingerprinted>, DbError> {
        Ok(sqlx::query_as(FINGERPRINTED).bind(to_json(&competitions)).fetch_all(self.pool()).await?)
    }

    /// The fingerprint of one submission, and why there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fingerprint(&self, id: &SubmissionId) -> Result<Option<Result<Digest, String>>, DbError> {
        let query = "SELECT fingerprint_sha256, coalesce(problem, '') FROM fingerprints WHERE submission_id = $1";
        let found = sqlx::query_as(query).bind(id.to_string()).fetch_optional(self.pool()).await?;
        Ok(found.map(|(Maybe(sha256), problem): (_, String)| sha256.ok_or(problem)))
    }
}
