//! Who took part, and what each rests on: owners by the ledger, receipts with what they bind. Who had to take part is
//! `entered`'s.

use super::history::Past;
use super::timed::agree;
use super::{Case, Findings, Stated, Stop, entered};
use protocol::competition::OfficialEngine;
use protocol::dethrone::Rule;
use protocol::latency::{self, LatencyVerdict};
use protocol::leaf::Purpose;
use protocol::outcomes::Outcomes;
use protocol::round::EntryRole;
use protocol::score::{Score, score};
use protocol::{Digest, Receipt, Report, SignedReceipt, SubmissionId};
use referee::RecordedMember;
use std::collections::BTreeMap;

/// A submission's own measurement, on public items.
pub(super) struct Own {
    /// Which measurement of the submission it is.
    pub(super) attempt: u64,
    /// What it had to be made on.
    pub(super) engine: OfficialEngine,
    pub(super) report: Report,
    pub(super) outcomes: Outcomes,
    pub(super) score: Score,
}

/// A measurement in full for the round.
pub(super) struct Decided {
    /// Which measurement of the submission it is.
    pub(super) attempt: u64,
    pub(super) report: Report,
    pub(super) outcomes: Outcomes,
}

/// Everybody who took part, and what they rest on.
pub(super) struct Field {
    /// By submission, of every member.
    pub(super) own: BTreeMap<SubmissionId, Own>,
    /// By submission, of the champion and challengers.
    pub(super) decided: BTreeMap<SubmissionId, Decided>,
}

/// Checks the list of members and reads what each rests on.
pub(super) fn check(case: &Case<'_>, stated: &Stated, past: &Past, findings: &mut Findings<'_>) -> Result<Field, Stop> {
    entered::check(case, stated, past, findings)?;
    owners(case, past, findings);
    Ok(read(case, past, findings))
}

/// Owners as the ledger has them.
fn owners(case: &Case<'_>, past: &Past, findings: &mut Findings<'_>) {
    let Some(ledger) = case.ledger else {
        return findings.unclear("owners", "the ledger isn't served, so nobody can look owners up");
    };
    let owned = |member: &RecordedMember| {
        let mut known = ledger.registrations.iter().filter(|it| it.hotkey == member.hotkey).peekable();
        (known.peek().is_none() && member.owner == member.hotkey) || known.any(|it| it.owner() == member.owner)
    };
    let wrong: Vec<String> = past
        .record
        .members
        .iter()
        .filter(|member| !owned(member))
        .map(|member| format!("{} belongs to another owner by the ledger than {}", member.submission, member.owner))
        .collect();
    findings.all("owners", &wrong, "as the ledger has them");
}

/// What members rest on, as far as it holds.
fn read(case: &Case<'_>, past: &Past, findings: &mut Findings<'_>) -> Field {
    let (mut field, mut problems) = (Field { own: BTreeMap::new(), decided: BTreeMap::new() }, Vec::new());
    for member in &past.record.members {
        let id = &member.submission;
        match own(case, id) {
            Ok(own) => drop(field.own.insert(id.clone(), own)),
            Err(problem) => problems.push(format!("{id}: {problem}")),
        }
        match decided(case, past, member) {
            Ok(Some(decided)) => drop(field.decided.insert(id.clone(), decided)),
            Ok(None) => {}
            Err(problem) => problems.push(format!("{id} in the round: {problem}")),
        }
    }
    let detail = format!("of {} submissions and of {} measurements in the round", field.own.len(), field.decided.len());
    findings.all("receipts", &problems, detail);
    field
}

/// The submission's own receipt, from the log, and what it binds.
pub(super) fn own(case: &Case<'_>, id: &SubmissionId) -> Result<Own, String> {
    let (_, signed) = case.log.receipts.get(id).ok_or("the log has no receipt")?;
    let (report, outcomes) = bound(case, signed, id)?;
    let competition = case.competition;
    if signed.receipt.subject.round.is_some()
        || signed.receipt.subject.data_root != competition.tables.evaluation.sha256
    {
        return Err("its receipt is not about the public items".into());
    }
    let score = score(&report, competition.teacher.ceiling(), &competition.manifest.score);
    let attempt = signed.receipt.subject.attempt;
    let engine = case.log.engine_of(competition, id, attempt);
    Ok(Own { attempt, engine, report, outcomes, score })
}

