//! The reason for a rank, in words: what separates a submission from those before it, and whether that may be luck.
//!
//! It only puts numbers into words; it ranks nothing.

use super::ranking::{Candidate, Sources};
use crate::copies::Original;
use protocol::report::Estimate;
use protocol::score::{PPM, Score, ScoreWeights, Utilities, share_ppm};
use protocol::significance::Difference;
use protocol::standing::Placed;
use referee::Stand;
use store::db::competitions::StoredCompetition;
use store::db::evaluations::ScoredSubmission;

/// Where a submission stands, and beside whom.
pub(super) struct Position<'a> {
    pub(super) weights: &'a ScoreWeights,
    pub(super) here: &'a ScoredSubmission,
    pub(super) rank: u32,
    pub(super) group_size: u32,
    /// Which of its group it is, from 1.
    pub(super) number: u32,
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
    let shown = if position.group_leader.is_none() { among(&behind, position.number) } else { behind };
    let from_first = format!("{} behind place 1", distance(&shown, leader, here, weights));
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
            let interval = interval(&among(&to_own, position.number));
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
    let Some((index, stand)) = stand else { return String::new() };
    let seat = if sources.rounds.seat.as_ref() == Some(&here.key.0.id) { "holds the seat; " } else { "" };
    let on = format!("{} points on {} fresh hidden items", signed(stand.merit.composite_ppm), stand.merit.items);
    let behind = first.map_or(0, |first| first.sort_key.composite_ppm - here.sort_key.composite_ppm);
    let place = match here.behind_leader {
        _ if behind == 0 => "the best".to_owned(),
        Some(by) if by != Estimate::default() => format!(
            "{} points behind the best; {} {} behind the first of rank {}, which may be luck",
            signed(behind),
            signed(by.value_ppm),
            interval(&among(&by, number_in_group(index, stand.rank))),
            here.rank
        ),
        _ => format!("{} points behind the best, more than luck", signed(behind)),
    };
    format!("{seat}{on}: {place}")
}

/// Which of its group the entry at `index` is, from 1: its rank is one more than the entries of better groups.
pub(super) fn number_in_group(index: usize, rank: u32) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX).saturating_add(2).saturating_sub(rank)
}

/// A distance from the first of a group with the interval that says whether they share the rank, which holds 0 then.
fn among(behind: &Estimate, number: u32) -> Estimate {
    Difference::interval_among(*behind, number)
}

fn others(count: u32) -> String {
    if count == 1 { "one more".into() } else { format!("{count} more") }
}

/// Why a copy has no rank.
pub(super) fn copy(original: &Original) -> String {
    match original {
        Original::Submission(_) => {
            format!("counts as {original}, which came earlier: a copy under another key takes no place")
        }
        Original::Entry(_) => format!("counts as {original}: a copy of it takes no place"),
    }
}

/// Why a submission below the gate has no rank.
pub(super) fn below_gate(stored: &StoredCompetition, score: &Score) -> String {
    let teacher = stored.competition.teacher.ceiling();
    let teacher_ppm = share_ppm(u64::from(teacher.correct), u64::from(teacher.items));
    let needed_ppm = teacher_ppm * i64::from(stored.competition.manifest.score.gate_ppm) / PPM;
    format!(
        "below the accuracy gate: {} is right, {} is needed",
        percent(score.accuracy.value_ppm),
        percent(needed_ppm)
    )
}

/// How far the better one leads and where, such as `1.20 points of score [0.80, 1.60] (latency +1.50, size -0.30)`.
fn distance(lead: &Estimate, better: &ScoredSubmission, worse: &ScoredSubmission, weights: &ScoreWeights) -> String {
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

fn contributions(better: &Utilities, worse: &Utilities, weights: &ScoreWeights) -> [(&'static str, i64); 4] {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::copies::EntryZero;
    use protocol::SubmissionId;

    #[test]
    fn the_interval_is_that_of_as_many_as_share_the_rank_so_far() {
        let numbers = [(0, 1), (1, 1), (2, 1), (2, 3), (4, 3)].map(|(index, rank)| number_in_group(index, rank));
        assert_eq!(numbers, [1, 2, 3, 1, 3]);
        // More than luck of two, and not of the third.
        let behind = Estimate { value_ppm: 56_700, low_ppm: 900, high_ppm: 98_800 };
        assert_eq!(among(&behind, 2), behind);
        let shown = among(&behind, 3);
        assert!(shown.low_ppm < 0 && behind.high_ppm < shown.high_ppm, "{shown:?}");
    }

    #[test]
    fn what_is_nobodys_has_no_other_key() {
        assert_eq!(copy(&Original::Entry(EntryZero::Teacher)), "counts as the teacher: a copy of it takes no place");
        let earlier = copy(&Original::Submission(SubmissionId::new(1_800_000_000_000, 1)));
        assert!(earlier.ends_with("which came earlier: a copy under another key takes no place"), "{earlier}");
    }
}
