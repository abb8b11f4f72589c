//! Who was screened, decided, crowned and placed: `referee`'s functions on what the log binds, held against the record.

use super::draw::Drawn;
use super::history::Past;
use super::members::Field;
use super::retimed::{Retimed, measured_in_full, waits};
use super::{Case, Findings, Stop};
use datasets::{Labelled, Logits, arg_max};
use protocol::SubmissionId;
use protocol::dethrone::{Rule, Verdict};
use protocol::outcomes::Outcomes;
use protocol::reward::Reason;
use protocol::round::EntryRole;
use referee::evidence::POOLED_ROUNDS_MAX;
use referee::screening::{Candidate, Selection, finalists, select};
use referee::{Contestant, Evidence, Judgement, RecordedMember, Referee, RoundRecord, Sheet, Stage};
use std::collections::{BTreeMap, BTreeSet};

/// How far the round is when its members are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Everybody answered the first items.
    First,
    /// Finalists answered more.
    Second,
    /// All is measured.
    Judged,
}

/// What answers there are.
struct Answers {
    /// Of every submission in the rounds that evidence is pooled from, but for the audited one.
    earlier: BTreeMap<SubmissionId, BTreeMap<u64, Sheet>>,
    /// Of the screened ones in this round.
    screening: BTreeMap<SubmissionId, Sheet>,
    /// What members were timed by in earlier rounds of this round's engine.
    retimed: Retimed,
    reference: Evidence,
    referee: Referee,
}

/// Does it all again, and says why everybody earns what they earn, where that can be told.
pub(super) fn check(
    case: &Case<'_>,
    past: &Past,
    drawn: &Drawn,
    field: &Field,
    findings: &mut Findings<'_>,
) -> Result<Option<Vec<Reason>>, Stop> {
    seat(case, past, findings);
    let answers = Answers::read(case, past, drawn).map_err(|problem| ("answers", problem))?;
    screening(case, past, field, &answers, findings);
    Ok(judged(case, past, field, &answers, findings))
}

/// Who sat before, since when, and how old that reign was at the close.
fn seat(case: &Case<'_>, past: &Past, findings: &mut Findings<'_>) {
    let (record, before) = (&past.record, past.before());
    let sits = before.and_then(|before| before.champion.clone());
    let left = sits.as_ref().is_some_and(|champion| past.disqualified(case).contains(champion));
    let expected = sits.filter(|_| !left || record.champion_before.is_some());
    let began = before.filter(|_| expected.is_some()).map_or((0, 0), |before| (before.crowned_at, before.crowned_in));
    let mut problems = Vec::new();
    if record.champion_before != expected {
        problems.push(format!("{} held the seat before it, not {}", who(&expected), who(&record.champion_before)));
    } else if (record.reign_began, record.champion_age_seconds)
        != (began.1 + 1, record.closed_at.saturating_sub(began.0))
    {
        problems.push("the champion's reign is of another length than earlier rounds say".into());
    }
    findings.all("seat", &problems, format!("{} held it before, as the round before says", who(&expected)));
}

fn screening(case: &Case<'_>, past: &Past, field: &Field, answers: &Answers, findings: &mut Findings<'_>) {
    let (record, rules) = (&past.record, &case.competition.manifest.rounds);
    let mut problems = Vec::new();
    for member in &record.members {
        problems.extend(asked(record, field, member).err());
    }
    let owner = record.champion_before.as_ref().and_then(|champion| of(record, champion)).map(|it| it.owner);
    let (first, _) = answers.candidates(case, past, field, Phase::First);
    let best: BTreeSet<SubmissionId> = finalists(first, rules, owner.as_ref()).into_iter().collect();
    let (second, out) = answers.candidates(case, past, field, Phase::Second);
    let eligible = second.len();
    let selection = select(second, rules, owner.as_ref());
    problems.extend(
        record.members.iter().filter_map(|member| answers.retimed.as_it_had_to_be(case, past, field, member).err()),
    );
    for member in record.members.iter().filter(|member| member.screening.is_some()) {
        problems.extend(prefix(record, member, best.contains(&member.submission)).err());
    }
    problems.extend(selected(record, &selection, &out));
    let detail = format!(
        "{eligible} above the gate, {} answered more, {} decided, the level shared by {}",
        best.len(),
        selection.decided.len(),
        selection.shared_by
    );
    findings.all("screening", &problems, detail);
}

