//! Who is decided in a round: successive halving on fresh items, waiting counted, owners counted once.
//!
//! The places of a round can't be bought: they go to the best on items that nobody has seen, an owner has one, and whoever
//! is above the gate comes to be decided within a stated number of rounds. Nothing that the champion's owner sends takes a
//! place from anybody. It does NOT know how anything was measured, nor who wins.

use protocol::Hotkey;
use protocol::round::RoundRules;
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// What each round of waiting is worth in the order, parts per million of the composite: a point.
pub const WAITING_PPM: i64 = 10_000;

/// A model that was screened and is above the gate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate<K> {
    /// Which.
    pub key: K,
    /// Whose.
    pub owner: Hotkey,
    /// Order of commitment.
    pub arrival: u64,
    /// Its composite on screening items.
    pub composite_ppm: i64,
    /// Rounds that screened it before and decided it in none.
    pub waited_rounds: u32,
    /// Whether an earlier round decided it: it may return, and waits for nothing.
    pub decided_before: bool,
}

/// Who is decided, and who isn't.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<K> {
    /// The challengers, in the order in which they got their places.
    pub decided: Vec<K>,
    /// How many of them share the round's level: all but the champion's owner's own.
    pub shared_by: u32,
    /// The others.
    pub waiting: Vec<K>,
    /// What the last place went for, [`Candidate::standing_ppm`]; `None` where all went to those that could wait no longer.
    pub least_ppm: Option<i64>,
}

impl<K> Candidate<K> {
    /// Whether it must be decided in this round, so that it waits no longer than so many.
    fn must(&self, wait_rounds_max: u32) -> bool {
        !self.decided_before && self.waited_rounds.saturating_add(1) >= wait_rounds_max
    }

    /// What it stands for a place with: its composite, and [`WAITING_PPM`] for each round that it waited.
    pub fn standing_ppm(&self) -> i64 {
        self.composite_ppm.saturating_add(i64::from(self.waited_rounds).saturating_mul(WAITING_PPM))
    }

    fn order(&self, wait_rounds_max: u32) -> (bool, Reverse<i64>, u64) {
        (!self.must(wait_rounds_max), Reverse(self.standing_ppm()), self.arrival)
    }
}

/// Who answers the screening's further items: the best owners' best, and whoever must be decided.
pub fn finalists<K: Clone>(candidates: Vec<Candidate<K>>, rules: &RoundRules, champion: Option<&Hotkey>) -> Vec<K> {
    let (own, others, _) = one_an_owner(candidates, rules.wait_rounds_max, champion);
    let most = rules.screening.finalists as usize;
    let taken = others.iter().enumerate().filter(|(place, it)| *place < most || it.must(rules.wait_rounds_max));
    own.iter().chain(taken.map(|(_, it)| it)).map(|it| it.key.clone()).collect()
}

/// Who is decided. Places: `challengers_max`, or as many as let nobody wait longer than `wait_rounds_max` rounds.
pub fn select<K>(candidates: Vec<Candidate<K>>, rules: &RoundRules, champion: Option<&Hotkey>) -> Selection<K> {
    let (own, others, passed_over) = one_an_owner(candidates, rules.wait_rounds_max, champion);
    let undecided = others.iter().filter(|it| !it.decided_before).count() as u32;
    let places = rules.challengers_max.max(undecided.div_ceil(rules.wait_rounds_max.max(1))) as usize;
    let mut selection = Selection { decided: Vec::new(), shared_by: 0, waiting: Vec::new(), least_ppm: None };
    for candidate in others {
        let must = candidate.must(rules.wait_rounds_max);
        if selection.decided.len() < places || must {
            // They come in order.
            selection.least_ppm = if must { selection.least_ppm } else { Some(candidate.standing_ppm()) };
            selection.decided.push(candidate.key);
        } else {
            selection.waiting.push(candidate.key);
        }
    }
    selection.shared_by = selection.decided.len() as u32;
    selection.decided.extend(own.into_iter().map(|it| it.key));
    selection.waiting.extend(passed_over.into_iter().map(|it| it.key));
    selection
}

/// The champion's owner's best, everybody else's best in order, and the rest.
type Sorted<K> = (Option<Candidate<K>>, Vec<Candidate<K>>, Vec<Candidate<K>>);

fn one_an_owner<K>(mut candidates: Vec<Candidate<K>>, wait_rounds_max: u32, champion: Option<&Hotkey>) -> Sorted<K> {
    candidates.sort_by_key(|candidate| candidate.order(wait_rounds_max));
    let (mut seen, mut own, mut others, mut rest) = (BTreeSet::new(), None, Vec::new(), Vec::new());
    for candidate in candidates {
        if !seen.insert(candidate.owner) {
            rest.push(candidate);
        } else if Some(&candidate.owner) == champion {
            own = Some(candidate);
        } else {
            others.push(candidate);
        }
    }
    (own, others, rest)
}
