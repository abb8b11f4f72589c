//! What pages and API show of a round, held against the log and what it binds.

use super::draw::Drawn;
use super::history::Past;
use super::members::{Decided, Field};
use super::statements::Stated;
use super::{Case, Findings};
use datasets::hidden::{RoundEntryView, RoundView};
use protocol::Digest;
use protocol::competition::ObjectRef;
use protocol::digest::canonical_json;
use protocol::reward::Reason;
use protocol::round::{EntryRole, Step};
use referee::{RecordedMember, RoundRecord};
use std::collections::BTreeMap;

/// All of it.
pub(super) fn check(
    case: &Case<'_>,
    (stated, past): (&Stated, &Past),
    (drawn, field): (&Drawn, &Field),
    why: Option<&[Reason]>,
    findings: &mut Findings<'_>,
) {
    let (shown, record) = (case.shown, &past.record);
    let mut problems = Vec::new();
    let decided = judged(shown, record, why).into_iter();
    for (what, holds) in logged(case, stated, record, drawn).into_iter().chain(decided) {
        if !holds {
            problems.push(format!("{what} shown is not the record's"));
        }
    }
    let members: BTreeMap<_, _> = record.members.iter().map(|member| (&member.submission, member)).collect();
    if members.len() != shown.entries.len() {
        problems.push(format!("{} entries are shown, the record has {}", shown.entries.len(), members.len()));
    }
    for entry in &shown.entries {
        let member = members.get(&entry.submission);
        let same = member.is_some_and(|member| same(entry, member) && figures(case, record, field, entry, member));
        if !same {
            problems.push(format!("{} is shown otherwise than the record has it", entry.submission));
        }
    }
    findings.all("shown", &problems, format!("{} entries are shown as the record has them", shown.entries.len()));
}

/// What the log's leaves say themselves.
fn logged(case: &Case<'_>, stated: &Stated, record: &RoundRecord, drawn: &Drawn) -> Vec<(&'static str, bool)> {
    let shown = case.shown;
    let opened_at = Stated::field(stated.opened.as_ref(), "opened_at");
    vec![
        ("the number", (&shown.competition, shown.round) == (case.id(), case.round)),
        ("the version of the rules", shown.rules == stated.rules()),
        ("the step", (shown.step, &shown.wait, &shown.abandoned) == (Step::Revealed, &None, &None)),
        ("when it opened", Some(shown.opened_at) == opened_at),
        ("when it closed", shown.closes_at == Some(record.closed_at)),
        ("the beacon", shown.beacon == stated.value()),
        ("what beacon it was bound to", shown.beacon_rule.as_ref() == Some(&drawn.beacon)),
        ("the number of the payment", shown.epoch == Stated::field(stated.reward.as_ref(), "epoch")),
        ("the record", shown.record == Stated::field(stated.judged.as_ref(), "record")),
        ("the opening", shown.reveal == Stated::field(stated.revealed.as_ref(), "reveal")),
        ("what was drawn", items(shown, record, drawn)),
    ]
}

fn judged(shown: &RoundView, record: &RoundRecord, why: Option<&[Reason]>) -> Vec<(&'static str, bool)> {
    vec![
        ("the champion", shown.champion == record.champion),
        ("the champion before", shown.champion_before == record.champion_before),
        ("the weights", shown.weights == record.weights),
        ("why everybody earns that", why.is_none_or(|why| shown.why == why)),
        ("the number that shared the level", shown.shared_by == record.shared_by),
        ("the champion's age", shown.champion_age_seconds == record.champion_age_seconds),
        ("the time of the crown", (shown.crowned_at, shown.crowned_in) == (record.crowned_at, record.crowned_in)),
    ]
}

fn items(shown: &RoundView, record: &RoundRecord, drawn: &Drawn) -> bool {
    let recorded = &record.items;
    shown.drawn.as_ref().is_some_and(|it| {
        (it.items, it.teacher_logits, it.reference_outcomes)
            == (recorded.images, recorded.teacher_logits, recorded.reference_outcomes)
            && (it.fixed, it.seed, it.cut, it.fixed_seed)
                == (recorded.fixed, recorded.seed, recorded.cut, drawn.fixed_seed)
            && (it.known_ceiling, it.fresh_ceiling) == (recorded.known_ceiling, recorded.fresh_ceiling)
    })
}

fn same(entry: &RoundEntryView, member: &RecordedMember) -> bool {
    (entry.role, entry.arrival, entry.verdict, &entry.failure, entry.screening, entry.receipt)
        == (member.role, member.arrival, member.verdict, &member.failure, member.screening, member.receipt)
}

/// Whether an entry shows what its receipt binds. One whose receipt can't be read is named elsewhere.
fn figures(
    case: &Case<'_>,
    record: &RoundRecord,
    field: &Field,
    entry: &RoundEntryView,
    member: &RecordedMember,
) -> bool {
    let decided = field.decided.get(&member.submission);
    if decided.is_none() && member.receipt.is_some() {
        return true;
    }
    let fresh_items = match member.role {
        EntryRole::Screened => member.screening.map(|screened| screened.items),
        EntryRole::Champion | EntryRole::Challenger => decided.map(|_| record.items.cut.all),
    };
    let [clean, changed] = decided.map_or([None, None], |decided| decided.counts(case).map(Some));
    let report = decided.map(|decided| object(&canonical_json(&decided.report).unwrap_or_default()));
    let outcomes = decided.map(|decided| object(&decided.outcomes.to_bytes()));
    (entry.clean, entry.changed, entry.fresh_items) == (clean, changed, fresh_items)
        && entry.latency_ratio == decided.map(|decided| decided.report.latency.ratio)
        && (entry.report, entry.outcomes) == (report, outcomes)
}

fn object(bytes: &[u8]) -> ObjectRef {
    ObjectRef { sha256: Digest::of(bytes), size_bytes: bytes.len() as u64 }
}

impl Decided {
    /// Right answers and items: public ones, and those of the round.
    pub(super) fn counts(&self, case: &Case<'_>) -> [[u32; 2]; 2] {
        let right = &self.outcomes.values().right;
        let public = (case.competition.manifest.data.public_items as usize).min(right.len());
        let (clean, changed) = right.split_at(public);
        [clean, changed].map(|part| [part.iter().filter(|right| **right).count() as u32, part.len() as u32])
    }
}
