//! A round's page: what the validator was bound to, who was measured on what nobody had seen, and who took the seat.
//!
//! It shows what `rounds::view` says and judges nothing.

use super::figures;
use super::layout::{self, Layout};
use askama::Template;
use datasets::hidden::{Beacon, BeaconRule};
use datasets::hidden::{RoundEntryView, RoundView};
use protocol::Digest;
use protocol::api::CompetitionView;
use protocol::competition::Manifest;
use protocol::report::Estimate;
use protocol::round::{EntryRole, Step};
use protocol::score::{PPM, ScoreRules, difference, wilson};
use protocol::significance::SequentialP;
use service::rounds::told_of;

#[derive(Template)]
#[template(path = "round.html")]
struct Page<'a> {
    layout: Layout,
    manifest: &'a Manifest,
    /// Where commands find this validator.
    endpoint: &'a str,
    round: &'a RoundView,
    headline: String,
    lede: String,
    open: bool,
    commitment: String,
    beacon: String,
    stages: Vec<Stage>,
    rows: Vec<Row<'a>>,
    paid: Vec<Paid<'a>>,
    /// Entries that aren't shown: they were screened alone.
    more: usize,
    teacher_gap: Option<String>,
}

/// A step of the round.
struct Stage {
    name: &'static str,
    what: &'static str,
    class: &'static str,
}

/// A submission in the round.
struct Row<'a> {
    entry: &'a RoundEntryView,
    name: String,
    class: &'static str,
    part: &'static str,
    clean: String,
    changed: String,
    gap: String,
    latency: String,
    fresh: String,
    p_hidden: String,
    why: String,
}

/// Somebody who is paid, or what nobody is.
struct Paid<'a> {
    who: &'a str,
    share: String,
    /// A sentence for each of its submissions that the rules speak of.
    why: Vec<&'a str>,
}

/// Entries that are shown; the JSON has all.
const ROWS_MAX: usize = 60;

const STAGES: [(Step, &str, &str); 9] = [
    (Step::Open, "open", "committed to"),
    (Step::Closed, "closed", "beacon comes"),
    (Step::Abandoned, "abandoned", "no beacon came"),
    (Step::Drawn, "drawn", "items exist"),
    (Step::Screened, "screened", "on a few of them"),
    (Step::Measured, "measured", "on all of them"),
    (Step::Judged, "judged", "seat given"),
    (Step::Paid, "paid", "on the ledger"),
    (Step::Revealed, "revealed", "for everybody"),
];

/// Renders the page.
pub(crate) fn render(round: &RoundView, view: &CompetitionView, endpoint: &str) -> String {
    let manifest = &view.manifest(0);
    let title = format!("{} · round {}", manifest.title, round.round);
    let mut layout = Layout::new(title, "a round of the arena");
    if !round.step.is_over() {
        layout.reload_seconds = (round.step > Step::Open).then_some(5);
        layout.events = Some(format!("/api/v1/events?competition={}", round.competition));
    }
    let hotkeys: Vec<String> = round.weights.iter().map(|weight| weight.hotkey.to_string()).collect();
    layout::render(&Page {
        layout,
        manifest,
        endpoint,
        round,
        headline: headline(round),
        lede: lede(round),
        open: round.step == Step::Open,
        commitment: Digest::from(round.commitment.root).to_string(),
        beacon: beacon(round),
        stages: stages(round.step),
        rows: rows(round, &manifest.score),
        paid: paid(round, &hotkeys),
        more: round.entries.len().saturating_sub(ROWS_MAX),
        teacher_gap: teacher_gap(round, view),
    })
}

/// The holder of the seat first, then those who were measured, then the others, each in order of arrival.
fn rows<'a>(round: &'a RoundView, rules: &ScoreRules) -> Vec<Row<'a>> {
    let mut entries: Vec<&RoundEntryView> = round.entries.iter().collect();
    entries.sort_by_key(|entry| match entry.role {
        _ if round.champion.as_ref() == Some(&entry.submission) => 0,
        EntryRole::Champion => 1,
        EntryRole::Challenger => 2,
        EntryRole::Screened => 3,
    });
    entries.into_iter().take(ROWS_MAX).map(|entry| Row::new(entry, round, rules)).collect()
}

