//! What a row's figures mean, in sentences: what the seat would take, the last attempt, progress, hidden items.
//!
//! It only puts numbers into words. The same sentences go to pages, terminals and JSON.

use super::why::{percent, signed};
use protocol::api::{Attempt, BoardRow, OwnBest};
use protocol::dethrone::Comparison;
use protocol::significance::SequentialP;

/// All that there is to say of a row.
pub(super) fn of(row: &BoardRow) -> Vec<String> {
    let needs = row.needs.as_ref().map(ToString::to_string);
    let own_best = row.own_best.as_ref().map(own_best);
    let attempt = row.last_attempt.as_ref().map(attempt);
    [needs, attempt, own_best, gap(row), unsaid(row)].into_iter().flatten().collect()
}

/// A package that doesn't say what it should answer is measured as it is read.
fn unsaid(row: &BoardRow) -> Option<String> {
    let is_unsaid = row.submission.is_some() && !row.brings_answers;
    is_unsaid.then(|| {
        "Its package has no expected.safetensors: nobody says that it answers here as where it was trained.".into()
    })
}

fn own_best(own: &OwnBest) -> String {
    let OwnBest { submission, gain_ppm, standard_error_ppm, clearly_better } = own;
    let verdict = if *clearly_better { "A clear step from" } else { "Not clearly better than" };
    let plus = if *gain_ppm < 0 { "" } else { "+" };
    let (gain, error) = (signed(*gain_ppm), signed(*standard_error_ppm));
    format!(
        "{verdict} its owner's best before, {submission}: {plus}{gain} points, one paired standard error is {error}."
    )
}

fn attempt(attempt: &Attempt) -> String {
    let verdict = &attempt.verdict;
    let mut figures = vec![format!("rule {}", verdict.rule)];
    if let Some(Comparison { p, .. }) = &verdict.hidden {
        let level = f64::from(verdict.alpha_hidden_ppm) / 1e6 / f64::from(verdict.shared_by.max(1));
        let shared = if verdict.shared_by > 1 { format!(", shared by {}", verdict.shared_by) } else { String::new() };
        let pooled =
            if verdict.rounds > 1 { format!(", pooled over {} rounds", verdict.rounds) } else { String::new() };
        let sign = if p.at_most(verdict.alpha_hidden_ppm, verdict.shared_by) { '≤' } else { '>' };
        figures.push(format!("hidden p {} {sign} {}{shared}{pooled}", p_value(*p), plain(level)));
    }
    format!("Round {}: {} ({})", attempt.round, verdict.rule.sentence(), figures.join("; "))
}

fn gap(row: &BoardRow) -> Option<String> {
    let (hidden_ppm, gap_ppm) = (row.hidden_accuracy_ppm?, row.gap_ppm?);
    let teacher = row.teacher_gap_ppm.map_or_else(String::new, |gap| format!("; the teacher {}", loses(gap)));
    Some(format!("On hidden items {} is right: it {}{teacher}.", percent(hidden_ppm), loses(gap_ppm)))
}

fn loses(gap_ppm: i64) -> String {
    let verb = if gap_ppm < 0 { "gains" } else { "loses" };
    format!("{verb} {}", percent(gap_ppm.abs()))
}

fn p_value(p: SequentialP) -> String {
    plain(p.ppb() as f64 / 1e9)
}

/// At least two significant digits without an exponent or trailing zeros: `0.0017`.
fn plain(value: f64) -> String {
    let digits = if value >= 0.01 { 4 } else { 6 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
