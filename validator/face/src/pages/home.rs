//! The first page: every competition with its champion.

use super::figures;
use super::layout::{self, Layout};
use askama::Template;
use protocol::api::{BoardRow, CompetitionView, Leaderboard, RowKind};
use protocol::round::Step;
use store::db::feed::{FeedEvent, Happening};

#[derive(Template)]
#[template(path = "home.html")]
struct Home<'a> {
    layout: Layout,
    cards: Vec<Card<'a>>,
    lately: Vec<Line<'a>>,
}

/// Something that happened, in a line.
struct Line<'a> {
    event: &'a FeedEvent,
    words: String,
    link: String,
}

/// A competition in a few lines.
struct Card<'a> {
    view: &'a CompetitionView,
    title: String,
    /// The first sentence of the description.
    summary: String,
    open: bool,
    ranked: usize,
    champion: Option<&'a BoardRow>,
    teacher: Option<&'a BoardRow>,
}

/// Renders the page at `now`, in Unix seconds, from competitions with their boards and what happened lately.
pub(crate) fn render(competitions: &[(&CompetitionView, &Leaderboard)], lately: &[FeedEvent], now: u64) -> String {
    let cards = competitions.iter().map(|(view, board)| Card::new(view, board, now)).collect();
    let mut layout = Layout::new("Retort", "arena for distilled models");
    layout.events = Some("/api/v1/events".into());
    layout::render(&Home { layout, cards, lately: lately.iter().map(Line::new).collect() })
}

impl<'a> Line<'a> {
    fn new(event: &'a FeedEvent) -> Self {
        let board = format!("/competitions/{}", event.competition);
        let (words, link) = match &event.what {
            Happening::Submission { submission, score_ppm, .. } => {
                let score = score_ppm.map_or_else(String::new, |ppm| format!(" {}", figures::share(ppm)));
                (format!("A model scored{score}"), format!("/submissions/{submission}"))
            }
            Happening::Round { round, step: Step::Judged } => {
                (format!("Round {round} was judged"), format!("{board}/rounds/{round}"))
            }
            Happening::Round { round, .. } => (format!("Round {round} opened"), format!("{board}/rounds/{round}")),
            Happening::Reward { from_round } => (format!("Other rewards from round {from_round} on"), board),
            Happening::Competition { amendment: None } => ("The competition was published".into(), board),
            Happening::Competition { .. } => ("The competition was amended".into(), format!("{board}#amended")),
        };
        Self { event, words, link }
    }
}

impl<'a> Card<'a> {
    fn new(view: &'a CompetitionView, board: &'a Leaderboard, now: u64) -> Self {
        let manifest = view.manifest(0);
        let submissions = || board.rows.iter().filter(|row| row.kind == RowKind::Submission);
        Self {
            view,
            summary: manifest.description.split_inclusive(". ").next().unwrap_or_default().trim().to_owned(),
            title: manifest.title.clone(),
            open: !manifest.is_closed(now),
            ranked: submissions().filter(|row| row.rank.is_some()).count(),
            champion: submissions().find(|row| row.submission.is_some() && row.submission == board.champion),
            teacher: board.rows.iter().find(|row| row.kind == RowKind::Teacher),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn a_house_without_competitions_says_how_to_publish_one() {
        assert!(render(&[], &[], sample::NOW).contains("retort validator publish"));
    }

    #[test]
    fn hostile_titles_are_escaped() {
        let mut view = sample::competition();
        view.competition.manifest.title = "<script>alert(1)</script>".into();
        view.competition.manifest.description = "\"><img src=x onerror=alert(1)>".into();
        let page = render(&[(&view, &sample::board(3))], &sample::events(), sample::NOW);
        sample::assert_markup(&page);
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        assert!(page.contains("&#60;script&#62;"));
        assert!(page.contains("A model scored 0.602") && page.contains("Round 3 was judged"), "{page}");
    }
}