/// Who gets which share and why, and last what is burnt; nobody before it is judged.
fn paid<'a>(round: &'a RoundView, hotkeys: &'a [String]) -> Vec<Paid<'a>> {
    if round.step < Step::Judged {
        return Vec::new();
    }
    let paid: u32 = round.weights.iter().map(|weight| weight.weight_ppm).sum();
    let told =
        |hotkey| round.why.iter().filter(move |reason| reason.hotkey == hotkey).map(|reason| reason.sentence.as_str());
    let winners = round.weights.iter().zip(hotkeys).map(|(weight, who)| Paid {
        who,
        share: figures::percent(weight.weight_ppm.into()),
        why: told(weight.hotkey).collect(),
    });
    let burnt = (PPM - i64::from(paid)).max(0);
    let nobody =
        Paid { who: "nobody", share: figures::percent(burnt), why: vec!["Burnt: no rule gives it to anybody."] };
    winners.chain((burnt > 0).then_some(nobody)).collect()
}

/// The way that the round goes or went: an abandoned one ends there, and no other comes past that stage.
fn stages(at: Step) -> Vec<Stage> {
    let on_the_way = |step| if at == Step::Abandoned { step <= at } else { step != Step::Abandoned };
    let stages = STAGES.into_iter().filter(|(step, _, _)| on_the_way(*step));
    stages.map(|(step, name, what)| Stage { name, what, class: class(step, at) }).collect()
}

fn class(step: Step, at: Step) -> &'static str {
    match step.cmp(&at) {
        std::cmp::Ordering::Less => "done",
        std::cmp::Ordering::Equal if at.is_over() => "done",
        std::cmp::Ordering::Equal => "now",
        std::cmp::Ordering::Greater => "later",
    }
}

fn headline(round: &RoundView) -> String {
    if round.step == Step::Abandoned {
        return format!("Round {} is abandoned", round.round);
    }
    match (&round.champion_before, &round.champion) {
        (None, Some(_)) => "The empty seat is taken".into(),
        (Some(before), Some(after)) if before == after => "The champion keeps its seat".into(),
        (Some(_), Some(_)) => "A new champion".into(),
        _ if round.step >= Step::Judged => "The seat stays empty".into(),
        _ => format!("Round {} is {}", round.round, round.step),
    }
}

fn lede(round: &RoundView) -> String {
    match (round.step, &round.wait, &round.abandoned) {
        (Step::Open, _, _) => "The validator has committed to what will decide this round. Nobody, the validator \
                               included, can know its items before it closes."
            .into(),
        (Step::Revealed, _, _) => "Everything that decided this round is public.".into(),
        (_, _, Some(why)) => format!(
            "Nothing was drawn and nobody is paid: {}. It is the validator's to answer for. Whoever submitted is in the \
             next round.",
            why.detail
        ),
        (_, Some(wait), _) => {
            let problem = wait.problem.as_ref().map_or(String::new(), |problem| format!(" Last tried: {problem}."));
            format!(
                "The round waits for its beacon and takes no other; without it, it is abandoned {}.{problem}",
                figures::moment(wait.abandoned_at)
            )
        }
        _ => "The round is being settled; nothing that is submitted now counts for it.".into(),
    }
}

fn beacon(round: &RoundView) -> String {
    match (&round.beacon, &round.beacon_rule) {
        (Some(Beacon::Ledger { height, hash }), _) => format!("entry {height} of the ledger, {}", Digest::from(*hash)),
        (Some(Beacon::Drand { published, .. }), _) => format!("round {} of drand", published.round),
        (None, Some(BeaconRule::Drand { round, .. })) => format!("round {round} of drand, which isn't there"),
        (None, Some(_)) => "the next entry of the ledger, which isn't there".into(),
        (None, None) => "none yet: it comes after the close".into(),
    }
}

/// How many points the teacher loses on hidden items.
fn teacher_gap(round: &RoundView, view: &CompetitionView) -> Option<String> {
    let (drawn, teacher) = (round.drawn.as_ref()?, view.competition.teacher.ceiling());
    let hidden = [
        (drawn.known_ceiling.correct + drawn.fresh_ceiling.correct).checked_sub(teacher.correct)?,
        (drawn.known_ceiling.items + drawn.fresh_ceiling.items).checked_sub(teacher.items)?,
    ];
    Some(gap([teacher.correct, teacher.items], hidden))
}

fn accuracy([right, items]: [u32; 2]) -> Estimate {
    wilson(right.into(), items.into())
}

/// What is lost from clean items to hidden ones.
fn gap(clean: [u32; 2], hidden: [u32; 2]) -> String {
    let lost = difference(accuracy(clean), accuracy(hidden));
    format!("{:.2}\u{a0}{} points", lost.value_ppm as f64 / 1e4, figures::percent_spread(figures::ends(lost)))
}

fn share(count: [u32; 2]) -> String {
    let accuracy = accuracy(count);
    figures::percent_within(accuracy.value_ppm, figures::ends(accuracy))
}

