//! How often rules err: rounds of made-up models judged by the real rules. Pure; a repetition is a function of a seed.
//!
//! The world is exchangeable: a champion and its equals are drawn from one population, so they share the luck of the
//! items and nothing else. Each item is easy (all have it right), hard (all wrong) or undecided: right with probability
//! q, independently for each model. With 77.9 % easy, 20.7 % undecided and q = .7 the accuracy is 92.4 % and two equals
//! differ on 2 * .207 * .7 * .3 = 8.7 % of the items. A better model has a larger q. Everybody passes every public test:
//! fresh items alone tell models apart. It does NOT know real models: figures from here compare rules with each other.

use crate::evidence::{Drawn, Evidence, Sheet};
use crate::field::{Field, key_of};
use crate::round::{Contestant, Referee};
use protocol::dethrone::DethroneRules;
use protocol::report::{Estimate, Latency};
use protocol::round::{EntryRole, RoundRules};
use protocol::score::{ScoreRules, wilson};
use protocol::significance::mcnemar;
use protocol::{Digest, SubmissionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::{BTreeMap, BTreeSet};

/// Shares of kinds of items and the champion's chance on undecided ones, parts per million.
const EASY_PPM: u32 = 779_100;
const UNDECIDED_PPM: u32 = 207_000;
const CHANCE_PPM: u32 = 700_000;
/// Launches of a latency measurement and their deviation: 0.3 %.
const LAUNCHES: usize = 15;
const LAUNCH_NANOS: i64 = 3_000_000;
/// The chance of the teacher on undecided items: 95 % in all, as on Fashion-MNIST's ladder.
const TEACHER_CHANCE_PPM: u32 = 826_000;
/// A memoriser's right answers on fresh items, whatever they are: 55 to 58 % were measured.
const MEMORISER_PPM: u32 = 570_000;
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
    /// Challengers that learnt the public items by heart: 57 % of fresh ones are right, far below the gate.
    pub memorisers: u32,
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
    /// In the order of [`Outcome::dethroned_in`].
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
    /// The first round in which each rule gave the seat away, in the order of [`Contest::ALL`]: to one that is better, where
    /// there are any.
    pub dethroned_in: [Option<u32>; 5],
    /// The round by which all better ones had been decided; `None` if some never were.
    pub better_decided_by: Option<u32>,
}

/// How often each rule dethroned, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Repetitions.
    pub repetitions: u32,
    /// Of each rule, in the order of [`Contest::ALL`]: repetitions by the round that first gave the seat away.
    first: [BTreeMap<u32, u32>; 5],
    /// Repetitions by the round by which all better ones had been decided.
    better_decided: BTreeMap<u32, u32>,
}

impl Tally {
    /// Adds a repetition.
    pub fn add(&mut self, outcome: &Outcome) {
        self.repetitions += 1;
        for (first, round) in self.first.iter_mut().zip(outcome.dethroned_in) {
            round.into_iter().for_each(|round| *first.entry(round).or_default() += 1);
        }
        outcome.better_decided_by.into_iter().for_each(|round| *self.better_decided.entry(round).or_default() += 1);
    }

    /// In how many repetitions each rule had given the seat away after so many rounds.
    pub fn dethroned(&self, rounds: u32) -> [u32; 5] {
        self.first.each_ref().map(|first| first.range(..=rounds).map(|(_, count)| count).sum())
    }

    /// Each rule with how often it had given the seat away by then and Wilson's 95 % interval, parts per million.
    pub fn shares(&self, rounds: u32) -> [(Contest, Estimate); 5] {
        let mut counts = self.dethroned(rounds).into_iter();
        let share = |count: u32| wilson(u64::from(count), u64::from(self.repetitions));
        Contest::ALL.map(|contest| (contest, share(counts.next().unwrap_or_default())))
    }

    /// The round by which all better ones had been decided in every repetition; `None` if in one they weren't.
    pub fn better_decided_by(&self) -> Option<u32> {
        let all = self.better_decided.values().sum::<u32>() == self.repetitions;
        self.better_decided.keys().next_back().copied().filter(|_| all)
    }
}

/// One repetition: a champion, its rounds of challengers, and which rules would have given its seat away.
pub fn repetition(world: &World, seed: u64) -> Outcome {
    let mut words = ChaCha8Rng::seed_from_u64(seed);
    let mut arena = Arena::new(world, &mut words);
    let mut outcome = Outcome::default();
    for round in 1..=world.rounds {
        for (first, dethrones) in outcome.dethroned_in.iter_mut().zip(arena.play(round, &mut words)) {
            if dethrones {
                first.get_or_insert(round);
            }
        }
        if arena.better_are_decided() {
            outcome.better_decided_by.get_or_insert(round);
        }
        if outcome.dethroned_in.iter().all(Option::is_some) && outcome.better_decided_by.is_some() {
            break;
        }
    }
    outcome
}

