//! The reason for a rank, in words: what separates a submission from those before it, and whether that may be luck.
//!
//! It only puts numbers into words; it ranks nothing.

use super::ranking::{Candidate, Sources};
use crate::copies::Original;
use crate::db::competitions::StoredCompetition;
use crate::db::evaluations::ScoredSubmission;
use protocol::report::Estimate;
use protocol::score::{PPM, Score, Utilities, Weights, share_ppm};
use protocol::standing::Placed;
use referee::Stand;

/// Where a submission stands, and beside whom.
pub(super) struct Position<'a> {
    pub(super) weights: &'a Weights,
    pub(super) here: &'a ScoredSubmission,
    pub(super) rank: u32,
    pub(super) group_size: u32,
    /// The first place, and how far it is ahead; nothing for the first itself.
    pub(super) leader: Option<(&'a ScoredSubmission, Estimate)>,
    /// The first of the own group where that isn't the first place, likewise.
    pub(super) group_leader: Option<(&'a ScoredSubmission, Estimate)>,
    /// The second place, and how far it is behind; for the first only.
    pub(super) next: Option<(&'a ScoredSubmission, Estimate)>,
}

/// Why a ranked submission is where it is.
pub(super) fn ranked(position: &Position<'_>) -> String {
    let Position { weights, here, rank, group_size, .. } = position;
    let Some((leader, behind)) = position.leader else {
        let Some((next, lead)) = position.next else { return "leads: the only one above the accuracy gate".into() };
        let others = group_size - 1;
        let shared = match others {
            0 => String::new(),
            1 => "; that may be luck, so another shares the rank".into(),
            _ => format!("; that may be luck, so {others} others share the rank"),
        };
        return format!("leads by {}{shared}", distance(&lead, here, next, weights));
    };
    let from_first = format!("{} behind place 1", distance(&behind, leader, here, weights));
    match position.group_leader {
        None if behind == Estimate::default() => {
            format!("the same score as place 1, which came earlier: both rank {rank}")
        }
        None => format!("{from_first}; that may be luck, so they share rank {rank}"),
        Some((_, to_own)) if to_own == Estimate::default() && *group_size == 1 => {
            format!("{from_first}: more than luck")
        }
        Some((group_leader, _)) if group_leader.id == here.id => {
            format!(
                "{from_first}: more than luck; {} can't be told from it and share rank {rank}",
                others(group_size - 1)
            )
        }
        Some((_, to_own)) if to_own == Estimate::default() => {
            format!("{from_first}; the same score as place {rank}, which came earlier")
        }
        Some((_, to_own)) => {
            let interval = interval(&to_own);
            format!(
                "{from_first}; only {} {interval} behind place {rank}, whose rank it shares",
                signed(to_own.value_ppm)
            )
        }
    }
}

/// Why a submission that was measured on fresh items is where it is.
pub(super) fn measured(
    here: &Placed<Candidate<'_>>,
    stand: Option<(usize, &Stand)>,
    first: Option<&Placed<Candidate<'_>>>,
    sources: &Sources,
) -> String {
    let Some((_, stand)) = stand else { return String::new() };
    let seat = if sources.rounds.seat.as_ref() == Some(&here.key.0.id) { "holds the seat; " } else { "" };
    let on = format!("{} points on {} fresh hidden items", signed(stand.merit.composite_ppm), stand.merit.items);
    let behind = first.map_or(0, |first| first.sort_key.composite_ppm - here.sort_key.composite_ppm);
    let place = match here.behind_leader {
        _ if behind == 0 => "the best".to_owned(),
        Some(by) if by != Estimate::default() => format!(
            "{} behind; {} {} behind the first of rank {}, which may be luck",
            signed(behind),
            signed(by.value_ppm),
            interval(&by),
            here.rank
        ),
        _ => format!("{} behind, more than luck", signed(behind)),
    };
    format!("{seat}{on}: {place}")
}

fn others(count: u32) -> String {
    if count == 1 { "one more".into() } else { format!("{count} more") }
}

/// Why a copy has no rank.
pub(super) fn copy(original: &Original) -> String {
    format!("counts as {original}, which came earlier: a copy under another key takes no place")
}

/// Why a submission below the gate has no rank.
pub(super) fn below_gate(stored: &StoredCompetition, score: &Score) -> String {
    let teacher = &stored.competition.teacher;
    let teacher_ppm = share_ppm(u64::from(teacher.correct), u64::from(teacher.items));
    let needed_ppm = teacher_ppm * i64::from(stored.competition.manifest.score.gate_ppm) / PPM;
    format!(
        "below the accuracy gate: {} is right, {} is needed",
        percent(score.accuracy.value_ppm),
        percent(needed_ppm)
    )
}

/// How far the better one leads and where, such as `1.20 points of score [0.80, 1.60] (latency +1.50, size -0.30)`.
fn distance(lead: &Estimate, better: &ScoredSubmission, worse: &ScoredSubmission, weights: &Weights) -> String {
    let mut parts = contributions(&better.score.utilities_ppm, &worse.score.utilities_ppm, weights);
    parts.sort_by_key(|(_, ppm)| std::cmp::Reverse(ppm.abs()));
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, ppm)| ppm.abs() >= POINT / 100)
        .take(2)
        .map(|(name, ppm)| format!("{name} {}{}", if *ppm < 0 { "" } else { "+" }, signed(*ppm)))
        .collect();
    let parts = if shown.is_empty() { String::new() } else { format!(" ({})", shown.join(", ")) };
    format!("{} points of score {}{parts}", signed(lead.value_ppm), interval(lead))
}

/// A hundredth of the score.
const POINT: i64 = PPM / 100;

fn contributions(better: &Utilities, worse: &Utilities, weights: &Weights) -> [(&'static str, i64); 4] {
    let part = |better: i64, worse: i64, weight: u32| (better - worse) * i64::from(weight) / PPM;
    [
        ("accuracy", part(better.accuracy, worse.accuracy, weights.accuracy_ppm)),
        ("fidelity", part(better.fidelity, worse.fidelity, weights.fidelity_ppm)),
        ("latency", part(better.latency, worse.latency, weights.latency_ppm)),
        ("size", part(better.size, worse.size, weights.size_ppm)),
    ]
}

/// Points with two decimals, rounded to nearest: `-0.21`.
pub(super) fn signed(ppm: i64) -> String {
    let hundredths = (ppm.unsigned_abs() + 50) / 100;
    let sign = if ppm < 0 && hundredths > 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", hundredths / 100, hundredths % 100)
}

fn interval(estimate: &Estimate) -> String {
    format!("[{}, {}]", signed(estimate.low_ppm), signed(estimate.high_ppm))
}

pub(super) fn percent(ppm: i64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}
