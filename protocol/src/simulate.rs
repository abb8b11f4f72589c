//! How often rules err: rounds of made-up models judged by the real rules. Pure; a repetition is a function of a seed.
//!
//! The world is exchangeable: a champion and its equals are drawn from one population, so they share the luck of the
//! items and nothing else. Each item is easy (all have it right), hard (all wrong) or undecided: right with probability
//! q, independently for each model. With 77.9 % easy, 20.7 % undecided and q = .7 the accuracy is 92.4 % and two equals
//! differ on 2 * .207 * .7 * .3 = 8.7 % of the items. A better model has a larger q. It does NOT know real models:
//! figures from here compare rules with each other.

use crate::Digest;
use crate::dethrone::DethroneRules;
use crate::outcomes::{OutcomeValues, Outcomes};
use crate::report::Estimate;
use crate::score::{Ceiling, ScoreRules, wilson};
use crate::significance::{Disputed, Pair, Part, Round, SequentialP, mcnemar};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::num::NonZeroU32;

/// Shares of kinds of items and the champion's chance on undecided ones, parts per million.
const EASY_PPM: u32 = 779_100;
const UNDECIDED_PPM: u32 = 207_000;
const CHANCE_PPM: u32 = 700_000;
/// Launches of a latency measurement and their deviation: 0.3 %.
const LAUNCHES: usize = 15;
const LAUNCH_NANOS: i64 = 3_000_000;
/// A challenger whose accuracy alone has a mid-p above so many times the level is not resampled: its composite, which
/// differs by luck only in answers and divergences, has no p-value near the level.
const HOPELESS_LEVELS: f64 = 4.0;
/// The teacher of Fashion-MNIST's ladder: 95 %.
const TEACHER_PERCENT: u32 = 95;

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Public items, 100 to 2^20, and as many hidden ones in each round.
    pub items: u32,
    /// Rounds on the same public items, each with fresh hidden ones.
    pub rounds: u32,
    /// Challengers in each round.
    pub challengers: u32,
    /// True gain in accuracy of every challenger, parts per million, at most 62 000: more there is not to decide.
    pub gain_ppm: u32,
    /// 1 000 000: models with a seed of their own. Less: noisy clones of the champion, that answer so many of the
    /// undecided items anew.
    pub fresh_ppm: u32,
    /// The two-stage rule under test.
    pub rules: DethroneRules,
}

/// The rules that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contest {
    /// More right answers on public items.
    BetterWins,
    /// Half a point more.
    HalfPoint,
    /// More by one paired standard error (the Ladder's step).
    OneStandardError,
    /// One-sided exact mid-p McNemar on public items at .01.
    McNemar,
    /// [`World::rules`] on public and then on hidden items.
    TwoStages,
}

impl Contest {
    /// In the order of [`Dethroned`].
    pub const ALL: [Self; 5] =
        [Self::BetterWins, Self::HalfPoint, Self::OneStandardError, Self::McNemar, Self::TwoStages];

    /// The stable name, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::BetterWins => "better_wins",
            Self::HalfPoint => "half_point",
            Self::OneStandardError => "one_standard_error",
            Self::McNemar => "mcnemar",
            Self::TwoStages => "two_stages",
        }
    }
}

/// Which rules dethroned the champion at least once in a repetition, in the order of [`Contest::ALL`].
pub type Dethroned = [bool; 5];

/// How often each rule dethroned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Repetitions.
    pub repetitions: u32,
    /// Repetitions in which each rule dethroned, in the order of [`Contest::ALL`].
    pub dethroned: [u32; 5],
}

impl Tally {
    /// Adds a repetition.
    pub fn add(&mut self, dethroned: Dethroned) {
        self.repetitions += 1;
        for (count, dethroned) in self.dethroned.iter_mut().zip(dethroned) {
            *count += u32::from(dethroned);
        }
    }

    /// Each rule with how often it dethroned and Wilson's 95 % interval, parts per million.
    pub fn shares(&self) -> [(Contest, Estimate); 5] {
        let share = |count: u32| wilson(u64::from(count), u64::from(self.repetitions));
        let mut counts = self.dethroned.into_iter();
        Contest::ALL.map(|contest| (contest, share(counts.next().unwrap_or_default())))
    }
}

