//! How often rules err: rounds of made-up models judged by the real rules. Pure; a repetition is a function of a seed.
//!
//! The world is exchangeable: a champion and its equals are drawn from one population, so they share the luck of the
//! items and nothing else. Each item is easy (all have it right), hard (all wrong) or undecided: right with probability
//! q, independently for each model. With 77.9 % easy, 20.7 % undecided and q = .7 the accuracy is 92.4 % and two equals
//! differ on 2 * .207 * .7 * .3 = 8.7 % of the items. A better model has a larger q. Everybody passes every public test:
//! fresh items alone tell models apart. It does NOT know real models: figures from here compare rules with each other.

use crate::evidence::{Drawn, Evidence, Sheet, Stage};
use crate::round::{Contestant, Referee};
use crate::screening::{Candidate, finalists, select};
use protocol::dethrone::DethroneRules;
use protocol::report::{Estimate, Latency};
use protocol::round::{EntryRole, RoundRules};
use protocol::score::{ScoreRules, wilson};
use protocol::significance::mcnemar;
use protocol::{Digest, Hotkey, SubmissionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// Shares of kinds of items and the champion's chance on undecided ones, parts per million.
const EASY_PPM: u32 = 779_100;
const UNDECIDED_PPM: u32 = 207_000;
const CHANCE_PPM: u32 = 700_000;
/// Launches of a latency measurement and their deviation: 0.3 %.
const LAUNCHES: usize = 15;
const LAUNCH_NANOS: i64 = 3_000_000;
/// The chance of the teacher on undecided items: 95 % in all, as on Fashion-MNIST's ladder.
const TEACHER_CHANCE_PPM: u32 = 826_000;
/// What a made-up model weighs.
const SIZE_BYTES: u64 = 100_000;

/// What is simulated.
#[derive(Clone, Debug)]
pub struct World {
    /// Fresh items of a round in all, 100 to 2^20.
    pub items: u32,
    /// Rounds, each with fresh items; evidence is kept from one to the next.
    pub rounds: u32,
    /// Challengers that are as good as the champion.
    pub equals: u32,
    /// Challengers that are better.
    pub better: u32,
    /// By how much of the accuracy, parts per million, at most 62 000: more there is not to decide.
    pub gain_ppm: u32,
    /// 1 000 000: models with a seed of their own. Less: noisy clones of the champion, that answer so many of the
    /// undecided items anew.
    pub fresh_ppm: u32,
    /// Who dethrones.
    pub rules: DethroneRules,
    /// How rounds screen.
    pub round: RoundRules,
}

/// The rules that are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contest {
    /// More right answers on the round's fresh items.
    BetterWins,
    /// Half a point more.
    HalfPoint,
    /// More by one paired standard error (the Ladder's step).
    OneStandardError,
    /// One-sided exact mid-p McNemar on the round's fresh items at .01.
    McNemar,
    /// Screening, then [`World::rules`] on what decides, pooled over rounds.
    Screened,
}

impl Contest {
    /// In the order of [`Dethroned`].
    pub const ALL: [Self; 5] =
        [Self::BetterWins, Self::HalfPoint, Self::OneStandardError, Self::McNemar, Self::Screened];

    /// The stable name, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            Self::BetterWins => "better_wins",
            Self::HalfPoint => "half_point",
            Self::OneStandardError => "one_standard_error",
            Self::McNemar => "mcnemar",
            Self::Screened => "screened",
        }
    }
}

/// What came of a repetition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Which rules gave the seat away, in the order of [`Contest::ALL`]: to one that is better, where there are any.
    pub dethroned: [bool; 5],
    /// The round by which all better ones had been decided; `None` if some never were.
    pub better_decided_by: Option<u32>,
}

/// How often each rule dethroned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Repetitions.
    pub repetitions: u32,
    /// Repetitions in which each rule dethroned, in the order of [`Contest::ALL`].
    pub dethroned: [u32; 5],
    /// The latest round by which all better ones were decided, over all repetitions; 0 where some never were.
    pub better_decided_by: u32,
}

