//! Measuring: the champion and its challengers in full on the same items, each once, the champion first; and once the engine has
//! changed, whoever waits and was never timed on the new one.
//!
//! They are asked, and the round goes on when all have an answer. A package that fails has failed: its own fault stays its own. A
//! failure of ours, and a measurement that the host spoiled, is tried again as a submission's is (`jobs`); after too many the
//! submission counts as not measured, or as measured so, which never crowns anybody.

use super::{Advanced, RoundError, Turn, field};
use protocol::round::{EntryRole, Step};
use store::db::rounds::RoundEntry;
use store::db::work::Stage;

/// Has whoever isn't measured yet measured, and goes on once nobody is left.
pub(super) async fn measure(turn: &Turn<'_>) -> Result<Advanced, RoundError> {
    if let Some(waits) = turn.waits().await? {
        return Ok(waits);
    }
    let entries = turn.app.db.round_entries(&turn.round.competition, turn.round.number).await?;
    let untimed = field::untimed(turn, &entries).await?;
    let is_due = |entry: &RoundEntry| {
        let takes_part = entry.role != EntryRole::Screened || untimed.contains(&entry.submission);
        takes_part && entry.result.is_none() && entry.failure.is_none()
    };
    let due: Vec<_> = entries.into_iter().filter(is_due).map(|entry| entry.submission).collect();
    if !due.is_empty() {
        return turn.ask_members(due.into_iter(), Stage::Decision).await;
    }
    turn.app.asked.forget(&turn.round.competition).await;
    turn.moved(Step::Measured, &turn.round.record).await
}
