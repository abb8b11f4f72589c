//! The records of a competition's rounds up to the audited one, as the log binds them.

use super::statements::Stated;
use super::{Case, Findings, Stop};
use protocol::SubmissionId;
use protocol::digest::canonical_json;
use protocol::reward::{History, Schedule};
use referee::RoundRecord;
use referee::record::RECORD_FORMAT;
use std::collections::{BTreeMap, BTreeSet};

/// What the audited round and those before it are bound to.
pub(super) struct Past {
    /// The audited round.
    pub(super) record: RoundRecord,
    /// Judged rounds before it.
    pub(super) earlier: BTreeMap<u64, RoundRecord>,
    /// Where its judgement stands in the log.
    pub(super) judged_at: u64,
}

/// Reads them.
pub(super) fn read(case: &Case<'_>, stated: &Stated, findings: &mut Findings<'_>) -> Result<Past, Stop> {
    stated_once(case, findings);
    published(case, findings)?;
    let number = case.round;
    let record = record(case, number, stated).map_err(|problem| ("record", problem))?;
    let mut earlier = BTreeMap::new();
    for (round, stated) in case.log.rounds(case.id()).filter(|(round, _)| *round < number) {
        if stated.judged.is_some() {
            let found = self::record(case, round, stated);
            earlier.insert(round, found.map_err(|problem| ("record", format!("round {round}: {problem}")))?);
        }
    }
    findings.ok("record", format!("bound by the log, as are those of {} earlier rounds", earlier.len()));
    Ok(Past { record, earlier, judged_at: stated.judged_at() })
}

/// Whether the log says everything once, and under its own name.
pub(super) fn stated_once(case: &Case<'_>, findings: &mut Findings<'_>) {
    findings.all("log", &case.log.problems, format!("{} statements, each once", case.log.len()));
}

/// Whether rules, data and models are the published ones.
fn published(case: &Case<'_>, findings: &mut Findings<'_>) -> Result<(), Stop> {
    let check = "competition";
    if case.log.validator != Some(case.validator) {
        return Err(("log", format!("{} keeps another log than this one", case.validator)));
    }
    let sha256 = protocol::Digest::of_json(case.competition).map_err(|error| (check, error.to_string()))?;
    match case.log.competitions.get(case.id()) {
        Some(stated) if stated.competition_sha256 == sha256 => findings.ok(check, format!("sha256:{}", sha256.short())),
        Some(stated) => {
            let logged = stated.competition_sha256.short();
            return Err((check, format!("the log has sha256:{logged}, what is shown is sha256:{}", sha256.short())));
        }
        None => return Err((check, "the log doesn't know it".into())),
    }
    Ok(())
}

fn record(case: &Case<'_>, number: u64, stated: &Stated) -> Result<RoundRecord, String> {
    let sha256 = stated.record().ok_or("a version before this one judged it")?;
    let bytes = case.object(&sha256)?;
    let record: RoundRecord = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
    if record.format != RECORD_FORMAT || canonical_json(&record).map_err(|error| error.to_string())? != bytes {
        return Err("it isn't in the form of this version".into());
    }
    if (&record.competition, record.round) != (case.id(), number) {
        return Err(format!("it is of round {} of {}", record.round, record.competition));
    }
    let seats: [Option<Option<SubmissionId>>; 2] =
        ["champion_before", "champion"].map(|field| Stated::field(stated.judged.as_ref(), field));
    if seats != [&record.champion_before, &record.champion].map(|seat| Some(seat.clone())) {
        return Err("the leaf `judged` names another champion than the record".into());
    }
    Ok(record)
}

impl Past {
    /// The judged round before the audited one.
    pub(super) fn before(&self) -> Option<&RoundRecord> {
        self.earlier.values().next_back()
    }

    /// Who was taken out by hand before the judgement.
    pub(super) fn disqualified(&self, case: &Case<'_>) -> BTreeSet<SubmissionId> {
        let out = case.log.disqualified.iter().filter(|(_, index)| **index < self.judged_at);
        out.map(|(submission, _)| submission.clone()).collect()
    }

    /// What earlier rounds paid for.
    pub(super) fn payments(&self, case: &Case<'_>) -> History {
        let rounds = self.earlier.values().rev().map(|record| record.past.clone()).collect();
        History { rounds }.without(&self.disqualified(case))
    }

    /// The rewards as they were announced.
    pub(super) fn schedule(&self, case: &Case<'_>) -> Result<Schedule, String> {
        let mut schedule = Schedule::new(case.competition.manifest.reward.clone());
        for (index, _, change) in case.log.rewards.iter().filter(|(_, competition, _)| competition == case.id()) {
            let begun = case.log.round(case.id(), change.from_round).and_then(|round| round.opened.as_ref());
            if begun.is_some_and(|(opened, _)| opened < index) {
                return Err(format!("other rewards from round {} on were announced after it began", change.from_round));
            }
            schedule.announce(change.clone(), 0).map_err(|error| error.to_string())?;
        }
        Ok(schedule)
    }
}
