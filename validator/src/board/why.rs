//! The reason for a rank, in words: what separates a submission from the one before it.
//!
//! It only puts numbers into words; it ranks nothing.

use crate::db::competitions::StoredCompetition;
use crate::db::evaluations::ScoredSubmission;
use protocol::score::{PPM, Score, Utilities, Weights, share_ppm};

/// Why the submission at `index` of the ranked ones is where it is.
pub(super) fn ranked(stored: &StoredCompetition, ranked: &[ScoredSubmission], index: usize) -> String {
    let weights = &stored.competition.manifest.score.weights;
    let here = &ranked[index];
    let Some(before) = index.checked_sub(1).map(|before| &ranked[before]) else {
        let Some(next) = ranked.get(1) else { return "leads: the only one above the accuracy gate".into() };
        return format!("leads by {}", distance(here, next, weights));
    };
    if here.score.composite.value_ppm == before.score.composite.value_ppm {
        return format!("the same score as rank {index}, which came earlier");
    }
    format!("{} behind rank {index}", distance(before, here, weights))
}

/// Why a submission has no rank.
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

/// How far the better one leads and where, such as `1.20 points: latency +1.50, size -0.30`.
fn distance(better: &ScoredSubmission, worse: &ScoredSubmission, weights: &Weights) -> String {
    let lead = better.score.composite.value_ppm - worse.score.composite.value_ppm;
    let mut parts = contributions(&better.score.utilities_ppm, &worse.score.utilities_ppm, weights);
    parts.sort_by_key(|(_, ppm)| std::cmp::Reverse(ppm.abs()));
    let shown: Vec<String> = parts
        .iter()
        .filter(|(_, ppm)| ppm.abs() >= POINT / 100)
        .take(2)
        .map(|(name, ppm)| format!("{name} {}{}", if *ppm < 0 { "-" } else { "+" }, points(ppm.abs())))
        .collect();
    let within = if intervals_overlap(better, worse) { ", within the error bars" } else { "" };
    if shown.is_empty() {
        return format!("{} points of score{within}", points(lead));
    }
    format!("{} points of score ({}){within}", points(lead), shown.join(", "))
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

fn intervals_overlap(better: &ScoredSubmission, worse: &ScoredSubmission) -> bool {
    better.score.composite.low_ppm <= worse.score.composite.high_ppm
}

fn points(ppm: i64) -> String {
    format!("{}.{:02}", ppm / POINT, ppm % POINT * 100 / POINT)
}

fn percent(ppm: i64) -> String {
    format!("{}.{:02} %", ppm / 10_000, ppm % 10_000 / 100)
}
