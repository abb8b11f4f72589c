//! The record of a judged round, which the leaf `judged` binds the validator to: see [`referee::record`].
//!
//! It writes down and decides nothing.

use super::{RoundError, Turn, field};
use crate::copies::Original;
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::digest::canonical_json;
use protocol::{Hotkey, SubmissionId};
use referee::record::RECORD_FORMAT;
use referee::{Contestant, RecordedItems, RecordedMember, RoundRecord};
use std::collections::BTreeSet;
use store::db::rounds::{Record, RoundEntry};

/// Everybody who was in time, before there is a judgement.
pub(super) async fn members(turn: &Turn<'_>, contestants: &[Contestant]) -> Result<Vec<RecordedMember>, RoundError> {
    let owners = field::owners(turn.app).await?;
    let copies = turn.copies().await?;
    let mut members = Vec::new();
    for entry in turn.app.db.round_entries(&turn.round.competition, turn.round.number).await? {
        let contestant = contestants.iter().find(|it| it.submission == entry.submission);
        let hotkey = match contestant {
            Some(contestant) => contestant.hotkey,
            // Disqualified since the draw, or an entry 0 in disguise.
            None => turn.needed("submission", turn.app.db.submission(&entry.submission).await?)?.hotkey,
        };
        let owner = contestant.map(|it| it.owner).or_else(|| owners.get(&hotkey).copied()).unwrap_or(hotkey);
        let counts_as = copies.get(&entry.submission).cloned();
        members.push(member(entry, (hotkey, owner), counts_as));
    }
    Ok(members)
}

fn member(entry: RoundEntry, (hotkey, owner): (Hotkey, Hotkey), counts_as: Option<Original>) -> RecordedMember {
    let is_entry = match &counts_as {
        Some(Original::Entry(entry)) => Some(entry.to_string()),
        _ => None,
    };
    RecordedMember {
        submission: entry.submission,
        hotkey,
        owner,
        arrival: entry.arrival,
        role: entry.role,
        screening: entry.screening,
        receipt: entry.result.map(|result| result.receipt_object),
        failure: entry.failure,
        verdict: entry.verdict,
        copy_of: counts_as.and_then(Original::submission),
        is_entry,
    }
}

/// Stores the record of a round whose judgement is in `record`.
pub(super) async fn stored(
    turn: &Turn<'_>,
    record: &Record,
    (mut members, verdicts): (Vec<RecordedMember>, &[(SubmissionId, Verdict)]),
    not_registered: BTreeSet<Hotkey>,
) -> Result<ObjectRef, RoundError> {
    for member in &mut members {
        let verdict = verdicts.iter().find(|(submission, _)| *submission == member.submission);
        member.verdict = verdict.map(|(_, verdict)| *verdict).or(member.verdict);
    }
    let drawn = turn.needed("items", record.drawn.as_ref())?;
    let settled = turn.needed("settlement", record.settled.as_ref())?;
    let stated = RoundRecord {
        format: RECORD_FORMAT.to_owned(),
        competition: turn.round.competition.clone(),
        round: turn.round.number,
        closed_at: turn.closed_at(),
        items: RecordedItems {
            images: drawn.items,
            teacher_logits: drawn.teacher_logits,
            reference_outcomes: drawn.reference_outcomes,
            fixed: drawn.fixed,
            seed: drawn.seed,
            cut: drawn.cut,
            known_ceiling: drawn.known_ceiling,
            fresh_ceiling: drawn.fresh_ceiling,
        },
        champion_before: record.champion_before.clone(),
        reign_began: turn.round.record.crowned_in + 1,
        champion_age_seconds: record.champion_age_seconds,
        shared_by: record.shared_by,
        members,
        champion: record.champion.clone(),
        crowned_at: record.crowned_at,
        crowned_in: record.crowned_in,
        margin_ppm: settled.standing.margin_ppm,
        stands: settled.stands.clone(),
        not_registered: not_registered.into_iter().collect(),
        past: settled.past.clone(),
        weights: record.weights.clone(),
    };
    Ok(turn.app.objects.put(canonical_json(&stated)?.into()).await?)
}