/// A champion and its challengers over rounds. Who took the seat is noted; the champion of the simulation stays.
struct Arena<'a> {
    world: &'a World,
    /// The champion first, then the better ones, its equals, and memorisers.
    field: Field,
    /// Those below the gate beyond doubt: they are out for good.
    out: BTreeSet<usize>,
}

impl<'a> Arena<'a> {
    fn new(world: &'a World, words: &mut ChaCha8Rng) -> Self {
        let count = 1 + world.better as usize + world.equals as usize + world.memorisers as usize;
        let contestants = (0..count).map(|index| contestant(index, words)).collect();
        Self { world, field: Field::of(contestants), out: BTreeSet::new() }
    }

    /// Whether its taking the seat is what is counted: a better one's, or anybody's where nobody is better.
    fn counts(&self, index: usize) -> bool {
        index > 0 && (self.world.better == 0 || self.is_better(index))
    }

    fn is_better(&self, index: usize) -> bool {
        (1..=self.world.better as usize).contains(&index)
    }

    fn better_are_decided(&self) -> bool {
        (1..=self.world.better as usize).all(|index| self.field.was_decided(index))
    }

    fn is_memoriser(&self, index: usize) -> bool {
        index > self.world.better as usize + self.world.equals as usize
    }

    /// Which rules give the seat away in this round.
    fn play(&mut self, number: u32, words: &mut ChaCha8Rng) -> [bool; 5] {
        let number = u64::from(number);
        let items = Items::draw(self.world.items, words);
        let cut = self.world.round.screening.cut(self.world.items);
        self.field.drawn.insert(number, Drawn { cut, teacher_right: items.answers(TEACHER_CHANCE_PPM, words) });
        let answers = self.answers(&items, words);
        let screened = self.judge(number, &answers, words).is_some_and(|index| self.counts(index));
        let mut gives = [false; 5];
        let (champion, others) = answers.right.split_first().map_or((None, [].as_slice()), |(a, b)| (a.as_ref(), b));
        let counted = (1..).zip(others).filter(|(index, _)| self.counts(*index) && !self.is_memoriser(*index));
        for disputed in counted.filter_map(|(_, right)| Some(Disputed::of(right.as_ref()?, champion?))) {
            for (any, contest) in gives.iter_mut().zip(Contest::ALL) {
                *any |= if contest == Contest::Screened { screened } else { simple_rule(contest, disputed) };
            }
        }
        gives
    }

    /// What all who live answer.
    fn answers(&self, items: &Items, words: &mut ChaCha8Rng) -> Answers {
        let champion = items.answers(CHANCE_PPM, words);
        let others = (1..self.field.contestants.len()).map(|index| match index {
            _ if self.out.contains(&index) => None,
            _ if self.is_memoriser(index) => Some(items.0.iter().map(|_| ppm(words) < MEMORISER_PPM).collect()),
            _ => Some(self.challenger(index, items, &champion, words)),
        });
        let others: Vec<Option<Vec<bool>>> = others.collect();
        let mut divergences = [0; 32];
        words.fill_bytes(&mut divergences);
        let right = [Some(champion)].into_iter().chain(others).collect();
        Answers { right, divergences, clones: self.world.fresh_ppm < 1_000_000 }
    }

    /// Screens, decides and judges by the real rules; who would take the seat.
    fn judge(&mut self, number: u64, answers: &Answers, words: &mut ChaCha8Rng) -> Option<usize> {
        let seed = Digest::of(&words.next_u64().to_le_bytes());
        let rules = (ScoreRules::default(), self.world.rules);
        let referee = Referee::new(rules, (number, seed), (1, 0), self.field.drawn.clone());
        let cut = self.world.round.screening.cut(self.world.items);
        let ask = |index, count| answers.sheet(index, count);
        let (selection, out) = self.field.screen(&referee, &self.world.round, (number, cut), Some(0), ask);
        self.out.extend(out);
        let champion = self.field.contestants.first()?;
        let challengers = selection.decided.iter().filter_map(|index| self.field.contestants.get(*index));
        let dethrones = |challenger: &&Contestant| referee.dethrones(champion, challenger, selection.shared_by);
        let winners: Vec<&Contestant> = challengers.filter(dethrones).collect();
        let successor = referee.successor(&winners)?;
        self.field.contestants.iter().position(|contestant| contestant.submission == successor)
    }

