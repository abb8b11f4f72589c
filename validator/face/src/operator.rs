//! What the operator is told and nobody else: the host's health, the queue, and how latency measures on this machine.
//!
//! It also decides who the operator is. It knows no page and no route.

use crate::webhooks;
use edge::auth;
use edge::error::ApiError;
use http::{HeaderMap, StatusCode, header};
use protocol::Digest;
use protocol::latency::CONTROL_PPM_MAX;
use protocol::submission::State;
use serde::Serialize;
use service::app::App;
use service::guard::holders::Holder;
use service::jobs::turns;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use store::clock::Clock;
use store::db::DbError;
use store::db::blocks::BlockRow;
use store::db::latency::LatencyControl;
use store::db::origins::Counted;
use store::db::watch::{DiskHolder, QueueHolder, Storage, Waiting, WorkerSeen};
use store::db::work::WorkSeen;
use store::db::workers::Worker as FleetWorker;
use utoipa::ToSchema;

/// Workers that were silent for longer aren't shown; the job engine keeps every one that ever was.
const WORKERS_SECONDS: u64 = 3_600;
/// The window in which computing is counted.
const DAY_SECONDS: u64 = 24 * 3_600;
/// Workers and waiting submissions that are shown.
const ROWS_MAX: u32 = 50;
/// Addresses and hotkeys that are shown of those who hold something.
const HOLDERS_MAX: u32 = 20;
/// Measurements that are shown.
const CONTROLS_MAX: u32 = 200;

/// Whose connection a request came on.
#[derive(Clone, Copy, Debug)]
pub struct Peer(pub SocketAddr);

/// Everything on the operator's page.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Operator)]
pub struct OperatorView {
    /// The validator's clock, in Unix seconds.
    pub now: u64,
    /// The machine.
    pub host: HostHealth,
    /// Submissions by state.
    pub submissions: BTreeMap<&'static str, u64>,
    /// For how long the longest waiting submission has been queued.
    pub queue_age_seconds: u64,
    /// Evaluations that were finished, ever.
    pub evaluations: u64,
    /// Workers that were alive within the last hour by the machine's clock, the last one first.
    pub workers: Vec<WorkerSeen>,
    /// What is worked on and what waits, in the order in which its turn comes.
    pub queue: Vec<Waiting>,
    /// What rounds and publications have measured: first what is, then what waits, in the order in which it was asked.
    pub work: Vec<WorkSeen>,
    /// Places for requests that are taken now.
    pub places: Vec<Places>,
    /// The addresses that have most under way now.
    pub holders: Vec<Holder>,
    /// The hotkeys that have most submissions under way.
    pub queue_holders: Vec<QueueHolder>,
    /// The hotkeys whose packages take most space.
    pub disk_holders: Vec<DiskHolder>,
    /// Who is blocked, the last one first.
    pub blocks: Vec<BlockRow>,
    /// Workers on other machines, by name.
    pub fleet: Vec<FleetWorker>,
    /// What is stored.
    pub storage: Storage,
    /// Streams of events that are open.
    pub streams: u64,
    /// Mean duration of the last twenty evaluations.
    pub evaluation_pace_ms: Option<u64>,
    /// The length of latency measurements in the settings.
    pub latency: store::config::LatencyEffort,
    /// How far the control may be from 1.
    pub control_ppm_max: i64,
    /// Verdicts on the measurements shown, by name.
    pub verdicts: BTreeMap<String, u64>,
    /// The last measurements, oldest first.
    pub controls: Vec<LatencyControl>,
}

/// Places for one kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Places {
    /// `connections`, `uploads`, `reads`, `writes`, `streams`, `drafts`, `announcements`, `waiting` (hotkeys with submissions that
    /// wait for us), `webhooks` or `challenges` (of webhooks).
    pub kind: &'static str,
    /// How many are taken.
    pub taken: u64,
    /// How many there are.
    pub of: u64,
}

/// The machine as `/proc` tells it; `None` where it doesn't.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct HostHealth {
    /// Cores that may be used.
    pub cores: u32,
    /// Load averages over 1, 5 and 15 minutes, in thousandths.
    #[schema(min_items = 3, max_items = 3)]
    pub load_milli: Option<[u64; 3]>,
    /// Memory that can be had without swapping.
    pub memory_available_bytes: Option<u64>,
    /// Free space where the objects are.
    pub disk_free_bytes: Option<u64>,
}

