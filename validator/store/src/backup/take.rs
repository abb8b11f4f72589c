//! Taking a backup beside a serving process: log and ledger first, then the database, then whatever it names.
//!
//! The order makes them fit. The log only ever lags the database, so a log that is copied first states nothing that the
//! snapshot doesn't know; leaves that it lacks are put back on their way, where they come to the same places. The ledger
//! must not move between two looks around the snapshot; it does once a round. Objects are stored before their rows, so
//! those that the snapshot names are there.

use super::files::{describe, failed, make_dir, sync_dir, write};
use super::{BACKUP_FILE, BACKUP_FORMAT, Backup, BackupError, BackupFile, DATABASE, Options};
use crate::clock::Clock;
use crate::config::{Config, Home};
use crate::db::Db;
use crate::log::LOG_PREFIX;
use crate::objects::Objects;
use protocol::Digest;
use protocol::competition::ObjectRef;
use std::fs;
use std::path::Path;
use transparency::{LogError, LogView, Resource, Tile};

/// How often a moving log or ledger is tried again.
const TRIES_MAX: u32 = 20;
/// Hashes, or entries, of one tile.
const TILE_WIDTH: u64 = 256;

/// Backs the validator in `home` up into the new folder `to`. It may be serving meanwhile.
///
/// # Errors
/// When `to` exists or something can't be read or written. What is half-finished lies in `TO.partial`, if anywhere.
pub async fn backup(home: &Home, config: &Config, to: &Path, options: Options) -> Result<Backup, BackupError> {
    let mut partial = to.as_os_str().to_owned();
    partial.push(".partial");
    let partial = Path::new(&partial);
    for path in [to, partial] {
        if path.exists() {
            return Err(BackupError::Exists { path: path.to_owned() });
        }
    }
    make_dir(partial)?;
    let taken = take(home, config, partial, options).await;
    if taken.is_err() {
        // What can't be removed is still no backup: it has another name.
        let _ = fs::remove_dir_all(partial);
    }
    let taken = taken?;
    fs::rename(partial, to).map_err(failed(to, "give it its name"))?;
    sync_dir(to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new(".")))?;
    Ok(taken)
}

async fn take(home: &Home, config: &Config, to: &Path, options: Options) -> Result<Backup, BackupError> {
    let db = Db::open(&home.database()).await?;
    let objects = Objects::open_or_begin(&config.object_store_url(home)?, home.tmp(), db.is_new().await?)?;
    let (log_key, hotkey) = (home.log_signer()?.key(), home.keypair()?.hotkey());
    let mut tries = 0;
    let (log_size, ledger, mut files) = loop {
        tries += 1;
        let log = match read_log(&objects, &log_key).await {
            Err(BackupError::Log(LogError::CheckpointMissing)) if db.count_leaves().await?.0 == 0 => {
                return Err(BackupError::NeverServed);
            }
            log => log?,
        };
        let ledger = read_whole_lines(&home.ledger())?;
        if let Some(log) = log {
            db.copy_to(&to.join(DATABASE), log.size).await?;
            if read_whole_lines(&home.ledger())? == ledger {
                let mut files = Vec::new();
                for (path, bytes) in &log.files {
                    files.push(write(to, &format!("{LOG_PREFIX}/{path}"), bytes)?);
                }
                break (log.size, ledger, files);
            }
            let stale = to.join(DATABASE);
            fs::remove_file(&stale).map_err(failed(&stale, "remove it"))?;
        }
        if tries == TRIES_MAX {
            return Err(BackupError::Busy { tries });
        }
    };
    db.close().await;
    files.push(describe(to, DATABASE)?);
    files.push(write(to, "ledger.jsonl", &ledger)?);
    files.push(copy(to, &home.config(), "validator.toml")?);
    if options.keys {
        files.push(copy(to, &home.hotkey(), "hotkey")?);
        files.push(copy(to, &home.log_key(), "log.key")?);
    }
    let backup = Backup {
        format: BACKUP_FORMAT.into(),
        taken_at: Clock::System.now(),
        hotkey,
        log_key: log_key.to_string(),
        log_size,
        objects_copied: !options.objects_listed,
        files,
        objects: take_objects(&objects, to, options).await?,
    };
    let json = serde_json::to_vec_pretty(&backup).expect("JSON, because it is plain data");
    write(to, BACKUP_FILE, &json)?;
    sync_dir(to)?;
    Ok(backup)
}

/// The log's files at one size.
struct LogFiles {
    size: u64,
    files: Vec<(String, Vec<u8>)>,
}

/// Reads the whole log; `None` if it moved on meanwhile, or hasn't begun.
async fn read_log(objects: &Objects, key: &transparency::LogKey) -> Result<Option<LogFiles>, BackupError> {
    let view = LogView::open(objects.store(), LOG_PREFIX, key).await?;
    let size = view.checkpoint().size();
    let mut files = vec![(Resource::Checkpoint.to_string(), view.checkpoint().note().as_bytes().to_vec())];
    for resource in resources(size) {
        // A partial tile is removed once the full one is there.
        let Some(bytes) = view.read(&resource).await? else { return Ok(None) };
        files.push((resource.to_string(), bytes));
    }
    Ok(Some(LogFiles { size, files }))
}

/// Every file that a log of this size has, but for its checkpoint.
fn resources(size: u64) -> impl Iterator<Item = Resource> {
    let level = move |level| (0..).map_while(move |index| Tile::holding(level, index * TILE_WIDTH, size));
    let levels = (0..).take_while(move |level| Tile::holding(*level, 0, size).is_some());
    let hashes = levels.flat_map(level).map(Resource::Hashes);
    hashes.chain(level(0).map(Resource::Entries))
}

/// The lines of a file that are complete; what follows them is being written.
fn read_whole_lines(path: &Path) -> Result<Vec<u8>, BackupError> {
    let mut bytes = fs::read(path).map_err(failed(path, "read it"))?;
    let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
    bytes.truncate(end);
    Ok(bytes)
}

fn copy(to: &Path, from: &Path, name: &str) -> Result<BackupFile, BackupError> {
    let bytes = fs::read(from).map_err(failed(from, "read it"))?;
    write(to, name, &bytes)
}

/// Copies or lists what the snapshot names.
async fn take_objects(objects: &Objects, to: &Path, options: Options) -> Result<Vec<ObjectRef>, BackupError> {
    let snapshot = Db::open_copy(&to.join(DATABASE)).await?;
    let mut named: Vec<Digest> = snapshot.named_objects().await?.into_iter().collect();
    let promised = snapshot.promised_objects().await?;
    snapshot.close().await;
    named.sort_unstable();
    let mut taken = Vec::new();
    for sha256 in named {
        let Some(size_bytes) = objects.size_bytes(&sha256).await? else {
            // A package that was announced and not sent has digests, too.
            if promised.contains(&sha256) {
                return Err(crate::objects::ObjectError::Missing(sha256).into());
            }
            continue;
        };
        if !options.objects_listed {
            write(to, &format!("objects/{sha256}"), &objects.get(&sha256).await?)?;
        }
        taken.push(ObjectRef { sha256, size_bytes });
    }
    Ok(taken)
}
