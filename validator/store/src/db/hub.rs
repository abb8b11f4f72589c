//! Revisions of repositories as the Hub protocol shows them: written once, and never changed.
//!
//! It does not know what a revision is made of.

use super::{Db, DbError, Tx, int, to_json};
use protocol::Digest;
use serde::{Deserialize, Serialize};
use sqlx::FromRow;

/// A revision of a repository.
#[derive(Clone, Debug, PartialEq, FromRow)]
pub struct Revision {
    /// The repository's name, `datasets/` in front of one with data.
    pub repository: String,
    /// Whose model or data it is.
    pub subject: String,
    /// 40 hex digits over its files.
    #[sqlx(rename = "commit_id")]
    pub commit: String,
    /// Its files, by path.
    #[sqlx(json)]
    pub files: Vec<RevisionFile>,
    /// The front matter of its card.
    #[sqlx(json)]
    pub card: serde_json::Value,
    /// When what it shows came to be, in Unix seconds.
    pub at: u64,
}

/// A file of a revision; its bytes are a public object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevisionFile {
    /// Where in the repository.
    pub path: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of the bytes.
    pub sha256: Digest,
    /// The id that git gives to the file, or to its pointer if it is a large one: 40 hex digits.
    pub oid: String,
    /// The size of that pointer, if it is a large one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pointer_size: Option<u64>,
}

impl RevisionFile {
    /// Clients keep a file under its tag: large ones under their SHA-256, others under git's id.
    pub fn tag(&self) -> String {
        if self.pointer_size.is_some() { self.sha256.to_string() } else { self.oid.clone() }
    }
}

impl Db {
    /// The revision of `repository` that shows `subject`, if somebody asked for it before.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hub_revision(&self, repository: &str, subject: &str) -> Result<Option<Revision>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM hub_revisions WHERE repository = $1 AND subject = $2")
            .bind(repository)
            .bind(subject)
            .fetch_optional(self.pool())
            .await?)
    }

    /// Whether a revision of one of two repositories, or of any submission's, has a file of this path, and of this digest if one
    /// is given.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hub_serves(&self, of: &[String; 2], path: &str, sha256: Option<&Digest>) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM hub_revisions r, json_each(r.files) f
                     WHERE (r.repository IN ($1, $2) OR r.repository >= 'submissions/' AND r.repository < 'submissions0')
                     AND f.value ->> 'path' = $3 AND ($4 IS NULL OR f.value ->> 'sha256' = $4))";
        let [first, second] = of;
        let digest = sha256.map(Digest::to_string);
        let query = sqlx::query_scalar(query).bind(first).bind(second).bind(path).bind(digest);
        Ok(query.fetch_one(self.pool()).await?)
    }

    /// The revision of `repository` with this commit id.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn hub_commit(&self, repository: &str, commit: &str) -> Result<Option<Revision>, DbError> {
        Ok(sqlx::query_as("SELECT * FROM hub_revisions WHERE repository = $1 AND commit_id = $2")
            .bind(repository)
            .bind(commit)
            .fetch_optional(self.pool())
            .await?)
    }
}

/// Writes a revision, unless there is one of its subject: the first one stays.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, new: &Revision) -> Result<(), DbError> {
    let query =
        "INSERT INTO hub_revisions (repository, subject, commit_id, files, card, at) VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT DO NOTHING";
    sqlx::query(query)
        .bind(&new.repository)
        .bind(&new.subject)
        .bind(&new.commit)
        .bind(to_json(&new.files))
        .bind(to_json(&new.card))
        .bind(int(new.at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}
