//! What a public log states, by what it is about. A statement that stands twice, or under another name than its own, is a
//! problem; so whoever reads knows of the only one.
//!
//! It does NOT know whether a statement is true.

use datasets::hidden::Beacon;
use protocol::amendment::{Amended, Amendment, EngineInForce};
use protocol::competition::OfficialEngine;
use protocol::leaf::{Act, Administration, Attempt, Commitment, CompetitionPublished, Ended, LeftOut};
use protocol::reward::PolicyChange;
use protocol::{Competition, CompetitionId, Digest, Hotkey, SignedReceipt, SubmissionId};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use transparency::{EntryKind, Envelope};

/// Everything that a log states.
#[derive(Debug, Default)]
pub struct Statements {
    /// Who began the log.
    pub(super) validator: Option<Hotkey>,
    pub(super) competitions: BTreeMap<CompetitionId, CompetitionPublished>,
    /// With the place in the log.
    pub(super) commitments: BTreeMap<SubmissionId, (u64, Commitment)>,
    /// Of the submissions' own measurements, with the place in the log.
    pub(super) receipts: BTreeMap<SubmissionId, (u64, SignedReceipt)>,
    /// Measurements by submission and number, with the place in the log.
    pub(super) attempts: BTreeMap<(SubmissionId, u64), (u64, Attempt)>,
    /// Ends without a score, with their places in the log.
    pub(super) ends: BTreeMap<SubmissionId, Vec<(u64, Ended)>>,
    /// Who was taken out by hand, and where that stands.
    pub(super) disqualified: BTreeMap<SubmissionId, u64>,
    /// Who was announced in time and left out of a round, with the place in the log.
    pub(super) left_out: BTreeMap<(CompetitionId, u64, SubmissionId), (u64, LeftOut)>,
    /// Rounds that were closed by hand, with the place in the log and the time.
    pub(super) closed_by_hand: BTreeMap<(CompetitionId, u64), (u64, u64)>,
    /// What was changed about competitions, in order, with the place in the log.
    pub(super) amendments: BTreeMap<CompetitionId, Vec<(u64, Amendment)>>,
    /// Announced rewards, with the place in the log.
    pub(super) rewards: Vec<(u64, CompetitionId, PolicyChange)>,
    pub(super) rounds: BTreeMap<(CompetitionId, u64), Stated>,
    keys: BTreeSet<String>,
    /// What doesn't fit.
    pub(super) problems: Vec<String>,
}

/// What was stated of a round, each with its place in the log.
#[derive(Debug, Default)]
pub struct Stated {
    pub(super) opened: Option<(u64, Value)>,
    pub(super) closed: Option<(u64, Value)>,
    pub(super) beacon: Option<(u64, Value)>,
    pub(super) abandoned: Option<(u64, Value)>,
    pub(super) judged: Option<(u64, Value)>,
    pub(super) reward: Option<(u64, Value)>,
    pub(super) revealed: Option<(u64, Value)>,
}

impl Stated {
    /// A field of a statement.
    pub(super) fn field<T: DeserializeOwned>(statement: Option<&(u64, Value)>, field: &str) -> Option<T> {
        serde_json::from_value(statement?.1.get(field)?.clone()).ok()
    }

    /// The version of the rules that the round goes by; the first where none is named.
    pub(super) fn rules(&self) -> u32 {
        Self::field(self.opened.as_ref(), "rules").unwrap_or(1)
    }

    /// The beacon's value.
    pub(super) fn value(&self) -> Option<Beacon> {
        Self::field(self.beacon.as_ref(), "beacon")
    }

    /// The digest of the round's record.
    pub(super) fn record(&self) -> Option<Digest> {
        let record: protocol::competition::ObjectRef = Self::field(self.judged.as_ref(), "record")?;
        Some(record.sha256)
    }

    /// Where the judgement stands in the log: what was stated later didn't matter to it.
    pub(super) fn judged_at(&self) -> u64 {
        self.judged.as_ref().map_or(u64::MAX, |(index, _)| *index)
    }
}

impl Statements {
    /// Takes the next entry, which is the log's number `index`. What is no entry of this version is a problem.
    pub fn take(&mut self, index: u64, entry: &[u8]) {
        match Envelope::parse(entry) {
            Ok(envelope) => {
                if let Err(problem) = self.read(index, &envelope) {
                    self.problems.push(format!("entry {index}: {problem}"));
                }
            }
            Err(error) => self.problems.push(format!("entry {index}: {error}")),
        }
    }

    /// How many entries were read.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether none was.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A competition's rounds that anything was stated of.
    pub fn rounds(&self, competition: &CompetitionId) -> impl Iterator<Item = (u64, &Stated)> {
        let range = (competition.clone(), 0)..=(competition.clone(), u64::MAX);
        self.rounds.range(range).map(|((_, round), stated)| (*round, stated))
    }

    /// Where the log has that a round opened and closed.
    pub fn opened_and_closed(&self, competition: &CompetitionId, round: u64) -> Option<[u64; 2]> {
        let stated = self.round(competition, round)?;
        Some([stated.opened.as_ref()?.0, stated.closed.as_ref()?.0])
    }

    /// What was stated of a round.
    pub(super) fn round(&self, competition: &CompetitionId, round: u64) -> Option<&Stated> {
        self.rounds.get(&(competition.clone(), round))
    }

    /// What measures in a round of a competition; 0 before the first.
    pub fn engine_in(&self, competition: &Competition, round: u64) -> EngineInForce {
        let amendments = self.amendments.get(&competition.manifest.id).into_iter().flatten();
        EngineInForce::of(competition.manifest.engine, amendments.map(|(_, amendment)| amendment), round)
    }