/// Whether a member was asked for answers exactly if public results let it.
fn asked(record: &RoundRecord, field: &Field, member: &RecordedMember) -> Result<(), String> {
    let Some(own) = field.own.get(&member.submission) else { return Ok(()) };
    let (id, rule) = (&member.submission, member.verdict.map(|verdict| verdict.rule));
    if Some(id) == record.champion_before.as_ref() {
        let sits = member.role == EntryRole::Champion;
        return if sits { Ok(()) } else { Err(format!("{id} holds the seat, and wasn't measured as its holder")) };
    }
    let is_copy = member.copy_of.is_some() || member.is_entry.is_some();
    match (own.left_out(is_copy), member.role) {
        (_, EntryRole::Champion) => Err(format!("{id} was measured as champion, and isn't")),
        (Some(expected), EntryRole::Screened) if rule == Some(expected) => Ok(()),
        // Found out between the draw and the judgement.
        (Some(Rule::NearCopy), _) => Ok(()),
        (Some(expected), _) => Err(format!("{id} should be left out: {}", expected.sentence())),
        (None, EntryRole::Screened) if was_left_out(member) => {
            Err(format!("{id} was left out as {}, which its own receipt doesn't say", rule.map_or("", Rule::code)))
        }
        (None, _) if member.screening.is_none() && member.failure.is_none() && record.items.cut.first > 0 => {
            Err(format!("{id} was asked nothing"))
        }
        (None, _) => Ok(()),
    }
}

/// Whether as many items were answered as its place demands.
fn prefix(record: &RoundRecord, member: &RecordedMember, is_finalist: bool) -> Result<(), String> {
    let cut = record.items.cut;
    // The champion is asked, too: whoever says the same is its copy.
    let expected = if is_finalist { cut.second } else { cut.first };
    let found = member.screening.map_or(0, |screening| screening.items);
    match found == expected || (member.failure.is_some() && found == cut.first) {
        true => Ok(()),
        false => Err(format!("{} answered {found} items to be screened, not {expected}", member.submission)),
    }
}

fn selected(record: &RoundRecord, selection: &Selection<SubmissionId>, out: &[SubmissionId]) -> Vec<String> {
    let mut problems = Vec::new();
    if record.shared_by != selection.shared_by {
        problems.push(format!("the level is shared by {}, not by {}", selection.shared_by, record.shared_by));
    }
    for member in &record.members {
        let (id, is_decided) = (&member.submission, member.role == EntryRole::Challenger);
        let rule = member.verdict.map(|verdict| verdict.rule);
        if selection.decided.contains(id) != is_decided {
            let wrong = if is_decided { "was decided and has no place" } else { "has a place and was passed over" };
            problems.push(format!("{id} {wrong}"));
        }
        if selection.waiting.contains(id) && rule != Some(Rule::Screened) {
            problems.push(format!("{id} waits, and the record says otherwise"));
        }
        let put_out = member.role == EntryRole::Screened && rule == Some(Rule::BelowHiddenGate);
        if out.contains(id) != put_out {
            let wrong = if put_out { "was put out for good and isn't below the gate" } else { "is below the gate" };
            problems.push(format!("{id} {wrong}"));
        }
    }
    problems
}

fn judged(
    case: &Case<'_>,
    past: &Past,
    field: &Field,
    answers: &Answers,
    findings: &mut Findings<'_>,
) -> Option<Vec<Reason>> {
    let record = &past.record;
    let contestants = answers.contestants(case, past, field, Phase::Judged);
    let history = answers.referee.retimed(past.payments(case), &contestants, case.official().since);
    let before = record.champion_before.as_ref();
    let judgement = answers.referee.judge(&contestants, record.shared_by, before, &answers.reference, &history);
    let Judgement { decision, champion, stands, standing } = judgement;
    let mut problems = Vec::new();
    for member in record.members.iter().filter(|member| member.role == EntryRole::Challenger) {
        let here: Option<Verdict> =
            decision.verdicts.iter().find(|(id, _)| *id == member.submission).map(|(_, verdict)| *verdict);
        if here != member.verdict {
            problems.push(format!("{} has another verdict here", member.submission));
        }
    }
    let crowned = match (&decision.successor, past.before()) {
        (Some(_), _) => (record.closed_at, record.round),
        (None, Some(earlier)) if before.is_some() => (earlier.crowned_at, earlier.crowned_in),
        (None, _) => (0, 0),
    };
    if champion != record.champion {
        problems.push(format!("the seat goes to {}, not to {}", who(&champion), who(&record.champion)));
    } else if crowned != (record.crowned_at, record.crowned_in) {
        problems.push("the seat was taken at another time".into());
    }
    let (decided, seat) = (decision.verdicts.len(), who(&champion));
    findings.all("judgement", &problems, format!("{decided} verdicts are the same, and the seat is {seat}'s"));
    let mut problems = Vec::new();
    if standing.margin_ppm != record.margin_ppm {
        problems.push(format!("the margin is {:?} ppm, not {:?}", standing.margin_ppm, record.margin_ppm));
    }
    if stands != record.stands {
        problems.push("somebody's place by fresh items is another".into());
    }
    let same = match stands.len() {
        1 => "1 place by fresh items is the same".to_owned(),
        places => format!("{places} places by fresh items are the same"),
    };
    findings.all("standings", &problems, same);
    super::payment::settled(case, past, (standing, champion), &history, findings)
}

