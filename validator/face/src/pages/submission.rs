//! A submission's page: where it is, why it ended, what was measured, and where its files are.

mod journey;
mod measured;

use super::copies;
use super::figures;
use super::histogram;
use super::layout::{self, Layout};
use super::prose;
use ::copies::Relation;
use askama::Template;
use journey::{Stage, headline, stages};
use measured::Measured;
use protocol::SubmissionId;
use protocol::api::{AppealView, CompetitionView, SubmissionStatus};
use protocol::competition::Manifest;
use protocol::package::{ModelKind, OnnxModel};
use protocol::report::Report;
use protocol::submission::{Blame, State};
use service::copies::{EntryZero, Original, RankedPair};
use std::collections::HashMap;
use store::db::copies::EntryPair;
use store::db::submissions::Event;

/// Seconds between reloads while a submission moves.
const RELOAD_SECONDS: u32 = 5;
/// Seconds between looks of the script, which hears of its own steps at once.
const POLL_SECONDS: u32 = 15;

#[derive(Template)]
#[template(path = "submission.html")]
struct Page<'a> {
    layout: Layout,
    status: &'a SubmissionStatus,
    manifest: &'a Manifest,
    /// The family, once admitted.
    architecture: &'a str,
    /// What is told of it where it is a graph.
    graph: Option<&'a OnnxModel>,
    headline: String,
    champion: bool,
    /// What its forms were measured on; one engine for all.
    forms_engine: &'a str,
    /// Where the Hub's clients find this validator.
    endpoint: &'a str,
    stages: Vec<Stage>,
    /// Other submissions that it isn't independent of.
    notes: Vec<Note>,
    /// What its owner said about its end, and the operator.
    appeals: &'a [AppealView],
    /// What its miner says about it: text, whatever it is written in.
    readme: Option<&'a str>,
    /// Report and score, once scored.
    result: Option<Measured<'a>>,
}

/// A line about another submission.
struct Note {
    /// Whether it has consequences for this one.
    is_grave: bool,
    sentence: String,
    /// The pair's page.
    link: String,
}

/// What the page is made of.
pub(super) struct Sources<'a> {
    pub(super) status: &'a SubmissionStatus,
    pub(super) view: &'a CompetitionView,
    /// The teacher's report, where it is known.
    pub(super) teacher: Option<&'a Report>,
    /// Other submissions that it isn't independent of.
    pub(super) pairs: &'a [RankedPair],
    /// Which submissions of the competition count as which earlier one.
    pub(super) copies: &'a HashMap<SubmissionId, Original>,
    /// The entries 0 that it isn't independent of.
    pub(super) entries: &'a [EntryPair],
    /// Its history, oldest first.
    pub(super) events: &'a [Event],
    /// What its owner said about its end, and the operator.
    pub(super) appeals: &'a [AppealView],
    /// Its README.md, once everybody may have it.
    pub(super) readme: Option<&'a str>,
    /// The raw samples of its latency.
    pub(super) samples: Option<&'a [u8]>,
    /// The validator's address.
    pub(super) endpoint: &'a str,
}

/// Renders the page.
pub(super) fn render(sources: &Sources) -> String {
    let Sources { status, view, teacher, pairs, copies: counted, entries, events, appeals, readme, samples, endpoint } =
        *sources;
    let manifest = &view.manifest(0);
    let title = format!("{} in {} · Retort", status.id, manifest.title);
    let mut layout = Layout::new(title, format!("A submission to {}.", manifest.title));
    if !status.state.is_terminal() {
        layout.reload_seconds = Some(RELOAD_SECONDS);
        layout.events = Some(format!("/api/v1/events?submission={}", status.id));
        // What happens to those before it in the queue moves it too.
        layout.poll_seconds = Some(POLL_SECONDS);
    }
    let both = status.report.as_ref().zip(status.score.as_ref());
    let champion = view.champion.as_ref() == Some(&status.id);
    layout::render(&Page {
        layout,
        status,
        manifest,
        architecture: status.architecture.as_ref().map_or("package", |architecture| architecture.kind()),
        graph: status.architecture.as_ref().and_then(ModelKind::graph),
        headline: headline(status, champion),
        champion,
        forms_engine: status.forms.first().map_or("", |form| &form.engine),
        endpoint,
        stages: stages(status, events),
        appeals,
        readme: readme.map(str::trim).filter(|text| !text.is_empty()),
        result: both.map(|(report, score)| Measured {
            histogram: samples.and_then(histogram::draw),
            ..Measured::new(report, score, manifest, teacher)
        }),
        notes: (entries.iter().map(|pair| entry_note(status, pair)))
            .chain(pairs.iter().map(|pair| note(status, pair, counted.contains_key(&pair.pair.later))))
            .collect(),
    })
}

/// What an entry 0 is to this submission.
fn entry_note(status: &SubmissionStatus, EntryPair { entry, relation, .. }: &EntryPair) -> Note {
    let is_known = matches!(entry, EntryZero::Known(_));
    let is_copy = matches!(relation, Relation::Copy(_));
    let follows = match (is_copy, is_known) {
        (true, false) => format!("this submission counts as the {entry}"),
        (true, true) => "others may begin with it too, nothing follows".into(),
        (false, _) => "nothing follows from it alone".into(),
    };
    Note {
        is_grave: is_copy && !is_known,
        sentence: format!("{}, compared with the competition's {entry}: {follows}.", copies::headline(relation)),
        link: format!("/api/v1/submissions/{}/entries", status.id),
    }
}