/// The receipt of a measurement of the round, by the record, and what it binds.
fn decided(case: &Case<'_>, past: &Past, member: &RecordedMember) -> Result<Option<Decided>, String> {
    let Some(object) = member.receipt else {
        let stated = member.role == EntryRole::Screened || member.failure.is_some();
        return if stated { Ok(None) } else { Err("it has neither a receipt nor a failure".into()) };
    };
    let signed = SignedReceipt::parse(&case.object(&object.sha256)?).map_err(|error| error.to_string())?;
    let (report, outcomes) = bound(case, &signed, &member.submission)?;
    if signed.receipt.subject.round != Some(past.record.round) {
        return Err("its receipt is not of this round".into());
    }
    if let Some(found) = &report.on_backend {
        return Err(format!("its answers came from {}, and a round is decided by the official engine", found.backend));
    }
    announced(case, past, &signed, Purpose::Round)?;
    Ok(Some(Decided { attempt: signed.receipt.subject.attempt, report, outcomes }))
}

/// Whether the log had the measurement before it began, with the seed that followed from the round's secret.
fn announced(case: &Case<'_>, past: &Past, signed: &SignedReceipt, purpose: Purpose) -> Result<(), String> {
    let (subject, seed) = (&signed.receipt.subject, signed.receipt.measured.data.seed);
    let attempt = case.log.attempts.get(&(subject.submission.clone(), subject.attempt));
    let (index, attempt) = attempt.ok_or("the log has no attempt of its measurement")?;
    let bound = attempt.seed_sha256 == protocol::attempt::commitment(seed, &subject.submission, subject.attempt);
    let for_this = attempt.purpose == purpose && attempt.round == past.record.round;
    match bound && for_this && *index < past.judged_at {
        true => Ok(()),
        false => Err("its measurement had another seed or purpose than the log announced".into()),
    }
}

/// Report and outcomes of a receipt that the validator signed for the package that was committed to.
fn bound(case: &Case<'_>, signed: &SignedReceipt, id: &SubmissionId) -> Result<(Report, Outcomes), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let sha256 = Digest::of_json(case.competition).map_err(|error| text(&error))?;
    let bytes = signed.to_json().map_err(|error| text(&error))?;
    let receipt = Receipt::verify(&bytes, &[case.validator], (case.id(), sha256)).map_err(|error| text(&error))?;
    let (_, commitment) = case.log.commitments.get(id).ok_or("the log has no commitment")?;
    let (subject, measured) = (&receipt.subject, &receipt.measured);
    let same = (&subject.submission, subject.hotkey, measured.package_sha256)
        == (id, commitment.hotkey, commitment.package_sha256);
    if !same {
        return Err("its receipt is of another package or owner than its commitment".into());
    }
    let report: Report =
        serde_json::from_slice(&case.object(&measured.report_sha256)?).map_err(|error| text(&error))?;
    receipt.covers(&report).map_err(|error| text(&error))?;
    let official = case.log.engine_of(case.competition, id, subject.attempt);
    if !official.measured(&report.engine) {
        return Err(format!("it was measured on {}, and the competition names {official}", report.engine));
    }
    let outcomes = Outcomes::from_bytes(&case.object(&subject.outcomes_sha256)?).map_err(|error| text(&error))?;
    if !consistent(&report, &outcomes) {
        return Err("its report and its answers item by item don't agree".into());
    }
    let samples = report.latency.samples_sha256.ok_or("its report names no raw times")?;
    let timed = case.object(&samples).and_then(|samples| case.engine.timed(&samples));
    agree(&report, &outcomes, &timed.map_err(|problem| format!("its raw times: {problem}"))?)?;
    Ok((report, outcomes))
}

/// Whether a report counts what the outcomes say.
fn consistent(report: &Report, outcomes: &Outcomes) -> bool {
    let values = outcomes.values();
    let right = values.right.iter().filter(|right| **right).count() as u64;
    values.images_sha256 == report.data.images_sha256
        && values.public_items == report.data.public_items
        && values.right.len() as u64 == u64::from(report.data.items)
        && right == u64::from(report.quality.correct)
}

impl Own {
    /// Why a member is asked nothing, if it isn't: by public results and copies alone.
    pub(super) fn left_out(&self, is_copy: bool) -> Option<Rule> {
        let breach = matches!(latency::judge(&self.report.latency), LatencyVerdict::Breach(_));
        match (self.score.gate, is_copy, breach) {
            (false, ..) => Some(Rule::BelowGate),
            (_, true, _) => Some(Rule::NearCopy),
            (.., true) => Some(Rule::LatencyBreach),
            _ => None,
        }
    }
}