/// One repetition: a champion, its rounds of challengers, and which rules would have given its seat away.
///
/// # Panics
/// When the world has no items or more than 2^20.
pub fn repetition(world: &World, seed: u64) -> Dethroned {
    let mut words = ChaCha8Rng::seed_from_u64(seed);
    let mut dethroned = Dethroned::default();
    let public = Items::draw(world.items, Part::Public, &mut words);
    let champion = public.champion(&mut words);
    for _ in 0..world.rounds {
        let round = one_round(world, &public, &champion, &mut words);
        dethroned.iter_mut().zip(round).for_each(|(any, now)| *any |= now);
    }
    dethroned
}

fn one_round(world: &World, public: &Items, champion: &Model, words: &mut ChaCha8Rng) -> Dethroned {
    let hidden = Items::draw(world.items, Part::Hidden, words);
    let champion_hidden = hidden.champion(words);
    let score = ScoreRules::default();
    let seed = Digest::of(&words.next_u64().to_le_bytes());
    let ceiling = Ceiling { correct: world.items / 100 * TEACHER_PERCENT, items: world.items };
    let DethroneRules { alpha_public_ppm, alpha_hidden_ppm, epsilon_ppm, .. } = world.rules;
    let passes = |challenger: &Model, champion: &Model, part, level: &dyn Fn(SequentialP) -> bool| {
        let alpha_ppm = if part == Part::Public { alpha_public_ppm } else { alpha_hidden_ppm };
        let pair = || Pair::new(&challenger.0, &champion.0, &Round { part, seed, ceiling, rules: &score });
        !is_hopeless(challenger, champion, part, alpha_ppm)
            && pair().is_some_and(|pair| level(pair.p_value(epsilon_ppm)))
    };

    let mut dethroned = Dethroned::default();
    let mut qualified = 0;
    for _ in 0..world.challengers {
        let challenger = public.challenger(champion, world, words);
        for (any, contest) in dethroned.iter_mut().zip(Contest::ALL) {
            *any |= public_rule(contest, &challenger, champion);
        }
        qualified += u32::from(passes(&challenger, champion, Part::Public, &|p| world.rules.passes_public(p)));
    }
    // Hidden answers are independent of public ones, given what the models are: draw them for those that need them.
    if let (Some(shared_by), [.., two_stages]) = (NonZeroU32::new(qualified), &mut dethroned) {
        *two_stages = (0..qualified).any(|_| {
            let challenger = hidden.challenger(&champion_hidden, world, words);
            passes(&challenger, &champion_hidden, Part::Hidden, &|p| world.rules.passes_hidden(p, shared_by))
        });
    }
    dethroned
}

fn public_rule(contest: Contest, challenger: &Model, champion: &Model) -> bool {
    let Some(disputed) = Disputed::count(&challenger.0, &champion.0, Part::Public) else { return false };
    let [n, b, c] = [disputed.items, disputed.challenger_only, disputed.champion_only].map(|count| count as f64);
    match contest {
        Contest::BetterWins => b > c,
        Contest::HalfPoint => b - c >= 0.005 * n,
        Contest::OneStandardError => b - c > libm::sqrt(b + c - (b - c) * (b - c) / n),
        Contest::McNemar => mcnemar::mid_p(disputed.challenger_only, disputed.champion_only) <= 0.01,
        Contest::TwoStages => false,
    }
}

fn is_hopeless(challenger: &Model, champion: &Model, part: Part, alpha_ppm: u32) -> bool {
    let hopeless = HOPELESS_LEVELS * f64::from(alpha_ppm) / 1e6;
    Disputed::count(&challenger.0, &champion.0, part)
        .is_none_or(|counts| mcnemar::mid_p(counts.challenger_only, counts.champion_only) > hopeless)
}

/// Kinds of items, all of one part.
struct Items(Vec<Kind>, Part);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Easy,
    Hard,
    Undecided,
}

/// A model's answers and divergences on one part's items, and its latency launches.
struct Model(Outcomes);

impl Items {
    fn draw(count: u32, part: Part, words: &mut ChaCha8Rng) -> Self {
        let kind = |ppm: u32| match ppm {
            ..EASY_PPM => Kind::Easy,
            _ if ppm < EASY_PPM + UNDECIDED_PPM => Kind::Undecided,
            _ => Kind::Hard,
        };
        Self((0..count).map(|_| kind(ppm(words))).collect(), part)
    }

    fn champion(&self, words: &mut ChaCha8Rng) -> Model {
        let answers = self.0.iter().map(|kind| answer(*kind, CHANCE_PPM, words)).collect();
        self.measured(answers, words)
    }