/// What another submission is to this one, where the later one of them counts as an earlier one or doesn't.
fn note(status: &SubmissionStatus, RankedPair { pair, hotkeys, .. }: &RankedPair, counts: bool) -> Note {
    let is_later = pair.later == status.id;
    let other = if is_later { &pair.earlier } else { &pair.later };
    let (one_owner, is_copy) = (hotkeys.0 == hotkeys.1, matches!(pair.relation, Relation::Copy(_)));
    let follows = match (is_copy, one_owner, is_later) {
        (true, false, _) if !counts => "the later one's owner had the model before both, nothing follows",
        (true, false, true) => "this submission counts as that one",
        (true, false, false) => "it counts as this submission",
        (true, true, _) => "both are of one owner, nothing follows",
        (false, ..) => "nothing follows from it alone",
    };
    let when = if is_later { "the earlier" } else { "the later" };
    let what = copies::headline(&pair.relation);
    Note {
        is_grave: is_copy && !one_owner && is_later && counts,
        sentence: format!("{what}, compared with {when} {other}: {follows}."),
        link: format!("/copies/{}/{}", pair.earlier, pair.later),
    }
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Miner => "the miner, who can mend it",
        Blame::Validator => "the validator, who must mend it; no quota was used",
        Blame::Nobody => "neither side",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    fn page(status: &SubmissionStatus) -> String {
        let (view, events) = (sample::competition(), sample::history(status.state));
        let samples =
            br#"{"launches":[{"subject":{"inferences_per_block":1},"pairs":[[1,61300,5,0,0],[0,66900,5,0,0]]}]}"#;
        render(&Sources {
            status,
            view: &view,
            teacher: None,
            pairs: &[],
            copies: &HashMap::new(),
            entries: &[],
            events: &events,
            appeals: &[AppealView { number: 1, text: "no <copy>".into(), at: 1, answer: None }],
            readme: Some("# It <b>learnt</b>\n"),
            samples: Some(samples),
            endpoint: "https://validator.example",
        })
    }

    #[test]
    fn what_was_said_about_it_is_shown_as_text() {
        let page = page(&sample::status(State::Rejected));
        assert!(page.contains("no &#60;copy&#62;") && page.contains("has not answered yet"), "{page}");
        assert!(page.contains("# It &#60;b&#62;learnt&#60;/b&#62;"), "{page}");
    }

    #[test]
    fn a_package_that_is_kept_back_is_not_offered() {
        let mut status = sample::status(State::Scored);
        status.withheld_until_round = Some(3);
        let page = page(&status);
        assert!(page.contains("becomes public when round 3 is over"), "{page}");
        assert!(!page.contains("retort pull") && !page.contains("hf download"), "{page}");
    }

    #[test]
    fn every_state_renders_and_only_moving_ones_reload() {
        for state in State::ALL {
            let page = page(&sample::status(state));
            sample::assert_markup(&page);
            assert_eq!(page.contains("http-equiv=\"refresh\""), !state.is_terminal(), "{state}");
        }
    }

    #[test]
    fn a_rejection_shows_code_detail_blame_and_hint() {
        let mut status = sample::status(State::Rejected);
        status.reason.as_mut().unwrap().detail = "tensor \"<script>\" is missing".into();
        let page = page(&status);
        for part in ["tensor_missing", "is missing", "the miner, who can mend it", "state_dict"] {
            assert!(page.contains(part), "{part}");
        }
        assert!(!page.contains("<script>"));
    }

    #[test]
    fn the_journey_marks_where_it_is() {
        let classes = |state| {
            let stages = stages(&sample::status(state), &sample::history(state));
            stages.iter().map(|stage| stage.class).collect::<Vec<_>>()
        };
        assert_eq!(classes(State::Queued), ["done", "done", "done", "now", "next", "next"]);
        assert_eq!(classes(State::Scored), ["done"; 6]);
        assert_eq!(classes(State::Failed), ["done", "done", "done", "done", "done", "bad"]);
        assert_eq!(classes(State::Expired), ["done", "done", "bad"]);
    }

    #[test]
    fn a_stage_says_how_long_it_took() {
        let status = sample::status(State::Scored);
        let times: Vec<String> = stages(&status, &sample::history(State::Scored)).into_iter().map(|s| s.time).collect();
        let plain = |text: &String| text.replace('\u{a0}', " ");
        assert_eq!(times[1..5].iter().map(plain).collect::<Vec<_>>(), ["60 s", "2 s", "2 min", "2 min"]);
    }

    #[test]
    fn a_scored_one_shows_how_its_times_are_spread_and_how_to_get_it() {
        let page = page(&sample::status(State::Scored));
        for part in ["class=\"histogram\"", "hf download submissions/", "HF_ENDPOINT=https://validator.example"] {
            assert!(page.contains(part), "{part}");
        }
    }
}
