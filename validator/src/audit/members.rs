//! Who took part: every commitment of the log before the close, held against the record; and what each rests on.

use super::history::Past;
use super::{Case, Findings, Stop};
use protocol::dethrone::Rule;
use protocol::latency::{self, LatencyVerdict};
use protocol::leaf::{Commitment, Purpose};
use protocol::outcomes::Outcomes;
use protocol::round::EntryRole;
use protocol::score::{Score, score};
use protocol::{Digest, Receipt, Report, SignedReceipt, SubmissionId};
use referee::RecordedMember;
use std::collections::BTreeMap;

/// A submission's own measurement, on public items.
pub(super) struct Own {
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
pub(super) fn check(
    case: &Case<'_>,
    stated: &super::Stated,
    past: &Past,
    findings: &mut Findings<'_>,
) -> Result<Field, Stop> {
    let closed_at: Option<u64> = super::Stated::field(stated.closed.as_ref(), "closed_at");
    if closed_at.is_some_and(|closed_at| closed_at != past.record.closed_at) {
        return Err(("members", "the record has another time of the close than the log".into()));
    }
    let mut problems = Vec::new();
    for (submission, (_, commitment)) in entered(case) {
        let member = past.record.members.iter().find(|member| member.submission == *submission);
        problems.extend(belongs(case, past, commitment, member).err());
    }
    for member in &past.record.members {
        if entered(case).all(|(submission, _)| *submission != member.submission) {
            problems.push(format!("{} is a member, and the log has no commitment of it", member.submission));
        }
    }
    let members = past.record.members.len();
    findings.all(
        "members",
        &problems,
        format!("{members} of {} that were announced before the close", in_time(case, past)),
    );
    owners(case, past, findings);
    Ok(read(case, past, findings))
}

fn entered<'a>(case: &'a Case<'_>) -> impl Iterator<Item = (&'a SubmissionId, &'a (u64, Commitment))> {
    case.log.commitments.iter().filter(|(_, (_, commitment))| commitment.competition == *case.id())
}

fn in_time(case: &Case<'_>, past: &Past) -> usize {
    entered(case).filter(|(_, (_, commitment))| commitment.announced_at < past.record.closed_at).count()
}

/// Whether a submission is a member exactly if it should be one, and the one that was committed to.
fn belongs(
    case: &Case<'_>,
    past: &Past,
    commitment: &Commitment,
    member: Option<&RecordedMember>,
) -> Result<(), String> {
    let id = &commitment.submission;
    let Some(member) = member else { return left_out(case, past, commitment) };
    if commitment.announced_at >= past.record.closed_at {
        return Err(format!("{id} was announced after the close"));
    }
    if (member.hotkey, member.arrival) != (commitment.hotkey, commitment.arrival) {
        return Err(format!("{id} has another owner or place of arrival than its commitment"));
    }
    if out_for_good(past, id) {
        return Err(format!("{id} was put out for good by an earlier round"));
    }
    let receipt = case.log.receipts.get(id).ok_or_else(|| format!("{id} is a member without a receipt"))?;
    if receipt.0 > past.judged_at {
        return Err(format!("{id} was judged before the log had its receipt"));
    }
    Ok(())
}

/// Whether the log says why a submission that was announced in time is no member.
fn left_out(case: &Case<'_>, past: &Past, commitment: &Commitment) -> Result<(), String> {
    let (id, log) = (&commitment.submission, case.log);
    let ended = log.ends.get(id).is_some_and(|ends| ends.iter().any(|index| *index < past.judged_at));
    let out = log.disqualified.get(id).is_some_and(|index| *index < past.judged_at);
    let stated = log.left_out.contains(&(past.record.round, id.clone()));
    let late = commitment.announced_at >= past.record.closed_at;
    match late || ended || out || stated || out_for_good(past, id) {
        true => Ok(()),
        false => Err(format!("{id} was announced in time, and is no member; the log doesn't say why")),
    }
}

/// Whether an earlier round put it out: below the hidden gate beyond doubt, by screening.
fn out_for_good(past: &Past, id: &SubmissionId) -> bool {
    let entries = past.earlier.values().flat_map(|record| &record.members);
    let mut verdicts = entries.filter(|it| it.submission == *id && it.role == EntryRole::Screened);
    verdicts.any(|it| it.verdict.is_some_and(|verdict| verdict.rule == Rule::BelowHiddenGate))
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
    if signed.receipt.subject.round.is_some() || signed.receipt.subject.data_root != competition.public_images.sha256 {
        return Err("its receipt is not about the public items".into());
    }
    let score = score(&report, competition.teacher.ceiling(), &competition.manifest.score);
    Ok(Own { report, outcomes, score })
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
    let outcomes = Outcomes::from_bytes(&case.object(&subject.outcomes_sha256)?).map_err(|error| text(&error))?;
    match consistent(&report, &outcomes) {
        true => Ok((report, outcomes)),
        false => Err("its report and its answers item by item don't agree".into()),
    }
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
