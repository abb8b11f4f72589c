//! The field of a round: its living members with everything that fresh items say of them, read from rows and objects.
//!
//! What is made of it is `referee`'s, which takes it as values. It decides nothing.

use super::{RoundError, Turn, draw};
use crate::app::App;
use crate::copies::Original;
use chain::Registration;
use datasets::hidden::Drawn;
use datasets::{Logits, arg_max};
use protocol::dethrone::Rule;
use protocol::outcomes::Outcomes;
use protocol::round::EntryRole;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use referee::evidence::POOLED_ROUNDS_MAX;
use referee::{Contestant, Evidence, Sheet};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use store::db::evaluations::ScoredSubmission;
use store::db::rounds::{Round, RoundEntry};

/// Members and what they are judged on.
pub(super) struct Field {
    /// The champion and everybody who was screened, in order of arrival.
    pub(super) contestants: Vec<Contestant>,
    /// The reference student's answers.
    pub(super) reference: Evidence,
    /// The fresh items of the latest rounds, this one among them.
    pub(super) drawn: BTreeMap<u64, referee::Drawn>,
}

/// Reads it.
pub(super) async fn of(turn: &Turn<'_>) -> Result<Field, RoundError> {
    let (app, competition) = (turn.app, &turn.round.competition);
    let mut latest: Vec<Round> = app.db.rounds(competition).await?;
    latest.retain(|round| round.number <= turn.round.number && round.record.drawn.is_some());
    latest.truncate(POOLED_ROUNDS_MAX);
    let mut sheets: HashMap<SubmissionId, BTreeMap<u64, Sheet>> = HashMap::new();
    let (mut drawn, mut reference) = (BTreeMap::new(), Evidence::default());
    for round in &latest {
        let items = turn.needed("items", round.record.drawn.as_ref())?;
        drawn.insert(round.number, fresh(turn, items).await?);
        let outcomes = Outcomes::from_bytes(&app.objects.get(&items.reference_outcomes.sha256).await?)?;
        reference.size_bytes = outcomes.values().size_bytes;
        reference.sheets.insert(round.number, Sheet::of(&outcomes).behind(items.fixed));
        for entry in app.db.round_entries(competition, round.number).await? {
            if let Some(sheet) = sheet(app, &entry).await? {
                sheets.entry(entry.submission).or_default().insert(round.number, sheet);
            }
        }
    }
    // The reference is as fast as itself.
    reference.log_ratio_nanos = vec![0];
    let contestants = contestants(turn, sheets).await?;
    Ok(Field { contestants, reference, drawn })
}

/// A round's fresh items, as `referee` sees them.
async fn fresh(turn: &Turn<'_>, drawn: &Drawn) -> Result<referee::Drawn, RoundError> {
    let labels = draw::stored_items(turn, &drawn.items).await?.labels;
    let logits = Logits::from_bytes(&turn.app.objects.get(&drawn.teacher_logits.sha256).await?)?;
    let rows = logits.values.chunks_exact(logits.classes.max(1) as usize).zip(&labels);
    let right = rows.skip(drawn.fixed as usize).map(|(row, label)| arg_max(row) == usize::from(*label));
    Ok(referee::Drawn { cut: drawn.cut, teacher_right: right.collect() })
}

/// The answers of a member to the first fresh items of a round, the most that there are.
async fn sheet(app: &App, entry: &RoundEntry) -> Result<Option<Sheet>, RoundError> {
    let measured = entry.result.as_ref().map(|result| result.outcomes_object.sha256);
    let Some(object) = measured.or(entry.screening.map(|screened| screened.outcomes.sha256)) else { return Ok(None) };
    Ok(Some(Sheet::of(&Outcomes::from_bytes(&app.objects.get(&object).await?)?)))
}

