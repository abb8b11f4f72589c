//! The course of rounds as a log has it: numbers without a gap, steps in their order, one round after the other, each by
//! rules that are no older than what came before. An honest log has no other course however early it is read; so whoever
//! makes a round uncheckable, or never reveals one, shows here.
//!
//! It does NOT know whether a statement is true, and reads no object.

use super::LedgerSeen;
use super::statements::{Stated, Statements};
use datasets::hidden::Beacon;
use protocol::api::Leaderboard;
use protocol::{CompetitionId, Digest};
use serde_json::Value;

/// The version of the rules since which rounds have records: no earlier one judged a round that has one, whatever its
/// opening says.
pub(super) const RECORDED_SINCE: u32 = 2;

/// What is wrong with the course of a competition's rounds, each problem with the round that it is about.
pub(super) fn problems(log: &Statements, competition: &CompetitionId) -> Vec<String> {
    let rounds: Vec<(u64, &Stated)> = log.rounds(competition).collect();
    let mut problems = Vec::new();
    for (expected, (number, stated)) in (1..).zip(&rounds) {
        if *number != expected {
            problems.push(format!("the log has round {number} and nothing of round {expected}"));
            break;
        }
        problems.extend(steps(*number, stated));
        problems.extend(older_rules(log, *number, stated));
    }
    for pair in rounds.windows(2) {
        let [(number, before), (_, next)] = pair else { continue };
        problems.extend(followed(*number, before, next));
    }
    let mut recorded = rounds.iter().skip_while(|(_, stated)| stated.record().is_none());
    problems.extend(
        recorded
            .find(|(_, stated)| stated.judged.is_some() && stated.record().is_none())
            .map(|(number, _)| format!("round {number} was judged without a record, and an earlier one has its")),
    );
    problems
}

/// Whether each step stands after those that it needs.
fn steps(number: u64, stated: &Stated) -> Option<String> {
    let place = |statement: &Option<(u64, Value)>| statement.as_ref().map(|(index, _)| *index);
    let begun = [("opened", place(&stated.opened)), ("closed", place(&stated.closed))];
    let decided = [
        ("beacon", place(&stated.beacon)),
        ("judged", place(&stated.judged)),
        ("reward", place(&stated.reward)),
        ("revealed", place(&stated.revealed)),
    ];
    let abandoned = ("abandoned", place(&stated.abandoned));
    let further = decided.iter().find(|(_, place)| place.is_some());
    if let (Some((step, _)), ("abandoned", Some(_))) = (further, abandoned) {
        return Some(format!("round {number} was abandoned, and has `{step}`"));
    }
    let course: Vec<(&str, Option<u64>)> = match abandoned.1 {
        Some(_) => begun.into_iter().chain([abandoned]).collect(),
        None => begun.into_iter().chain(decided).collect(),
    };
    let missing = course.iter().position(|(_, place)| place.is_none()).unwrap_or(course.len());
    let later = course.iter().skip(missing).find(|(_, place)| place.is_some());
    // Versions before stated fewer steps.
    let states_all = stated.rules() >= RECORDED_SINCE || stated.record().is_some() || stated.opened.is_none();
    if let (Some((step, _)), Some((earlier, _)), true) = (later, course.get(missing), states_all) {
        return Some(format!("round {number} has `{step}` and no `{earlier}`"));
    }
    let places: Vec<u64> = course.iter().filter_map(|(_, place)| *place).collect();
    (!places.is_sorted()).then(|| format!("the steps of round {number} are not in their order"))
}

/// Whether a round was over before the next one opened.
fn followed(number: u64, before: &Stated, next: &Stated) -> Option<String> {
    let (opened, _) = next.opened.as_ref()?;
    let over = before.revealed.as_ref().or(before.abandoned.as_ref());
    let in_time = over.is_some_and(|(index, _)| index < opened);
    (!in_time).then(|| format!("round {number} was neither revealed nor abandoned before the next one opened"))
}

