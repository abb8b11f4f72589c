//! Which objects the database names: whatever it doesn't name is left over from something that was never finished.
//!
//! It errs on the side of keeping: any 64 hex digits in a column that may name an object count as a name.

use super::column::Text;
use super::{Db, DbError, int};
use futures::TryStreamExt;
use protocol::Digest;
use std::collections::HashSet;
use std::ops::Range;

/// Columns in which objects are named. The files of submissions that expired or were taken back are not kept.
const NAMED_IN: [&str; 16] = [
    "SELECT competition FROM competitions",
    // The library of another engine.
    "SELECT amendment FROM amendments",
    "SELECT pool_sha256 FROM competitions",
    "SELECT f.sha256 FROM submission_files f JOIN submissions s ON s.id = f.submission_id WHERE s.state NOT IN ('expired', 'withdrawn')
     AND NOT (s.state = 'rejected' AND f.stored = 0)",
    "SELECT sha256 FROM published_files",
    "SELECT report_sha256 || ' ' || logits_sha256 || ' ' || outcomes_sha256 || ' ' || probe_logits_sha256 || ' ' ||
     receipt_sha256 FROM evaluations",
    "SELECT report FROM evaluations",
    "SELECT sha256 FROM public_objects",
    "SELECT teacher_logits_sha256 FROM copy_probes",
    "SELECT fingerprint_sha256 FROM fingerprints WHERE fingerprint_sha256 IS NOT NULL",
    "SELECT fingerprint_sha256 FROM copy_entries",
    "SELECT record FROM rounds",
    "SELECT result FROM round_entries WHERE result IS NOT NULL",
    "SELECT asked FROM work",
    "SELECT answer FROM work WHERE answer IS NOT NULL",
    "SELECT made FROM forms WHERE made IS NOT NULL",
];

/// Columns that hold digests of something else than objects: tables and columns, for the test below and its reader.
#[cfg(test)]
const NOT_OBJECTS: [(&str, &str); 13] = [
    ("api_tokens", "token_sha256"),
    ("competitions", "source_sha256"),
    ("competitions", "sha256"),
    ("enrolments", "token_sha256"),
    ("fingerprints", "canonical_sha256"),
    ("fingerprints", "numbers_sha256"),
    ("fingerprints", "probes_sha256"),
    ("idempotency_keys", "request_sha256"),
    ("invites", "code_sha256"),
    ("models", "package_sha256"),
    ("submissions", "package_sha256"),
    ("unconfirmed", "outputs_sha256"),
    ("upload_tokens", "token_sha256"),
];

/// Those of the above that name the files of packages.
const PACKAGES: Range<usize> = 3..5;
/// The same without what is given up of rejected submissions.
const PACKAGES_KEPT: &str = "SELECT f.sha256 FROM package_files f JOIN submissions s ON s.id = f.submission_id
    WHERE s.state NOT IN ('expired', 'withdrawn') AND NOT EXISTS (SELECT 1 FROM rejected_files r
        WHERE r.submission_id = f.submission_id AND r.rejected_at <= $1)";

impl Db {
    /// All objects that some row would name, were the files given up of submissions that were rejected until `horizon`.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_beside_rejected(&self, horizon: u64) -> Result<HashSet<Digest>, DbError> {
        let mut others = NAMED_IN.to_vec();
        others.drain(PACKAGES);
        let mut named = self.named_in(&others).await?;
        let rows: Vec<String> = sqlx::query_scalar(PACKAGES_KEPT).bind(int(horizon)).fetch_all(self.pool()).await?;
        named.extend(rows.iter().flat_map(|row| digests(row)));
        Ok(named)
    }

    /// All objects that some row names.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn named_objects(&self) -> Result<HashSet<Digest>, DbError> {
        self.named_in(&NAMED_IN).await
    }

    async fn named_in(&self, all: &[&'static str]) -> Result<HashSet<Digest>, DbError> {
        let mut named = HashSet::new();
        for sql in all.iter().copied() {
            let mut rows = sqlx::query_scalar::<_, String>(sql).fetch(self.pool());
            while let Some(row) = rows.try_next().await? {
                named.extend(digests(&row));
            }
        }
        Ok(named)
    }

    /// Objects that must be there: what is public, what was uploaded, what results consist of.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn promised_objects(&self) -> Result<HashSet<Digest>, DbError> {
        let sql = "SELECT sha256 FROM public_objects
                   UNION SELECT f.sha256 FROM submission_files f JOIN submissions s ON s.id = f.submission_id
                         WHERE f.stored = 1 AND s.state NOT IN ('expired', 'withdrawn')
                   UNION SELECT sha256 FROM published_files
                   UNION SELECT report_sha256 FROM evaluations UNION SELECT logits_sha256 FROM evaluations
                   UNION SELECT outcomes_sha256 FROM evaluations UNION SELECT probe_logits_sha256 FROM evaluations
                   UNION SELECT receipt_sha256 FROM evaluations UNION SELECT pool_sha256 FROM competitions
                   UNION SELECT teacher_logits_sha256 FROM copy_probes
                   UNION SELECT fingerprint_sha256 FROM copy_entries
                   UNION SELECT fingerprint_sha256 FROM fingerprints WHERE fingerprint_sha256 IS NOT NULL";
        let rows = sqlx::query_scalar(sql).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|Text(sha256)| sha256).collect())
    }
}

/// The runs of exactly 64 hex digits in a text.
fn digests(text: &str) -> impl Iterator<Item = Digest> + '_ {
    let runs = text.split(|character: char| !character.is_ascii_hexdigit());
    runs.filter(|run| run.len() == 64).filter_map(|run| run.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_any_text() {
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let text = format!("{{\"a\":\"sha256:{one}\",\"b\":[\"{two}\"],\"c\":\"{one}00\"}}");
        assert_eq!(digests(&text).collect::<Vec<_>>(), [one, two]);
    }

    /// A new column that names objects must be swept for, or its objects would be taken for orphans.
    #[tokio::test]
    async fn every_column_that_holds_digests_is_known() {
        let dir = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let db = Db::open(&dir.path().join("db")).await.unwrap_or_else(|error| panic!("{error}"));
        let query = "SELECT m.name AS t, p.name AS c FROM sqlite_master m, pragma_table_info(m.name) p
                     WHERE m.type = 'table' AND p.name LIKE '%sha256%' ORDER BY 1, 2";
        let rows: Vec<(String, String)> =
            sqlx::query_as(query).fetch_all(db.pool()).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(rows.len() > 10, "{}", rows.len());
        for (table, column) in &rows {
            let swept = NAMED_IN.iter().any(|sql| sql.contains(column) && sql.contains(&format!("FROM {table}")));
            let other = NOT_OBJECTS.contains(&(table.as_str(), column.as_str()));
            assert!(swept || other, "does {table}.{column} name objects? Then add it to NAMED_IN");
        }
    }
}