    fn challenger(&self, index: usize, items: &Items, champion: &[bool], words: &mut ChaCha8Rng) -> Vec<bool> {
        let gain = u64::from(self.world.gain_ppm) * 1_000_000 / u64::from(UNDECIDED_PPM);
        let chance = CHANCE_PPM + if self.is_better(index) { gain as u32 } else { 0 };
        let one = |(kind, copied): (&Kind, &bool)| match kind {
            Kind::Undecided if self.world.fresh_ppm == 1_000_000 || ppm(words) < self.world.fresh_ppm => {
                ppm(words) < chance
            }
            _ => *copied,
        };
        items.0.iter().zip(champion).map(one).collect()
    }
}

/// A round's answers, and where divergences come from: they are made for the items alone that a model is asked for.
struct Answers {
    /// Whether each is right; nothing of those that are out.
    right: Vec<Option<Vec<bool>>>,
    divergences: [u8; 32],
    /// Whether models have the champion's divergence where they answer as it does.
    clones: bool,
}

impl Answers {
    fn sheet(&self, index: usize, count: u32) -> Option<Sheet> {
        let right = self.right.get(index)?.as_ref()?;
        let right: Vec<bool> = right.iter().copied().take(count as usize).collect();
        let of = |index: usize| {
            let mut words = ChaCha8Rng::from_seed(self.divergences);
            words.set_stream(index as u64);
            words
        };
        let mut own = of(index);
        let js_micronats = right.iter().map(|right| divergence(*right, &mut own)).collect();
        let mut sheet = Sheet { right, js_micronats };
        if self.clones && index > 0 {
            let champion = self.sheet(0, count)?;
            let its = champion.right.iter().zip(&champion.js_micronats);
            for ((right, js), (as_it, its)) in sheet.right.iter().zip(&mut sheet.js_micronats).zip(its) {
                *js = if right == as_it { *its } else { *js };
            }
        }
        Some(sheet)
    }
}

fn contestant(index: usize, words: &mut ChaCha8Rng) -> Contestant {
    // The sum of twelve uniform numbers has variance 1 and is normal enough.
    let mut launch = || (0..12).map(|_| i64::from(ppm(words)) - 500_000).sum::<i64>() * LAUNCH_NANOS / 1_000_000;
    let log_ratio_nanos: Vec<i64> = (0..LAUNCHES).map(|_| launch()).collect();
    let hotkey = key_of(index);
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

/// How often one of two is right alone.
#[derive(Clone, Copy)]
struct Disputed {
    challenger_only: u64,
    champion_only: u64,
    items: u64,
}

impl Disputed {
    fn of(challenger: &[bool], champion: &[bool]) -> Self {
        let count = |which: fn(bool, bool) -> bool| {
            challenger.iter().zip(champion).map(|(own, its)| u64::from(which(*own, *its))).sum()
        };
        let items = challenger.len() as u64;
        Self { challenger_only: count(|own, its| own & !its), champion_only: count(|own, its| !own & its), items }
    }
}

fn simple_rule(contest: Contest, disputed: Disputed) -> bool {
    let Disputed { challenger_only, champion_only, items } = disputed;
    let [b, c, n] = [challenger_only, champion_only, items].map(|count| count as f64);
    match contest {
        Contest::BetterWins => b > c,
        Contest::HalfPoint => b - c >= 0.005 * n,
        Contest::OneStandardError => b - c > libm::sqrt(b + c - (b - c) * (b - c) / n),
        Contest::McNemar => mcnemar::mid_p(challenger_only, champion_only) <= 0.01,
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

    fn answers(&self, chance_ppm: u32, words: &mut ChaCha8Rng) -> Vec<bool> {
        let one = |kind: &Kind| match kind {
            Kind::Easy => true,
            Kind::Hard => false,
            Kind::Undecided => ppm(words) < chance_ppm,
        };
        self.0.iter().map(one).collect()
    }
}

/// A divergence: nearly exponential, without a logarithm, with a mean of 30 000 micronats where right and 250 000 where not.
fn divergence(right: bool, words: &mut ChaCha8Rng) -> u32 {
    let mean: u64 = if right { 30_000 } else { 250_000 };
    // Leading zeros halve in frequency, and ten other bits fill the gaps: 1.5 on average, in 1,024ths.
    let word = words.next_u64();
    let divergence = ((u64::from(word.leading_zeros()) << 10) | (word & 0x3FF)) * mean / 1_536;
    divergence.min(690_000) as u32
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
        let right = |answers: &[bool]| answers.iter().filter(|right| **right).count();
        let differ = champion.iter().zip(&equal).filter(|(a, b)| a != b).count();
        assert!((92_100..92_700).contains(&right(&champion)), "{}", right(&champion));
        assert!((8_300..9_100).contains(&differ), "{differ}");
        assert!((93_100..93_700).contains(&right(&better)), "{}", right(&better));
        assert!((94_700..95_300).contains(&right(&teacher)), "{}", right(&teacher));
    }
}
