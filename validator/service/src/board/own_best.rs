//! Each entry beside the best that its owner had entered before: progress, or one more try?
//!
//! It hides nothing (the head of [`super`] says why) and ranks nothing.

use protocol::api::OwnBest;
use protocol::significance::Replicates;
use protocol::standing::{Step, step};
use protocol::{Hotkey, SubmissionId};
use std::collections::HashMap;
use store::db::evaluations::ScoredSubmission;

/// Walks through `entries` in order of arrival. The first of an owner has nothing to be compared with.
pub(super) fn of<'a>(
    entries: impl IntoIterator<Item = (&'a ScoredSubmission, &'a Replicates)>,
) -> HashMap<&'a SubmissionId, OwnBest> {
    let mut best: HashMap<Hotkey, (&SubmissionId, &Replicates)> = HashMap::new();
    let mut compared = HashMap::new();
    for (submission, replicates) in entries {
        let before = best.get(&submission.hotkey).copied();
        let moves = matches!(step(before.map(|(_, best)| best), replicates), Step::Moves { .. });
        if let Some((earlier, gain)) = before.and_then(|(id, best)| Some((id, replicates.minus(best)?))) {
            let own_best = OwnBest {
                submission: earlier.clone(),
                gain_ppm: gain.estimate.value_ppm,
                standard_error_ppm: gain.standard_error_ppm,
                clearly_better: moves,
            };
            compared.insert(&submission.id, own_best);
        }
        if moves {
            best.insert(submission.hotkey, (&submission.id, replicates));
        }
    }
    compared
}
