//! Where a submission is, in a sentence and as the steps of its journey. It does not know what was measured.

use super::super::figures;
use protocol::api::SubmissionStatus;
use protocol::submission::{Code, State};
use store::db::submissions::Event;

/// A step of the journey.
#[derive(Debug, PartialEq)]
pub(super) struct Stage {
    pub(super) name: &'static str,
    /// `done`, `now`, `bad` or `next`.
    pub(super) class: &'static str,
    pub(super) time: String,
}

/// The state in a sentence.
pub(super) fn headline(status: &SubmissionStatus, champion: bool) -> String {
    let eta = status.eta_seconds.map_or(String::new(), |s| format!(", about {} left", figures::duration(s.into())));
    let others = status.row.as_ref().and_then(|row| row.group_size).map_or(0, |size| size.saturating_sub(1));
    match (status.state, status.rank) {
        (State::AwaitingUpload, _) => "Waiting for the files".into(),
        (State::Checking, _) => "Being checked against the limits".into(),
        (State::Queued, _) if status.reason.is_some() => {
            let code = status.reason.as_ref().map(|reason| reason.code);
            let why = match code {
                Some(Code::LatencyUnconfirmed) => "its latency is measured a second time",
                _ => "our host was too restless",
            };
            format!("In the queue again: {why}{eta}")
        }
        (State::Queued, _) => match status.queue_position {
            Some(0) => format!("Next in the queue{eta}"),
            Some(before) => format!("In the queue, {before} before it{eta}"),
            None => format!("In the queue{eta}"),
        },
        (State::Evaluating, _) => format!("Being measured{eta}"),
        (State::Scored, Some(_)) if champion => "Champion".into(),
        (State::Scored, Some(rank)) => match others {
            0 => format!("Rank {rank}"),
            1 => format!("Shares rank {rank} with one other"),
            _ => format!("Shares rank {rank} with {others} others"),
        },
        (State::Scored, None) => "Scored".into(),
        (State::Rejected, _) => "Rejected".into(),
        (State::Failed, _) => "Failed: our fault, no quota used".into(),
        (State::Expired, _) => "Expired: the files never arrived".into(),
        (State::Withdrawn, _) => "Withdrawn by its miner".into(),
    }
}

/// The journey: when it came to each stage, and how long it stayed there.
pub(super) fn stages(status: &SubmissionStatus, events: &[Event]) -> Vec<Stage> {
    const JOURNEY: [(State, &str); 5] = [
        (State::AwaitingUpload, "Upload"),
        (State::Checking, "Check"),
        (State::Queued, "Queue"),
        (State::Evaluating, "Measure"),
        (State::Scored, "Scored"),
    ];
    let created = Stage { name: "Created", class: "done", time: figures::moment(status.created_at) };
    let ends_badly = !JOURNEY.iter().any(|(state, _)| *state == status.state);
    // How far it came: the state itself, or the last one before a bad end.
    let reached = |wanted: State| events.iter().any(|event| event.to == wanted);
    let here = JOURNEY
        .iter()
        .rposition(|(state, _)| *state == status.state || ends_badly && reached(*state) && *state != State::Scored);
    let stage = |(at, (state, name)): (usize, (State, &'static str))| Stage {
        name,
        class: match here {
            Some(here) if at < here || at == here && (ends_badly || state == State::Scored) => "done",
            Some(here) if at == here => "now",
            _ => "next",
        },
        time: time_in(state, status, events),
    };
    let mut stages: Vec<Stage> = [created].into_iter().chain(JOURNEY.into_iter().enumerate().map(stage)).collect();
    if ends_badly {
        // What never came isn't shown.
        stages.retain(|stage| stage.class == "done");
        let name = match status.state {
            State::Failed => "Failed",
            State::Expired => "Expired",
            State::Withdrawn => "Withdrawn",
            _ => "Rejected",
        };
        stages.push(Stage { name, class: "bad", time: figures::moment(status.changed_at) });
    }
    stages
}

/// How long it stayed in a state, all visits together; since when, while it is there.
fn time_in(state: State, status: &SubmissionStatus, events: &[Event]) -> String {
    if state == status.state {
        let since = figures::moment(status.changed_at);
        return if state.is_terminal() { since } else { format!("since {since}") };
    }
    let ends = events.iter().skip(1).map(|event| event.at).chain([status.changed_at]);
    let stays: Vec<u64> = events
        .iter()
        .zip(ends)
        .filter(|(event, _)| event.to == state)
        .map(|(event, end)| end.saturating_sub(event.at))
        .collect();
    if stays.is_empty() {
        return String::new();
    }
    let repeated = if stays.len() > 1 { format!(" in {} visits", stays.len()) } else { String::new() };
    format!("{}{repeated}", figures::duration(stays.iter().fold(0, |sum: u64, stay| sum.saturating_add(*stay))))
}