    /// What a submission's measurement of this number had to be made on: that of the round that was the newest when it began.
    pub(super) fn engine_of(&self, competition: &Competition, id: &SubmissionId, attempt: u64) -> OfficialEngine {
        let begun = self.attempts.get(&(id.clone(), attempt));
        self.engine_in(competition, begun.map_or(0, |(_, attempt)| attempt.round)).engine
    }

    /// Changes of engine that were stated after their first round had begun.
    pub(super) fn engines_stated_late(&self, competition: &CompetitionId) -> Vec<String> {
        let amendments = self.amendments.get(competition).into_iter().flatten();
        let late = amendments.filter_map(|(index, amendment)| {
            let Amended::Engine { from_round, .. } = amendment.change else { return None };
            let begun = self.rounds(competition).filter(|(round, _)| *round >= from_round);
            let is_late = begun.filter_map(|(_, stated)| stated.opened.as_ref()).any(|(opened, _)| opened < index);
            is_late.then(|| format!("another engine from round {from_round} on was announced after that began"))
        });
        late.collect()
    }

    fn read(&mut self, index: u64, envelope: &Envelope) -> Result<(), String> {
        let Envelope { key, body, .. } = envelope;
        if !self.keys.insert(key.clone()) {
            return Err(format!("{key} is stated twice"));
        }
        match envelope.kind {
            EntryKind::Competition => {
                let stated: CompetitionPublished = parsed(body)?;
                named(key, &stated.key())?;
                self.competitions.insert(stated.competition.clone(), stated);
            }
            EntryKind::Commitment => {
                let stated: Commitment = parsed(body)?;
                named(key, &stated.key())?;
                self.commitments.insert(stated.submission.clone(), (index, stated));
            }
            EntryKind::Receipt => {
                let stated: SignedReceipt = parsed(body)?;
                let submission = stated.receipt.subject.submission.clone();
                named(key, &protocol::leaf::receipt_key(&submission))?;
                self.receipts.insert(submission, (index, stated));
            }
            EntryKind::Attempt => {
                let stated: Attempt = parsed(body)?;
                named(key, &stated.key())?;
                self.attempts.insert((stated.submission.clone(), stated.number), (index, stated));
            }
            EntryKind::Ended => {
                let stated: Ended = parsed(body)?;
                named(key, &stated.key())?;
                self.ends.entry(stated.submission.clone()).or_default().push((index, stated));
            }
            EntryKind::LeftOut => {
                let stated: LeftOut = parsed(body)?;
                named(key, &stated.key())?;
                let place = (stated.competition.clone(), stated.round, stated.submission.clone());
                self.left_out.insert(place, (index, stated));
            }
            EntryKind::Administration => self.act(index, body),
            _ => self.of_round(index, envelope)?,
        }
        Ok(())
    }

    fn act(&mut self, index: u64, body: &Value) {
        let Ok(Administration { validator, act, at }) = serde_json::from_value(body.clone()) else { return };
        match act {
            Act::SubmissionDisqualified { submission, .. } => {
                self.disqualified.insert(submission, index);
            }
            Act::RewardAnnounced { competition, from_round, reward } => {
                self.rewards.push((index, competition, PolicyChange { from_round, reward }));
            }
            Act::CompetitionAmended { competition, amendment } => {
                self.amendments.entry(competition).or_default().push((index, amendment));
            }
            Act::RoundClosedByHand { competition, round, .. } => {
                self.closed_by_hand.insert((competition, round), (index, at));
            }
            Act::LogBegun { .. } => self.validator = Some(validator),
            _ => {}
        }
    }

    fn of_round(&mut self, index: u64, envelope: &Envelope) -> Result<(), String> {
        let Some(what) = what(envelope) else { return Ok(()) };
        let statement = Some((index, envelope.body.clone()));
        let competition: CompetitionId = Stated::field(statement.as_ref(), "competition").ok_or("no competition")?;
        let round: u64 = Stated::field(statement.as_ref(), "round").ok_or("no round")?;
        let stated = self.rounds.entry((competition.clone(), round)).or_default();
        let place = match what {
            "opened" => &mut stated.opened,
            "closed" => &mut stated.closed,
            "beacon" => &mut stated.beacon,
            "judged" => &mut stated.judged,
            "reward" => &mut stated.reward,
            "revealed" => &mut stated.revealed,
            _ => &mut stated.abandoned,
        };
        if place.is_some() {
            return Err(format!("round {round} of {competition} is {what} a second time, as {}", envelope.key));
        }
        *place = statement;
        named(&envelope.key, &format!("round/{competition}/{round}/{what}"))
    }
}

/// Which statement of a round an entry is, if it is one: the last part of its name.
fn what(envelope: &Envelope) -> Option<&str> {
    match envelope.kind.as_str() {
        "round_opened" => Some("opened"),
        "round_closed" => Some("closed"),
        "round_beacon" => Some("beacon"),
        "round_judged" => Some("judged"),
        "reward" => Some("reward"),
        "round_revealed" => Some("revealed"),
        "round_abandoned" => Some("abandoned"),
        _ => None,
    }
}

fn parsed<T: DeserializeOwned>(body: &Value) -> Result<T, String> {
    serde_json::from_value(body.clone()).map_err(|error| error.to_string())
}

fn named(found: &str, expected: &str) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("it is called {found}, not {expected}")) }
}