/// Whether a round opened by rules that are older than those that receipts and rounds before it name.
fn older_rules(log: &Statements, number: u64, stated: &Stated) -> Option<String> {
    let (opened, _) = stated.opened.as_ref()?;
    let rounds = log.rounds.values().filter_map(|other| Some((other.opened.as_ref()?.0, other.rules())));
    let receipts = log.receipts.values().map(|(index, signed)| (*index, signed.receipt.rules));
    let before = rounds.chain(receipts).filter(|(index, _)| index < opened).map(|(_, rules)| rules).max()?;
    let rules = stated.rules();
    (rules < before).then(|| format!("round {number} opened by rules {rules}, and rules {before} held before it"))
}

impl Statements {
    /// The newest round of which nothing more should come: it is revealed or abandoned, or another one followed. 0 while
    /// there is none.
    pub fn latest_over(&self, competition: &CompetitionId) -> u64 {
        let newest = self.rounds(competition).last().map_or(0, |(round, _)| round);
        let is_over = |stated: &Stated| stated.revealed.is_some() || stated.abandoned.is_some();
        let over = self.rounds(competition).filter(|(round, stated)| *round < newest || is_over(stated));
        over.last().map_or(0, |(round, _)| round)
    }

    /// The newest round, if it is judged and nobody can check it yet.
    pub fn unrevealed(&self, competition: &CompetitionId) -> Option<u64> {
        let (round, stated) = self.rounds(competition).last()?;
        (stated.judged.is_some() && round > self.latest_over(competition)).then_some(round)
    }

    /// Whether anything is stated of a round.
    pub fn has_round(&self, competition: &CompetitionId, round: u64) -> bool {
        self.round(competition, round).is_some()
    }

    /// A round's beacon.
    pub fn beacon(&self, competition: &CompetitionId, round: u64) -> Option<Beacon> {
        self.round(competition, round)?.value()
    }

    /// The digest of a judged round's record.
    pub fn record(&self, competition: &CompetitionId, round: u64) -> Option<Digest> {
        self.round(competition, round)?.record()
    }

    /// Whether the log has whatever a board and a ledger rest on that were asked for before it was read.
    pub fn covers(&self, board: &Leaderboard, ledger: Option<&LedgerSeen>) -> bool {
        let mut rows = board.rows.iter().filter_map(|row| row.submission.as_ref());
        rows.all(|id| self.receipts.contains_key(id))
            && board.last_round.unwrap_or(0) <= self.latest_judged(&board.competition, u64::MAX)
            && ledger.is_none_or(|ledger| self.unnamed(ledger).is_empty())
    }

    /// The newest round that the first `entries` of the log judge; 0 while there is none.
    pub(super) fn latest_judged(&self, competition: &CompetitionId, entries: u64) -> u64 {
        let judged =
            self.rounds(competition).filter(|(_, stated)| stated.judged_at() < entries && stated.judged.is_some());
        judged.last().map_or(0, |(round, _)| round)
    }

    /// All rounds that were paid, of any competition, with what the ledger calls that.
    pub(super) fn paid(&self) -> impl Iterator<Item = (&CompetitionId, u64, &Stated, u64)> {
        let epoch = |stated: &Stated| Stated::field::<u64>(stated.reward.as_ref(), "epoch");
        let rounds = self.rounds.iter();
        rounds.filter_map(move |((id, round), stated)| Some((id, *round, stated, epoch(stated)?)))
    }

    /// Payments of the ledger that no round accounts for. A judged round whose leaf `reward` is on its way, or of a version
    /// that didn't say where it was paid, accounts for one; its own audit holds it against the ledger.
    pub(super) fn unnamed(&self, ledger: &LedgerSeen) -> Vec<u64> {
        let named: std::collections::BTreeSet<u64> = self.paid().map(|(.., epoch)| epoch).collect();
        let judged = self.rounds.values().filter(|stated| stated.judged.is_some());
        let due = judged.filter(|stated| Stated::field::<u64>(stated.reward.as_ref(), "epoch").is_none()).count();
        ledger.weights.keys().filter(|epoch| !named.contains(epoch)).skip(due).copied().collect()
    }
}
