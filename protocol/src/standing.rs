//! What a board shows: ranks as groups, divisions, and a public score that moves in steps.
//!
//! It does NOT decide who is champion (`referee::bout` does), and it pays nobody.

use crate::report::Estimate;
use crate::score::Ceiling;
#[cfg(doc)]
use crate::significance::Difference;
use crate::significance::Replicates;
use serde::{Deserialize, Serialize};
use std::cmp::{Ordering, Reverse};
use std::fmt;
use utoipa::ToSchema;

/// One entry of a ranking. All replicates must be of the same round and part.
#[derive(Clone, Copy, Debug)]
pub struct RankEntry<'a, K> {
    /// Who.
    pub key: K,
    /// Order of arrival.
    pub arrival: u64,
    /// Its composite as measured and resampled.
    pub replicates: &'a Replicates,
}

/// The whole sort key of a ranking, as shown: the composite first, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SortKey {
    /// The composite in parts per million; more is better.
    pub composite_ppm: i64,
    /// Order of arrival; less is better.
    pub arrival: u64,
}

impl Ord for SortKey {
    /// The better is the lesser, so that sorting puts it first.
    fn cmp(&self, other: &Self) -> Ordering {
        (Reverse(self.composite_ppm), self.arrival).cmp(&(Reverse(other.composite_ppm), other.arrival))
    }
}

impl PartialOrd for SortKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for SortKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "composite {} ppm, arrival {}", self.composite_ppm, self.arrival)
    }
}

/// An entry in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed<K> {
    /// Who.
    pub key: K,
    /// One more than the entries of better groups; shared by a group.
    pub rank: u32,
    /// What it was sorted by.
    pub sort_key: SortKey,
    /// The group's leader minus this entry, with the paired 95 % interval in ppm; zero for the leader itself, `None`
    /// where the two can't be paired.
    pub behind_leader: Option<Estimate>,
}

/// Ranks as groups. Sorted by [`SortKey`]; the first entry leads the first group, and each next one joins while its paired
/// distance from the leader could be luck ([`Difference::may_be_nothing_among`]): that of the second by the 95 % interval,
/// that of the k-th by one that allows for its being the last of k. The first that doesn't, or that can't be paired, leads
/// the next group. Compared with the leader only, because 'not distinguishable' isn't transitive: chained
/// from neighbour to neighbour, all could share one rank.
pub fn groups<K>(mut entries: Vec<RankEntry<'_, K>>) -> Vec<Placed<K>> {
    let sort_key =
        |entry: &RankEntry<'_, K>| SortKey { composite_ppm: entry.replicates.composite_ppm(), arrival: entry.arrival };
    entries.sort_by_key(sort_key);
    let mut leader: Option<(&Replicates, u32)> = None;
    let mut placed = Vec::with_capacity(entries.len());
    for (place, entry) in (1..).zip(entries) {
        let behind = leader.and_then(|(best, _)| best.minus(entry.replicates));
        let rank = match (leader, behind) {
            (Some((_, rank)), Some(behind)) if behind.may_be_nothing_among(place - rank + 1) => rank,
            _ => place,
        };
        let leads = rank == place;
        if leads {
            leader = Some((entry.replicates, place));
        }
        let behind_leader = if leads { Some(Estimate::default()) } else { behind.map(|behind| behind.estimate) };
        placed.push(Placed { sort_key: sort_key(&entry), key: entry.key, rank, behind_leader });
    }
    placed
}

/// A class of models that compete on one thing.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", ascii_case_insensitive, parse_err_ty = UnknownDivision, parse_err_fn = UnknownDivision::new)]
pub enum Division {
    /// At least 99 % of the teacher's accuracy: the fastest wins.
    C99,
    /// At least 97 %: the fastest wins.
    C97,
    /// Everything above the gate: the frontier of accuracy, latency and size, by composite.
    Open,
}

