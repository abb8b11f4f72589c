//! Who had to be in the field: every commitment of the log, by its place there, held against the record and against what the
//! log says of whoever is no member.
//!
//! A place in the log can't be taken back, while times are the validator's word: where both are known, the place counts. It
//! does NOT look at what was measured.

use super::history::Past;
use super::{Case, Findings, Stated, Stop};
use protocol::SubmissionId;
use protocol::auth::SignedText;
use protocol::dethrone::Rule;
use protocol::leaf::{Commitment, Ended, LeftOut, LeftOutCode};
use protocol::round::EntryRole;
use protocol::submission::{Code, State};
use referee::RecordedMember;

/// The close, and who took part.
pub(super) fn check(case: &Case<'_>, stated: &Stated, past: &Past, findings: &mut Findings<'_>) -> Result<(), Stop> {
    let closed_at: Option<u64> = Stated::field(stated.closed.as_ref(), "closed_at");
    if closed_at.is_some_and(|closed_at| closed_at != past.record.closed_at) {
        return Err(("members", "the record has another time of the close than the log".into()));
    }
    let closed = stated.closed.as_ref().map_or(0, |(index, _)| *index);
    let entered = Entered { case, past, closed };
    entered.closed_as_announced(stated, findings);
    let mut problems = Vec::new();
    for (submission, (index, commitment)) in entered.all() {
        let member = past.record.members.iter().find(|member| member.submission == *submission);
        problems.extend(match member {
            Some(member) => entered.belongs((*index, commitment), member).err(),
            None => entered.left_out(commitment).err(),
        });
    }
    for member in &past.record.members {
        if entered.all().all(|(submission, _)| *submission != member.submission) {
            problems.push(format!("{} is a member, and the log has no commitment of it", member.submission));
        }
    }
    problems.extend(entered.champion_before());
    problems.extend(entered.arrivals());
    let in_time = entered.all().filter(|(_, (_, it))| it.announced_at < past.record.closed_at).count();
    let members = past.record.members.len();
    let unclear = entered.withdrawn_by_word();
    if !unclear.is_empty() {
        findings.unclear("members", unclear.join("; "));
    }
    if unclear.is_empty() || !problems.is_empty() {
        findings.all("members", &problems, format!("{members} of {in_time} that were announced before the close"));
    }
    Ok(())
}

struct Entered<'a> {
    case: &'a Case<'a>,
    past: &'a Past,
    /// Where the close stands in the log.
    closed: u64,
}

