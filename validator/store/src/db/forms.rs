//! What became of a model in other forms: a row a form, written once. It does not know how one is made.

use super::{Db, DbError, Tx, from_json, int, to_json};
use protocol::SubmissionId;
use protocol::api::{FormView, ModelForm};

/// A form, or why there is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormRow {
    /// Whose model.
    pub submission: SubmissionId,
    /// Which form.
    pub form: ModelForm,
    /// What was measured of it, or why there is none.
    pub made: Result<FormView, String>,
    /// When, in Unix seconds.
    pub at: u64,
}

/// Writes one down, unless it is there.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Tx, row: &FormRow) -> Result<(), DbError> {
    sqlx::query(
        "INSERT INTO forms (submission_id, form, made, problem, made_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    )
    .bind(row.submission.to_string())
    .bind(to_json(&row.form))
    .bind(row.made.as_ref().ok().map(to_json))
    .bind(row.made.as_ref().err())
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
        let query = "SELECT form, made, problem, made_at FROM forms WHERE submission_id = $1 ORDER BY made_at, form";
        let rows: Vec<(String, Option<String>, Option<String>, i64)> =
            sqlx::query_as(query).bind(submission.to_string()).fetch_all(self.pool()).await?;
        rows.into_iter()
            .map(|(form, made, problem, at)| {
                let made = match made {
                    Some(made) => Ok(from_json::<FormView>("form", &made)?),
                    None => Err(problem.unwrap_or_default()),
                };
                let form = from_json("form", &form)?;
                Ok(FormRow { submission: submission.clone(), form, made, at: super::uint(at) })
            })
            .collect()
    }
}
