//! The breaker: whether this validator could measure a submission now, and what waits while it couldn't.
//!
//! A failure on our side is one submission's or everybody's: an object that is lost, or a disk that isn't mounted. Which of
//! them it is shows by trying what works for certain, the store, the folders, and the competition's own reference in a
//! worker. If that fails too, nothing is handed out and no attempt is counted until it works again, which is tried by
//! itself. Nobody looks at a submission here, and nothing is known of what a failure looks like.

use crate::app::App;
use crate::db::DbError;
use crate::db::competitions::StoredCompetition;
use crate::error::Chain;
use crate::materials::{self, MaterialError};
use crate::objects::ObjectError;
use protocol::CompetitionId;
use protocol::evaluation::{EvaluationRequest, Items, Scope};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

/// How long the store may take to show that it works.
const STORE_LIMIT: Duration = Duration::from_secs(30);
/// How long the engine may take, waiting for the machine included; longer says nothing. While all seems well nobody waits for
/// a machine that somebody else has.
const ENGINE_LIMIT: Duration = Duration::from_secs(300);
const ENGINE_GLANCE: Duration = Duration::from_secs(20);
/// Wall-clock seconds of the engine's own for a handful of items.
const ENGINE_SECONDS: u64 = 120;
/// Items that the reference is asked about.
const ITEMS_MAX: usize = 32;
/// How often the folders are looked at while all is well, the whole store, and the engine if nothing else shows it.
const FOLDERS_EVERY: Duration = Duration::from_secs(5);
const STORE_EVERY: Duration = Duration::from_secs(60);
const ENGINE_EVERY: Duration = Duration::from_secs(600);
/// After which rest something that failed once is tried again before it counts as broken.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// What is known of this validator's parts.
#[derive(Debug)]
pub(crate) struct Breaker(watch::Sender<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    /// Nobody looked yet.
    Nothing,
    Works,
    Broken(Fault),
}

/// Why nothing can be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What doesn't work, and why: for the operator.
    pub(crate) problem: String,
    /// Whose models and data show it.
    competition: Option<CompetitionId>,
    /// Since when, in Unix seconds.
    pub(crate) since: u64,
}

/// What was found when something was tried.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error("the object store: {0}")]
    Store(#[source] ObjectError),
    #[error("the object store: it doesn't answer for {} s", STORE_LIMIT.as_secs())]
    Silent,
    #[error("the database: {0}")]
    Db(#[from] DbError),
    #[error("the data of {0}: {1}")]
    Data(CompetitionId, #[source] MaterialError),
    #[error("the engine, asked about the reference of {0}: {1}")]
    Engine(CompetitionId, String),
}

impl Default for Breaker {
    fn default() -> Self {
        Self(watch::Sender::new(Known::Nothing))
    }
}

impl Breaker {
    /// Why nothing is handed out, if that is so.
    pub(crate) fn fault(&self) -> Option<Fault> {
        match &*self.0.borrow() {
            Known::Broken(fault) => Some(fault.clone()),
            Known::Nothing | Known::Works => None,
        }
    }

    /// Whether somebody looked by now.
    pub(crate) fn has_looked(&self) -> bool {
        *self.0.borrow() != Known::Nothing
    }

    /// Waits while something is broken.
    pub(crate) async fn whole(&self, stop: &CancellationToken) {
        let mut known = self.0.subscribe();
        tokio::select! {
            // The sender lives as long as this does.
            _ = known.wait_for(|known| !matches!(known, Known::Broken(_))) => {}
            () = stop.cancelled() => {}
        }
    }

    fn works(&self, app: &App) {
        let before = self.0.send_replace(Known::Works);
        if let Known::Broken(fault) = before {
            let seconds = app.clock.now().saturating_sub(fault.since);
            tracing::warn!(seconds, "it works again and evaluations go on; it was: {}", fault.problem);
            app.signals.queue.notify_one();
            app.signals.check.notify_one();
        }
    }

    fn broken(&self, app: &App, competition: Option<CompetitionId>, problem: &Problem) {
        let problem = Chain(problem).to_string();
        self.0.send_if_modified(|known| {
            let since = match known {
                Known::Broken(fault) if fault.problem == problem => return false,
                Known::Broken(fault) => fault.since,
                Known::Nothing | Known::Works => app.clock.now(),
            };
            tracing::error!("nothing is evaluated until this is mended, and nobody is blamed for it: {problem}");
            *known = Known::Broken(Fault { problem, competition, since });
            true
        });
    }
}

impl Fault {
    /// The same for everybody: places on this machine are the operator's alone.
    pub(crate) fn for_strangers(&self) -> String {
        let shown = |word: &str| {
            if word.trim_start_matches(['"', '`', '(']).starts_with('/') { "…".into() } else { word.to_owned() }
        };
        self.problem.split(' ').map(shown).collect::<Vec<String>>().join(" ")
    }
}

/// Whether a failure in `competition` is everybody's, so that nobody's attempt counts: what works for certain doesn't work
/// either. Nothing is handed out then.
pub(crate) async fn is_everybodys(app: &App, competition: &CompetitionId) -> bool {
    match all(app, Some(competition)).await {
        Ok(()) => {
            app.breaker.works(app);
            false
        }
        Err(problem) => {
            app.breaker.broken(app, Some(competition.clone()), &problem);
            true
        }
    }
}

/// Looks at once, since something failed that is nobody's in particular.
pub(crate) async fn look(app: &App) {
    match all(app, None).await {
        Ok(()) => app.breaker.works(app),
        Err(problem) => app.breaker.broken(app, None, &problem),
    }
}

/// Looks again and again, until `stop`.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    let mut schedule = Schedule::default();
    let mut known = app.breaker.0.subscribe();
    while !stop.is_cancelled() {
        let rest = tokio::select! {
            rest = schedule.step(&app) => rest,
            () = stop.cancelled() => return,
        };
        known.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = known.changed() => {}
            () = stop.cancelled() => {}
        }
    }
}