async fn contestants(
    turn: &Turn<'_>,
    mut sheets: HashMap<SubmissionId, BTreeMap<u64, Sheet>>,
) -> Result<Vec<Contestant>, RoundError> {
    let app = turn.app;
    let owners = owners(app).await?;
    let mut copies = turn.copies().await?;
    let scored: HashMap<SubmissionId, _> =
        app.db.scored(&turn.round.competition).await?.into_iter().map(|scored| (scored.id.clone(), scored)).collect();
    let mut contestants = Vec::new();
    for entry in app.db.round_entries(&turn.round.competition, turn.round.number).await? {
        // Who was disqualified since the draw is no member any more.
        let Some(scored) = scored.get(&entry.submission) else { continue };
        let copy_of = match copies.remove(&entry.submission) {
            // The teacher and the reference take part as themselves.
            Some(Original::Entry(_)) => continue,
            original => original.and_then(Original::submission),
        };
        let (log_ratio_nanos, size_bytes) = timed(turn, &entry, scored).await?;
        let sheets = sheets.remove(&entry.submission).unwrap_or_default();
        contestants.push(Contestant {
            hotkey: scored.hotkey,
            owner: owners.get(&scored.hotkey).copied().unwrap_or(scored.hotkey),
            arrival: entry.arrival,
            role: entry.role,
            evidence: Evidence { sheets, log_ratio_nanos, size_bytes },
            latency: entry.result.map(|result| result.report.latency),
            above_public_gate: scored.score.gate,
            copy_of,
            submission: entry.submission,
        });
    }
    Ok(contestants)
}

/// The launches of the latest full measurement on the round's engine, none of who was never timed on it, and the scored size.
async fn timed(turn: &Turn<'_>, entry: &RoundEntry, own: &ScoredSubmission) -> Result<(Vec<i64>, u64), RoundError> {
    let found = timed_in(turn, entry, own).await?;
    let outcomes = turn.app.objects.get(&found.unwrap_or(own.outcomes_sha256)).await?;
    let outcomes = Outcomes::from_bytes(&outcomes)?;
    let launches = if found.is_some() { outcomes.values().log_ratio_nanos.clone() } else { Vec::new() };
    Ok((launches, outcomes.values().size_bytes))
}

/// The outcomes of that measurement: this round's, that of the submission itself, or the latest of a round on this engine.
async fn timed_in(turn: &Turn<'_>, entry: &RoundEntry, own: &ScoredSubmission) -> Result<Option<Digest>, RoundError> {
    let engine = turn.engine();
    if let Some(result) = &entry.result {
        return Ok(Some(result.outcomes_object.sha256));
    }
    if engine.timed(&own.report.engine) {
        return Ok(Some(own.outcomes_sha256));
    }
    let rounds = engine.since..turn.round.number;
    let earlier = turn.app.db.entries_of(&entry.submission).await?;
    let earlier = earlier.range(rounds).rev().find_map(|(_, entry)| entry.result.as_ref());
    Ok(earlier.map(|result| result.outcomes_object.sha256))
}

/// Whoever takes part, was not chosen, and was never timed on the round's engine: nobody is compared by two clocks, so it is
/// measured all the same.
pub(super) async fn untimed(turn: &Turn<'_>, entries: &[RoundEntry]) -> Result<Vec<SubmissionId>, RoundError> {
    if turn.engine().since == 0 {
        return Ok(Vec::new());
    }
    let scored = turn.app.db.scored(&turn.round.competition).await?;
    let mut untimed = Vec::new();
    for entry in entries.iter().filter(|entry| waits(entry)) {
        let Some(own) = scored.iter().find(|own| own.id == entry.submission) else { continue };
        if timed_in(turn, entry, own).await?.is_none() {
            untimed.push(entry.submission.clone());
        }
    }
    Ok(untimed)
}

/// Whether screening left it waiting.
fn waits(entry: &RoundEntry) -> bool {
    entry.role == EntryRole::Screened && entry.verdict.is_some_and(|verdict| verdict.rule == Rule::Screened)
}

/// Who owns which hotkey, by the ledger.
pub(super) async fn owners(app: &App) -> Result<HashMap<Hotkey, Hotkey>, RoundError> {
    let ledger = Arc::clone(&app.ledger);
    let registrations: Vec<Registration> = tokio::task::spawn_blocking(move || ledger.registrations()).await??;
    Ok(registrations.iter().map(|registration| (registration.hotkey, registration.owner())).collect())
}

/// The owner of a champion's hotkey: nothing that it sends takes a place from anybody.
pub(super) async fn owner_of(
    app: &App,
    competition: &CompetitionId,
    champion: Option<&SubmissionId>,
) -> Result<Option<Hotkey>, RoundError> {
    let Some(champion) = champion else { return Ok(None) };
    let hotkey = app.db.submission(champion).await?.filter(|found| found.competition == *competition);
    let Some(hotkey) = hotkey.map(|found| found.hotkey) else { return Ok(None) };
    Ok(Some(owners(app).await?.get(&hotkey).copied().unwrap_or(hotkey)))
}
