//! Fingerprints of submissions, and pairs of them that are not independent.

use super::{Db, DbError, Tx, from_json, int, parse, to_json, uint};
use ::copies::{Evidence, Relation};
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

/// A submission whose fingerprint is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprinted {
    /// Which.
    pub submission: SubmissionId,
    /// Order of arrival.
    pub arrival: u64,
    /// The object; `None` where there could be no fingerprint.
    pub fingerprint_sha256: Option<Digest>,
}

/// A scored submission that has no fingerprint yet.
#[derive(Clone, Debug)]
pub struct Unprinted {
    /// Which.
    pub submission: SubmissionId,
    /// Where.
    pub competition: CompetitionId,
    /// Order of arrival.
    pub arrival: u64,
    /// Its logits on the probes.
    pub probe_logits_sha256: Digest,
}

/// Two submissions that are not independent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The one that arrived later.
    pub later: SubmissionId,
    /// The one that arrived earlier.
    pub earlier: SubmissionId,
    /// What they are to each other.
    pub relation: Relation,
    /// Why.
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
    sqlx::query("INSERT INTO copy_probes (competition_id, teacher_logits_sha256) VALUES (?, ?)")
        .bind(competition.as_ref())
        .bind(teacher_logits.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
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
         VALUES (?, ?, ?, ?, ?)",
    )
    .bind(of.submission.to_string())
    .bind(of.competition.as_ref())
    .bind(fingerprint.ok().map(|sha256| sha256.to_string()))
    .bind(fingerprint.err())
    .bind(int(at))
    .execute(&mut **tx)
    .await?;
    sqlx::query("UPDATE evaluations SET compared = 1 WHERE submission_id = ?")
        .bind(of.submission.to_string())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Writes a pair.
