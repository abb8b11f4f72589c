//! What everybody may see of two submissions side by side.

use super::{CopyError, compare, found_copies};
use crate::app::App;
use crate::db::DbError;
use crate::db::copies::RankedPair;
use crate::db::submissions::Submission;
use crate::materials;
use ::copies::{Evidence, Relation, Thresholds, relation};
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/copies/{a}/{b}`: the evidence between two submissions of a competition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Copies)]
pub struct PairView {
    /// The competition.
    pub competition: CompetitionId,
    /// The one that arrived earlier.
    pub earlier: SubmissionId,
    /// The one that arrived later.
    pub later: SubmissionId,
    /// Owners, earlier one first.
    #[schema(min_items = 2, max_items = 2)]
    pub hotkeys: [Hotkey; 2],
    /// Families, earlier one first.
    #[schema(min_items = 2, max_items = 2)]
    pub families: [String; 2],
    /// What the rules make of it.
    pub relation: Relation,
    /// Whether the later one counts as somebody else's work: a copy of another owner's, and not of its own by way of that.
    pub has_consequences: bool,
    /// From where on a signal counts, for these families.
    pub thresholds: Thresholds,
    /// What they have in common.
    pub evidence: Evidence,
}

/// Two submissions of one competition, the earlier one first.
struct Both {
    earlier: Submission,
    later: Submission,
    /// Whether the later one counts as somebody else's.
    later_counts_as_another: bool,
}

impl Both {
    async fn find(app: &App, a: &SubmissionId, b: &SubmissionId) -> Result<Option<Self>, DbError> {
        let (Some(a), Some(b)) = (app.db.submission(a).await?, app.db.submission(b).await?) else { return Ok(None) };
        if a.competition != b.competition || a.id == b.id {
            return Ok(None);
        }
        let (earlier, later) = if a.arrival < b.arrival { (a, b) } else { (b, a) };
        let later_counts_as_another = found_copies(&app.db, &later.competition).await?.contains_key(&later.id);
        Ok(Some(Self { earlier, later, later_counts_as_another }))
    }

    fn view(self, evidence: Evidence) -> Option<PairView> {
        let Self { earlier, later, later_counts_as_another } = self;
        let families = [earlier.architecture.as_ref()?.kind(), later.architecture.as_ref()?.kind()];
        let thresholds = Thresholds::between(families[0], families[1]);
        let relation = relation(&evidence, &thresholds);
        Some(PairView {
            has_consequences: matches!(relation, Relation::Copy(_))
                && earlier.hotkey != later.hotkey
                && later_counts_as_another,
            hotkeys: [earlier.hotkey, later.hotkey],
            families: families.map(str::to_owned),
            competition: earlier.competition,
            earlier: earlier.id,
            later: later.id,
            relation,
            thresholds,
            evidence,
        })
    }
}

/// Two submissions side by side: stored evidence where there is some, otherwise compared now, one pair at a time.
/// Nothing unless both are of one competition and have fingerprints.
///
/// # Errors
/// [`CopyError::Busy`] while another pair is compared; when the database or the object store fails.
pub async fn pair(app: &App, a: &SubmissionId, b: &SubmissionId) -> Result<Option<PairView>, CopyError> {
    let Some(both) = Both::find(app, a, b).await? else { return Ok(None) };
    let stored = relations(app, a).await?.into_iter().map(|ranked| ranked.pair);
    if let Some(pair) = stored.into_iter().find(|pair| pair.later == both.later.id && pair.earlier == both.earlier.id) {
        return Ok(both.view(pair.evidence));
    }
    compared_anew(app, both).await
}

/// The evidence from the stored fingerprints, computed again: what an appeal rests on.
///
/// # Errors
/// As [`pair`].
pub async fn pair_anew(app: &App, a: &SubmissionId, b: &SubmissionId) -> Result<Option<PairView>, CopyError> {
    match Both::find(app, a, b).await? {
        Some(both) => compared_anew(app, both).await,
        None => Ok(None),
    }
}

async fn compared_anew(app: &App, both: Both) -> Result<Option<PairView>, CopyError> {
    // Wide models take seconds, and strangers may ask for any pair: one of them waits at most.
    let _place = app.compare_places.try_acquire().map_err(|_| CopyError::Busy)?;
    let turn = materials::turn(app, &both.later.id).await?;
    let first = compare::stored(app, &both.earlier.id).await?;
    let (Some(first), Some(second)) = (first, compare::stored(app, &both.later.id).await?) else { return Ok(None) };
    let evidence = turn.run(move || ::copies::compare(&first, &second)).await?;
    Ok(both.view(evidence))
}

/// The pairs that a submission is part of and that are not independent.
///
/// # Errors
/// When the database fails.
pub async fn relations(app: &App, id: &SubmissionId) -> Result<Vec<RankedPair>, DbError> {
    app.db.pairs_of(id).await
}
