//! Entries 0 of a competition, which its submissions are compared with before each other, and what these are to them.

use super::super::column::Text;
use super::super::{Db, DbError, Tx, to_json};
use copies::{Evidence, Relation};
use protocol::{CompetitionId, Digest, SubmissionId};
use sqlx::FromRow;
use sqlx::types::Json;
use std::{fmt, str::FromStr};

/// What a competition's submissions are compared with before each other: its entries 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryZero {
    /// The model to distil.
    Teacher,
    /// The model that latencies are compared with.
    Reference,
    /// A package that the manifest lists as known, counted from 1.
    Known(u32),
}

/// As the database and addresses spell it.
impl fmt::Display for EntryZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Teacher => f.write_str("teacher"),
            Self::Reference => f.write_str("reference"),
            Self::Known(number) => write!(f, "known-{number}"),
        }
    }
}

impl FromStr for EntryZero {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "teacher" => Ok(Self::Teacher),
            "reference" => Ok(Self::Reference),
            _ => match text.strip_prefix("known-").and_then(|number| number.parse().ok()) {
                Some(number) => Ok(Self::Known(number)),
                None => Err(format!("{text:?} is no entry 0: teacher, reference, known-1")),
            },
        }
    }
}

/// A submission that is not independent of an entry 0 of its competition.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct EntryPair {
    /// The submission.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// The entry 0.
    #[sqlx(try_from = "Text<EntryZero>")]
    pub entry: EntryZero,
    /// What they are to each other.
    #[sqlx(json)]
    pub relation: Relation,
    /// Why.
    #[sqlx(json)]
    pub evidence: Evidence,
}

/// Writes what the teacher says of a competition's probes.
///
/// # Errors
/// When the database fails.
pub async fn insert_probes(tx: &mut Tx, competition: &CompetitionId, teacher_logits: &Digest) -> Result<(), DbError> {
    sqlx::query("INSERT INTO copy_probes (competition_id, teacher_logits_sha256) VALUES ($1, $2)")
        .bind(competition.as_ref())
        .bind(teacher_logits.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes the fingerprint of an entry 0.
///
/// # Errors
/// When the database fails.
pub async fn insert_entry(
    tx: &mut Tx,
    competition: &CompetitionId,
    entry: EntryZero,
    fingerprint: &Digest,
) -> Result<(), DbError> {
    sqlx::query("INSERT INTO copy_entries (competition_id, entry, fingerprint_sha256) VALUES ($1, $2, $3)")
        .bind(competition.as_ref())
        .bind(entry.to_string())
        .bind(fingerprint.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes what a submission is to an entry 0.
///
/// # Errors
/// When the database fails or it is written.
pub async fn insert_entry_pair(tx: &mut Tx, competition: &CompetitionId, pair: &EntryPair) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO copy_entry_pairs (submission_id, competition_id, entry, relation, evidence)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(pair.submission.to_string())
    .bind(competition.as_ref())
    .bind(pair.entry.to_string())
    .bind(to_json(&pair.relation))
    .bind(to_json(&pair.evidence))
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Writes what a submission is to an entry 0 by what it said later; the same again changes nothing.
///
/// # Errors
/// When the database fails.
pub async fn put_entry_pair(tx: &mut Tx, competition: &CompetitionId, pair: &EntryPair) -> Result<(), DbError> {
    let query = "DELETE FROM copy_entry_pairs WHERE submission_id = $1 AND entry = $2";
    sqlx::query(query).bind(pair.submission.to_string()).bind(pair.entry.to_string()).execute(&mut **tx).await?;
    insert_entry_pair(tx, competition, pair).await
}

impl Db {
    /// The teacher's logits on a competition's probes, an object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probe_teacher_logits(&self, competition: &CompetitionId) -> Result<Option<Digest>, DbError> {
        let query = "SELECT teacher_logits_sha256 FROM copy_probes WHERE competition_id = $1";
        let found = sqlx::query_scalar(query).bind(competition.as_ref()).fetch_optional(self.pool()).await?;
        Ok(found.map(|Text(sha256)| sha256))
    }

    /// The fingerprints of a competition's entries 0.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn copy_entries(&self, competition: &CompetitionId) -> Result<Vec<(EntryZero, Digest)>, DbError> {
        let query = "SELECT entry, fingerprint_sha256 FROM copy_entries WHERE competition_id = $1";
        let rows = sqlx::query_as(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(entry), Text(sha256))| (entry, sha256)).collect())
    }

    /// What submissions of a competition are to its entries 0, without the evidence.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entry_pairs(
        &self,
        competition: &CompetitionId,
    ) -> Result<Vec<(SubmissionId, EntryZero, Relation)>, DbError> {
        let query = "SELECT submission_id, entry, relation FROM copy_entry_pairs WHERE competition_id = $1";
        let rows = sqlx::query_as(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(Text(id), Text(entry), Json(relation))| (id, entry, relation)).collect())
    }

    /// The entries 0 that a submission is not independent of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn entry_pairs_of(&self, id: &SubmissionId) -> Result<Vec<EntryPair>, DbError> {
        let query = "SELECT * FROM copy_entry_pairs WHERE submission_id = $1 ORDER BY entry DESC";
        Ok(sqlx::query_as(query).bind(id.to_string()).fetch_all(self.pool()).await?)
    }
}
