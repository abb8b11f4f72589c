//! Copies by what models say of a round's fresh items.
//!
//! Probes are drawn far from real images: a unit that fires on nothing else breaks them, and leaves the function that is
//! ranked. On fresh items it is silent. Either decides. The caller has the logits; this module does NOT know rounds.

use super::{CopyError, compare, entries, kin};
use crate::app::App;
use crate::materials;
use ::copies::{Evidence, Fingerprint, Relation, Thresholds, Tier, compare_outputs, relation, same_on_items};
use protocol::competition::TeacherDistance;
use protocol::nulls::Nulls;
use protocol::{CompetitionId, SubmissionId};
use std::collections::HashMap;
use std::sync::Arc;
use store::db::copies::{self as rows, EntryPair, EntryZero, Pair};
use store::db::submissions::Submission;

/// What a submission said of a round's fresh items, in the order of the draw: logits `[items * classes]` of the first
/// so many. Those of the shortest are compared.
#[derive(Clone, Debug)]
pub struct FreshAnswers {
    /// Who.
    pub submission: SubmissionId,
    /// What.
    pub logits: Vec<f32>,
}

/// Compares what submissions of one competition said of the same fresh items, beside their teacher, and writes down whose
/// errors are the same: a copy from then on, with that evidence. Gives how many pairs there are. To be called before a
/// round is judged; called again with the same it changes nothing.
///
/// # Errors
/// When the teacher's answers can't be used, or the database or the object store fails.
pub async fn on_fresh_items(
    app: &App,
    competition: &CompetitionId,
    answers: Vec<FreshAnswers>,
    teacher: Vec<f32>,
    classes: u32,
) -> Result<usize, CopyError> {
    let Some(first) = answers.first() else { return Ok(0) };
    of_answers(app, competition, &answers, &teacher, classes).await?;
    let nulls = kin::nulls(&app.db, competition).await?;
    let threshold = Thresholds::of_outputs(nulls.as_ref()).fresh_function_ppm;
    let turn = materials::turn(app, &first.submission).await?;
    let answers = Arc::new(answers);
    let compared = Arc::clone(&answers);
    let same = turn.run(move || {
        let students: Vec<&[f32]> = compared.iter().map(|answers| answers.logits.as_slice()).collect();
        same_on_items(&students, &teacher, classes, threshold)
    });
    let same = same.await??;
    drop(turn);
    let mut found = Vec::new();
    let mut known: HashMap<SubmissionId, Submission> = HashMap::new();
    for (a, b, fresh_ppm) in same {
        let [a, b] = [a, b].map(|index| &answers[index].submission);
        for id in [a, b] {
            if let Some(submission) = app.db.submission(id).await? {
                known.insert(id.clone(), submission);
            }
        }
        let (Some(a), Some(b)) = (known.get(a), known.get(b)) else { continue };
        let (earlier, later) = if a.arrival < b.arrival { (a, b) } else { (b, a) };
        found.extend(pair(app, [earlier, later], fresh_ppm, nulls.as_ref()).await?);
    }
    let mut tx = app.db.write().await?;
    for pair in &found {
        rows::put_pair(&mut tx, pair).await?;
    }
    store::failpoints::commit(tx, store::failpoints::Change::Comparison).await?;
    known.values().for_each(|submission| app.board.changed(&submission.competition));
    Ok(found.len())
}

/// Who says what a teacher says that is known by its answers only. Where limits keep the distance from it that its publisher
/// states, nobody is compared with it.
async fn of_answers(
    app: &App,
    competition: &CompetitionId,
    answers: &[FreshAnswers],
    teacher: &[f32],
    classes: u32,
) -> Result<(), CopyError> {
    let Some(stored) = app.db.competition(competition).await? else { return Ok(()) };
    let manifest = &stored.competition.manifest;
    if manifest.teacher.answers().is_none() || manifest.teacher_distance != TeacherDistance::None {
        return Ok(());
    }
    let threshold = Thresholds::of_outputs(manifest.nulls.as_ref()).entry_fresh_unexplained_ppm;
    let unexplained = |logits: &[f32]| {
        let said = teacher.get(..logits.len())?;
        compare_outputs(logits, said, said, classes).ok()?.unexplained_ppm.filter(|ppm| *ppm < threshold)
    };
    let mut tx = app.db.write().await?;
    for FreshAnswers { submission, logits } in answers {
        let Some(ppm) = unexplained(logits) else { continue };
        let (relation, evidence) = (Relation::Copy(Tier::Outputs), Evidence::of_outputs(ppm));
        let pair = EntryPair { submission: submission.clone(), entry: EntryZero::Teacher, relation, evidence };
        rows::put_entry_pair(&mut tx, competition, &pair).await?;
    }
    store::failpoints::commit(tx, store::failpoints::Change::Comparison).await?;
    Ok(())
}

/// The pair with all of its evidence; nothing unless both have fingerprints.
async fn pair(
    app: &App,
    [earlier, later]: [&Submission; 2],
    fresh_ppm: i32,
    nulls: Option<&Nulls>,
) -> Result<Option<Pair>, CopyError> {
    let turn = materials::turn(app, &later.id).await?;
    let (first, second) = (compare::stored(app, &earlier.id).await?, compare::stored(app, &later.id).await?);
    let (Some(first), Some(second)) = (first, second) else { return Ok(None) };
    let both = turn.run(move || {
        let mut evidence = ::copies::compare(&first, &second);
        evidence.fresh_residual_correlation_ppm = Some(fresh_ppm);
        (evidence, first, second)
    });
    let (evidence, first, second): (_, Fingerprint, Fingerprint) = both.await?;
    let mut relation = relation(&evidence, &Thresholds::between(nulls, first.family(), second.family()));
    if matches!(relation, Relation::Copy(_)) {
        let competitions = [&earlier.competition, &later.competition];
        relation = entries::explained(app, competitions, relation, [&first, &second]).await?;
    }
    Ok(Some(Pair { later: later.id.clone(), earlier: earlier.id.clone(), relation, evidence }))
}
