//! Badges: a competition's champion or a submission's rank in a few words, for the README files of others.

use super::figures;
use super::layout;
use askama::Template;
use protocol::api::{CompetitionView, Leaderboard, SubmissionStatus};
use protocol::submission::State;

/// Pixels of a character of 11 px in the sans-serif fonts of browsers, on average and rounded up. The text is stretched
/// to the width that it was given, so that no font leaves the badge.
const ADVANCE: f64 = 6.7;
const PADDING: f64 = 8.0;
/// Longer names are cut.
const CHARACTERS_MAX: usize = 48;

#[derive(Template)]
#[template(path = "badge.svg")]
struct Badge {
    label: Side,
    value: Side,
    width: f64,
    colour: &'static str,
}

struct Side {
    text: String,
    x: f64,
    width: f64,
    /// What the text itself is given.
    length: f64,
}

/// Who leads a competition.
pub(super) fn competition(view: &CompetitionView, board: &Leaderboard) -> String {
    let leads = board.rows.iter().find(|row| row.submission.is_some() && row.submission == board.champion);
    let value = leads.map_or("no champion yet".into(), |row| {
        format!(
            "{} at {} · {}",
            figures::percent(row.accuracy_ppm),
            figures::ratio(row.latency_ratio_ppm),
            figures::bytes(row.size_bytes)
        )
    });
    draw(view.competition.manifest.id.as_ref(), &value, if leads.is_some() { "#8a5a00" } else { "#5f5750" })
}

/// Where a submission stands among `ranked`.
pub(super) fn submission(status: &SubmissionStatus, view: &CompetitionView, ranked: usize) -> String {
    let is_champion = view.champion.as_ref() == Some(&status.id);
    let (value, colour) = match (status.state, status.rank) {
        (State::Scored, _) if is_champion => (format!("champion of {ranked}"), "#8a5a00"),
        (State::Scored, Some(rank)) => (format!("rank {rank} of {ranked}"), "#1f6f78"),
        (State::Rejected | State::Failed | State::Expired | State::Withdrawn, _) => {
            (status.state.to_string(), "#a0261c")
        }
        (state, _) => (state.to_string().replace('_', " "), "#5f5750"),
    };
    draw(view.competition.manifest.id.as_ref(), &value, colour)
}

fn draw(label: &str, value: &str, colour: &'static str) -> String {
    let side = |text: &str, x: f64| {
        let text: String = text.chars().take(CHARACTERS_MAX).collect();
        let length = (text.chars().count() as f64 * ADVANCE).round();
        Side { text, x, width: length + 2.0 * PADDING, length }
    };
    let label = side(label, 22.0);
    let value = side(value, label.x + label.width);
    let width = value.x + value.width;
    layout::render(&Badge { label, value, width, colour })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn a_badge_says_who_leads_and_escapes_what_it_is_given() {
        let svg = competition(&sample::competition(), &sample::board(3));
        sample::assert_markup(&svg);
        assert!(svg.contains("93.12") && svg.contains("0.612×") && svg.contains("312"), "{svg}");
        assert!(competition(&sample::competition(), &sample::board(0)).contains("no champion yet"));
        sample::assert_markup(&draw("<script>", "a & b", "#000"));
    }

    #[test]
    fn every_state_has_a_badge() {
        for state in State::ALL {
            sample::assert_markup(&submission(&sample::status(state), &sample::competition(), 12));
        }
        let scored = submission(&sample::status(State::Scored), &sample::competition(), 12);
        assert!(scored.contains("rank 8 of 12"), "{scored}");
    }
}