    fn challenger(&self, champion: &Model, world: &World, words: &mut ChaCha8Rng) -> Model {
        let gain = u64::from(world.gain_ppm) * 1_000_000 / u64::from(UNDECIDED_PPM);
        let chance = CHANCE_PPM + gain as u32;
        let champion = champion.0.values();
        let copied = champion.right.iter().copied().zip(champion.js_micronats.iter().copied());
        let one = |(kind, copied): (&Kind, (bool, u32))| {
            if ppm(words) < world.fresh_ppm { answer(*kind, chance, words) } else { copied }
        };
        let answers = self.0.iter().zip(copied).map(one).collect();
        self.measured(answers, words)
    }

    fn measured(&self, answers: Vec<(bool, u32)>, words: &mut ChaCha8Rng) -> Model {
        // The sum of twelve uniform numbers has variance 1 and is normal enough.
        let mut launch = || (0..12).map(|_| i64::from(ppm(words)) - 500_000).sum::<i64>() * LAUNCH_NANOS / 1_000_000;
        let log_ratio_nanos = (0..LAUNCHES).map(|_| launch()).collect();
        let (right, js_micronats): (Vec<bool>, Vec<u32>) = answers.into_iter().unzip();
        let values = OutcomeValues {
            images_sha256: Digest::of(b"simulated"),
            size_bytes: 100_000,
            public_items: if self.1 == Part::Public { right.len() as u32 } else { 0 },
            right,
            js_micronats,
            log_ratio_nanos,
        };
        Model(Outcomes::new(values).expect("a world of 1 to 2^20 items gives values in range"))
    }
}

/// An answer with its divergence: about exponential, with a mean of 30 000 micronats where right and 250 000 where not.
fn answer(kind: Kind, chance_ppm: u32, words: &mut ChaCha8Rng) -> (bool, u32) {
    let right = match kind {
        Kind::Easy => true,
        Kind::Hard => false,
        Kind::Undecided => ppm(words) < chance_ppm,
    };
    let mean = if right { 30_000.0 } else { 250_000.0 };
    let uniform = (f64::from(ppm(words)) + 0.5) / 1e6;
    (right, (-libm::log(uniform) * mean).min(690_000.0) as u32)
}

/// Uniform below a million, to about one in four thousand of a millionth.
fn ppm(words: &mut ChaCha8Rng) -> u32 {
    ((u64::from(words.next_u32()) * 1_000_000) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_world_has_the_accuracy_and_the_discordance_that_it_claims() {
        let rules = DethroneRules::default();
        let world = World { items: 100_000, rounds: 1, challengers: 1, gain_ppm: 10_000, fresh_ppm: 1_000_000, rules };
        let mut words = ChaCha8Rng::seed_from_u64(1);
        let items = Items::draw(world.items, Part::Public, &mut words);
        let champion = items.champion(&mut words);
        let equal = items.challenger(&champion, &World { gain_ppm: 0, ..world }, &mut words);
        let better = items.challenger(&champion, &world, &mut words);
        let right = |model: &Model| model.0.values().right.iter().filter(|right| **right).count();
        let disputed = Disputed::count(&equal.0, &champion.0, Part::Public).unwrap();
        assert!((92_100..92_700).contains(&right(&champion)), "{}", right(&champion));
        assert!((8_300..9_100).contains(&(disputed.challenger_only + disputed.champion_only)), "{disputed:?}");
        assert!((93_100..93_700).contains(&right(&better)), "{}", right(&better));
    }

    #[test]
    fn whom_the_simulation_calls_hopeless_the_rules_stop() {
        let rules = DethroneRules { alpha_public_ppm: 50_000, epsilon_ppm: 0, ..DethroneRules::default() };
        let world = World { items: 500, rounds: 1, challengers: 1, gain_ppm: 0, fresh_ppm: 1_000_000, rules };
        let mut words = ChaCha8Rng::seed_from_u64(2);
        let items = Items::draw(world.items, Part::Public, &mut words);
        let champion = items.champion(&mut words);
        let score = ScoreRules::default();
        let ceiling = Ceiling { correct: 475, items: 500 };
        let round = Round { part: Part::Public, seed: Digest::of(b"round"), ceiling, rules: &score };
        let mut hopeless = 0;
        for _ in 0..100 {
            let challenger = items.challenger(&champion, &world, &mut words);
            if is_hopeless(&challenger, &champion, Part::Public, rules.alpha_public_ppm) {
                let p = Pair::new(&challenger.0, &champion.0, &round).unwrap().p_value(0);
                assert!(!rules.passes_public(p), "{p:?}");
                hopeless += 1;
            }
        }
        assert!(hopeless > 50, "{hopeless}");
    }
}
