//! Fingerprints of submissions, what was compared with what, and what came of it.

mod entries;
mod pairs;

pub use entries::{EntryPair, EntryZero, insert_entry, insert_entry_pair, insert_probes, put_entry_pair};
pub use pairs::{Pair, RankedPair, Side, put_pair};

use super::column::{Key, Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use ::copies::{Known, Sketch};
use protocol::{CompetitionId, Digest, SubmissionId};
use sqlx::sqlite::SqliteRow;
use sqlx::{FromRow, Row};

/// A submission whose fingerprint is stored, and by what its likeness to another is guessed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprinted {
    /// Which.
    pub submission: SubmissionId,
    /// Where.
    pub competition: CompetitionId,
    /// The object.
    pub fingerprint_sha256: Digest,
    /// What is known of it beside.
    pub known: Known,
}

impl FromRow<'_, SqliteRow> for Fingerprinted {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let Maybe(canonical) = row.try_get("canonical_sha256")?;
        let Maybe(numbers) = row.try_get("numbers_sha256")?;
        let Maybe(probes) = row.try_get("probes_sha256")?;
        let [errors, units] = ["errors", "units"].map(|column| row.try_get::<Option<Vec<u8>>, _>(column));
        let bits = |kept: Option<Vec<u8>>| kept.and_then(|kept| kept.try_into().ok());
        let (errors, units) = (bits(errors?), bits(units?));
        let sketch = canonical.map(|canonical| Sketch { canonical, numbers, probes, errors, units });
        let Text(owner) = row.try_get("hotkey")?;
        Ok(Self {
            submission: row.try_get::<Text<_>, _>("submission_id")?.0,
            competition: row.try_get::<Text<_>, _>("competition_id")?.0,
            fingerprint_sha256: row.try_get::<Text<_>, _>("fingerprint_sha256")?.0,
            known: Known { sketch, owner, arrival: row.try_get("arrival")? },
        })
    }
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
    fingerprint: Result<(Digest, &Sketch), &str>,
    at: u64,
) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO fingerprints (submission_id, competition_id, fingerprint_sha256, problem, at)
         VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(of.submission.to_string())
    .bind(of.competition.as_ref())
    .bind(fingerprint.ok().map(|(sha256, _)| sha256.to_string()))
    .bind(fingerprint.err())
    .bind(int(at))
    .execute(&mut **tx)
    .await?;
    if let Ok((_, sketch)) = fingerprint {
        put_sketch(tx, &of.submission, sketch).await?;
    }
    sqlx::query("UPDATE evaluations SET compared = 1 WHERE submission_id = $1")
        .bind(of.submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes the sketch of a fingerprint that is stored.
///
/// # Errors
/// When the database fails.
pub async fn put_sketch(tx: &mut Tx, submission: &SubmissionId, sketch: &Sketch) -> Result<(), DbError> {
    let text = |digest: Option<Digest>| digest.map(|digest| digest.to_string());
    sqlx::query(
        "UPDATE fingerprints SET canonical_sha256 = $1, numbers_sha256 = $2, probes_sha256 = $3, errors = $4, units = $5
         WHERE submission_id = $6",
    )
    .bind(sketch.canonical.to_string())
    .bind(text(sketch.numbers))
    .bind(text(sketch.probes))
    .bind(sketch.errors.as_ref().map(|bits| bits.to_vec()))
    .bind(sketch.units.as_ref().map(|bits| bits.to_vec()))
    .bind(submission.to_string())
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

/// How many fingerprints there are of competitions, as this transaction sees them.
///
/// # Errors
/// When the database fails.
pub async fn count_fingerprinted(tx: &mut Tx, competitions: &[CompetitionId]) -> Result<u64, DbError> {
    let query = "SELECT count(*) FROM json_each($1) c JOIN fingerprints f ON f.competition_id = c.value
                 WHERE f.fingerprint_sha256 IS NOT NULL";
    Ok(sqlx::query_scalar(query).bind(to_json(&competitions)).fetch_one(&mut **tx).await?)
}

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
    pub async fn fingerprinted(&self, competitions: &[CompetitionId]) -> Result<Vec<Fingerprinted>, DbError> {
        let query = sqlx::query_as(
            "SELECT f.submission_id, f.competition_id, f.fingerprint_sha256, f.canonical_sha256, f.numbers_sha256,
                    f.probes_sha256, f.errors, f.units, s.hotkey, s.arrival
             FROM json_each($1) c JOIN fingerprints f ON f.competition_id = c.value
             JOIN submissions s ON s.id = f.submission_id
             WHERE f.fingerprint_sha256 IS NOT NULL ORDER BY s.arrival",
        );
        Ok(query.bind(to_json(&competitions)).fetch_all(self.pool()).await?)
    }

    /// What sketches are made with.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sketch_key(&self) -> Result<[u8; 32], DbError> {
        let Key(key) = sqlx::query_scalar("SELECT key FROM sketch_key").fetch_one(self.pool()).await?;
        Ok(key)
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
