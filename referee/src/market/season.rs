//! A season: agents enter packages, rounds draw items, and every policy pays.
//!
//! It does NOT know what a strategy is after.

use super::{Entry, Package, Shelf};
use crate::evidence::{Drawn, Evidence, Sheet};
use crate::field::{Field, key_of};
use crate::round::{Contestant, Decision, Judgement, Referee};
use protocol::dethrone::DethroneRules;
use protocol::report::{Estimate, Latency, LatencyChecks};
use protocol::reward::{Entrant, History, Payment, RewardRules};
use protocol::round::{Cut, EntryRole, RoundRules};
use protocol::score::ScoreRules;
use protocol::{Digest, Hotkey, SubmissionId};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// The rules of a competition, and the policies that are compared.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// How the composite is made.
    pub score: ScoreRules,
    /// Who dethrones.
    pub dethrone: DethroneRules,
    /// How rounds go.
    pub rounds: RoundRules,
    /// Fresh items of a round.
    pub items: u32,
    /// The policies; each pays the same rounds.
    pub rewards: Vec<RewardRules>,
}

/// What came of a season.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Season {
    /// By policy, by agent: what all its owners were paid, round by round, parts per million.
    pub paid_ppm: Vec<Vec<Vec<u32>>>,
    /// By policy: rounds in which a group was paid more than one above it on hidden score.
    pub inversions: Vec<u32>,
    /// The agent that held the seat after each round.
    pub champions: Vec<Option<usize>>,
}

impl Season {
    /// What an agent was paid a round on average.
    pub fn mean_ppm(&self, policy: usize, agent: usize) -> u32 {
        let paid = self.paid_ppm.get(policy).and_then(|agents| agents.get(agent));
        let sum = |paid: &Vec<u32>| paid.iter().map(|ppm| u64::from(*ppm)).sum::<u64>();
        paid.and_then(|paid| sum(paid).checked_div(paid.len() as u64)).map_or(0, |mean| mean as u32)
    }
}

/// Plays `rounds` rounds. A function of its arguments.
pub fn play(agents: &[&[Entry]], shelf: &Shelf, rules: &Rules, rounds: u32, seed: u64) -> Season {
    let mut market = Market::new(agents, shelf, rules, seed);
    for number in 1..=u64::from(rounds) {
        market.round(number);
    }
    market.season
}

/// A member: which agent sent it, and what answers for it.
struct Member<'a> {
    agent: usize,
    entry: &'a Entry,
    ended: bool,
}

struct Market<'a> {
    shelf: &'a Shelf,
    rules: &'a Rules,
    /// Entries to come, by round and agent.
    coming: Vec<(usize, &'a Entry)>,
    members: Vec<Member<'a>>,
    field: Field,
    reference: Evidence,
    champion: Option<usize>,
    reign_began: u64,
    histories: Vec<History>,
    words: ChaCha8Rng,
    season: Season,
}

