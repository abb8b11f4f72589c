//! Ends a measurement that nobody wants any more: an operator took its submission out, or a reaper took the attempt away.
//!
//! Any process of this validator may have done so, hence the database is asked. It does not know what is measured.

use protocol::SubmissionId;
use std::time::Duration;
use store::db::Db;
use store::db::submissions::Submission;

/// How often it is asked, so that the machine is given back within a second.
const LOOK: Duration = Duration::from_millis(200);

/// What `measuring` comes to; `None`, and `measuring` is dropped, as soon as its submission isn't `wanted`.
pub async fn while_wanted<T>(
    db: &Db,
    id: &SubmissionId,
    wanted: impl Fn(&Submission) -> bool,
    measuring: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        measured = measuring => Some(measured),
        () = until_unwanted(db, id, wanted) => None,
    }
}

async fn until_unwanted(db: &Db, id: &SubmissionId, wanted: impl Fn(&Submission) -> bool) {
    loop {
        match db.submission(id).await {
            Ok(found) if found.as_ref().is_none_or(|submission| !wanted(submission)) => return,
            // A database that says nothing has taken nothing away.
            Ok(_) | Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