impl Tally {
    /// Adds a repetition.
    pub fn add(&mut self, outcome: &Outcome) {
        let first = self.repetitions == 0;
        self.repetitions += 1;
        for (count, dethroned) in self.dethroned.iter_mut().zip(outcome.dethroned) {
            *count += u32::from(dethroned);
        }
        let never = !first && self.better_decided_by == 0;
        let latest = outcome.better_decided_by.map_or(0, |by| by.max(self.better_decided_by));
        self.better_decided_by = if never { 0 } else { latest };
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
pub fn repetition(world: &World, seed: u64) -> Outcome {
    let mut words = ChaCha8Rng::seed_from_u64(seed);
    let mut arena = Arena::new(world, &mut words);
    let mut outcome = Outcome::default();
    for round in 1..=world.rounds {
        arena.play(round, &mut words, &mut outcome);
        if outcome.better_decided_by.is_none() && arena.better_are_decided() {
            outcome.better_decided_by = Some(round);
        }
    }
    outcome
}

/// A champion and its challengers over rounds. Who took the seat is noted; the champion of the simulation stays.
struct Arena<'a> {
    world: &'a World,
    /// The champion first, then the better ones, then its equals.
    contestants: Vec<Contestant>,
    waited: Vec<u32>,
    decided: Vec<bool>,
    drawn: BTreeMap<u64, Drawn>,
}

impl<'a> Arena<'a> {
    fn new(world: &'a World, words: &mut ChaCha8Rng) -> Self {
        let count = 1 + world.better as usize + world.equals as usize;
        let contestants = (0..count).map(|index| contestant(index, words)).collect();
        Self { world, contestants, waited: vec![0; count], decided: vec![false; count], drawn: BTreeMap::new() }
    }

    fn is_better(&self, index: usize) -> bool {
        (1..=self.world.better as usize).contains(&index)
    }

    fn better_are_decided(&self) -> bool {
        self.decided.iter().skip(1).take(self.world.better as usize).all(|decided| *decided)
    }

    fn play(&mut self, number: u32, words: &mut ChaCha8Rng, outcome: &mut Outcome) {
        let number = u64::from(number);
        let items = Items::draw(self.world.items, words);
        let cut = self.world.round.screening.cut(self.world.items);
        let teacher_right = items.answers(TEACHER_CHANCE_PPM, words).right;
        self.drawn.insert(number, Drawn { cut, teacher_right });
        let champion = items.answers(CHANCE_PPM, words);
        let sheets: Vec<Sheet> = (0..self.contestants.len())
            .map(|index| if index == 0 { champion.clone() } else { self.challenger(index, &items, &champion, words) })
            .collect();
        for (index, sheet) in sheets.iter().enumerate().skip(1) {
            let counts = self.world.better == 0 || self.is_better(index);
            for (any, contest) in outcome.dethroned.iter_mut().zip(Contest::ALL) {
                *any |= counts && simple_rule(contest, sheet, &champion);
            }
        }
        let successor = self.judge(number, &sheets, words);
        if let Some(successor) = successor.filter(|index| self.world.better == 0 || self.is_better(*index))
            && let [.., screened] = &mut outcome.dethroned
        {
            *screened |= successor > 0;
        }
    }

    /// Screens, decides and judges by the real rules; who would take the seat.
    fn judge(&mut self, number: u64, sheets: &[Sheet], words: &mut ChaCha8Rng) -> Option<usize> {
        let seed = Digest::of(&words.next_u64().to_le_bytes());
        let rules = (ScoreRules::default(), self.world.rules);
        let referee = Referee::new(rules, (number, seed), (1, 0), self.drawn.clone());
        let cut = self.world.round.screening.cut(self.world.items);
        self.show(number, sheets, |_| cut.first);
        let first = finalists(self.candidates(&referee), &self.world.round, None);
        self.show(number, sheets, |index| if first.contains(&index) { cut.second } else { cut.first });
        let selection = select(self.candidates(&referee), &self.world.round, None);
        self.show(number, sheets, |index| match index {
            0 => cut.all,
            _ if selection.decided.contains(&index) => cut.all,
            _ if first.contains(&index) => cut.second,
            _ => cut.first,
        });
        for (index, contestant) in self.contestants.iter_mut().enumerate().skip(1) {
            let decided = selection.decided.contains(&index);
            contestant.role = if decided { EntryRole::Challenger } else { EntryRole::Screened };
            self.decided[index] |= decided;
            self.waited[index] += u32::from(!decided);
        }
        let decision = referee.decide(&self.contestants, selection.shared_by, true);
        let successor = decision.successor?;
        self.contestants.iter().position(|contestant| contestant.submission == successor)
    }

    /// Lets everybody answer the first items of the round.
    fn show(&mut self, number: u64, sheets: &[Sheet], items: impl Fn(usize) -> u32) {
        for (index, (contestant, sheet)) in self.contestants.iter_mut().zip(sheets).enumerate() {
            let count = items(index) as usize;
            let prefix = Sheet {
                right: sheet.right.iter().copied().take(count).collect(),
                js_micronats: sheet.js_micronats.iter().copied().take(count).collect(),
            };
            contestant.evidence.sheets.insert(number, prefix);
        }
    }

    fn candidates(&self, referee: &Referee) -> Vec<Candidate<usize>> {
        let candidate = |(index, contestant): (usize, &Contestant)| {
            let merit = referee.merit(&contestant.evidence, Stage::Screening)?;
            Some(Candidate {
                key: index,
                owner: contestant.owner,
                arrival: contestant.arrival,
                composite_ppm: merit.composite_ppm,
                waited_rounds: self.waited[index],
                decided_before: self.decided[index],
            })
        };
        self.contestants.iter().enumerate().skip(1).filter_map(candidate).collect()
    }