impl Division {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::C99, Self::C97, Self::Open];

    /// The stable name, as in JSON.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// What it is, for people.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::C99 => "at least 99 % of the teacher's accuracy: the fastest wins",
            Self::C97 => "at least 97 % of the teacher's accuracy: the fastest wins",
            Self::Open => "all that nothing beats at once in accuracy, latency and size, by score",
        }
    }

    /// Whether a model with these right answers stands in it, the gate apart. Exact: no share is rounded.
    pub fn admits(self, correct: u32, items: u32, ceiling: Ceiling) -> bool {
        let percent = match self {
            Self::C99 => 99,
            Self::C97 => 97,
            Self::Open => 0,
        };
        let product = |a: u32, b: u32, c: u128| u128::from(a) * u128::from(b) * c;
        items > 0 && product(correct, ceiling.items, 100) >= product(ceiling.correct, items, percent)
    }
}

/// No division has this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no division is called `{0}`; there are c99, c97 and open")]
pub struct UnknownDivision(String);

impl UnknownDivision {
    fn new(text: &str) -> Self {
        Self(text.chars().take(32).collect())
    }
}

/// What divisions compare: a model that passes the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing<K> {
    /// Who.
    pub key: K,
    /// Right answers.
    pub correct: u32,
    /// Items.
    pub items: u32,
    /// Latency over the reference.
    pub latency_ratio_ppm: i64,
    /// The size that is scored.
    pub size_bytes: u64,
    /// The composite.
    pub composite_ppm: i64,
    /// Order of arrival.
    pub arrival: u64,
}

impl<K> Standing<K> {
    /// At least as good on every axis and better on one. Models on different numbers of items don't compare.
    pub fn dominates(&self, other: &Self) -> bool {
        let own = (self.correct, Reverse(self.latency_ratio_ppm), Reverse(self.size_bytes));
        let others = (other.correct, Reverse(other.latency_ratio_ppm), Reverse(other.size_bytes));
        let no_worse = own.0 >= others.0 && own.1 >= others.1 && own.2 >= others.2;
        self.items == other.items && no_worse && own != others
    }
}

/// A division's models, best first. C99 and C97: sort key (latency ratio, right answers descending, arrival). Open: those
/// that no other dominates, sort key (composite descending, arrival); of exact twins the earlier stays.
pub fn division<K: Clone>(division: Division, models: &[Standing<K>], ceiling: Ceiling) -> Vec<Standing<K>> {
    let admitted = models.iter().filter(|model| division.admits(model.correct, model.items, ceiling));
    let mut standing: Vec<Standing<K>> = admitted.cloned().collect();
    match division {
        Division::C99 | Division::C97 => {
            standing.sort_by_key(|model| (model.latency_ratio_ppm, Reverse(model.correct), model.arrival));
        }
        Division::Open => {
            standing
                .retain(|model| !models.iter().any(|other| other.dominates(model) || is_earlier_twin(other, model)));
            standing.sort_by_key(|model| (Reverse(model.composite_ppm), model.arrival));
        }
    }
    standing
}

fn is_earlier_twin<K>(other: &Standing<K>, model: &Standing<K>) -> bool {
    let axes = |m: &Standing<K>| (m.correct, m.items, m.latency_ratio_ppm, m.size_bytes);
    axes(other) == axes(model) && other.arrival < model.arrival
}

/// What a submission does to its owner's public score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Step {
    /// The first score of this owner, or one that beats the own best by more than one paired standard error.
    Moves {
        /// What is shown from now on.
        composite_ppm: i64,
    },
    /// Not clearly better: what was shown stays, and the difference stays secret.
    Stays {
        /// What is shown still.
        composite_ppm: i64,
    },
}

/// The stepped public score (the Ladder of Blum & Hardt 2015, without its parameter): a new score is shown only where it
/// beats the owner's own best by more than one paired standard error, so that many small probes learn next to nothing
/// about the items. Scores that can't be paired stay as they were.
pub fn step(own_best: Option<&Replicates>, new: &Replicates) -> Step {
    let Some(best) = own_best else { return Step::Moves { composite_ppm: new.composite_ppm() } };
    let beats = new.minus(best).is_some_and(|gain| gain.estimate.value_ppm > gain.standard_error_ppm);
    if beats {
        Step::Moves { composite_ppm: new.composite_ppm() }
    } else {
        Step::Stays { composite_ppm: best.composite_ppm() }
    }
}
