//! One bout for the seat: a challenger against the champion by the rules of a manifest, and who is crowned where several win.
//!
//! Only fresh hidden items decide: public ones, which everybody may have learnt by heart, end what is below the gate and
//! say nothing else. Every doubt keeps the incumbent: a tie, a missing measurement, other items, a champion that fails to
//! load. It does NOT know the clock, who is who, which items are fresh, or how copies are recognised.

use protocol::Digest;
use protocol::dethrone::{Comparison, DethroneRules, Rule, Verdict};
use protocol::outcomes::Outcomes;
use protocol::score::{Ceiling, Scale, ScoreRules, share_ppm};
use protocol::significance::{Basis, Disputed, Level, Pair, Part, Replicates};
use protocol::standing;
use std::num::NonZeroU32;

/// The standing champion, measured again on the challenger's items.
#[derive(Clone, Copy, Debug)]
pub enum Incumbent<'a> {
    /// It ran.
    Measured(&'a Outcomes),
    /// It failed to load or to run: it keeps its seat until a person removes it. Whoever can break the champion's
    /// measurement gains nothing.
    NotMeasured,
}

/// One challenger against the champion, on the fresh items that decide.
#[derive(Clone, Copy, Debug)]
pub struct Bout<'a> {
    /// The champion.
    pub champion: Incumbent<'a>,
    /// How long it has reigned.
    pub champion_age_seconds: u64,
    /// The challenger on the champion's items, if it could be measured.
    pub challenger: Option<&'a Outcomes>,
    /// Whether both latencies were measured on a quiet host.
    pub latency_stable: bool,
    /// Whether the challenger behaved while timed as otherwise.
    pub latency_compliant: bool,
    /// Whether the challenger was recognised as a copy of an earlier model.
    pub near_copy: bool,
    /// Whether it is above the gate on public items.
    pub above_public_gate: bool,
    /// How the composite is made.
    pub score: &'a ScoreRules,
    /// How a challenger dethrones.
    pub rules: &'a DethroneRules,
    /// The teacher on these items.
    pub ceiling: Ceiling,
    /// How many challengers share the round's level, this one included.
    pub shared_by: NonZeroU32,
    /// From how many rounds the items are.
    pub rounds: u32,
    /// The round's seed.
    pub seed: Digest,
}

/// Judges one challenger. The figures are given wherever they exist, whatever rule decides.
pub fn judge(bout: &Bout<'_>) -> Verdict {
    let epsilon_ppm = bout.rules.epsilon_ppm_at(bout.champion_age_seconds);
    let hidden = compare(bout, epsilon_ppm);
    Verdict {
        rule: decide(bout, hidden.is_some(), || {
            hidden.is_some_and(|hidden| bout.rules.passes(hidden.p, bout.shared_by))
        }),
        epsilon_ppm,
        alpha_hidden_ppm: bout.rules.alpha_hidden_ppm,
        shared_by: bout.shared_by.get(),
        rounds: bout.rounds,
        hidden,
    }
}

/// Whether [`judge`] would say [`Rule::Dethrones`], without the figures: for simulations of many bouts ([`Pair::is_better`]).
pub fn dethrones(bout: &Bout<'_>) -> bool {
    let pair = pair(bout);
    let epsilon_ppm = bout.rules.epsilon_ppm_at(bout.champion_age_seconds);
    let better = || pair.as_ref().is_some_and(|pair| pair.is_better(epsilon_ppm, level(bout)));
    decide(bout, pair.is_some(), better).dethrones()
}

/// The rules in their order: the first that stops the challenger decides. The costly one is asked last.
fn decide(bout: &Bout<'_>, comparable: bool, better: impl FnOnce() -> bool) -> Rule {
    if matches!(bout.champion, Incumbent::NotMeasured) {
        return Rule::ChampionNotMeasured;
    }
    let Some(challenger) = bout.challenger else { return Rule::ChallengerNotMeasured };
    let rules = [
        (!comparable, Rule::NotComparable),
        (bout.near_copy, Rule::NearCopy),
        (!bout.latency_compliant, Rule::LatencyBreach),
        (!bout.latency_stable, Rule::LatencyUnstable),
        (!bout.above_public_gate, Rule::BelowGate),
        (!passes_gate(bout, challenger), Rule::BelowHiddenGate),
    ];
    match rules.into_iter().find(|(stops, _)| *stops) {
        Some((_, rule)) => rule,
        None if better() => Rule::Dethrones,
        None => Rule::HiddenNotBetter,
    }
}

fn passes_gate(bout: &Bout<'_>, challenger: &Outcomes) -> bool {
    let values = challenger.values();
    let right = values.right.get(Part::Hidden.range(values)).unwrap_or_default();
    let correct = right.iter().filter(|right| **right).count() as u64;
    Scale::new(bout.score, bout.ceiling).gate(share_ppm(correct, right.len() as u64))
}

fn compare(bout: &Bout<'_>, epsilon_ppm: u32) -> Option<Comparison> {
    let (Incumbent::Measured(champion), Some(challenger)) = (bout.champion, bout.challenger) else { return None };
    let accuracy = Disputed::count(challenger, champion, Part::Hidden)?.test();
    let pair = pair(bout)?;
    Some(Comparison { accuracy, composite: pair.difference().estimate, p: pair.p_value(epsilon_ppm, level(bout)) })
}

fn pair<'a>(bout: &Bout<'a>) -> Option<Pair<'a>> {
    let (Incumbent::Measured(champion), Some(challenger)) = (bout.champion, bout.challenger) else { return None };
    let round = Basis { part: Part::Hidden, seed: bout.seed, ceiling: bout.ceiling, rules: bout.score };
    Pair::new(challenger, champion, &round)
}

fn level(bout: &Bout<'_>) -> Level {
    Level { ppm: bout.rules.alpha_hidden_ppm, shared_by: bout.shared_by }
}

/// A challenger whose verdict is [`Rule::Dethrones`].
#[derive(Clone, Copy, Debug)]
pub struct Successor<'a, K> {
    /// Who.
    pub key: K,
    /// Order of commitment: the earlier wins a tie.
    pub arrival: u64,
    /// Its composite on the round's hidden items.
    pub hidden: &'a Replicates,
}

/// Who is crowned where several succeed in a round: the earliest commitment among those that can't be told from the best
/// on the hidden items (the first rank group of [`standing::groups`]). So a rival that takes a successful package and
/// adds luck or a hair gains nothing over the one that committed before it. `None` of nobody.
pub fn crown<K>(successors: Vec<Successor<'_, K>>) -> Option<K> {
    let entries = successors.into_iter().map(|successor| standing::RankEntry {
        key: successor.key,
        arrival: successor.arrival,
        replicates: successor.hidden,
    });
    let placed = standing::groups(entries.collect());
    placed.into_iter().take_while(|place| place.rank == 1).min_by_key(|place| place.sort_key.arrival).map(|p| p.key)
}
