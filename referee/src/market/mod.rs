//! What strategies earn: rational agents play rounds under a manifest's rules, on the answers of real packages.
//!
//! Each package was measured once on a large set of changed items ([`stored`]); a round draws its fresh items from that set
//! anew. Screening, bouts, places, margins and payments are the real functions. Who is a copy of what is given with the
//! entries, since answers alone don't show it: [`agents`] says so of each strategy, and plays those that hope not to be
//! recognised a second time as if they weren't.
//!
//! Every strategy is played against the same honest field, and, where it has a model of its own, a second time by the plain
//! use of that model: sent once, at once. A strategy pays if it earns more than that. It does NOT know models, only their
//! answers, and every entry passes the public gate, as if everybody had learnt the public items by heart.

pub mod agents;
pub mod season;
pub mod stored;

pub use agents::{Entry, Strategy};
pub use season::{Rules, Season};
pub use stored::{Package, Shelf, shelf};

use serde::Serialize;

/// One strategy's earnings under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earnings {
    /// The strategy.
    pub strategy: &'static str,
    /// The policy, for people.
    pub policy: String,
    /// What it earns a round, on average, parts per million of the reward.
    pub earned_ppm: u32,
    /// What plain use of its best model earns; 0 where it has none of its own.
    pub plain_ppm: u32,
    /// Whether it is honest: shown, and held against nothing.
    pub honest: bool,
    /// Rounds in which a group was paid more than one above it on hidden score.
    pub inversions: u32,
}

impl Earnings {
    /// Whether the strategy earns at most 1 %, or what its honest quality earns and at most 1 % more.
    pub fn is_harmless(&self) -> bool {
        self.honest || self.earned_ppm <= self.plain_ppm.saturating_add(HARMLESS_PPM)
    }
}

/// One per cent of a round's reward.
pub const HARMLESS_PPM: u32 = 10_000;

/// Plays one strategy beside the honest field, and the plain use of its model in its stead; by policy.
pub fn play(strategy: &Strategy, shelf: &Shelf, rules: &Rules, rounds: u32, seed: u64) -> Vec<Earnings> {
    let field = agents::honest_field();
    let season = |own: &[Entry]| {
        let agents: Vec<&[Entry]> = std::iter::once(own).chain(field.iter().map(|it| it.entries.as_slice())).collect();
        season::play(&agents, shelf, rules, rounds, seed)
    };
    let played = season(&strategy.entries);
    let plain = (!strategy.plain.is_empty()).then(|| season(&strategy.plain));
    let policies = rules.rewards.iter().enumerate();
    policies
        .map(|(policy, reward)| Earnings {
            strategy: strategy.name,
            policy: reward.to_string(),
            earned_ppm: played.mean_ppm(policy, 0),
            plain_ppm: plain.as_ref().map_or(0, |plain| plain.mean_ppm(policy, 0)),
            honest: strategy.honest,
            inversions: played.inversions.get(policy).copied().unwrap_or(0),
        })
        .collect()
}