/// Refuses everybody but the operator: whoever shows the token.
///
/// Sitting at this machine is not enough: proxies, tunnels and other users of the machine connect from here too, and so
/// does the page of a stranger in the operator's browser.
pub fn admit(app: &App, headers: &HeaderMap) -> Result<(), ApiError> {
    if shows_token(app.config.operator_token.expose(), headers) {
        return Ok(());
    }
    let hint =
        "Send `Authorization: Bearer` with the operator's token: `retort validator operator` prints a link with it.";
    Err(ApiError::new(StatusCode::FORBIDDEN, "operator_only", "this is for the operator alone", hint))
}

/// Digests are compared, so that the time says nothing about how much of the token was right.
fn shows_token(token: &str, headers: &HeaderMap) -> bool {
    let shown = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let shown = shown.and_then(auth::bearer);
    !token.is_empty() && shown.is_some_and(|shown| Digest::of(shown.as_bytes()) == Digest::of(token.as_bytes()))
}

/// Puts together what the operator is told.
pub async fn view(app: &App) -> Result<OperatorView, DbError> {
    let now = app.clock.now();
    let counts = app.db.count_by_state().await?;
    let count = |state: State| counts.iter().find(|(counted, _)| *counted == state).map_or(0, |(_, count)| *count);
    let (evaluations, evaluation_pace_ms) = app.db.evaluation_pace().await?;
    let controls = app.db.latency_controls(CONTROLS_MAX).await?;
    let mut verdicts = BTreeMap::new();
    for control in &controls {
        *verdicts.entry(control.verdict.to_string()).or_insert(0) += 1;
    }
    Ok(OperatorView {
        now,
        host: host(app),
        submissions: State::ALL.into_iter().map(|state| (state.as_str(), count(state))).collect(),
        queue_age_seconds: app.db.queued_since().await?.map_or(0, |since| now.saturating_sub(since)),
        evaluations,
        workers: app.db.workers(Clock::System.now().saturating_sub(WORKERS_SECONDS), ROWS_MAX).await?,
        queue: app.db.queue(&turns::foreseen(app).await?.order, ROWS_MAX).await?,
        work: app.db.pieces(ROWS_MAX).await?.into_iter().map(WorkSeen::from).collect(),
        places: places(app).await?,
        holders: app.guard.most(HOLDERS_MAX as usize),
        queue_holders: app.db.queue_holders(now.saturating_sub(DAY_SECONDS), HOLDERS_MAX).await?,
        disk_holders: app.db.disk_holders(HOLDERS_MAX).await?,
        blocks: app.db.blocks().await?,
        fleet: app.db.fleet(now).await?,
        storage: app.db.storage().await?,
        streams: app.guard.budgets.streams.taken(),
        evaluation_pace_ms,
        latency: app.config.latency,
        control_ppm_max: CONTROL_PPM_MAX,
        verdicts,
        controls,
    })
}

async fn places(app: &App) -> Result<Vec<Places>, DbError> {
    let limits = &app.config.limits;
    let connections = app.counters.connections.load(Ordering::Relaxed);
    let ours = [("connections", connections, limits.connections_max)];
    let mut all: Vec<_> = ours.into_iter().chain(app.guard.taken()).collect();
    for (kind, what, of) in [
        ("announcements", Counted::Announcements, limits.pending_max),
        ("waiting", Counted::Waiting, limits.pending_max),
        ("webhooks", Counted::Webhooks, webhooks::TOTAL_MAX),
        ("challenges", Counted::Challenges, webhooks::UNCONFIRMED_MAX),
    ] {
        all.push((kind, app.db.counted(what).await?, of));
    }
    Ok(all.into_iter().map(|(kind, taken, of)| Places { kind, taken, of }).collect())
}

fn host(app: &App) -> HostHealth {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    HostHealth {
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        load_milli: load_milli(&read("/proc/loadavg")),
        memory_available_bytes: memory_available_bytes(&read("/proc/meminfo")),
        disk_free_bytes: app.objects.free_bytes().ok(),
    }
}

fn load_milli(loadavg: &str) -> Option<[u64; 3]> {
    let mut loads = loadavg.split_whitespace().map(|load| load.parse::<f64>().ok());
    let mut next = || loads.next().flatten().map(|load| (load * 1e3).round() as u64);
    Some([next()?, next()?, next()?])
}

fn memory_available_bytes(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proc_files_are_read_or_absent() {
        assert_eq!(load_milli("4.17 4.68 0.07 3/420 7181\n"), Some([4_170, 4_680, 70]));
        assert_eq!(load_milli(""), None);
        assert_eq!(memory_available_bytes("MemTotal: 9 kB\nMemAvailable:   2048 kB\n"), Some(2 << 20));
        assert_eq!(memory_available_bytes("nonsense"), None);
    }
}
