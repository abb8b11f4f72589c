//! What `/metrics` says, in the text format of Prometheus: the database's counts and a few of the process.
//!
//! No hotkeys or ids as labels: their number has no bound.

use protocol::fleet::Standing;
use protocol::submission::State;
use service::app::App;
use service::witness;
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;
use store::clock::age;
use store::db::DbError;

/// The whole text.
pub async fn text(app: &App) -> Result<String, DbError> {
    let mut text = String::new();
    submissions(&mut text, app).await?;
    fleet(&mut text, app).await?;
    results(&mut text, app).await?;
    requests(&mut text, app);
    process(&mut text, app).await?;
    Ok(text)
}

/// What is on its way, and for how long.
async fn submissions(text: &mut String, app: &App) -> Result<(), DbError> {
    let counts = app.db.count_by_state().await?;
    head(text, "retort_submissions", "gauge", "Submissions by state.");
    for state in State::ALL {
        let count = counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
        line(text, &format!("retort_submissions{{state=\"{state}\"}}"), count);
    }
    let oldest = app.db.oldest_by_state().await?;
    head(text, "retort_waiting_seconds", "gauge", "How long the longest waiting submission is in each state.");
    for state in State::ALL.into_iter().filter(|state| !state.is_terminal()) {
        let since = oldest.iter().find(|(found, _)| *found == state).map(|(_, since)| *since);
        let age = since.map_or(0, |since| age(app.clock.now(), since));
        line(text, &format!("retort_waiting_seconds{{state=\"{state}\"}}"), age);
    }
    let queued_since = app.db.queued_since().await?;
    let age = queued_since.map_or(0, |since| age(app.clock.now(), since));
    head(text, "retort_queue_age_seconds", "gauge", "How long the longest waiting submission is queued.");
    line(text, "retort_queue_age_seconds", age);
    head(text, "retort_work_waiting", "gauge", "Measurements that rounds and publications wait for.");
    let work = app.db.count_work().await?;
    for kind in ["round_entry", "teacher", "publication"] {
        let count = work.iter().find(|(counted, _)| counted == kind).map_or(0, |(_, count)| *count);
        line(text, &format!("retort_work_waiting{{kind=\"{kind}\"}}"), count);
    }
    Ok(())
}

/// Workers on other machines.
async fn fleet(text: &mut String, app: &App) -> Result<(), DbError> {
    head(text, "retort_fleet_workers", "gauge", "Workers on other machines, by how they stand.");
    let fleet = app.db.fleet(app.clock.now()).await?;
    for standing in [Standing::Active, Standing::Draining, Standing::Quarantined, Standing::Revoked] {
        let count = fleet.iter().filter(|worker| worker.state == standing).count();
        line(text, &format!("retort_fleet_workers{{stands=\"{standing}\"}}"), count);
    }
    // There are as many workers as an operator let in.
    head(text, "retort_fleet_claims_total", "counter", "What workers claimed, by how it ended.");
    for worker in &fleet {
        for (end, count) in [("answered", worker.answered), ("failed", worker.failed), ("lost", worker.lost)] {
            let name = format!("retort_fleet_claims_total{{worker=\"{}\",end=\"{end}\"}}", worker.name);
            line(text, &name, count);
        }
    }
    head(
        text,
        "retort_fleet_control_ppm",
        "gauge",
        "The reference over itself on each worker's machine: the middle of a week's controls.",
    );
    for (worker, control) in fleet.iter().filter_map(|worker| Some((worker, worker.control?))) {
        line(text, &format!("retort_fleet_control_ppm{{worker=\"{}\"}}", worker.name), control.median_ppm);
    }
    head(text, "retort_fleet_silent_seconds", "gauge", "How long ago each worker was heard of.");
    for worker in &fleet {
        let name = format!("retort_fleet_silent_seconds{{worker=\"{}\"}}", worker.name);
        line(text, &name, age(app.clock.now(), worker.seen_at));
    }
    Ok(())
}

