//! Intake: a miner announces a package, sends its files, and says when they are complete.
//!
//! 1. [`announce()`]: the announcement is checked against the rules, the quota is drawn on, upload URLs are given;
//! 2. [`upload()`]: bytes are received, hashed and stored under their digest;
//! 3. [`complete()`]: all files are there, so the admission check is due;
//! 4. [`check()`]: the very function that miners run admits or rejects.
//!
//! [`whole()`] does the same for a package that comes in one request. [`withdraw()`] ends what waits.
//! It does not know how models are evaluated.

mod admittance;
mod announce;
mod check;
mod complete;
mod quota;
mod repeat;
mod upload;
mod whole;
mod withdraw;

pub(crate) use announce::announce;
pub(crate) use check::{check, count_failed_check};
pub(crate) use complete::complete;
pub(crate) use quota::check_open;
pub(crate) use repeat::Repeatable;
pub(crate) use upload::{space_for, upload};
pub(crate) use whole::{has_room, whole};
pub(crate) use withdraw::withdraw;

use crate::app::App;
use crate::error::ApiError;
use protocol::{CompetitionId, SubmissionId};

/// The name of an uploaded file in the store until its digest is verified.
fn incoming_name(id: &SubmissionId, path: &str) -> String {
    format!("{id}/{path}")
}

/// The competition, or the problem that there is none.
pub(crate) async fn known_competition(
    app: &App,
    id: &CompetitionId,
) -> Result<crate::db::competitions::StoredCompetition, ApiError> {
    app.db.competition(id).await?.ok_or_else(|| unknown_competition(id))
}

/// The problem that no competition has this name.
pub(crate) fn unknown_competition(id: &(impl std::fmt::Display + ?Sized)) -> ApiError {
    let hint = "GET /api/v1/competitions lists the ones that there are.";
    ApiError::new(http::StatusCode::NOT_FOUND, "unknown_competition", format!("no competition is called {id}"), hint)
}
