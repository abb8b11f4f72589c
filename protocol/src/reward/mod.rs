//! Payment: pure functions from the accepted history and a round's standing to the weights that the ledger takes.
//!
//! Weights are whole parts per million and sum to at most one million; the rest is burnt. What a round adds to the
//! history comes back with its weights, so that anyone can replay all rounds from the first. Rules that hold for every
//! policy:
//! - only who was measured on fresh hidden items stands here at all: what is provisional earns nothing;
//! - a recognised copy and a model below the quality gate earn nothing and take no place;
//! - an owner takes one place, with its best entry: splitting a model over submissions or keys earns nothing more;
//! - places go by rank; of those that can't be told apart (one rank) one takes the place, the champion or else the earliest,
//!   so that equal models can't multiply.
//!
//! It does NOT know who is registered, who dethrones whom, how copies are found, or the ledger. An owner is what the ledger
//! says: nothing here can see that two coldkeys belong to one person.

pub mod change;
mod decay;
pub mod frontier;
pub mod hypervolume;
pub mod ladder;
pub mod last_champions;
pub mod modifiers;
mod rules;
mod shares;
mod winner_takes_all;

pub use change::{ChangeError, PolicyChange, Schedule};
pub use frontier::{Axes, Frontier, FrontierPoint};
pub use ladder::LADDER_PPM;
pub use last_champions::LastChampions;
pub use modifiers::BurnWeakMargin;
pub use rules::{RewardPolicy, RewardRules};

use crate::score::Utilities;
use crate::{Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use shares::Shares;
use std::collections::BTreeSet;
use utoipa::ToSchema;

/// All of a round's reward, parts per million.
pub const WHOLE_PPM: u32 = 1_000_000;

/// What one hotkey gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Weight {
    /// Who.
    pub hotkey: Hotkey,
    /// Share of the round's reward in parts per million.
    pub weight_ppm: u32,
}

/// A submission as it stands at the end of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entrant {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Who owns that hotkey: a coldkey, or the hotkey itself.
    pub owner: Hotkey,
    /// Order of commitment; less is earlier.
    pub arrival: u64,
    /// Its rank by fresh hidden items, shared by those that can't be told apart; 1 is the best.
    pub rank: u32,
    /// The composite on them; 0 below the quality gate.
    pub score_ppm: i64,
    /// Its utilities.
    pub utilities_ppm: Utilities,
    /// Half-widths of their 95 % intervals ([`crate::score::half_widths`]).
    pub half_widths_ppm: Utilities,
    /// The earlier model that it is an exact or near copy of.
    pub copy_of: Option<SubmissionId>,
    /// Whether the round measured it in full, on all its fresh items, and not only while it screened.
    pub decided: bool,
}

impl Entrant {
    /// Whether it can earn anything: above the quality gate and nobody's copy.
    pub fn may_earn(&self) -> bool {
        self.score_ppm > 0 && self.copy_of.is_none()
    }
}

/// How a finished round stands: all that a payment needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The round's number.
    pub round: u64,
    /// The axes that the competition scores ([`Axes::scored`]).
    pub axes: Axes,
    /// Everybody who was measured on fresh hidden items. The order means nothing: ranks do.
    pub entrants: Vec<Entrant>,
    /// Who holds the seat after the round. A champion that could not be measured holds it without being an entrant.
    pub champion: Option<SubmissionId>,
    /// Where the seat changed in this round: by how much of the composite the new champion passed the best hidden result
    /// that was paid before it, the reference's if none was.
    pub margin_ppm: Option<i64>,
}

impl Standing {
    /// One entrant for each owner that may earn, its best, and one for each rank, the earliest; in the order in which places
    /// are taken.
    fn places(&self) -> Vec<&Entrant> {
        let mut order: Vec<&Entrant> = self.entrants.iter().filter(|entrant| entrant.may_earn()).collect();
        let is_champion = |entrant: &Entrant| Some(&entrant.submission) == self.champion.as_ref();
        order.sort_by_key(|entrant| (entrant.rank, !is_champion(entrant), entrant.arrival, &entrant.submission));
        let (mut ranks, mut owners) = (BTreeSet::new(), BTreeSet::new());
        order.retain(|entrant| owners.insert(entrant.owner));
        order.retain(|entrant| ranks.insert(entrant.rank));
        order
    }

    /// The champion, if it was measured and may earn.
    fn paid_champion(&self) -> Option<&Entrant> {
        let champion = self.champion.as_ref()?;
        self.entrants.iter().find(|entrant| entrant.submission == *champion && entrant.may_earn())
    }

    /// Whether a submission is known as a copy by now.
    fn is_copy(&self, submission: &SubmissionId) -> bool {
        self.entrants.iter().any(|entrant| entrant.submission == *submission && entrant.copy_of.is_some())
    }
}

/// A holder of the seat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Champion {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Who owns that hotkey.
    pub owner: Hotkey,
    /// By how much it passed the best hidden result that was paid before it; `None` where that is not known.
    pub margin_ppm: Option<i64>,
    /// What it was worth on fresh hidden items after the round.
    pub composite_ppm: i64,
}

