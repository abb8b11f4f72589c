//! The confusion matrix as a heat map: which class the model takes for which.
//!
//! It does not know the task; it takes counts and names.

/// A matrix above this many classes is shown as a list of its most frequent mistakes only.
const CLASSES_MAX: usize = 20;
/// How many mistakes are listed.
const MISTAKES_MAX: usize = 5;
/// Steps of the colour scale; `style.css` has a class for each.
const STEPS: f64 = 9.0;

/// The matrix, row by row, with what stands out in it.
pub(super) struct Confusion<'a> {
    /// Empty when there are too many classes to show.
    pub(super) rows: Vec<Row<'a>>,
    /// The most frequent first.
    pub(super) mistakes: Vec<Mistake<'a>>,
}

/// What became of the items of one class.
pub(super) struct Row<'a> {
    pub(super) label: &'a str,
    pub(super) cells: Vec<Cell>,
    /// Right answers over items of this class.
    pub(super) recall_ppm: i64,
}

/// One count.
pub(super) struct Cell {
    pub(super) count: u32,
    /// `h0` to `h9`, or `r0` to `r9` on the diagonal.
    pub(super) class: String,
}

/// A class taken for another.
#[derive(Debug, PartialEq)]
pub(super) struct Mistake<'a> {
    pub(super) truth: &'a str,
    pub(super) answer: &'a str,
    pub(super) count: u32,
}

impl<'a> Confusion<'a> {
    /// Reads `counts[truth][answer]`. Classes without a name are called by nothing, names without a class left out.
    pub(super) fn new(counts: &[Vec<u32>], labels: &'a [String]) -> Self {
        let name = |class: usize| labels.get(class).map_or("?", String::as_str);
        let row = |(class, row): (usize, &Vec<u32>)| Row::new(class, row, name(class));
        let rows = if counts.len() <= CLASSES_MAX { counts.iter().enumerate().map(row).collect() } else { Vec::new() };
        let mut mistakes: Vec<Mistake> = counts
            .iter()
            .enumerate()
            .flat_map(|(truth, row)| row.iter().enumerate().map(move |(answer, count)| (truth, answer, *count)))
            .filter(|(truth, answer, count)| truth != answer && *count > 0)
            .map(|(truth, answer, count)| Mistake { truth: name(truth), answer: name(answer), count })
            .collect();
        mistakes.sort_by_key(|mistake| std::cmp::Reverse(mistake.count));
        mistakes.truncate(MISTAKES_MAX);
        Self { rows, mistakes }
    }
}

impl<'a> Row<'a> {
    fn new(class: usize, counts: &[u32], label: &'a str) -> Self {
        let items: u64 = counts.iter().map(|count| u64::from(*count)).sum();
        let cell = |(answer, count): (usize, &u32)| {
            let scale = if answer == class { 'r' } else { 'h' };
            Cell { count: *count, class: format!("{scale}{}", step(*count, items, answer == class)) }
        };
        let right = counts.get(class).copied().unwrap_or(0);
        Self {
            label,
            cells: counts.iter().enumerate().map(cell).collect(),
            recall_ppm: protocol::score::share_ppm(u64::from(right), items),
        }
    }
}

/// Right answers are coloured by their share; mistakes by the root of it, since even a few per cent matter.
fn step(count: u32, items: u64, right: bool) -> u32 {
    let share = f64::from(count) / items.max(1) as f64;
    let shade = if right { share } else { (share * 2.0).sqrt() };
    if count == 0 { 0 } else { (shade * STEPS).round().clamp(1.0, STEPS) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<String> {
        (0..count).map(|n| format!("class {n}")).collect()
    }

    #[test]
    fn the_most_frequent_mistakes_come_first() {
        let labels = names(3);
        let confusion = Confusion::new(&[vec![90, 7, 3], vec![0, 100, 0], vec![20, 0, 80]], &labels);
        let mistakes: Vec<_> = confusion.mistakes.iter().map(|m| (m.truth, m.answer, m.count)).collect();
        assert_eq!(mistakes, [("class 2", "class 0", 20), ("class 0", "class 1", 7), ("class 0", "class 2", 3)]);
        assert_eq!(confusion.rows.iter().map(|row| row.recall_ppm).collect::<Vec<_>>(), [900_000, 1_000_000, 800_000]);
        let classes: Vec<_> = confusion.rows[0].cells.iter().map(|cell| cell.class.as_str()).collect();
        assert_eq!(classes, ["r8", "h3", "h2"]);
    }

    #[test]
    fn many_classes_and_missing_names_do_no_harm() {
        let wide = vec![vec![1; 100]; 100];
        let labels = names(1);
        let confusion = Confusion::new(&wide, &labels);
        assert!(confusion.rows.is_empty());
        assert_eq!(confusion.mistakes.len(), MISTAKES_MAX);
        assert!(Confusion::new(&[], &[]).mistakes.is_empty());
    }
}
