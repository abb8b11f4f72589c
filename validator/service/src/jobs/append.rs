//! Appends leaves to the public log, in the order of what happened, each once; looks whether its files are still what they
//! were, and puts back what the database knows: those have the signed root, or nothing is written.
//!
//! The log is written first, then the database says where a leaf is. A kill in between leaves leaves in the log that
//! the database believes to be on their way: when the log is opened, whatever it has beyond what the database knows is
//! held against the leaves of the same name (`catch_up`), and only what is left is appended. It knows no statement.

use crate::app::App;
use std::ops::Range;
use std::time::Duration;
use store::causes::Chain;
use store::db::{DbError, leaves};
use store::failpoints::{self, Change};
use store::log::LOG_PREFIX;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use transparency::{Entry, EntryError, EntryKind, Envelope, KnownEntries, Log, LogError, LogStore, repair, restore};

/// Leaves that are appended at once.
const LEAVES_MAX: u32 = 256;
/// How long the loop waits when nobody wakes it.
const IDLE: Duration = Duration::from_secs(1);
/// How long a log that can't be written rests.
const REST: Duration = Duration::from_secs(5);
/// How often it is tried whether the log could be written, while there is nothing to write.
const PROBE: Duration = Duration::from_secs(10);
/// All files are looked at at the start, when a reader misses one, and that often, or less often where it takes long: so many times as long as it took.
const EXAMINE: (Duration, u32) = (Duration::from_secs(600), 100);
/// How often the same trouble is told.
const TOLD: Duration = Duration::from_secs(60);

/// Why leaves are not in the log yet.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error(transparent)]
    Db(#[from] DbError),
    #[error(transparent)]
    Log(#[from] LogError),
    #[error(transparent)]
    Entry(#[from] EntryError),
    /// Going on would sign a second history of what was promised.
    #[error(
        "the public log has {found} entries and had {expected}: put its files back from a copy; until then nothing is \
         stated in public"
    )]
    Shrunk { found: u64, expected: u64 },
    /// Two different things were stated under one name.
    #[error("entry {index} of the public log states {key} otherwise than the database does")]
    Contradiction { index: u64, key: String },
}

impl AppendError {
    /// What everybody is told while it lasts. The log of the process says the rest.
    fn in_public(&self) -> &'static str {
        match self {
            Self::Db(_) => "nothing can be stated in the public log: the database fails",
            Self::Log(LogError::Store(_)) => "the public log can't be written or read",
            Self::Log(LogError::AnotherWriter { .. }) => "another process writes the public log",
            Self::Log(LogError::CheckpointMissing | LogError::Checkpoint(_)) => "the public log's checkpoint is lost",
            Self::Log(_) | Self::Entry(_) => "the public log is damaged beyond what can be put back by itself",
            Self::Shrunk { .. } => "the public log is shorter than it was",
            Self::Contradiction { .. } => "the public log contradicts the database",
        }
    }
}

/// Appends until `stop`. Whatever the store does, it doesn't hold up the end: what was cut off comes again.
pub async fn run(app: App, stop: CancellationToken) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = keep(&app) => {}
    }
}

