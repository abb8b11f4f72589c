//! What strategies earn: rational agents play rounds under a manifest's rules, on the answers of real packages.
//!
//! Each package was measured once on a large set of changed items ([`stored`]); a round draws its fresh items from that set
//! anew. Screening, bouts, places, margins and payments are the real functions. Who is a copy of what is given with the
//! entries, since answers alone don't show it: [`agents`] says so of each strategy, and plays those that hope not to be
//! recognised a second time as if they weren't.
//!
//! Every strategy is played against the same honest field, and, where it has models of its own, again by the honest uses of
//! them ([`Strategy::plain`]). A strategy pays if it earns more than the best of those. One game is luck where models are as
//! close as students are, so that several are played, each with other draws, the same for a strategy and its plain uses.
//! It does NOT know models, only their answers, and every entry passes the public gate, as if everybody had learnt the
//! public items by heart.

pub mod agents;
pub mod season;
pub mod stored;

pub use agents::{Entry, Strategy};
pub use season::{Rules, Season};
pub use stored::{Package, Shelf, shelf};

use serde::Serialize;

/// How long is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Length {
    /// Games, each with other draws.
    pub games: u32,
    /// Rounds of each.
    pub rounds: u32,
}

/// One strategy's earnings under one policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Earnings {
    /// The strategy.
    pub strategy: &'static str,
    /// The policy, for people.
    pub policy: String,
    /// What it earns a round, on average over all rounds of all games, parts per million of the reward.
    pub earned_ppm: u32,
    /// What the best plain use of its own models earns; 0 where it has none.
    pub plain_ppm: u32,
    /// Standard error of the difference of the two, from one game to the other; 0 where one alone was played.
    pub error_ppm: u32,
    /// Whether it is honest: shown, and held against nothing.
    pub honest: bool,
    /// Rounds in which a group was paid more than one above it on hidden score.
    pub inversions: u32,
}

impl Earnings {
    /// Whether nothing shows that the strategy earns more than 1 %, or than what its honest quality earns and 1 % more: it
    /// would have to by two standard errors.
    pub fn is_harmless(&self) -> bool {
        let least = self.plain_ppm.saturating_add(HARMLESS_PPM).saturating_add(2 * self.error_ppm);
        self.honest || self.earned_ppm <= least
    }
}

/// One per cent of a round's reward.
pub const HARMLESS_PPM: u32 = 10_000;

/// Plays one strategy beside the honest field, and the plain uses of its models in its stead; by policy.
pub fn play(strategy: &Strategy, shelf: &Shelf, rules: &Rules, length: Length, seed: u64) -> Vec<Earnings> {
    let field = agents::honest_field();
    let games = |own: &[Entry]| -> Vec<Season> {
        let agents: Vec<&[Entry]> = std::iter::once(own).chain(field.iter().map(|it| it.entries.as_slice())).collect();
        let game = |game| season::play(&agents, shelf, rules, length.rounds, seed.wrapping_add(game << 32));
        (0..u64::from(length.games)).map(game).collect()
    };
    let played = games(&strategy.entries);
    let plain: Vec<Vec<Season>> = strategy.plain.iter().map(|own| games(own)).collect();
    let earned = |seasons: &[Season], policy| -> Vec<u32> { seasons.iter().map(|it| it.mean_ppm(policy, 0)).collect() };
    let policies = rules.rewards.iter().enumerate();
    policies
        .map(|(policy, reward)| {
            let own = earned(&played, policy);
            let plain = plain.iter().map(|seasons| earned(seasons, policy)).max_by_key(|games| mean(games));
            let plain = plain.unwrap_or_else(|| vec![0; own.len()]);
            Earnings {
                strategy: strategy.name,
                policy: reward.to_string(),
                earned_ppm: mean(&own),
                plain_ppm: mean(&plain),
                error_ppm: error_of_difference(&own, &plain),
                honest: strategy.honest,
                inversions: played.iter().filter_map(|season| season.inversions.get(policy)).sum(),
            }
        })
        .collect()
}

fn mean(games: &[u32]) -> u32 {
    let sum: u64 = games.iter().copied().map(u64::from).sum();
    sum.checked_div(games.len() as u64).unwrap_or(0) as u32
}

/// The standard error of the mean difference of pairs; 0 of a single pair.
fn error_of_difference(a: &[u32], b: &[u32]) -> u32 {
    let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| f64::from(*a) - f64::from(*b)).collect();
    if differences.len() < 2 {
        return 0;
    }
    let count = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / count;
    let squares: f64 = differences.iter().map(|it| (it - mean).powi(2)).sum();
    (squares / (count - 1.0) / count).sqrt() as u32
}
