//! What of a board somebody wants to see: in which order, of which division, family or page. Parsed strictly; whatever
//! isn't one of these words is an error that names them.
//!
//! It orders and leaves out; it ranks nothing.

use protocol::api::{BoardRow, Leaderboard, RowKind};
use protocol::standing::Division;
use std::cmp::Ordering;
use url::form_urlencoded;

/// Submissions of a page. A thousand rows are too many for a phone.
pub(super) const ROWS_MAX: usize = 100;
/// Page numbers beyond this are nobody's.
const PAGES_MAX: usize = 100_000;

/// A column that a board can be sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// As it is: by rank.
    #[default]
    Rank,
    /// The composite score, best first.
    Score,
    /// Accuracy, best first.
    Accuracy,
    /// The latency ratio, fastest first.
    Latency,
    /// The median in microseconds, fastest first.
    Median,
    /// Bytes, smallest first.
    Size,
    /// Learned values, fewest first.
    Parameters,
    /// Agreement with the teacher, most first.
    Agreement,
}

/// What is wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct BoardQuery {
    pub(super) sort: Sort,
    /// Against the order that the column has by itself.
    pub(super) reversed: bool,
    pub(super) division: Option<Division>,
    pub(super) family: Option<String>,
    /// From 1.
    pub(super) page: usize,
}

/// A page of the rows that are wanted.
pub(super) struct Selection<'a> {
    /// Baselines first and last when by rank, in line otherwise.
    pub(super) rows: Vec<&'a BoardRow>,
    /// How many submissions all pages have.
    pub(super) found: usize,
    pub(super) pages: usize,
}

impl Sort {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Rank, "rank"),
        (Self::Score, "score"),
        (Self::Accuracy, "accuracy"),
        (Self::Latency, "latency"),
        (Self::Median, "p50"),
        (Self::Size, "size"),
        (Self::Parameters, "parameters"),
        (Self::Agreement, "agreement"),
    ];

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(sort, _)| *sort == self).map_or("rank", |(_, name)| name)
    }

    /// Whether the best has the largest number.
    pub(super) fn is_descending(self) -> bool {
        matches!(self, Self::Score | Self::Accuracy | Self::Agreement)
    }

    fn value(self, row: &BoardRow) -> i128 {
        match self {
            Self::Rank => row.place.map_or(i128::MAX, i128::from),
            Self::Score => row.score_ppm.into(),
            Self::Accuracy => row.accuracy_ppm.into(),
            // Who wasn't timed is no faster than anybody.
            Self::Latency | Self::Median if !row.is_timed() => i128::MAX,
            Self::Latency => row.latency_ratio_ppm.into(),
            Self::Median => row.latency_us_p50.into(),
            Self::Size => row.size_bytes.into(),
            Self::Parameters => row.parameters.into(),
            Self::Agreement => row.agreement_ppm.into(),
        }
    }
}

impl BoardQuery {
    /// Reads what stands after the `?`. A parameter without a value is none.
    ///
    /// # Errors
    /// What is wrong, in a sentence.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut parsed = Self { page: 1, ..Self::default() };
        let mut order = None;
        for (name, value) in form_urlencoded::parse(query.as_bytes()).filter(|(_, value)| !value.is_empty()) {
            match (&*name, &*value) {
                ("sort", value) => {
                    let found = Sort::ALL.iter().find(|(_, name)| *name == value);
                    parsed.sort = found.ok_or_else(|| unknown("sort", value, &Sort::ALL.map(|(_, name)| name)))?.0;
                }
                ("order", "asc") => order = Some(false),
                ("order", "desc") => order = Some(true),
                ("order", value) => return Err(unknown("order", value, &["asc", "desc"])),
                ("division", value) => {
                    let found = Division::ALL.into_iter().find(|division| division.as_str() == value);
                    let names = Division::ALL.map(Division::as_str);
                    parsed.division = Some(found.ok_or_else(|| unknown("division", value, &names))?);
                }
                ("family", value) => parsed.family = Some(value.chars().take(64).collect()),
                ("page", value) => {
                    let page = value.parse().ok().filter(|page| (1..=PAGES_MAX).contains(page));
                    parsed.page = page.ok_or_else(|| format!("The page is {}; pages begin at 1.", shown(value)))?;
                }
                // What others append to a link that is shared (`fbclid`, `utm_source`) means nothing to a page.
                _ => {}
            }
        }
        parsed.reversed = order.is_some_and(|descending| descending != parsed.sort.is_descending());
        Ok(parsed)
    }

    /// The same query in its one spelling: empty for the board as it is.
    pub(super) fn canonical(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if self.sort != Sort::Rank {
            query.append_pair("sort", self.sort.name());
        }
        if self.reversed {
            query.append_pair("order", if self.sort.is_descending() { "asc" } else { "desc" });
        }
        if let Some(division) = self.division {
            query.append_pair("division", division.as_str());
        }
        if let Some(family) = &self.family {
            query.append_pair("family", family);
        }
        if self.page > 1 {
            query.append_pair("page", &self.page.to_string());
        }
        query.finish()
    }

    /// A link to the board as another query has it.
    pub(super) fn link(&self) -> String {
        match self.canonical() {
            query if query.is_empty() => "?#board".into(),
            query => format!("?{query}#board"),
        }
    }

    /// By this column; again, the other way round.
    pub(super) fn sorted_by(&self, sort: Sort) -> Self {
        let reversed = self.sort == sort && !self.reversed;
        Self { sort, reversed, page: 1, ..self.clone() }
    }

    /// In this division, or in all.
    pub(super) fn in_division(&self, division: Option<Division>) -> Self {
        Self { division, page: 1, ..self.clone() }
    }

    /// Of this family, or of all.
    pub(super) fn of_family(&self, family: Option<&str>) -> Self {
        Self { family: family.map(str::to_owned), page: 1, ..self.clone() }
    }

    /// Another page.
    pub(super) fn at_page(&self, page: usize) -> Self {
        Self { page, ..self.clone() }
    }

    /// What a column's head says of the order: for `aria-sort`.
    pub(super) fn direction(&self, sort: Sort) -> Option<&'static str> {
        let descending = sort.is_descending() != self.reversed;
        (self.sort == sort).then_some(if descending { "descending" } else { "ascending" })
    }

    /// The rows of the wanted page.
    pub(super) fn select<'a>(&self, board: &'a Leaderboard) -> Selection<'a> {
        let wanted = |row: &&BoardRow| {
            self.division.is_none_or(|division| row.divisions.iter().any(|at| at.division == division))
                && self.family.as_ref().is_none_or(|family| row.architecture == *family)
        };
        let submissions = board.rows.iter().filter(|row| row.kind == RowKind::Submission);
        let mut rows: Vec<&BoardRow> = submissions.filter(wanted).collect();
        let found = rows.len();
        let baseline = |kind| board.rows.iter().filter(move |row| row.kind == kind);
        if self.sort != Sort::Rank {
            rows.extend(baseline(RowKind::Teacher).chain(baseline(RowKind::Reference)));
        }
        // A stable sort: equals stay in the order of the board.
        rows.sort_by(|a, b| self.compare(a, b));
        let pages = rows.len().div_ceil(ROWS_MAX).max(1);
        let rows = rows.into_iter().skip((self.page - 1).saturating_mul(ROWS_MAX)).take(ROWS_MAX);
        let rows: Vec<&BoardRow> = if self.sort == Sort::Rank {
            // Whatever page it is, the ceiling stands above and the floor below.
            baseline(RowKind::Teacher).chain(rows).chain(baseline(RowKind::Reference)).collect()
        } else {
            rows.collect()
        };
        Selection { rows, found, pages }
    }

    fn compare(&self, a: &BoardRow, b: &BoardRow) -> Ordering {
        let place =
            |row: &BoardRow| row.divisions.iter().find(|at| Some(at.division) == self.division).map(|at| at.place);
        let order = match (self.sort, self.division) {
            (Sort::Rank, Some(_)) => place(a).cmp(&place(b)),
            (sort, _) => sort.value(a).cmp(&sort.value(b)),
        };
        if self.sort.is_descending() != self.reversed { order.reverse() } else { order }
    }
}