async fn keep(app: &App) {
    let now = Instant::now();
    let mut writer = Writer { log: None, damage: None, examine_at: now, probe_at: now + PROBE };
    let mut told = None;
    loop {
        match writer.step(app).await {
            Ok(count) => {
                if app.log.set_trouble(writer.damage) && writer.damage.is_none() {
                    tracing::info!("the public log can be written again");
                }
                if count > 0 {
                    tracing::debug!(count, "appended to the public log");
                    continue;
                }
                tokio::select! {
                    () = app.signals.log.notified() => {}
                    () = app.log.damage.notified() => writer.examine_at = Instant::now(),
                    () = tokio::time::sleep(IDLE) => {}
                }
            }
            Err(error) => {
                let changed = app.log.set_trouble(Some(error.in_public()));
                if changed || told.is_none_or(|at: Instant| at.elapsed() >= TOLD) {
                    tracing::error!(error = %Chain(&error), "can't write the public log");
                    told = Some(Instant::now());
                }
                // Opening may fail for what looking at all files puts back.
                if writer.log.is_none() {
                    writer.examine_at = Instant::now();
                }
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// The log's one writer, and when it looks after what.
struct Writer {
    log: Option<Log>,
    /// What is wrong with old files that nobody can put back. New entries are appended all the same.
    damage: Option<&'static str>,
    /// When all files are looked at.
    examine_at: Instant,
    /// When it is tried whether the log could be written.
    probe_at: Instant,
}

impl Writer {
    /// Looks at the files where that is due, opens the log where it isn't, and appends what is due; returns how much that
    /// was.
    async fn step(&mut self, app: &App) -> Result<usize, AppendError> {
        if self.examine_at <= Instant::now() {
            self.examine(app).await;
        }
        let log = match &mut self.log {
            Some(log) => log,
            none => {
                let log = Log::open(app.objects.store(), LOG_PREFIX, app.log.signer().clone()).await?;
                catch_up(app, &log).await?;
                app.log.show(log.view());
                none.insert(log)
            }
        };
        let appended = match append(app, log).await {
            Ok(0) if self.probe_at <= Instant::now() => {
                self.probe_at = Instant::now() + PROBE;
                log.probe().await.map(|()| 0).map_err(AppendError::from)
            }
            appended => appended,
        };
        if matches!(appended, Err(AppendError::Log(LogError::AnotherWriter { .. }))) {
            self.log = None;
        }
        appended
    }

    /// Looks at all files, and when to do so again. The writer stays: what it holds in memory is what is put back.
    async fn examine(&mut self, app: &App) {
        let began = Instant::now();
        self.damage = match mend(app).await {
            Ok(()) => None,
            Err(error) => {
                tracing::error!(error = %Chain(&error), "the public log is damaged: put its files back from a copy");
                Some(error.in_public())
            }
        };
        let (interval, share) = EXAMINE;
        self.examine_at = Instant::now() + interval.max(began.elapsed() * share);
    }
}

/// Reads all files, and puts back those that are missing or aren't what they were.
async fn mend(app: &App) -> Result<(), AppendError> {
    let files = LogStore::new(app.objects.store(), LOG_PREFIX).map_err(LogError::from)?;
    let key = app.log.key();
    let mended = match restore(&files, &key, &Stated(app)).await {
        // There is none yet; or it is lost, which opening says.
        Err(AppendError::Log(LogError::CheckpointMissing)) => Vec::new(),
        // The database may be the one that is wrong.
        Err(AppendError::Log(LogError::WrongRoot { .. })) => repair(&files, &key).await?,
        mended => mended?,
    };
    if !mended.is_empty() {
        let shown = mended.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", ");
        tracing::warn!(
            files = mended.len(),
            "files of the public log were missing or damaged and are put back: {shown}"
        );
    }
    Ok(())
}

/// What the database knows to be in the log.
struct Stated<'a>(&'a App);

impl KnownEntries for Stated<'_> {
    type Error = AppendError;

    async fn entries(&self, places: Range<u64>) -> Result<Option<Vec<Entry>>, AppendError> {
        let leaves = self.0.db.leaves_at(places.clone()).await?;
        if leaves.len() as u64 != places.end - places.start {
            return Ok(None);
        }
        Ok(Some(leaves.iter().map(leaves::Leaf::entry).collect::<Result<_, _>>()?))
    }
}

async fn append(app: &App, log: &mut Log) -> Result<usize, AppendError> {
    let pending = app.db.pending_leaves(LEAVES_MAX).await?;
    if pending.is_empty() {
        return Ok(0);
    }
    let entries: Vec<Entry> = pending.iter().map(leaves::Leaf::entry).collect::<Result<_, _>>()?;
    // After a failure here or below the same leaves come again, and keep the places that they have.
    let places = log.append(&entries).await?;
    let mut tx = app.db.write().await?;
    let places: Vec<_> = pending.iter().map(|leaf| leaf.id).zip(places).collect();
    leaves::record(&mut tx, &places).await?;
    failpoints::commit(tx, Change::LeafPlaces).await?;
    app.log.show(log.view());
    if pending.iter().any(|leaf| leaf.kind == EntryKind::Administration) {
        app.board.changed_by_hand();
    }
    Ok(pending.len())
}

/// Writes down what the log has and the database doesn't know to be there.
async fn catch_up(app: &App, log: &Log) -> Result<(), AppendError> {
    let (known, _) = app.db.count_leaves().await?;
    let (view, found, expected) = (log.view(), log.checkpoint().size(), app.db.log_end().await?);
    if found < expected {
        return Err(AppendError::Shrunk { found, expected });
    }
    // A database that knows of later leaves and not of all before is a wonder: then all of them are looked at.
    let start = if known == expected { expected } else { 0 };
    for index in start..found {
        let entry = view.entry(index).await?;
        let envelope = Envelope::parse(entry.as_bytes())?;
        let leaf = app.db.leaf(&envelope.key).await?;
        let mut tx = app.db.write().await?;
        match leaf {
            Some(leaf) if leaf.index_in_log == Some(index) && leaf.entry()? == entry => continue,
            Some(leaf) if leaf.index_in_log.is_none() && leaf.entry()? == entry => {
                leaves::record(&mut tx, &[(leaf.id, index)]).await?;
            }
            Some(_) => return Err(AppendError::Contradiction { index, key: envelope.key }),
            None => {
                tracing::warn!(index, key = envelope.key, "the public log states what the database forgot");
                leaves::adopt(&mut tx, &envelope, index).await?;
            }
        }
        failpoints::commit(tx, Change::LeafCatchUp).await?;
    }
    Ok(())
}