impl Answers {
    fn read(case: &Case<'_>, past: &Past, drawn: &Drawn) -> Result<Self, String> {
        let record = &past.record;
        let mut items = BTreeMap::from([(record.round, fresh(&drawn.all.labels, &drawn.logits, record))]);
        let size_bytes = outcomes(case, &record.items.reference_outcomes.sha256)?.values().size_bytes;
        // The reference is as fast as itself.
        let mut reference = Evidence { size_bytes, log_ratio_nanos: vec![0], ..Evidence::default() };
        reference.sheets.insert(record.round, reference_sheet(case, record)?);
        let mut earlier: BTreeMap<SubmissionId, BTreeMap<u64, Sheet>> = BTreeMap::new();
        for (round, before) in past.earlier.iter().rev().take(POOLED_ROUNDS_MAX - 1) {
            let text = |error: datasets::FormatError| error.to_string();
            let labels = labels(case, before)?;
            let logits = Logits::from_bytes(&case.object(&before.items.teacher_logits.sha256)?).map_err(text)?;
            items.insert(*round, fresh(&labels, &logits, before));
            reference.sheets.insert(*round, reference_sheet(case, before)?);
            for member in &before.members {
                if let Some(sheet) = sheet_of(case, member)? {
                    earlier.entry(member.submission.clone()).or_default().insert(*round, sheet);
                }
            }
        }
        let screened = record.members.iter().filter_map(|it| Some((it.submission.clone(), it.screening?)));
        let screening = screened.map(|(id, screened)| Ok((id, sheet(case, &screened.outcomes.sha256)?)));
        let screening = screening.collect::<Result<_, String>>()?;
        let manifest = &case.competition.manifest;
        let referee = Referee::new(
            (manifest.score.clone(), manifest.dethrone),
            (record.round, record.items.seed),
            (record.reign_began, record.champion_age_seconds),
            items,
        );
        Ok(Self { earlier, screening, retimed: Retimed::read(case, past)?, reference, referee })
    }

    /// Who may be decided, and who is below the gate beyond doubt.
    fn candidates(
        &self,
        case: &Case<'_>,
        past: &Past,
        field: &Field,
        phase: Phase,
    ) -> (Vec<Candidate<SubmissionId>>, Vec<SubmissionId>) {
        let (mut candidates, mut out) = (Vec::new(), Vec::new());
        let cut = past.record.items.cut;
        for contestant in self.contestants(case, past, field, phase) {
            let member = of(&past.record, &contestant.submission);
            let asked = member.is_some_and(|it| it.screening.is_some() && it.role != EntryRole::Champion);
            // Who failed while it was screened has no further say.
            let failed = member.is_some_and(|it| it.role == EntryRole::Screened && it.failure.is_some() && !waits(it));
            let told = phase == Phase::Second && failed;
            let left_out = member.is_some_and(was_left_out) || contestant.copy_of.is_some();
            if (cut.first > 0 && !asked) || told || left_out || contestant.role == EntryRole::Champion {
                continue;
            }
            let Some(screened) = self.referee.merit(&contestant.evidence, Stage::Screening) else { continue };
            if self.referee.merit(&contestant.evidence, Stage::All).is_some_and(|all| all.out_of_reach) {
                out.push(contestant.submission);
            } else if screened.above_gate {
                let (waited_rounds, decided_before) = waited(past, &contestant.submission);
                candidates.push(Candidate {
                    owner: contestant.owner,
                    arrival: contestant.arrival,
                    composite_ppm: screened.composite_ppm,
                    waited_rounds,
                    decided_before,
                    key: contestant.submission,
                });
            }
        }
        (candidates, out)
    }

    /// Everybody with what fresh items said of them by then.
    fn contestants(&self, case: &Case<'_>, past: &Past, field: &Field, phase: Phase) -> Vec<Contestant> {
        let out = past.disqualified(case);
        // The teacher and the reference take part as themselves.
        let living = past.record.members.iter().filter(|it| it.is_entry.is_none() && !out.contains(&it.submission));
        living.filter_map(|member| self.contestant(case, past, (field, member), phase)).collect()
    }