/// When what was last seen to work, and how often in a row something didn't.
#[derive(Default)]
struct Schedule {
    store: Option<Instant>,
    engine: Option<Instant>,
    failed: u32,
}

impl Schedule {
    /// Looks at what is due, and says how long to rest.
    async fn step(&mut self, app: &App) -> Duration {
        if let Some(fault) = app.breaker.fault() {
            let competition = fault.competition;
            match all(app, competition.as_ref()).await {
                Ok(()) => {
                    *self = Self { store: Some(Instant::now()), engine: Some(Instant::now()), failed: 0 };
                    app.breaker.works(app);
                    return FOLDERS_EVERY;
                }
                Err(problem) => app.breaker.broken(app, competition, &problem),
            }
            return Duration::from_millis(app.config.limits.breaker_probe_ms);
        }
        match self.due(app).await {
            Ok(()) => {
                self.failed = 0;
                app.breaker.works(app);
                FOLDERS_EVERY
            }
            Err(_) if self.failed == 0 => {
                self.failed = 1;
                SECOND_LOOK
            }
            Err(problem) => {
                app.breaker.broken(app, None, &problem);
                Duration::ZERO
            }
        }
    }

    async fn due(&mut self, app: &App) -> Result<(), Problem> {
        let is_due = |seen: Option<Instant>, every| seen.is_none_or(|seen| seen.elapsed() >= every);
        folders(app).await?;
        if is_due(self.store, STORE_EVERY) {
            store(app).await?;
            self.store = Some(Instant::now());
        }
        let now = app.clock.now();
        let idle_seconds = now.saturating_sub(app.signals.busy_at.load(Ordering::Relaxed));
        if self.engine.is_none() || (is_due(self.engine, ENGINE_EVERY) && idle_seconds >= ENGINE_EVERY.as_secs()) {
            engine(app, None, ENGINE_GLANCE).await?;
            self.engine = Some(Instant::now());
        }
        Ok(())
    }
}

/// Everything that an evaluation needs, on a model that is known to work.
async fn all(app: &App, competition: Option<&CompetitionId>) -> Result<(), Problem> {
    folders(app).await?;
    store(app).await?;
    engine(app, competition, ENGINE_LIMIT).await
}

async fn folders(app: &App) -> Result<(), Problem> {
    timeout(STORE_LIMIT, app.objects.look()).await.map_err(|_| Problem::Silent)?.map_err(Problem::Store)
}

async fn store(app: &App) -> Result<(), Problem> {
    timeout(STORE_LIMIT, app.objects.probe()).await.map_err(|_| Problem::Silent)?.map_err(Problem::Store)
}

/// A handful of a competition's items through its own reference; the newest competition's, unless one is named. While
/// somebody else measures for long, nothing is known.
async fn engine(app: &App, competition: Option<&CompetitionId>, limit: Duration) -> Result<(), Problem> {
    let stored = match competition {
        Some(id) => app.db.competition(id).await?,
        None => app.db.competitions().await?.into_iter().next(),
    };
    let Some(stored) = stored else { return Ok(()) };
    let id = &stored.competition.manifest.id;
    let request = timeout(STORE_LIMIT, request(app, &stored)).await.map_err(|_| Problem::Silent)?;
    let request = request.map_err(|error| Problem::Data(id.clone(), error))?;
    match timeout(limit, app.evaluator.try_out(request)).await {
        Ok(Err(failure)) => Err(Problem::Engine(id.clone(), failure.to_string())),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

async fn request(app: &App, stored: &StoredCompetition) -> Result<EvaluationRequest, MaterialError> {
    let materials = app.materials.of(&app.objects, stored).await?;
    // Read anew, since what is kept in memory says nothing about the store.
    let reference = &stored.competition.reference;
    let reference = materials::package(&app.objects, &reference.config_json.sha256, &reference.weights.sha256).await?;
    Ok(EvaluationRequest {
        candidate: reference.clone(),
        reference,
        items: first(&materials.items, ITEMS_MAX),
        probes: Arc::from([]),
        expected: None,
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: ENGINE_SECONDS,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    })
}

/// The first few of many items.
fn first(items: &Items, count_max: usize) -> Items {
    let all = items.labels.len();
    let count = all.min(count_max);
    let part = |length: usize| length.checked_div(all).unwrap_or(0) * count;
    Items {
        input: items.input.clone(),
        pixels: items.pixels[..part(items.pixels.len())].into(),
        labels: items.labels[..count].into(),
        public: items.public.min(u32::try_from(count).unwrap_or(u32::MAX)),
        teacher_logits: items.teacher_logits.as_ref().map(|logits| logits[..part(logits.len())].into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_what_is_broken_and_no_place_of_this_machine() {
        let problem = "the object store: write into /srv/v/tmp: denied (\"/srv/v\"; see docs/OPERATING.md)".to_owned();
        let fault = Fault { problem, competition: None, since: 0 };
        assert_eq!(fault.for_strangers(), "the object store: write into … denied … see docs/OPERATING.md)");
    }
}
