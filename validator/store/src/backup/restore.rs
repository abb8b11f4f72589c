//! Putting a backup back into a new directory. The database comes last: until it is there, there is no validator.

use super::files::{failed, make_dir, read, sync_dir, write};
use super::{BACKUP_FILE, BACKUP_FORMAT, Backup, BackupError, BackupFile, DATABASE};
use crate::config::Home;
use crate::db::Db;
use crate::log::LOG_PREFIX;
use crate::objects::Objects;
use object_store::ObjectStoreExt;
use protocol::Digest;
use std::fs;
use std::path::Path;

/// Puts the backup in the folder `from` back into `home`, which may hold keys and settings but no database. Where the
/// backup has no keys, they must be put into `home` before it can serve.
///
/// Everything is checked against its digest on the way. It can be called again after a crash.
///
/// # Errors
/// When a validator's database is there, the backup is damaged, or something can't be written.
pub async fn restore(from: &Path, home: &Home) -> Result<Backup, BackupError> {
    if home.database().exists() {
        return Err(BackupError::InUse { path: home.path().to_owned() });
    }
    let backup = manifest(from)?;
    for dir in [home.path(), &home.objects(), &home.tmp()] {
        make_dir(dir)?;
    }
    for (name, path) in [("validator.toml", home.config()), ("hotkey", home.hotkey()), ("log.key", home.log_key())] {
        if let Some(file) = backup.files.iter().find(|file| file.path == name).filter(|_| !path.exists()) {
            write(home.path(), name, &read(from, file)?)?;
        }
    }
    let config = home.load(std::env::vars())?;
    let objects = Objects::open(&config.object_store_url(home)?, home.tmp())?;
    put_objects(from, &backup, &objects).await?;
    put_log(from, &backup, &objects).await?;
    put_ledger(from, &backup, home)?;
    put_database(from, &backup, home).await?;
    Ok(backup)
}

fn manifest(from: &Path) -> Result<Backup, BackupError> {
    let path = from.join(BACKUP_FILE);
    let bytes = fs::read(&path).map_err(failed(&path, "read it"))?;
    let damaged = |problem: String| BackupError::Damaged { path: BACKUP_FILE.into(), problem };
    let backup: Backup = serde_json::from_slice(&bytes).map_err(|error| damaged(error.to_string()))?;
    if backup.format != BACKUP_FORMAT {
        return Err(damaged(format!("its format is {:?}, not {BACKUP_FORMAT:?}", backup.format)));
    }
    Ok(backup)
}

fn file<'a>(backup: &'a Backup, path: &str) -> Result<&'a BackupFile, BackupError> {
    let found = backup.files.iter().find(|file| file.path == path);
    found.ok_or_else(|| BackupError::Damaged { path: path.to_owned(), problem: "it is missing".into() })
}

async fn put_objects(from: &Path, backup: &Backup, objects: &Objects) -> Result<(), BackupError> {
    let mut missing = Vec::new();
    for object in &backup.objects {
        let (sha256, size_bytes) = (object.sha256, object.size_bytes);
        if backup.objects_copied {
            let file = BackupFile { path: format!("objects/{sha256}"), size_bytes, sha256 };
            objects.put(read(from, &file)?.into()).await?;
        } else if objects.size_bytes(&sha256).await? != Some(size_bytes) {
            missing.push(sha256);
        }
    }
    missing_none(&missing)
}

fn missing_none(missing: &[Digest]) -> Result<(), BackupError> {
    let Some(first) = missing.first() else { return Ok(()) };
    Err(BackupError::ObjectsMissing { count: missing.len() as u64, first: *first })
}

/// The checkpoint last, as the log's own writer does. A log that is there already, in a store that outlived the
/// validator, is the longer one and stays.
async fn put_log(from: &Path, backup: &Backup, objects: &Objects) -> Result<(), BackupError> {
    let checkpoint = format!("{LOG_PREFIX}/checkpoint");
    let store = objects.store();
    let location = |path: &str| object_store::path::Path::from(path);
    if store.head(&location(&checkpoint)).await.is_ok() {
        return Ok(());
    }
    let (prefix, store_error) = (format!("{LOG_PREFIX}/"), crate::objects::ObjectError::from);
    let tiles = backup.files.iter().filter(|file| file.path.starts_with(&prefix) && file.path != checkpoint);
    for file in tiles {
        let bytes = read(from, file)?;
        store.put(&location(&file.path), bytes.into()).await.map_err(store_error)?;
    }
    let bytes = read(from, file(backup, &checkpoint)?)?;
    store.put(&location(&checkpoint), bytes.into()).await.map_err(store_error)?;
    Ok(())
}

fn put_ledger(from: &Path, backup: &Backup, home: &Home) -> Result<(), BackupError> {
    let bytes = read(from, file(backup, "ledger.jsonl")?)?;
    let path = home.ledger();
    if path.exists() {
        let there = fs::read(&path).map_err(failed(&path, "read it"))?;
        return if there == bytes { Ok(()) } else { Err(BackupError::Exists { path }) };
    }
    place(home, "ledger.jsonl", &bytes)
}

async fn put_database(from: &Path, backup: &Backup, home: &Home) -> Result<(), BackupError> {
    let bytes = read(from, file(backup, DATABASE)?)?;
    let aside = home.path().join("data.sqlite.restored");
    if aside.exists() {
        fs::remove_file(&aside).map_err(failed(&aside, "remove it"))?;
    }
    write(home.path(), "data.sqlite.restored", &bytes)?;
    let copy = Db::open_copy(&aside).await?;
    let problems = copy.problems().await?;
    copy.close().await;
    if let Some(problem) = problems {
        return Err(BackupError::Damaged { path: DATABASE.into(), problem });
    }
    fs::rename(&aside, home.database()).map_err(failed(&home.database(), "give it its name"))?;
    sync_dir(home.path())
}

/// Writes a file that has its name only once it is whole.
fn place(home: &Home, name: &str, bytes: &[u8]) -> Result<(), BackupError> {
    let aside = format!("{name}.restored");
    let path = home.path().join(&aside);
    if path.exists() {
        fs::remove_file(&path).map_err(failed(&path, "remove it"))?;
    }
    write(home.path(), &aside, bytes)?;
    fs::rename(&path, home.path().join(name)).map_err(failed(&path, "give it its name"))?;
    sync_dir(home.path())
}