    fn contestant(
        &self,
        case: &Case<'_>,
        past: &Past,
        (field, member): (&Field, &RecordedMember),
        phase: Phase,
    ) -> Option<Contestant> {
        let (id, own) = (&member.submission, field.own.get(&member.submission)?);
        let decided = field.decided.get(id).filter(|_| phase == Phase::Judged);
        let mut sheets = self.earlier.get(id).cloned().unwrap_or_default();
        let screened = self.screening.get(id).map(|sheet| match phase {
            Phase::First => first(sheet, past.record.items.cut.first as usize),
            Phase::Second | Phase::Judged => sheet.clone(),
        });
        if let Some(sheet) = decided.map(|decided| Sheet::of(&decided.outcomes)).or(screened) {
            sheets.insert(past.record.round, sheet);
        }
        let timed = match decided {
            Some(decided) => Some(&decided.outcomes),
            None => self.retimed.before(case, own, id),
        };
        let size_bytes = timed.unwrap_or(&own.outcomes).values().size_bytes;
        let log_ratio_nanos = timed.map(|timed| timed.values().log_ratio_nanos.clone()).unwrap_or_default();
        let evidence = Evidence { sheets, log_ratio_nanos, size_bytes };
        let evidence = if phase == Phase::Judged { evidence } else { evidence.to_screen() };
        Some(Contestant {
            submission: id.clone(),
            hotkey: member.hotkey,
            owner: member.owner,
            arrival: member.arrival,
            role: member.role,
            evidence,
            latency: decided.map(|decided| decided.report.latency.clone()),
            above_public_gate: own.score.gate,
            copy_of: member.copy_of.clone(),
        })
    }
}

/// Whether it was asked nothing, by the record.
fn was_left_out(member: &RecordedMember) -> bool {
    let rule = member.verdict.map(|verdict| verdict.rule);
    member.role == EntryRole::Screened && matches!(rule, Some(Rule::BelowGate | Rule::NearCopy | Rule::LatencyBreach))
}

/// In how many rounds it was screened and had to wait, and whether one decided it.
fn waited(past: &Past, id: &SubmissionId) -> (u32, bool) {
    let entries: Vec<&RecordedMember> = past.earlier.values().filter_map(|record| of(record, id)).collect();
    let waits = |member: &&&RecordedMember| {
        member.role == EntryRole::Screened && member.verdict.is_some_and(|verdict| verdict.rule == Rule::Screened)
    };
    let decided = entries.iter().any(|member| member.role != EntryRole::Screened);
    (entries.iter().filter(waits).count() as u32, decided)
}

fn of<'a>(record: &'a RoundRecord, id: &SubmissionId) -> Option<&'a RecordedMember> {
    record.members.iter().find(|member| member.submission == *id)
}

/// The labels of an earlier round's items; nobody needs their pixels.
fn labels(case: &Case<'_>, before: &RoundRecord) -> Result<Vec<u16>, String> {
    let manifest = &case.competition.manifest;
    let file = case.file(&before.items.images.sha256)?;
    let items = Labelled::open(file, manifest.input.shape(), manifest.labels.len());
    items.map(|items| items.labels).map_err(|error| error.to_string())
}

fn fresh(labels: &[u16], logits: &Logits, record: &RoundRecord) -> referee::Drawn {
    let rows = logits.values.chunks_exact(logits.classes.max(1) as usize).zip(labels);
    let right = rows.skip(record.items.fixed as usize).map(|(row, label)| arg_max(row) == usize::from(*label));
    referee::Drawn { cut: record.items.cut, teacher_right: right.collect() }
}

fn reference_sheet(case: &Case<'_>, record: &RoundRecord) -> Result<Sheet, String> {
    Ok(sheet(case, &record.items.reference_outcomes.sha256)?.behind(record.items.fixed))
}

/// What a member answered in an earlier round: the most that there is.
fn sheet_of(case: &Case<'_>, member: &RecordedMember) -> Result<Option<Sheet>, String> {
    if let Some(outcomes) = measured_in_full(case, member)? {
        return Ok(Some(Sheet::of(&outcomes)));
    }
    member.screening.map(|screened| sheet(case, &screened.outcomes.sha256)).transpose()
}

fn sheet(case: &Case<'_>, sha256: &protocol::Digest) -> Result<Sheet, String> {
    Ok(Sheet::of(&outcomes(case, sha256)?))
}

fn outcomes(case: &Case<'_>, sha256: &protocol::Digest) -> Result<Outcomes, String> {
    Outcomes::from_bytes(&case.object(sha256)?).map_err(|error| error.to_string())
}

fn first(sheet: &Sheet, count: usize) -> Sheet {
    let count = count.min(sheet.right.len());
    Sheet {
        right: sheet.right.iter().take(count).copied().collect(),
        js_micronats: sheet.js_micronats.iter().take(count).copied().collect(),
    }
}

/// A champion's name, or that there is none.
pub(super) fn who(champion: &Option<SubmissionId>) -> String {
    champion.as_ref().map_or("nobody".to_owned(), ToString::to_string)
}