impl Entered<'_> {
    fn all(&self) -> impl Iterator<Item = (&SubmissionId, &(u64, Commitment))> {
        self.case.log.commitments.iter().filter(|(_, (_, commitment))| commitment.competition == *self.case.id())
    }

    /// Whether the round closed when its opening said, or by an act that the log has.
    fn closed_as_announced(&self, stated: &Stated, findings: &mut Findings<'_>) {
        let closed_at = self.past.record.closed_at;
        let announced: Option<u64> = Stated::field(stated.opened.as_ref(), "closes_at");
        let round = (self.case.id().clone(), self.past.record.round);
        let by_hand = self.case.log.closed_by_hand.get(&round);
        let closed = when(closed_at);
        if announced == Some(closed_at) {
            findings.ok("close", format!("at {closed}, as its opening announced"));
        } else if by_hand.is_some_and(|(index, at)| *index < self.closed && *at == closed_at) {
            findings.ok("close", format!("at {closed}, by hand, as the log says"));
        } else {
            let announced = announced.map_or("by hand".to_owned(), |announced| format!("at {}", when(announced)));
            let told = format!("it closed at {closed} and was to close {announced}; no act in the log says so");
            findings.bad("close", told);
        }
    }

    /// Whether a member should be one, and is the one that was committed to.
    fn belongs(&self, (index, commitment): (u64, &Commitment), member: &RecordedMember) -> Result<(), String> {
        let (id, past) = (&commitment.submission, self.past);
        if commitment.announced_at >= past.record.closed_at {
            return Err(format!("{id} was announced after the close"));
        }
        if index > self.closed {
            return Err(format!("{id} stands in the log after the close"));
        }
        if (member.hotkey, member.arrival) != (commitment.hotkey, commitment.arrival) {
            return Err(format!("{id} has another owner or place of arrival than its commitment"));
        }
        if self.out_for_good(id) {
            return Err(format!("{id} was put out for good by an earlier round"));
        }
        let receipt = self.case.log.receipts.get(id).ok_or_else(|| format!("{id} is a member without a receipt"))?;
        if receipt.0 > past.judged_at {
            return Err(format!("{id} was judged before the log had its receipt"));
        }
        Ok(())
    }

    /// Whether the log says why a submission that was announced in time is no member, and nothing in it contradicts that.
    fn left_out(&self, commitment: &Commitment) -> Result<(), String> {
        let (id, log, past) = (&commitment.submission, self.case.log, self.past);
        let late = commitment.announced_at >= past.record.closed_at;
        if late || self.out_by_hand(id) || self.out_for_good(id) {
            return Ok(());
        }
        if self.scored_before_the_close(id) {
            return Err(format!("{id} was scored before the close, and is no member"));
        }
        let place = (self.case.id().clone(), past.record.round, id.clone());
        let stated = log.left_out.get(&place).filter(|(index, _)| (self.closed..past.judged_at).contains(index));
        let mut ends = log.ends.get(id).into_iter().flatten().filter(|(index, _)| *index < past.judged_at);
        match (stated, ends.next_back()) {
            (Some((_, leaf)), _) => may_leave_out(leaf),
            (None, Some((index, end))) => self.may_end(*index, end),
            (None, None) => Err(format!("{id} was announced in time, and is no member; the log doesn't say why")),
        }
    }

    /// Whoever was scored by then is in time, however long its files took.
    fn scored_before_the_close(&self, id: &SubmissionId) -> bool {
        let receipt = self.case.log.receipts.get(id);
        receipt.is_some_and(|(index, signed)| {
            *index < self.closed && signed.receipt.issued_at < self.past.record.closed_at
        })
    }

    fn may_end(&self, index: u64, end: &Ended) -> Result<(), String> {
        let id = &end.submission;
        if self.case.log.receipts.get(id).is_some_and(|(scored, _)| *scored < index) {
            return Err(format!("{id} ended after it was scored, and no act in the log says so"));
        }
        if end.state == State::Withdrawn && !end.request.as_ref().is_none_or(|request| self.asked(id, request)) {
            return Err(format!("{id} was withdrawn, and its miner signed something else"));
        }
        match end.code == Code::Disqualified || end.code.blame() != end.blame {
            true => Err(format!("{id} ended as {}, and no act in the log says so", end.code)),
            false => Ok(()),
        }
    }

    /// Whether a submission's miner signed that it takes it back.
    fn asked(&self, id: &SubmissionId, request: &SignedText) -> bool {
        let (method, path) = Ended::withdrawal(id);
        let owner = self.case.log.commitments.get(id).map(|(_, commitment)| commitment.hotkey);
        owner.is_some_and(|owner| request.asks(&owner, &self.case.validator, (method, &path)))
    }

    /// Who is no member because its miner took it back, without anything that the miner signed.
    fn withdrawn_by_word(&self) -> Vec<String> {
        let ends = self.case.log.ends.values().flatten();
        let unsigned = ends.filter(|(index, end)| {
            let commitment = self.case.log.commitments.get(&end.submission);
            let in_time = commitment.is_some_and(|(_, it)| it.announced_at < self.past.record.closed_at);
            end.competition == *self.case.id()
                && (end.state, &end.request) == (State::Withdrawn, &None)
                && in_time
                && *index < self.past.judged_at
        });
        unsigned
            .map(|(_, end)| format!("{} was withdrawn, and nothing shows that its miner did", end.submission))
            .collect()
    }

    fn out_by_hand(&self, id: &SubmissionId) -> bool {
        self.case.log.disqualified.get(id).is_some_and(|index| *index < self.past.judged_at)
    }

    /// Whether an earlier round put it out: below the hidden gate beyond doubt, by screening.
    fn out_for_good(&self, id: &SubmissionId) -> bool {
        let entries = self.past.earlier.values().flat_map(|record| &record.members);
        let mut verdicts = entries.filter(|it| it.submission == *id && it.role == EntryRole::Screened);
        verdicts.any(|it| it.verdict.is_some_and(|verdict| verdict.rule == Rule::BelowHiddenGate))
    }

    /// Whoever holds the seat takes part, or nobody could take it.
    fn champion_before(&self) -> Option<String> {
        let (record, champion) = (&self.past.record, self.past.record.champion_before.as_ref()?);
        let takes_part = record.members.iter().any(|member| member.submission == *champion);
        let told = || format!("{champion} holds the seat, and is no member");
        (!takes_part && !self.out_by_hand(champion)).then(told)
    }

    /// Ties go to the earlier, so the order of arrival has to be that of the log.
    fn arrivals(&self) -> Vec<String> {
        let mut places: Vec<_> = self.all().map(|(id, (index, it))| (*index, it.arrival, id)).collect();
        places.sort_unstable_by_key(|(index, ..)| *index);
        let pairs = places.iter().zip(places.iter().skip(1)).filter(|((_, one, _), (_, other, _))| one >= other);
        pairs
            .map(|((.., one), (.., other))| format!("{other} stands in the log after {one} and arrived before it"))
            .collect()
    }
}

/// The two reasons for which whoever has come to no end is no member.
fn may_leave_out(LeftOut { submission, code, blame, .. }: &LeftOut) -> Result<(), String> {
    let known = matches!(code, LeftOutCode::FilesLate | LeftOutCode::NotMeasured) && code.blame() == *blame;
    if known { Ok(()) } else { Err(format!("{submission} is left out as {}, which leaves nobody out", code.as_str())) }
}

/// A time as operators and logs write it.
fn when(unix_seconds: u64) -> String {
    let time = i64::try_from(unix_seconds).ok().and_then(|at| time::OffsetDateTime::from_unix_timestamp(at).ok());
    let text = time.and_then(|time| time.format(&time::format_description::well_known::Rfc3339).ok());
    text.unwrap_or_else(|| unix_seconds.to_string())
}
