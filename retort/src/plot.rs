//! Accuracy against latency as a small plot of characters.
//!
//! Our own: plotting crates for terminals draw curves, not a handful of points with a name each.

use crate::table::{in_room, narrow};
use protocol::api::{BoardRow, Leaderboard, RowKind};

/// Columns of the plot itself where there is room.
const WIDTH: usize = 64;
/// Columns beside it.
const LABEL: usize = 10;
/// Fewer show nothing.
const WIDTH_MIN: usize = 10;
const HEIGHT: usize = 14;

/// Rows of a plot: up is more accurate, left is faster. Places mark submissions, in a circle those that public items alone gave,
/// `T` the teacher, `r` the reference.
pub(crate) fn accuracy_against_latency(leaderboard: &Leaderboard) -> String {
    let rows: Vec<&BoardRow> = leaderboard.rows.iter().filter(|row| row.is_timed()).collect();
    if rows.is_empty() {
        return String::new();
    }
    let ratio = |row: &BoardRow| (row.latency_ratio_ppm.max(1) as f64 / 1e6).ln();
    let latency = Axis::over(rows.iter().map(|row| ratio(row)));
    let accuracy = Axis::over(rows.iter().map(|row| row.accuracy_ppm as f64 / 1e4)).within(0.0, 100.0);
    let room = narrow().map_or(WIDTH, |columns| columns.saturating_sub(LABEL));
    let width = room.clamp(WIDTH_MIN, WIDTH);
    let mut grid = vec![vec![' '; width]; HEIGHT];
    // The best are drawn last, so that they stay visible.
    for row in rows.iter().rev() {
        let column = latency.place(ratio(row), width);
        let line = HEIGHT - 1 - accuracy.place(row.accuracy_ppm as f64 / 1e4, HEIGHT);
        grid[line][column] = mark(row);
    }
    let mut out = String::new();
    for (line, cells) in grid.iter().enumerate() {
        let share = 1.0 - line as f64 / (HEIGHT - 1) as f64;
        let label = if line % 4 == 0 { format!("{:6.2} %", accuracy.at(share)) } else { String::new() };
        out.push_str(&format!("{label:>8} │{}\n", cells.iter().collect::<String>().trim_end()));
    }
    out.push_str(&format!("{:>8} └{}\n", "", "─".repeat(width)));
    let (fast, slow) = (format!("×{:.3}", latency.at(0.0).exp()), format!("×{:.3}", latency.at(1.0).exp()));
    out.push_str(&format!("{:>10}{fast:<width$}{slow}\n", "", width = width.saturating_sub(slow.chars().count())));
    let hollow = match rows.iter().any(|row| row.provisional) {
        true => "; in a circle (○ beyond 9) provisional ones, by public items alone",
        false => "",
    };
    let legend = format!("latency over the reference (log); T teacher, r reference, 1 to 9 the first places{hollow}");
    out.push_str(&(in_room(&legend, LABEL) + "\n"));
    out
}

fn mark(row: &BoardRow) -> char {
    match (row.kind, row.place) {
        (RowKind::Teacher, _) => 'T',
        (RowKind::Reference, _) => 'r',
        (RowKind::Submission, place) if row.provisional => circled(place),
        (RowKind::Submission, Some(place @ 1..=9)) => char::from_digit(place, 10).unwrap_or('·'),
        (RowKind::Submission, _) => '·',
    }
}

/// A place that fresh items didn't give.
fn circled(place: Option<u32>) -> char {
    match place {
        Some(place @ 1..=9) => char::from_u32('①' as u32 + place - 1).unwrap_or('○'),
        _ => '○',
    }
}

/// A range of values with a margin of 5 % on each side.
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64> + Clone) -> Self {
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        let margin = ((high - low) * 0.05).max(0.01);
        Self { low: low - margin, high: high + margin }
    }

    /// The same without what can't be.
    fn within(self, low: f64, high: f64) -> Self {
        Self { low: self.low.max(low), high: self.high.min(high) }
    }

    fn at(&self, share: f64) -> f64 {
        self.low + share * (self.high - self.low)
    }

    fn place(&self, value: f64, cells: usize) -> usize {
        let share = (value - self.low) / (self.high - self.low);
        ((share * (cells - 1) as f64).round() as usize).min(cells - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_ranked_by_public_items_alone_is_in_a_circle() {
        assert_eq!([Some(1), Some(9), Some(10), None].map(circled), ['①', '⑨', '○', '○']);
    }

    #[test]
    fn an_axis_of_shares_ends_where_they_do() {
        for accuracies in [vec![100.0], vec![0.0, 100.0], vec![0.0], vec![83.7, 91.2]] {
            let axis = Axis::over(accuracies.iter().copied()).within(0.0, 100.0);
            assert!(axis.at(0.0) >= 0.0 && axis.at(1.0) <= 100.0 && axis.low < axis.high, "{accuracies:?}");
            assert!(accuracies.iter().all(|accuracy| axis.place(*accuracy, HEIGHT) < HEIGHT));
        }
    }
}
