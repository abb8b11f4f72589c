//! The breaker: whether this validator could measure a submission now, and what waits while it couldn't.
//!
//! A failure on our side is one submission's or everybody's: an object that is lost, or a disk that isn't mounted. Which of
//! them it is shows by trying what works for certain, the store, the folders, and the competition's own reference in a
//! worker. If that fails too, nothing is handed out and no attempt is counted until it works again, which is tried by
//! itself. Nobody looks at a submission here, and nothing is known of what a failure looks like.

use crate::app::App;
use crate::engines;
use crate::state::materials::{self, MaterialError};
use protocol::CompetitionId;
use protocol::evaluation::{Inputs, Order, Scope};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use store::causes::Chain;
use store::db::competitions::StoredCompetition;
use store::db::{Db, DbError};
use store::objects::{ObjectError, Objects};
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

/// What was found when something was tried.
#[derive(Debug, thiserror::Error)]
enum Problem {
    #[error(transparent)]
    Store(ObjectError),
    #[error("the object store: it doesn't answer for {} s", STORE_LIMIT.as_secs())]
    Silent,
    #[error(transparent)]
    Db(#[from] DbError),
    #[error("the data of {0}")]
    Data(CompetitionId, #[source] MaterialError),
    #[error("the engine, asked about the reference of {0}: {1}")]
    Engine(CompetitionId, String),
}

impl Problem {
    /// What is broken, in words for everybody: by its kind, since the system's own words may hold places on this machine.
    fn in_public(&self) -> String {
        match self {
            Self::Store(error) => store_in_public(error).into(),
            Self::Silent => "the object store doesn't answer".into(),
            Self::Db(_) => "the database fails".into(),
            Self::Data(id, _) => format!("the data of {id} can't be read"),
            Self::Engine(id, _) => format!("the engine doesn't evaluate the reference of {id}"),
        }
    }
}

/// What is broken about the store, in words for everybody.
pub fn store_in_public(error: &ObjectError) -> &'static str {
    match error {
        ObjectError::Away(_) => "the folder of objects is not there",
        ObjectError::Unwritable { .. } | ObjectError::Io(_) => "a folder can't be written",
        ObjectError::Full => "the disk is full",
        _ => "the object store fails",
    }
}

/// It works, again or still.
fn works(app: &App) {
    if let Some(fault) = app.breaker.works() {
        let seconds = app.clock.now().saturating_sub(fault.since);
        tracing::warn!(seconds, "it works again and evaluations go on; it was: {}", fault.problem);
        app.signals.queue.notify_one();
        app.signals.check.notify_one();
    }
}

/// It doesn't work.
fn broken(app: &App, competition: Option<CompetitionId>, problem: &Problem) {
    let (told, in_public) = (Chain(problem).to_string(), problem.in_public());
    if app.breaker.broken((told.clone(), in_public), competition, app.clock.now()) {
        tracing::error!("nothing is evaluated until this is mended, and nobody is blamed for it: {told}");
    }
}

/// Whether a failure in `competition` is everybody's, so that nobody's attempt counts: what works for certain doesn't work
/// either. Nothing is handed out then.
pub async fn is_everybodys(app: &App, competition: &CompetitionId) -> bool {
    match all(app, Some(competition)).await {
        Ok(()) => {
            works(app);
            false
        }
        Err(problem) => {
            broken(app, Some(competition.clone()), &problem);
            true
        }
    }
}

/// Looks at once, since something failed that is nobody's in particular.
pub async fn look(app: &App) {
    match all(app, None).await {
        Ok(()) => works(app),
        Err(problem) => broken(app, None, &problem),
    }
}

/// Looks again and again, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut schedule = Schedule::default();
    let mut known = app.breaker.watch();
    while !stop.is_cancelled() {
        let rest = tokio::select! {
            rest = schedule.step(&app) => rest,
            () = stop.cancelled() => return,
        };
        known.mark_unchanged();
        tokio::select! {
            () = tokio::time::sleep(rest) => {}
            _ = known.changed() => {}
            () = app.objects.doubted(), if schedule.trusts(&app) => schedule.store = None,
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
    /// Whether nothing is wrong as far as is known, so that whoever has a doubt is worth a look.
    fn trusts(&self, app: &App) -> bool {
        self.failed == 0 && app.breaker.fault().is_none()
    }

    /// Looks at what is due, and says how long to rest.
    async fn step(&mut self, app: &App) -> Duration {
        if let Some(fault) = app.breaker.fault() {
            let competition = fault.competition;
            match all(app, competition.as_ref()).await {
                Ok(()) => {
                    *self = Self { store: Some(Instant::now()), engine: Some(Instant::now()), failed: 0 };
                    works(app);
                    return FOLDERS_EVERY;
                }
                Err(problem) => broken(app, competition, &problem),
            }
            return Duration::from_millis(app.config.limits.breaker_probe_ms);
        }
        match self.due(app).await {
            Ok(()) => {
                self.failed = 0;
                works(app);
                FOLDERS_EVERY
            }
            Err(_) if self.failed == 0 => {
                self.failed = 1;
                SECOND_LOOK
            }
            Err(problem) => {
                broken(app, None, &problem);
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
    if !app.objects.is_known() {
        know_objects(&app.db, &app.objects).await?;
    }
    timeout(STORE_LIMIT, app.objects.look()).await.map_err(|_| Problem::Silent)?.map_err(Problem::Store)
}

/// Lets the folder of objects be known by what stays in it for good: the reference of a competition.
pub async fn know_objects(db: &Db, objects: &Objects) -> Result<(), DbError> {
    if let Some(stored) = db.competitions().await?.first() {
        objects.know_by(stored.competition.reference.weights.sha256);
    }
    Ok(())
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
    let order = timeout(STORE_LIMIT, order(app, &stored)).await.map_err(|_| Problem::Silent)?;
    let order = order.map_err(|error| Problem::Data(id.clone(), error))?;
    match timeout(limit, app.evaluator.try_out(order)).await {
        Ok(Err(failure)) => Err(Problem::Engine(id.clone(), failure.to_string())),
        Ok(Ok(())) | Err(_) => Ok(()),
    }
}

async fn order(app: &App, stored: &StoredCompetition) -> Result<Order, MaterialError> {
    let materials = app.materials.of(&app.objects, stored).await?;
    // Read anew, since what is kept in memory says nothing about the store.
    let reference = &stored.competition.reference;
    let reference = materials::package(&app.objects, &reference.config_json.sha256, &reference.weights.sha256).await?;
    let Inputs { spec, .. } = &materials.items.inputs;
    let pixels = materials.items.inputs.pixels_of_first(ITEMS_MAX);
    Ok(Order {
        candidate: reference.clone(),
        reference,
        inputs: Inputs { spec: spec.clone(), pixels },
        probes: Arc::from([]),
        expected: None,
        engine: engines::in_force(app, stored).await?,
        backends: Vec::new(),
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: ENGINE_SECONDS,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_are_told_what_is_broken_and_no_place_of_this_machine() {
        let id: CompetitionId = "digits".parse().unwrap();
        let denied = || std::io::Error::other("v/secret: denied");
        let problems = [
            Problem::Store(ObjectError::Away("v/secret".into())),
            Problem::Store(ObjectError::Unwritable { path: "v/secret".into(), source: denied() }),
            Problem::Store(ObjectError::Io(denied())),
            Problem::Store(object_store::Error::Generic { store: "folder", source: denied().into() }.into()),
            Problem::Db(DbError::Unwritable { path: "v/secret".into() }),
            Problem::Data(id.clone(), ObjectError::Io(denied()).into()),
            Problem::Engine(id, "v/secret is not there".into()),
        ];
        for problem in problems {
            let (told, shown) = (Chain(&problem).to_string(), problem.in_public());
            assert_eq!(told.matches("v/secret").count().min(1), 1, "the operator is told: {told}");
            assert!(!shown.contains("secret"), "{shown}");
            let words: Vec<&str> = told.split(": ").collect();
            assert!(words.windows(2).all(|pair| pair[0] != pair[1]), "said twice: {told}");
        }
    }
}