fn unknown(what: &str, value: &str, known: &[&str]) -> String {
    format!("{what} knows no {}; it knows {}.", shown(value), known.join(", "))
}

fn shown(value: &str) -> String {
    format!("{:?}", value.chars().take(32).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn first(query: &str) -> Vec<Option<u32>> {
        let board = sample::board(12);
        let query = BoardQuery::parse(query).unwrap();
        query.select(&board).rows.iter().map(|row| row.place).take(4).collect()
    }

    #[test]
    fn rows_come_in_the_order_that_was_asked_for() {
        assert_eq!(first(""), [None, Some(1), Some(2), Some(3)]);
        assert_eq!(first("sort=latency"), [None, Some(9), Some(8), Some(6)]);
        assert_eq!(first("sort=accuracy&order=asc")[1..], [Some(9), Some(8), Some(11)]);
        assert_eq!(first("sort=size"), [Some(6), None, Some(2), Some(7)]);
    }

    #[test]
    fn what_others_append_to_a_link_means_nothing() {
        let shared = BoardQuery::parse("fbclid=x&sort=latency&utm_source=mail&gclid=").unwrap();
        assert_eq!(shared.canonical(), "sort=latency");
        assert!(BoardQuery::parse("sort=sideways").is_err());
    }

    #[test]
    fn what_is_left_out_is_left_out_and_baselines_stay() {
        let board = sample::board(12);
        let mlp = BoardQuery::parse("family=mlp").unwrap().select(&board);
        assert_eq!((mlp.found, mlp.rows.len()), (3, 5));
        let c99 = BoardQuery::parse("division=c99").unwrap().select(&board);
        assert!(c99.rows.iter().filter(|row| row.kind == RowKind::Submission).all(|row| !row.divisions.is_empty()));
        assert_eq!(BoardQuery::parse("family=nobody").unwrap().select(&board).found, 0);
    }

    #[test]
    fn a_thousand_rows_come_in_pages() {
        let board = sample::board(1_000);
        let page = |n: usize| BoardQuery::parse(&format!("page={n}")).unwrap().select(&board);
        assert_eq!((page(1).pages, page(1).rows.len(), page(1).found), (10, ROWS_MAX + 2, 1_000));
        let seen: std::collections::HashSet<_> =
            (1..=10).flat_map(|n| page(n).rows).filter_map(|row| row.submission.clone()).collect();
        assert_eq!(seen.len(), 1_000, "each is on one of the pages");
        assert_eq!(page(11).rows.len(), 2);
    }

    #[test]
    fn a_query_is_read_back_as_it_is_written() {
        for text in ["", "sort=size", "sort=size&order=desc", "sort=score&division=c97&family=mlp&page=3"] {
            let query = BoardQuery::parse(text).unwrap();
            assert_eq!(query.canonical(), text);
        }
        assert_eq!(BoardQuery::parse("sort=score&order=desc&page=1&family=").unwrap().canonical(), "sort=score");
    }

    #[test]
    fn misspelt_queries_say_what_is_known() {
        for (text, says) in [
            ("sort=speed", "it knows rank, score"),
            ("order=down", "asc, desc"),
            ("division=gold", "c99, c97, open"),
            ("page=0", "pages begin at 1"),
            ("page=x", "pages begin at 1"),
        ] {
            let error = BoardQuery::parse(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