fn latency(ratio: Estimate) -> String {
    figures::ratio_within(ratio.value_ppm, figures::ends(ratio))
}

fn p_value(p: Option<SequentialP>) -> String {
    p.map_or("–".into(), |p| format!("{:.4}", p.ppb() as f64 / 1e9))
}

impl<'a> Row<'a> {
    fn new(entry: &'a RoundEntryView, round: &RoundView, rules: &ScoreRules) -> Self {
        let seated = round.champion.as_ref() == Some(&entry.submission);
        let gap = entry.clean.zip(entry.changed).map(|(clean, changed)| gap(clean, changed));
        Self {
            name: figures::abbreviated(&entry.submission.to_string()),
            class: if seated { "champion" } else { "" },
            part: match entry.role {
                EntryRole::Champion => "champion",
                EntryRole::Challenger => "challenger",
                EntryRole::Screened => "screened",
            },
            clean: entry.clean.map_or("–".into(), share),
            changed: entry.changed.map_or("–".into(), share),
            gap: gap.unwrap_or_else(|| "–".into()),
            latency: entry.latency_ratio.map_or("–".into(), latency),
            fresh: entry.fresh_items.map_or("–".into(), |items| items.to_string()),
            p_hidden: p_value(entry.verdict.and_then(|verdict| verdict.hidden).map(|hidden| hidden.p)),
            why: why(entry, seated, rules),
            entry,
        }
    }
}

fn why(entry: &RoundEntryView, seated: bool, rules: &ScoreRules) -> String {
    if let Some(failure) = &entry.failure {
        return format!("Could not be measured: {failure}");
    }
    if let Some(seen) = entry.seen.filter(|_| entry.role == EntryRole::Screened) {
        let verdict =
            entry.verdict.map_or("Below the gate on hidden items, though not beyond doubt.", |it| it.rule.sentence());
        return format!("{verdict} {}.", told_of(&seen, rules));
    }
    match (entry.verdict, entry.role) {
        (Some(verdict), _) => format!("{} ({})", verdict.rule.sentence(), verdict.rule),
        (None, EntryRole::Champion) if seated => {
            "Measured again on the same items; nobody was significantly better.".into()
        }
        (None, EntryRole::Champion) => "Measured again on the same items.".into(),
        (None, _) if seated => "The earliest among those that can't be told from the best on fresh items.".into(),
        (None, EntryRole::Challenger) => "Competed for the empty seat.".into(),
        (None, EntryRole::Screened) => "Screened on fresh items.".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pages::sample;

    #[test]
    fn a_round_under_way_shows_its_commitment_and_nothing_of_its_items() {
        let page = render(&sample::round(Step::Open), &sample::competition(), "https://validator.example");
        sample::assert_markup(&page);
        assert!(page.contains("none yet: it comes after the close") && !page.contains("retort verify round"), "{page}");
    }

    #[test]
    fn a_round_without_its_beacon_says_what_it_waits_for_and_an_abandoned_one_whose_fault_it_is() {
        let page = render(&sample::round(Step::Closed), &sample::competition(), "https://validator.example");
        sample::assert_markup(&page);
        assert!(page.contains("takes no other") && page.contains("no answer in time"), "{page}");
        assert!(!page.contains("<b>abandoned</b>"), "{page}");
        let page = render(&sample::round(Step::Abandoned), &sample::competition(), "https://validator.example");
        sample::assert_markup(&page);
        for expected in ["Round 3 is abandoned", "<b>abandoned</b>", "nobody is paid", "in the next round"] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(!page.contains("<b>drawn</b>") && !page.contains("http-equiv"), "{page}");
    }

    #[test]
    fn a_revealed_round_says_who_sits_and_how_to_check_it() {
        let page = render(&sample::round(Step::Revealed), &sample::competition(), "https://validator.example");
        sample::assert_markup(&page);
        let command = format!("retort verify round {} 3", sample::competition().competition.manifest.id);
        for expected in [
            "A new champion",
            &command,
            "(dethrones)",
            "0.0021",
            "The teacher itself loses 4.",
            "93.10\u{a0}%\u{a0}±0.70",
            "5.30\u{a0}±1.15 points",
            "0.412×\u{a0}±0.007",
            "70.00\u{a0}%",
            "holds the seat",
            "30.00\u{a0}%",
            "Burnt",
            "81.00 % [76.18, 85.04] of 300 hidden items right, where the gate asks for",
            "it stood for a place with a score of 0.4100, and the last one went for 0.4730",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
    }
}
