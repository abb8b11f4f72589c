//! Ends a measurement that nobody wants any more: an operator took its submission out, a reaper took the attempt away, or who asked
//! is gone.
//!
//! Any process of this validator may have done so, hence the database is asked. It does not know what is measured.

use std::time::Duration;
use store::db::DbError;

/// How often it is asked, so that the machine is given back within a second.
const LOOK: Duration = Duration::from_millis(200);

/// What `measuring` comes to; `None`, and `measuring` is dropped, as soon as it isn't `wanted`.
pub async fn while_wanted<T, F>(wanted: impl Fn() -> F, measuring: impl Future<Output = T>) -> Option<T>
where
    F: Future<Output = Result<bool, DbError>>,
{
    tokio::select! {
        measured = measuring => Some(measured),
        () = until_unwanted(wanted) => None,
    }
}

async fn until_unwanted<F>(wanted: impl Fn() -> F)
where
    F: Future<Output = Result<bool, DbError>>,
{
    loop {
        match wanted().await {
            Ok(false) => return,
            // A database that says nothing has taken nothing away.
            Ok(true) | Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}