impl<'a> Market<'a> {
    fn new(agents: &[&'a [Entry]], shelf: &'a Shelf, rules: &'a Rules, seed: u64) -> Self {
        let of_agent = |(agent, entries): (usize, &&'a [Entry])| {
            let entries: &'a [Entry] = entries;
            entries.iter().map(move |entry| (agent, entry)).collect::<Vec<_>>()
        };
        let mut coming: Vec<(usize, &Entry)> = agents.iter().enumerate().flat_map(of_agent).collect();
        coming.sort_by_key(|(_, entry)| entry.round);
        let policies = rules.rewards.len();
        let season = Season {
            paid_ppm: vec![vec![Vec::new(); agents.len()]; policies],
            inversions: vec![0; policies],
            champions: Vec::new(),
        };
        let reference = shelf.reference();
        let reference = Evidence {
            sheets: BTreeMap::new(),
            log_ratio_nanos: vec![0; reference.launches().len()],
            size_bytes: reference.size_bytes(),
        };
        Self {
            shelf,
            rules,
            coming,
            members: Vec::new(),
            field: Field::default(),
            reference,
            champion: None,
            reign_began: 1,
            histories: vec![History::default(); policies],
            words: ChaCha8Rng::seed_from_u64(seed),
            season,
        }
    }

    fn round(&mut self, number: u64) {
        self.enter(number);
        let items = self.draw();
        let cut = self.rules.rounds.screening.cut(self.rules.items);
        let answers = |member: &Member<'_>| self.shelf.answers(member.entry.package, &items);
        let sheets: Vec<Option<Sheet>> =
            self.members.iter().map(|member| (!member.ended).then(|| answers(member))).collect();
        self.reference.sheets.insert(number, self.shelf.reference().answers(&items));
        self.field.drawn.insert(number, Drawn { cut, teacher_right: self.shelf.teacher().answers(&items).right });
        let judgement = self.judge(number, cut, &sheets);
        self.pay(&judgement);
        let agent = self.champion.and_then(|index| self.members.get(index)).map(|member| member.agent);
        self.season.champions.push(agent);
    }

    /// Lets in who enters in this round, but for copies of what another owner entered before, and of the entries 0.
    fn enter(&mut self, number: u64) {
        while let Some((agent, entry)) = self.coming.first().copied().filter(|(_, it)| u64::from(it.round) <= number) {
            self.coming.remove(0);
            let owner = (agent, entry.owner);
            let original =
                |member: &&Member<'_>| member.entry.kin == entry.kin && (member.agent, member.entry.owner) != owner;
            if entry.kin.is_entry_zero() || self.members.iter().any(|member| original(&member)) {
                continue;
            }
            let index = self.members.len();
            let (log_ratio_nanos, latency) = timed(self.shelf.package(entry.package), entry.games_the_clock);
            self.field.enter(Contestant {
                submission: SubmissionId::new(number, index as u128),
                hotkey: key_of(1_000_000 + index),
                owner: key_of(1_000 * agent + entry.owner as usize),
                arrival: index as u64,
                role: EntryRole::Screened,
                evidence: Evidence {
                    sheets: BTreeMap::new(),
                    log_ratio_nanos,
                    size_bytes: self.shelf.package(entry.package).size_bytes() - entry.bytes_less,
                },
                latency: Some(latency),
                above_public_gate: true,
                copy_of: None,
            });
            self.members.push(Member { agent, entry, ended: false });
        }
    }

    /// Items of the stored set, none twice.
    fn draw(&mut self) -> Vec<usize> {
        let mut all: Vec<usize> = (0..self.shelf.items()).collect();
        let wanted = (self.rules.items as usize).min(all.len());
        for place in 0..wanted {
            let rest = (all.len() - place) as u64;
            all.swap(place, place + ((u64::from(self.words.next_u32()) * rest) >> 32) as usize);
        }
        all.truncate(wanted);
        all
    }

    fn judge(&mut self, number: u64, cut: Cut, sheets: &[Option<Sheet>]) -> Judgement {
        let seed = Digest::of(&self.words.next_u64().to_le_bytes());
        let rules = (self.rules.score.clone(), self.rules.dethrone);
        let referee = Referee::new(rules, (number, seed), (self.reign_began, 0), self.field.drawn.clone());
        let ask = |index: usize, count| sheets.get(index)?.as_ref().map(|sheet| sheet.first(count));
        let (selection, out) = self.field.screen(&referee, &self.rules.rounds, (number, cut), self.champion, ask);
        for index in out {
            self.members.get_mut(index).into_iter().for_each(|member| member.ended = true);
        }
        let alive = (0..).zip(self.field.contestants.iter().zip(&self.members)).filter(|(_, (_, it))| !it.ended);
        // A round times only those that it decides; who games the clock was seen to before.
        let timed = |(index, (contestant, member)): (usize, (&Contestant, &Member<'_>))| {
            let now =
                selection.decided.contains(&index) || self.champion == Some(index) || member.entry.games_the_clock;
            Contestant { latency: contestant.latency.clone().filter(|_| now), ..contestant.clone() }
        };
        let contestants: Vec<Contestant> = alive.map(timed).collect();
        let decision = self.decide(&referee, &contestants, &selection.decided, selection.shared_by);
        let before = self.champion.and_then(|index| self.field.contestants.get(index)).map(|it| it.submission.clone());
        let history = self.histories.first().cloned().unwrap_or_default();
        let judgement = referee.conclude(decision, &contestants, before.as_ref(), &self.reference, &history);
        if judgement.champion != before {
            let sits = |contestant: &Contestant| Some(&contestant.submission) == judgement.champion.as_ref();
            self.champion = self.field.contestants.iter().position(sits);
            self.reign_began = number + 1;
        }
        judgement
    }

    /// As [`Referee::decide`], without the figures of bouts.
    fn decide(&self, referee: &Referee, contestants: &[Contestant], decided: &[usize], shared_by: u32) -> Decision {
        let Some(champion) = self.champion.and_then(|index| self.field.contestants.get(index)) else {
            return referee.decide(contestants, shared_by, false);
        };
        let challengers = decided.iter().filter_map(|index| self.field.contestants.get(*index));
        let winners: Vec<&Contestant> =
            challengers.filter(|challenger| referee.dethrones(champion, challenger, shared_by)).collect();
        Decision { verdicts: Vec::new(), successor: referee.successor(&winners) }
    }

    fn pay(&mut self, judgement: &Judgement) {
        for (policy, reward) in self.rules.rewards.iter().enumerate() {
            let Some(history) = self.histories.get_mut(policy) else { continue };
            let payment = reward.pay(history, &judgement.standing);
            history.rounds.push(payment.past.clone());
            let inverted = is_inverted(judgement, &payment);
            self.season.inversions.get_mut(policy).into_iter().for_each(|count| *count += u32::from(inverted));
            let members = self.field.contestants.iter().zip(&self.members);
            let agent_of: BTreeMap<_, _> = members.map(|(it, member)| (it.hotkey, member.agent)).collect();
            for (agent, paid) in self.season.paid_ppm.get_mut(policy).into_iter().flatten().enumerate() {
                let own = payment.weights.iter().filter(|weight| agent_of.get(&weight.hotkey) == Some(&agent));
                paid.push(own.map(|weight| weight.weight_ppm).sum());
            }
        }
    }
}

/// A ratio as narrow as a sound measurement's.
const SOUND: Estimate = Estimate { value_ppm: 1_000_000, low_ppm: 998_000, high_ppm: 1_002_000 };

/// Ten times as fast, as a logarithm.
const TENFOLD_NANOS: i64 = 2_302_585_093;

/// A package's launches as the validator measures them, and what the checks say.
fn timed(package: &Package, games_the_clock: bool) -> (Vec<i64>, Latency) {
    let launches = package.launches().len() as u32;
    let sound = Latency { ratio: SOUND, launches, ..Latency::default() };
    if !games_the_clock {
        return (package.launches().to_vec(), sound);
    }
    let faster = package.launches().iter().map(|nanos| nanos - TENFOLD_NANOS).collect();
    let checks = LatencyChecks { output_delta_micro_max: u64::MAX, ..sound.checks };
    (faster, Latency { checks, ..sound })
}

/// Whether a group is paid more than one above it. A group of which every owner has a better entry elsewhere isn't one that could
/// have been paid.
fn is_inverted(judgement: &Judgement, payment: &Payment) -> bool {
    let mut best: BTreeMap<Hotkey, u32> = BTreeMap::new();
    for entrant in &judgement.standing.entrants {
        let rank = best.entry(entrant.owner).or_insert(entrant.rank);
        *rank = entrant.rank.min(*rank);
    }
    let mut groups: BTreeMap<u32, u32> = BTreeMap::new();
    let own_best = |entrant: &&Entrant| best.get(&entrant.owner) == Some(&entrant.rank);
    for entrant in judgement.standing.entrants.iter().filter(own_best).filter(|entrant| entrant.rank < u32::MAX) {
        let paid = payment.weights.iter().find(|weight| weight.hotkey == entrant.hotkey);
        *groups.entry(entrant.rank).or_default() += paid.map_or(0, |weight| weight.weight_ppm);
    }
    !groups.values().is_sorted_by(|above, below| above >= below)
}
