//! What everybody may see of two submissions side by side, and of one beside the entries 0 of its competition.

use super::{CopyError, compare, entries, found_copies, kin};
use crate::app::App;
use crate::materials;
use ::copies::{Evidence, Relation, Thresholds, relation};
use protocol::nulls::Nulls;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use store::db::DbError;
use store::db::copies::{EntryPair, EntryZero, RankedPair};
use store::db::submissions::Submission;
use utoipa::ToSchema;

/// `GET /api/v1/copies/{a}/{b}`: the evidence between two submissions of a competition, or of two with the same inputs
/// and labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Copies)]
pub struct PairView {
    /// The competition of the later one.
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

/// `GET /api/v1/submissions/{id}/entries`: what a submission is to the teacher, the reference and the known packages of
/// its competition, as far as it isn't independent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Entries)]
pub struct EntriesView {
    /// The submission.
    pub submission: SubmissionId,
    /// One for each entry 0 that it isn't independent of.
    pub entries: Vec<EntryView>,
}

/// One entry 0 beside a submission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EntryView {
    /// `teacher`, `reference`, or `known-1` for the first package that the manifest lists.
    pub entry: String,
    /// What the rules make of it.
    pub relation: Relation,
    /// Whether the submission counts as the entry.
    pub has_consequences: bool,
    /// What they have in common.
    pub evidence: Evidence,
}

/// Two submissions that can be compared, the earlier one first.
struct Both {
    earlier: Submission,
    later: Submission,
    /// Whether the later one counts as somebody else's.
    later_counts_as_another: bool,
}

impl Both {
    async fn find(app: &App, a: &SubmissionId, b: &SubmissionId) -> Result<Option<Self>, DbError> {
        let (Some(a), Some(b)) = (app.db.submission(a).await?, app.db.submission(b).await?) else { return Ok(None) };
        if a.id == b.id || !kin::of(&app.db, &a.competition).await?.contains(&b.competition) {
            return Ok(None);
        }
        let (earlier, later) = if a.arrival < b.arrival { (a, b) } else { (b, a) };
        let later_counts_as_another = found_copies(&app.db, &later.competition).await?.contains_key(&later.id);
        Ok(Some(Self { earlier, later, later_counts_as_another }))
    }

    /// With the relation that was found when they were compared.
    fn view(self, evidence: Evidence, relation: Relation, nulls: Option<&Nulls>) -> Option<PairView> {
        let Self { earlier, later, later_counts_as_another } = self;
        let families = [earlier.architecture.as_ref()?.kind(), later.architecture.as_ref()?.kind()];
        let thresholds = Thresholds::between(nulls, families[0], families[1]);
        Some(PairView {
            has_consequences: matches!(relation, Relation::Copy(_))
                && earlier.hotkey != later.hotkey
                && later_counts_as_another,
            hotkeys: [earlier.hotkey, later.hotkey],
            families: families.map(str::to_owned),
            competition: later.competition,
            earlier: earlier.id,
            later: later.id,
            relation,
            thresholds,
            evidence,
        })
    }
}

/// Two submissions side by side: stored evidence where there is some, otherwise compared now, one pair at a time.
/// Nothing unless both are of one kind of competition and have fingerprints.
///
/// # Errors
/// [`CopyError::Busy`] while another pair is compared; when the database or the object store fails.
pub async fn pair(app: &App, a: &SubmissionId, b: &SubmissionId) -> Result<Option<PairView>, CopyError> {
    let Some(both) = Both::find(app, a, b).await? else { return Ok(None) };
    let stored = relations(app, a).await?.into_iter().map(|ranked| ranked.pair);
    if let Some(pair) = stored.into_iter().find(|pair| pair.later == both.later.id && pair.earlier == both.earlier.id) {
        let nulls = kin::nulls(&app.db, &both.later.competition).await?;
        return Ok(both.view(pair.evidence, pair.relation, nulls.as_ref()));
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
    let compared = move || (::copies::compare(&first, &second), first, second);
    let (evidence, first, second) = turn.run(compared).await?;
    let nulls = kin::nulls(&app.db, &both.later.competition).await?;
    let mut relation = relation(&evidence, &Thresholds::between(nulls.as_ref(), first.family(), second.family()));
    if matches!(relation, Relation::Copy(_)) {
        let competitions = [&both.earlier.competition, &both.later.competition];
        relation = entries::explained(app, competitions, relation, [&first, &second]).await?;
    }
    Ok(both.view(evidence, relation, nulls.as_ref()))
}

/// The pairs that a submission is part of and that are not independent.
///
/// # Errors
/// When the database fails.
pub async fn relations(app: &App, id: &SubmissionId) -> Result<Vec<RankedPair>, DbError> {
    app.db.pairs_of(id).await
}

/// What a submission is to its competition's entries 0, as it was found after its evaluation.
///
/// # Errors
/// When the database fails.
pub async fn entries_of(app: &App, id: &SubmissionId) -> Result<EntriesView, DbError> {
    let pairs = app.db.entry_pairs_of(id).await?.into_iter();
    let view = |EntryPair { entry, relation, evidence, .. }| EntryView {
        entry: EntryZero::to_string(&entry),
        relation,
        has_consequences: matches!((entry, relation), (EntryZero::Teacher | EntryZero::Reference, Relation::Copy(_))),
        evidence,
    };
    Ok(EntriesView { submission: id.clone(), entries: pairs.map(view).collect() })
}