/// What later rounds need to know of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastRound {
    /// Its number.
    pub round: u64,
    /// Who held the seat after it.
    pub champion: Option<Champion>,
    /// What it added to the frontier, in the order of acceptance.
    pub accepted: Vec<FrontierPoint>,
    /// Submissions that were judged for the frontier in it. Each is judged once: measuring it again is no second chance.
    pub judged: Vec<SubmissionId>,
}

/// What was paid for so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// Finished rounds.
    pub rounds: Vec<PastRound>,
}

impl History {
    /// Who was paid as champion, each as of its last round.
    pub fn champions(&self) -> impl Iterator<Item = &Champion> {
        let all = self.rounds.iter().filter_map(|past| Some((past.round, past.champion.as_ref()?)));
        let latest: std::collections::BTreeMap<_, _> = all
            .map(|(round, champion)| (&champion.submission, (round, champion)))
            .fold(std::collections::BTreeMap::new(), |mut latest, (submission, (round, champion))| {
                let entry = latest.entry(submission).or_insert((round, champion));
                if round >= entry.0 {
                    *entry = (round, champion);
                }
                latest
            });
        latest.into_values().map(|(_, champion)| champion)
    }

    /// The submissions that later rounds may be paid by.
    pub fn submissions(&self) -> BTreeSet<SubmissionId> {
        let champions = self.rounds.iter().filter_map(|past| past.champion.as_ref()).map(|it| it.submission.clone());
        let accepted = self.rounds.iter().flat_map(|past| &past.accepted).map(|point| point.submission.clone());
        champions.chain(accepted).collect()
    }

    /// The same without what these submissions did: whoever is disqualified is paid for nothing any more.
    #[must_use]
    pub fn without(mut self, disqualified: &BTreeSet<SubmissionId>) -> Self {
        for past in &mut self.rounds {
            past.champion.take_if(|champion| disqualified.contains(&champion.submission));
            past.accepted.retain(|point| !disqualified.contains(&point.submission));
        }
        self
    }

    /// The rounds before `round`, oldest first: paying a round again gives what it gave.
    fn before(&self, round: u64) -> Vec<&PastRound> {
        let mut past: Vec<&PastRound> = self.rounds.iter().filter(|past| past.round < round).collect();
        past.sort_by_key(|past| past.round);
        past
    }
}

/// Why a submission or its owner earns what it earns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RewardReason)]
pub struct Reason {
    /// Whom it is told.
    pub hotkey: Hotkey,
    /// The submission that it is about.
    pub submission: SubmissionId,
    /// The sentence.
    pub sentence: String,
}

/// What a round pays, and what it adds to the history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payment {
    /// Who gets what, the most first; nobody with nothing.
    pub weights: Vec<Weight>,
    /// The rest of the million.
    pub burnt_ppm: u32,
    /// To be appended to the history.
    pub past: PastRound,
    /// A sentence for each entrant, and one for each modifier that took something.
    pub why: Vec<Reason>,
}

impl RewardRules {
    /// Pays a finished round.
    pub fn pay(&self, history: &History, standing: &Standing) -> Payment {
        let past = history.before(standing.round);
        let champion = champion(&past, standing);
        let mut shares = Shares::refusing(standing);
        match &self.policy {
            RewardPolicy::WinnerTakesAll => winner_takes_all::share(standing, &mut shares),
            RewardPolicy::Ladder => ladder::share(standing, &mut shares),
            RewardPolicy::LastChampions(rules) => {
                rules.share(&past, champion.as_ref(), self.burn_weak_margin.as_ref(), standing, &mut shares);
            }
            RewardPolicy::Frontier(rules) => rules.share(&past, standing, &mut shares),
        }
        // The policy of champions burns of each of them.
        let burnt_once = !matches!(self.policy, RewardPolicy::LastChampions(_));
        if let (true, Some(burn), Some(champion)) = (burnt_once, &self.burn_weak_margin, &champion) {
            burn.apply(champion, &mut shares);
        }
        if let Some(cap_ppm) = self.owner_cap_ppm {
            modifiers::cap(cap_ppm, standing, &mut shares);
        }
        shares.payment(standing.round, champion)
    }
}

/// The holder of the seat. One that could not be measured, and its margin, are known from the rounds before.
fn champion(past: &[&PastRound], standing: &Standing) -> Option<Champion> {
    let submission = standing.champion.as_ref()?;
    let before = past.last().and_then(|past| past.champion.as_ref()).filter(|before| before.submission == *submission);
    let entrant = standing.entrants.iter().find(|entrant| entrant.submission == *submission);
    let margin_ppm = standing.margin_ppm.or(before.and_then(|before| before.margin_ppm));
    match (entrant, before) {
        (Some(Entrant { hotkey, owner, score_ppm, .. }), _) => Some(Champion {
            submission: submission.clone(),
            hotkey: *hotkey,
            owner: *owner,
            margin_ppm,
            composite_ppm: *score_ppm,
        }),
        (None, Some(before)) => Some(Champion { margin_ppm, ..before.clone() }),
        (None, None) => None,
    }
}
