//! What became of a model in other forms: a row a form, written once. It does not know how one is made.

use super::column::Text;
use super::{Db, DbError, Tx, int, to_json};
use protocol::SubmissionId;
use protocol::api::{FormView, ModelForm};
use sqlx::FromRow;

/// A form, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct FormRow {
    /// Whose model.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// Which form.
    #[sqlx(json)]
    pub form: ModelForm,
    /// What was measured of it.
    #[sqlx(json(nullable))]
    pub made: Option<FormView>,
    /// Why there is none.
    pub problem: Option<String>,
    /// When, in Unix seconds.
    #[sqlx(rename = "made_at")]
    pub at: u64,
}

/// Writes one down, unless it is there.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, row: &FormRow) -> Result<(), DbError> {
    let query = "INSERT INTO forms (submission_id, form, made, problem, made_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING";
    sqlx::query(query)
        .bind(row.submission.to_string())
        .bind(to_json(&row.form))
        .bind(row.made.as_ref().map(to_json))
        .bind(&row.problem)
        .bind(int(row.at))
        .execute(&mut **tx)
        .await?;
    Ok(())
}

impl Db {
    /// What became of a model's forms, as far as that is known.
    ///
    /// # Errors
    /// When the database fails, or a row is damaged.
    pub async fn forms(&self, submission: &SubmissionId) -> Result<Vec<FormRow>, DbError> {
        let query = "SELECT * FROM forms WHERE submission_id = $1 ORDER BY made_at, form";
        Ok(sqlx::query_as(query).bind(submission.to_string()).fetch_all(self.pool()).await?)
    }
}