///
/// # Errors
/// When the database fails or the pair is there.
pub async fn insert_pair(tx: &mut Tx, competition: &CompetitionId, pair: &Pair) -> Result<(), DbError> {
    sqlx::query("INSERT INTO copy_pairs (competition_id, later, earlier, relation, evidence) VALUES (?, ?, ?, ?, ?)")
        .bind(competition.as_ref())
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
        "DELETE FROM copy_pairs WHERE competition_id = ?",
        "DELETE FROM fingerprints WHERE competition_id = ?",
        "UPDATE evaluations SET compared = 0 WHERE competition_id = ?",
    ] {
        sqlx::query(sql).bind(competition.as_ref()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// All fingerprints of a competition, as this transaction sees them.
///
/// # Errors
/// When the database fails.
pub async fn fingerprinted(tx: &mut Tx, competition: &CompetitionId) -> Result<Vec<Fingerprinted>, DbError> {
    let rows = sqlx::query(FINGERPRINTED).bind(competition.as_ref()).fetch_all(&mut **tx).await?;
    rows.iter().map(print).collect()
}

const FINGERPRINTED: &str = "SELECT f.submission_id, f.fingerprint_sha256, s.arrival FROM fingerprints f
     JOIN submissions s ON s.id = f.submission_id WHERE f.competition_id = ? ORDER BY s.arrival";

impl Db {
    /// The teacher's logits on a competition's probes, an object.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn probe_teacher_logits(&self, competition: &CompetitionId) -> Result<Option<Digest>, DbError> {
        let row = sqlx::query("SELECT teacher_logits_sha256 FROM copy_probes WHERE competition_id = ?")
            .bind(competition.as_ref())
            .fetch_optional(self.pool())
            .await?;
        row.map(|row| parse("digest", row.get("teacher_logits_sha256"))).transpose()
    }

    /// Scored submissions that weren't compared yet, earliest first, of one competition or of all.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn unprinted(&self, competition: Option<&CompetitionId>, most: u32) -> Result<Vec<Unprinted>, DbError> {
        let rows = sqlx::query(
            "SELECT e.submission_id, e.competition_id, e.probe_logits_sha256, s.arrival
             FROM evaluations e INDEXED BY evaluations_to_compare JOIN submissions s ON s.id = e.submission_id
             WHERE e.compared = 0 AND (?1 IS NULL OR e.competition_id = ?1) ORDER BY s.arrival LIMIT ?2",
        )
        .bind(competition.map(CompetitionId::as_ref))
        .bind(most)
        .fetch_all(self.pool())
        .await?;
        let unprinted = |row: &SqliteRow| {
            Ok(Unprinted {
                submission: parse("submission id", row.get("submission_id"))?,
                competition: parse("competition id", row.get("competition_id"))?,
                arrival: uint(row.get("arrival")),
                probe_logits_sha256: parse("digest", row.get("probe_logits_sha256"))?,
            })
        };
        rows.iter().map(unprinted).collect()
    }

    /// All fingerprints of a competition, in order of arrival.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fingerprints(&self, competition: &CompetitionId) -> Result<Vec<Fingerprinted>, DbError> {
        let rows = sqlx::query(FINGERPRINTED).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        rows.iter().map(print).collect()
    }

    /// The fingerprint of one submission, and why there is none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn fingerprint(&self, id: &SubmissionId) -> Result<Option<Result<Digest, String>>, DbError> {
        let row = sqlx::query("SELECT fingerprint_sha256, problem FROM fingerprints WHERE submission_id = ?")
            .bind(id.to_string())
            .fetch_optional(self.pool())
            .await?;
        let Some(row) = row else { return Ok(None) };
        Ok(Some(match row.get::<Option<&str>, _>("fingerprint_sha256") {
            Some(sha256) => Ok(parse("digest", sha256)?),
            None => Err(row.get::<Option<String>, _>("problem").unwrap_or_default()),
        }))
    }

    /// What submissions of different owners are to each other in a competition, without the evidence: later, earlier.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn between_owners(&self, competition: &CompetitionId) -> Result<Vec<(Relation, Side, Side)>, DbError> {
        let query = "SELECT p.relation, p.later, l.arrival AS later_arrival, l.hotkey AS later_hotkey, p.earlier,
                     e.arrival AS earlier_arrival, e.hotkey AS earlier_hotkey FROM copy_pairs p
                     JOIN submissions l ON l.id = p.later JOIN submissions e ON e.id = p.earlier
                     WHERE p.competition_id = ? AND l.hotkey <> e.hotkey";
        let rows = sqlx::query(query).bind(competition.as_ref()).fetch_all(self.pool()).await?;
        let side = |row: &SqliteRow, [id, arrival, hotkey]: [&str; 3]| {
            Ok::<_, DbError>(Side {
                submission: parse("submission id", row.get(id))?,
                arrival: uint(row.get(arrival)),
                hotkey: parse("hotkey", row.get(hotkey))?,
            })
        };
        let of = |row: &SqliteRow| {
            let later = side(row, ["later", "later_arrival", "later_hotkey"])?;
            let earlier = side(row, ["earlier", "earlier_arrival", "earlier_hotkey"])?;
            Ok((from_json("relation", row.get("relation"))?, later, earlier))
        };
        rows.iter().map(of).collect()
    }

    /// The pairs that a submission is part of, in order of arrival of the other one.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn pairs_of(&self, id: &SubmissionId) -> Result<Vec<RankedPair>, DbError> {
        let sql = format!("{PAIRS} WHERE p.later = ?1 OR p.earlier = ?1 ORDER BY e.arrival, l.arrival");
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(id.to_string()).fetch_all(self.pool()).await?;
        rows.iter().map(ranked_pair).collect()
    }
}

const PAIRS: &str = "SELECT p.*, l.arrival AS later_arrival, e.arrival AS earlier_arrival, l.hotkey AS later_hotkey,
     e.hotkey AS earlier_hotkey FROM copy_pairs p JOIN submissions l ON l.id = p.later
     JOIN submissions e ON e.id = p.earlier";

fn print(row: &SqliteRow) -> Result<Fingerprinted, DbError> {
    let sha256 = row.get::<Option<&str>, _>("fingerprint_sha256");
    Ok(Fingerprinted {
        submission: parse("submission id", row.get("submission_id"))?,
        arrival: uint(row.get("arrival")),
        fingerprint_sha256: sha256.map(|sha256| parse("digest", sha256)).transpose()?,
    })
}

fn ranked_pair(row: &SqliteRow) -> Result<RankedPair, DbError> {
    Ok(RankedPair {
        pair: Pair {
            later: parse("submission id", row.get("later"))?,
            earlier: parse("submission id", row.get("earlier"))?,
            relation: from_json("relation", row.get("relation"))?,
            evidence: from_json("evidence", row.get("evidence"))?,
        },
        arrivals: (uint(row.get("later_arrival")), uint(row.get("earlier_arrival"))),
        hotkeys: (parse("hotkey", row.get("later_hotkey"))?, parse("hotkey", row.get("earlier_hotkey"))?),
    })
}
