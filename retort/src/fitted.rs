//! Text that fits the columns there are: a table whose columns go in the order of their worth, and sentences that break between
//! words. It does not know what stands in them, nor how wide a terminal is.

use console::{measure_text_width, truncate_str};

/// What ends a text that was cut.
const CUT: &str = "…";

/// A column of a table.
pub(crate) struct Column {
    name: &'static str,
    /// The more, the later it goes; a column of the most stays.
    worth: u8,
    cells: Vec<String>,
}

/// The worth of what stays, however narrow it gets.
pub(crate) const STAYS: u8 = u8::MAX;

impl Column {
    pub(crate) fn new(name: &'static str, worth: u8, cells: impl IntoIterator<Item = String>) -> Self {
        Self { name, worth, cells: cells.into_iter().collect() }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(|cell| measure_text_width(cell)).chain([measure_text_width(self.name)]).max().unwrap_or(0)
    }
}

/// A table as it fits.
pub(crate) struct Fitted {
    /// The head, then a line a row; none is wider than there is room.
    pub(crate) lines: Vec<String>,
    /// The columns that went, in the order that they had.
    pub(crate) left_out: Vec<&'static str>,
}

/// A table in `width` columns of characters, without the columns that it has no room for.
pub(crate) fn table(mut columns: Vec<Column>, width: usize) -> Fitted {
    let is_too_wide = |columns: &[Column]| columns.iter().map(|column| column.width() + 1).sum::<usize>() > width + 1;
    if is_too_wide(&columns) {
        // Nobody misses what says nothing.
        columns.retain(|column| column.worth == STAYS || column.cells.iter().any(|cell| !cell.is_empty()));
    }
    let names: Vec<&'static str> = columns.iter().map(|column| column.name).collect();
    while is_too_wide(&columns) {
        let least = columns.iter().map(|column| column.worth).min().filter(|worth| *worth < STAYS);
        let Some(place) = columns.iter().rposition(|column| Some(column.worth) == least) else { break };
        columns.remove(place);
    }
    let rows = columns.iter().map(|column| column.cells.len()).max().unwrap_or(0);
    let line = |cell: &dyn Fn(&Column) -> String| {
        let padded = columns.iter().map(|column| {
            let text = cell(column);
            let blanks = column.width().saturating_sub(measure_text_width(&text));
            text + &" ".repeat(blanks)
        });
        cut(padded.collect::<Vec<_>>().join(" ").trim_end(), width)
    };
    let head = line(&|column| column.name.to_owned());
    let row = |row: usize| line(&|column| column.cells.get(row).cloned().unwrap_or_default());
    let left_out = names.into_iter().filter(|name| columns.iter().all(|column| column.name != *name)).collect();
    Fitted { lines: [head].into_iter().chain((0..rows).map(row)).collect(), left_out }
}

/// The beginning of a text, with a sign where it was cut.
pub(crate) fn cut(text: &str, width: usize) -> String {
    truncate_str(text, width, CUT).into_owned()
}

/// A text in lines of at most `width`, each behind `indent` blanks, broken between words. A word that is wider has a line of its
/// own.
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let blanks = " ".repeat(indent);
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = blanks.clone();
        for word in paragraph.split_whitespace() {
            let is_first = line.len() == indent;
            if !is_first && measure_text_width(&line) + 1 + measure_text_width(word) > width {
                lines.push(std::mem::replace(&mut line, blanks.clone() + word));
                continue;
            }
            line = if is_first { line + word } else { line + " " + word };
        }
        lines.push(line);
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns() -> Vec<Column> {
        let cells = |cells: [&str; 2]| cells.map(str::to_owned);
        vec![
            Column::new("#", STAYS, cells(["1", "=2"])),
            Column::new("who", STAYS, cells(["alice 5DHYzy…", "5CiF9n…"])),
            Column::new("size", 1, cells(["102kB", "7kB"])),
            Column::new("score", 2, cells(["0.579±0.037", ""])),
        ]
    }

    #[test]
    fn columns_go_in_the_order_of_their_worth_and_no_line_is_too_wide() {
        let all = table(columns(), 80);
        assert_eq!(all.lines[1], "1  alice 5DHYzy… 102kB 0.579±0.037");
        assert!(all.left_out.is_empty());
        let exact = table(columns(), all.lines[1].chars().count());
        assert_eq!(exact.lines, all.lines, "what just fits, fits");
        let some = table(columns(), all.lines[1].chars().count() - 1);
        assert_eq!((some.lines[1].as_str(), some.left_out), ("1  alice 5DHYzy… 0.579±0.037", vec!["size"]));
        for width in 5..40 {
            let fitted = table(columns(), width);
            assert!(fitted.lines.iter().all(|line| line.chars().count() <= width), "{width}: {:?}", fitted.lines);
            assert!(fitted.lines[0].starts_with("#  w"), "{width}: {:?}", fitted.lines);
        }
    }

    #[test]
    fn what_says_nothing_goes_first_and_is_not_missed() {
        let empty = Column::new("hidden", 9, ["", ""].map(str::to_owned));
        let fitted = table(columns().into_iter().chain([empty]).collect(), 34);
        assert_eq!((fitted.lines[0].as_str(), fitted.left_out), ("#  who           size  score", Vec::new()));
    }

    #[test]
    fn sentences_break_between_words() {
        let text = "counts as another one, which came earlier\nand no more";
        let lines = "    counts as\n    another one,\n    which came\n    earlier\n    and no more";
        assert_eq!(wrapped(text, 16, 4), lines);
        assert_eq!(wrapped("a wideword", 3, 0), "a\nwideword");
        assert_eq!(wrapped("", 10, 2), "");
    }
}
