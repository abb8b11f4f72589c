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

pub use announce::announce;
pub use check::{check, count_failed_check};
pub use complete::complete;
pub use quota::check_open;
pub use repeat::Repeatable;
pub use upload::{space_for, upload};
pub use whole::{has_room, whole};
pub use withdraw::withdraw;

use crate::app::App;
use crate::refusal::{Meaning, Refusal};
use protocol::name::DisplayName;
use protocol::{CompetitionId, SubmissionId};
use store::db::names;

/// The name of an uploaded file in the store until its digest is verified.
fn incoming_name(id: &SubmissionId, path: &str) -> String {
    format!("{id}/{path}")
}

/// Refuses what boards call something else, as a hotkey's name or a model's.
pub fn not_reserved(name: &DisplayName) -> Result<(), Refusal> {
    if !names::is_reserved(name) {
        return Ok(());
    }
    let hint = "Choose one that isn't, and doesn't look like, teacher, reference, champion, challenger, validator, operator or admin.";
    Err(Refusal::conflict("name_reserved", format!("{name} reads like what boards call something else"), hint))
}

/// The competition, or the problem that there is none.
pub async fn known_competition(
    app: &App,
    id: &CompetitionId,
) -> Result<store::db::competitions::StoredCompetition, Refusal> {
    app.db.competition(id).await?.ok_or_else(|| unknown_competition(id))
}

/// The problem that no competition has this name.
pub fn unknown_competition(id: &(impl std::fmt::Display + ?Sized)) -> Refusal {
    let hint = "`retort competitions` lists the ones that there are, as GET /api/v1/competitions does.";
    Refusal::new(Meaning::Missing, "unknown_competition", format!("no competition is called {id}"), hint)
}
