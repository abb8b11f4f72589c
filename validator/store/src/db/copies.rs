//! Fingerprints of submissions and of entries 0, and pairs of them that are not independent.

use super::column::{Maybe, Text};
use super::{Db, DbError, Tx, int, to_json};
use copies::{Evidence, Relation};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{FromRow, Row};
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

/// Two submissions that are not independent.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Pair {
    /// The one that arrived later.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub later: SubmissionId,
    /// The one that arrived earlier.
    #[sqlx(try_from = "Text<SubmissionId>")]
    pub earlier: SubmissionId,
    /// What they are to each other.
    #[sqlx(json)]
    pub relation: Relation,
    /// Why.
    #[sqlx(json)]
    pub evidence: Evidence,
}

/// A stored pair with what decides on consequences.
#[derive(Clone, Debug)]
pub struct RankedPair {
    /// The pair.
    pub pair: Pair,
    /// Orders of arrival, later one first.
    pub arrivals: (u64, u64),
    /// Owners, later one first.
    pub hotkeys: (Hotkey, Hotkey),
}

/// One of two submissions of different owners that are not independent.
#[derive(Clone, Debug)]
pub struct Side {
    /// Which.
    pub submission: SubmissionId,
    /// Where.
    pub competition: CompetitionId,
    /// Order of arrival.
    pub arrival: u64,
    /// Its owner.
    pub hotkey: Hotkey,
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

/// Writes a pair, in the place of what was known of it. It belongs to the competition of the later one.
///
/// # Errors
/// When the database fails.
pub async fn put_pair(tx: &mut Tx, pair: &Pair) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO copy_pairs (competition_id, later, earlier, relation, evidence)
         SELECT competition_id, id, $2, $3, $4 FROM submissions WHERE id = $1
         ON CONFLICT (later, earlier) DO UPDATE SET relation = excluded.relation, evidence = excluded.evidence",
    )
    .bind(pair.later.to_string())
    .bind(pair.earlier.to_string())
    .bind(to_json(&pair.relation))
    .bind(to_json(&pair.evidence))
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
    /// The teacher's logits on a competition's probes, an object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probe_teacher_logits(&self, competition: &CompetitionId) -> Result<Option<Digest>, DbError> {
        let query = "SELECT teacher_logits_sha256 FROM copy_probes WHERE competition_id = $1";
        let found = sqlx::query_scalar(query).bind(competition.as_ref()).fetch_optional(self.pool()).await?;
        Ok(found.map(|Text(sha256)| sha256))
    }

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

    /// The fingerprint of one submission, and why there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fingerprint(&self, id: &SubmissionId) -> Result<Option<Result<Digest, String>>, DbError> {
        let query = "SELECT fingerprint_sha256, coalesce(problem, '') FROM fingerprints WHERE submission_id = $1";
        let found = sqlx::query_as(query).bind(id.to_string()).fetch_optional(self.pool()).await?;
        Ok(found.map(|(Maybe(sha256), problem): (_, String)| sha256.ok_or(problem)))
    }

    /// What submissions of different owners are to each other where the later one is in one of the competitions, without
    /// the evidence: later, earlier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn between_owners(&self, competitions: &[CompetitionId]) -> Result<Vec<(Relation, Side, Side)>, DbError> {
        let query = "SELECT p.relation, p.later, l.arrival AS later_arrival, l.hotkey AS later_hotkey,
                     l.competition_id AS later_in, p.earlier, e.arrival AS earlier_arrival,
                     e.hotkey AS earlier_hotkey, e.competition_id AS earlier_in
                     FROM json_each($1) c JOIN copy_pairs p ON p.competition_id = c.value
                     JOIN submissions l ON l.id = p.later JOIN submissions e ON e.id = p.earlier
                     WHERE l.hotkey <> e.hotkey";
        let rows = sqlx::query_as(query).bind(to_json(&competitions)).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|Between(relation, later, earlier)| (relation, later, earlier)).collect())
    }

    /// The pairs that a submission is part of, in order of arrival of the other one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pairs_of(&self, id: &SubmissionId) -> Result<Vec<RankedPair>, DbError> {
        let sql = format!("{PAIRS} WHERE p.later = $1 OR p.earlier = $1 ORDER BY e.arrival, l.arrival");
        Ok(sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(self.pool()).await?)
    }
}

const PAIRS: &str = "SELECT p.*, l.arrival AS later_arrival, e.arrival AS earlier_arrival, l.hotkey AS later_hotkey,
     e.hotkey AS earlier_hotkey FROM copy_pairs p JOIN submissions l ON l.id = p.later
     JOIN submissions e ON e.id = p.earlier";

/// Two submissions of different owners: later, earlier.
struct Between(Relation, Side, Side);

impl FromRow<'_, SqliteRow> for Between {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let side = |[id, arrival, hotkey, competition]: [&str; 4]| -> sqlx::Result<Side> {
            let (Text(submission), Text(competition)) = (row.try_get(id)?, row.try_get(competition)?);
            let (arrival, Text(hotkey)) = (row.try_get(arrival)?, row.try_get(hotkey)?);
            Ok(Side { submission, competition, arrival, hotkey })
        };
        let later = side(["later", "later_arrival", "later_hotkey", "later_in"])?;
        let earlier = side(["earlier", "earlier_arrival", "earlier_hotkey", "earlier_in"])?;
        let Json(relation) = row.try_get("relation")?;
        Ok(Self(relation, later, earlier))
    }
}

impl FromRow<'_, SqliteRow> for RankedPair {
    fn from_row(row: &SqliteRow) -> sqlx::Result<Self> {
        let (Text(later), Text(earlier)) = (row.try_get("later_hotkey")?, row.try_get("earlier_hotkey")?);
        let arrivals = (row.try_get("later_arrival")?, row.try_get("earlier_arrival")?);
        Ok(Self { pair: Pair::from_row(row)?, arrivals, hotkeys: (later, earlier) })
    }
}