/// What was measured and stated.
async fn results(text: &mut String, app: &App) -> Result<(), DbError> {
    let (evaluations, pace_ms) = app.db.evaluation_pace().await?;
    head(text, "retort_evaluations_total", "counter", "Evaluations with a score.");
    line(text, "retort_evaluations_total", evaluations);
    head(text, "retort_evaluation_pace_ms", "gauge", "Mean duration of the last 20 evaluations.");
    line(text, "retort_evaluation_pace_ms", pace_ms.unwrap_or(0));
    let (logged, pending) = app.db.count_leaves().await?;
    head(text, "retort_log_entries", "gauge", "Entries of the public log.");
    line(text, "retort_log_entries", logged);
    head(text, "retort_log_pending", "gauge", "Statements on their way into the public log.");
    line(text, "retort_log_pending", pending);
    let witnesses = witness::states(app).await?;
    head(text, "retort_witnesses", "gauge", "Witnesses of the settings, by whether they cosigned when last asked.");
    let failing = witnesses.iter().filter(|(_, state)| state.problem.is_some()).count() as u64;
    line(text, "retort_witnesses{cosigns=\"true\"}", witnesses.len() as u64 - failing);
    line(text, "retort_witnesses{cosigns=\"false\"}", failing);
    head(text, "retort_log_witnessed_entries", "gauge", "Entries that the last of the witnesses has cosigned.");
    let witnessed = witnesses.iter().map(|(_, state)| state.last.map_or(0, |(size, _)| size)).min();
    line(text, "retort_log_witnessed_entries", witnessed.unwrap_or(0));
    Ok(())
}

/// Who came, and who was turned away.
fn requests(text: &mut String, app: &App) {
    let counters = &app.counters;
    head(text, "retort_http_responses_total", "counter", "Responses by class of status.");
    for (index, count) in counters.responses.iter().enumerate() {
        let name = format!("retort_http_responses_total{{class=\"{}xx\"}}", index + 1);
        line(text, &name, count.load(Ordering::Relaxed));
    }
    head(text, "retort_http_connections", "gauge", "Connections open now.");
    line(text, "retort_http_connections", counters.connections.load(Ordering::Relaxed));
    head(text, "retort_http_refused_total", "counter", "Refused before they were looked at, by why.");
    for (why, count) in [
        ("blocked", &counters.blocked),
        ("connections", &counters.refused_connections),
        ("rate", &app.guard.too_often),
        ("places", &app.guard.without_place),
    ] {
        line(text, &format!("retort_http_refused_total{{why=\"{why}\"}}"), count.load(Ordering::Relaxed));
    }
    head(text, "retort_webhook_failures_total", "counter", "Webhooks that didn't answer, by what they were sent.");
    for (what, count) in [("challenge", &counters.challenges_unanswered), ("event", &counters.events_undelivered)] {
        line(text, &format!("retort_webhook_failures_total{{what=\"{what}\"}}"), count.load(Ordering::Relaxed));
    }
}

/// This process, its clock and its disk.
async fn process(text: &mut String, app: &App) -> Result<(), DbError> {
    let counters = &app.counters;
    head(text, "retort_streams", "gauge", "Streams of events that are open.");
    line(text, "retort_streams", app.guard.budgets.streams.taken());
    head(text, "retort_events_total", "counter", "Events that the feed has.");
    line(text, "retort_events_total", app.db.feed_end().await?);
    head(text, "retort_background_restarts_total", "counter", "Background work that ended and was started again.");
    line(text, "retort_background_restarts_total", counters.restarts.load(Ordering::Relaxed));
    head(text, "retort_clock_jumps_total", "counter", "How often somebody set the clock.");
    line(text, "retort_clock_jumps_total", counters.clock_jumps.load(Ordering::Relaxed));
    head(text, "retort_clock_jumped_seconds", "gauge", "By how much it was set in all, forward above zero.");
    line(text, "retort_clock_jumped_seconds", counters.clock_jumped_seconds.load(Ordering::Relaxed));
    if let Ok(free) = app.objects.free_bytes() {
        head(text, "retort_disk_free_bytes", "gauge", "Bytes free where uploads are received.");
        line(text, "retort_disk_free_bytes", free);
    }
    Ok(())
}

fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    // Writing to a string can't fail.
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn line(text: &mut String, name: &str, value: impl Display) {
    let _ = writeln!(text, "{name} {value}");
}
