//! A miner's page: everything that a hotkey has entered here, where it stands, and what it was paid.

use super::figures;
use super::layout::{self, Layout};
use askama::Template;
use protocol::api::{MinerView, SubmissionSummary};
use protocol::submission::State;

#[derive(Template)]
#[template(path = "miner.html")]
struct Page<'a> {
    layout: Layout,
    view: &'a MinerView,
    headline: String,
    /// The last that arrived first.
    submissions: &'a [SubmissionSummary],
    /// Where the list goes on.
    next: Option<u64>,
    counts: Vec<(State, u64)>,
}

/// Renders the page with some of the miner's submissions; `next` is where the list goes on.
pub(crate) fn render(view: &MinerView, submissions: &[SubmissionSummary], next: Option<u64>) -> String {
    let name = figures::abbreviated(&view.hotkey.to_string());
    let mut layout = Layout::new(format!("{name} · Retort"), "What a miner has entered, and where it stands.");
    layout.events = Some(format!("/api/v1/events?hotkey={}", view.hotkey));
    layout::render(&Page {
        layout,
        view,
        headline: headline(view),
        submissions,
        next,
        counts: view.submissions.iter().map(|(state, count)| (*state, *count)).collect(),
    })
}

/// What matters most, in a sentence.
fn headline(view: &MinerView) -> String {
    let entered = view.submissions.values().fold(0, |sum: u64, count| sum.saturating_add(*count));
    let of = if entered == 1 { "1 submission".into() } else { format!("{entered} submissions") };
    match (view.seats.as_slice(), view.best.iter().filter_map(|best| best.rank).min()) {
        ([seat], _) => format!("Champion of {seat}"),
        ([], Some(rank)) => format!("Rank {rank} at best, {of}"),
        ([], None) => format!("{of}, none ranked yet").replacen("1 submission, none", "1 submission, not", 1),
        (seats, _) => format!("Champion of {} competitions", seats.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn a_champion_a_beginner_and_a_stranger_to_luck_have_pages() {
        for (seats, best, says) in [(1, 1, "Champion of"), (0, 1, "Rank 8 at best"), (0, 0, "none ranked yet")] {
            let (mut view, submissions) = sample::miner();
            view.seats.truncate(seats);
            view.best.truncate(best);
            let page = render(&view, &submissions, Some(7));
            sample::assert_markup(&page);
            assert!(page.contains(says) && page.contains("?before=7"), "{says}");
        }
    }
}
