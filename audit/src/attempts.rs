//! Measurements as the log has them: a result is the last one's that was begun for it, so nobody measures until it pleases,
//! and its seed follows from the secret of the round that was the newest then.
//!
//! Seeds of the audited round's own measurements are held against what was measured (`again`).

use super::history::Past;
use super::members::{Field, Own};
use super::{Case, Findings, draw};
use protocol::leaf::{Attempt, Purpose};
use protocol::{Digest, SubmissionId};
use std::collections::BTreeMap;

/// So many measurements for one result may be failures and a restless host; of more nobody can tell.
const MEASUREMENTS_MAX: usize = 16;

/// Checks each member's.
pub(super) fn check(case: &Case<'_>, past: &Past, field: &Field, findings: &mut Findings<'_>) {
    let mut told = Told { case, secrets: BTreeMap::new(), unclear: Vec::new(), bad: Vec::new() };
    for (id, own) in &field.own {
        told.own(id, own);
    }
    for (id, decided) in &field.decided {
        let round = past.record.round;
        let for_it = |attempt: &Attempt| attempt.purpose == Purpose::Round && attempt.round == round;
        told.last(id, decided.attempt, past.judged_at, for_it);
    }
    let Told { unclear, bad, .. } = told;
    if !unclear.is_empty() {
        findings.unclear("attempts", unclear.join("; "));
    }
    if unclear.is_empty() || !bad.is_empty() {
        let measured = field.own.len() + field.decided.len();
        findings.all(
            "attempts",
            &bad,
            format!("{measured} results, each of the last measurement that was begun for it"),
        );
    }
}

struct Told<'a> {
    case: &'a Case<'a>,
    /// Of rounds that are over.
    secrets: BTreeMap<u64, Result<[u8; 32], String>>,
    unclear: Vec<String>,
    bad: Vec<String>,
}

impl Told<'_> {
    /// A submission's own measurement.
    fn own(&mut self, id: &SubmissionId, own: &Own) {
        let Some((scored, _)) = self.case.log.receipts.get(id) else { return };
        self.last(id, own.attempt, *scored, |attempt| attempt.purpose == Purpose::Submission);
        let Some((index, attempt)) = self.case.log.attempts.get(&(id.clone(), own.attempt)) else {
            return self.bad.push(format!("the log has no attempt of the measurement of {id}"));
        };
        let newest = self.newest_round(*index);
        if attempt.round != newest {
            let named = attempt.round;
            return self.bad.push(format!("{id} was measured with the secret of round {named}, and {newest} was open"));
        }
        let case = self.case;
        let secret = self.secrets.entry(newest).or_insert_with(|| secret(case, newest));
        match secret {
            Err(problem) => self.unclear.push(format!("nobody can tell the seed of {id}: round {newest}: {problem}")),
            Ok(secret) => {
                let seed = protocol::attempt::seed(secret, id, own.attempt);
                let stated = protocol::attempt::commitment(seed, id, own.attempt);
                if (own.report.data.seed, attempt.seed_sha256) != (seed, stated) {
                    self.bad.push(format!("{id} was measured with a seed that was picked"));
                }
            }
        }
    }

    /// Whether a result is the last measurement's of its kind before a place in the log.
    fn last(&mut self, id: &SubmissionId, named: u64, before: u64, is_for_it: impl Fn(&Attempt) -> bool) {
        let of_it = self.case.log.attempts.range((id.clone(), 0)..=(id.clone(), u64::MAX));
        let begun = of_it.filter(|(_, (index, attempt))| *index < before && is_for_it(attempt));
        let begun: Vec<u64> = begun.map(|((_, number), _)| *number).collect();
        match begun.last() {
            Some(last) if *last == named => {}
            Some(last) => self.bad.push(format!("{id} was measured again as {last}, and {named} was taken")),
            None => self.bad.push(format!("no measurement of {id} was begun before its result")),
        }
        if begun.len() > MEASUREMENTS_MAX {
            self.unclear.push(format!("{id} was measured {} times for one result", begun.len()));
        }
    }

    /// The newest round by a place in the log; 0 where none had opened.
    fn newest_round(&self, index: u64) -> u64 {
        let rounds = self.case.log.rounds(self.case.id());
        let opened = rounds.filter(|(_, stated)| stated.opened.as_ref().is_some_and(|(opened, _)| *opened < index));
        opened.map(|(round, _)| round).last().unwrap_or(0)
    }
}

/// What seeds followed from while a round was the newest; before the first it is the competition's digest.
fn secret(case: &Case<'_>, round: u64) -> Result<[u8; 32], String> {
    match round {
        0 => Ok(*Digest::of_json(case.competition).map_err(|error| error.to_string())?.as_bytes()),
        round => draw::secret(case, round),
    }
}
