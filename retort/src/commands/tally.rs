//! What a model said of many pictures: how often each label, and how often rightly where the folders that they lie in are
//! called as its labels. It reads no picture and runs no model.

use super::predict::Prediction;
use crate::fitted::{self, Column, STAYS};
use crate::table::{count, narrow};
use std::collections::BTreeMap;

/// Of more labels the most frequent are shown.
const LABELS_SHOWN: usize = 40;

/// One label.
#[derive(Default)]
struct Line {
    /// Pictures that are called so.
    said: usize,
    /// The sum of how sure it was of them, in parts per million.
    confidence_ppm: i64,
    /// Pictures that are it.
    are: usize,
    /// Of those, the ones that are called so.
    right: usize,
}

/// A table, a line a label, and below it how many were right.
pub(super) fn told(predictions: &[Prediction]) -> String {
    let mut lines: BTreeMap<&str, Line> = BTreeMap::new();
    for Prediction { label, confidence_ppm, truth, .. } in predictions {
        let line = lines.entry(label).or_default();
        (line.said, line.confidence_ppm) = (line.said + 1, line.confidence_ppm + confidence_ppm);
        if let Some(truth) = truth {
            let line = lines.entry(truth).or_default();
            (line.are, line.right) = (line.are + 1, line.right + usize::from(truth == label));
        }
    }
    let mut lines: Vec<(&str, Line)> = lines.into_iter().collect();
    lines.sort_by_key(|(_, line)| std::cmp::Reverse(line.said.max(line.are)));
    let more = lines.len().saturating_sub(LABELS_SHOWN);
    lines.truncate(LABELS_SHOWN);
    let mut text = table(&lines);
    if more > 0 {
        text.push(format!("and {more} labels more"));
    }
    text.push(right(predictions));
    text.join("\n")
}

fn table(lines: &[(&str, Line)]) -> Vec<String> {
    let column = |name, worth, cell: &dyn Fn(&Line) -> String| {
        Column::new(name, worth, lines.iter().map(|(_, line)| cell(line)).collect::<Vec<_>>())
    };
    let of = |all: usize, text: String| if all == 0 { String::new() } else { text };
    let is_known = lines.iter().any(|(_, line)| line.are > 0);
    let mut columns = vec![
        Column::new("label", STAYS, lines.iter().map(|(label, _)| (*label).to_owned())),
        column("said of", STAYS, &|line| line.said.to_string()),
        column("sure %", 1, &|line| of(line.said, percent(line.confidence_ppm, line.said as i64 * 1_000_000))),
    ];
    if is_known {
        columns.push(column("are it", 2, &|line| line.are.to_string()));
        columns.push(column("right", 3, &|line| of(line.are, line.right.to_string())));
        columns.push(column("right %", STAYS, &|line| of(line.are, percent(line.right as i64, line.are as i64))));
    }
    fitted::table(columns, narrow().unwrap_or(usize::from(u16::MAX))).lines
}

/// How many were right, of those whose class is known.
fn right(predictions: &[Prediction]) -> String {
    let known: Vec<(&str, &str)> =
        predictions.iter().filter_map(|it| Some((it.truth.as_deref()?, it.label.as_str()))).collect();
    let (all, right) = (predictions.len(), known.iter().filter(|(truth, label)| truth == label).count());
    match known.len() {
        0 => format!(
            "{}; folders that are called as its labels would say which answers are right",
            count(all, "picture")
        ),
        some => {
            let unknown =
                if some < all { format!("; in no such folder: {}", count(all - some, "other")) } else { String::new() };
            let of = count(some, "picture");
            format!("right: {right} of {of}, {} %{unknown}", percent(right as i64, some as i64))
        }
    }
}

fn percent(part: i64, all: i64) -> String {
    format!("{:.1}", 100.0 * part as f64 / all.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(label: &str, truth: Option<&str>) -> Prediction {
        Prediction {
            input: "1.png".into(),
            label: label.into(),
            confidence_ppm: 900_000,
            truth: truth.map(str::to_owned),
        }
    }

    #[test]
    fn labels_are_counted_and_held_against_folders() {
        let text = told(&[said("cat", Some("cat")), said("cat", Some("dog")), said("owl", None)]);
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[1], ["cat", "2", "90.0", "1", "1", "100.0"], "{text}");
        assert!(
            lines.contains(&vec!["dog", "0", "1", "0", "0.0"]) && lines.contains(&vec!["owl", "1", "90.0", "0"]),
            "{text}"
        );
        assert!(text.ends_with("right: 1 of 2 pictures, 50.0 %; in no such folder: 1 other"), "{text}");
        let text = told(&[said("cat", None), said("owl", None)]);
        assert!(!text.contains("right %") && text.ends_with("would say which answers are right"), "{text}");
    }
}