    fn challenger(&self, index: usize, items: &Items, champion: &Sheet, words: &mut ChaCha8Rng) -> Sheet {
        let gain = u64::from(self.world.gain_ppm) * 1_000_000 / u64::from(UNDECIDED_PPM);
        let chance = CHANCE_PPM + if self.is_better(index) { gain as u32 } else { 0 };
        let copied = champion.right.iter().copied().zip(champion.js_micronats.iter().copied());
        let one = |(kind, copied): (&Kind, (bool, u32))| {
            if ppm(words) < self.world.fresh_ppm { answer(*kind, chance, words) } else { copied }
        };
        let (right, js_micronats) = items.0.iter().zip(copied).map(one).unzip();
        Sheet { right, js_micronats }
    }
}

fn contestant(index: usize, words: &mut ChaCha8Rng) -> Contestant {
    // The sum of twelve uniform numbers has variance 1 and is normal enough.
    let mut launch = || (0..12).map(|_| i64::from(ppm(words)) - 500_000).sum::<i64>() * LAUNCH_NANOS / 1_000_000;
    let log_ratio_nanos: Vec<i64> = (0..LAUNCHES).map(|_| launch()).collect();
    let mut key = [0; 32];
    key[..8].copy_from_slice(&(index as u64).to_le_bytes());
    let hotkey = Hotkey::from_bytes(key);
    Contestant {
        submission: SubmissionId::new(1, index as u128),
        hotkey,
        owner: hotkey,
        arrival: index as u64,
        role: if index == 0 { EntryRole::Champion } else { EntryRole::Screened },
        evidence: Evidence { sheets: BTreeMap::new(), log_ratio_nanos, size_bytes: SIZE_BYTES },
        latency: Some(Latency { ratio: SOUND, launches: LAUNCHES as u32, ..Latency::default() }),
        above_public_gate: true,
        copy_of: None,
    }
}

/// A ratio as narrow as a sound measurement's.
const SOUND: Estimate = Estimate { value_ppm: 1_000_000, low_ppm: 998_000, high_ppm: 1_002_000 };

fn simple_rule(contest: Contest, challenger: &Sheet, champion: &Sheet) -> bool {
    let answers = || challenger.right.iter().zip(&champion.right);
    let b = answers().filter(|(own, its)| **own && !**its).count() as f64;
    let c = answers().filter(|(own, its)| !**own && **its).count() as f64;
    let n = challenger.right.len() as f64;
    match contest {
        Contest::BetterWins => b > c,
        Contest::HalfPoint => b - c >= 0.005 * n,
        Contest::OneStandardError => b - c > libm::sqrt(b + c - (b - c) * (b - c) / n),
        Contest::McNemar => mcnemar::mid_p(b as u64, c as u64) <= 0.01,
        Contest::Screened => false,
    }
}

/// Kinds of items.
struct Items(Vec<Kind>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Easy,
    Hard,
    Undecided,
}

impl Items {
    fn draw(count: u32, words: &mut ChaCha8Rng) -> Self {
        let kind = |ppm: u32| match ppm {
            ..EASY_PPM => Kind::Easy,
            _ if ppm < EASY_PPM + UNDECIDED_PPM => Kind::Undecided,
            _ => Kind::Hard,
        };
        Self((0..count).map(|_| kind(ppm(words))).collect())
    }

    fn answers(&self, chance_ppm: u32, words: &mut ChaCha8Rng) -> Sheet {
        let (right, js_micronats) = self.0.iter().map(|kind| answer(*kind, chance_ppm, words)).unzip();
        Sheet { right, js_micronats }
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
        let mut words = ChaCha8Rng::seed_from_u64(1);
        let items = Items::draw(100_000, &mut words);
        let [champion, equal] = [CHANCE_PPM, CHANCE_PPM].map(|chance| items.answers(chance, &mut words));
        let better = items.answers(CHANCE_PPM + 48_309, &mut words);
        let teacher = items.answers(TEACHER_CHANCE_PPM, &mut words);
        let right = |sheet: &Sheet| sheet.right.iter().filter(|right| **right).count();
        let differ = champion.right.iter().zip(&equal.right).filter(|(a, b)| a != b).count();
        assert!((92_100..92_700).contains(&right(&champion)), "{}", right(&champion));
        assert!((8_300..9_100).contains(&differ), "{differ}");
        assert!((93_100..93_700).contains(&right(&better)), "{}", right(&better));
        assert!((94_700..95_300).contains(&right(&teacher)), "{}", right(&teacher));
    }
}
