//! The file under the local ledger: locked, read line by line, appended to durably.
//!
//! It does NOT know what a line says.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Recovery;
use crate::ledger::LedgerError;

/// The longest line that is read. An entry with the most weights has about 260 kB.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// So many files of the same place are kept apart.
const SAVED_TAILS_MAX: u32 = 1000;

/// An open and locked file whose lines are complete up to `complete_bytes`.
#[derive(Debug)]
pub(super) struct LedgerFile {
    path: PathBuf,
    file: File,
    complete_bytes: u64,
    /// Where each complete line begins.
    starts: Vec<u64>,
    /// When the file was last changed as far as we know: at our own last writing of it, or when it was last read as a whole.
    changed: Option<(i64, i64)>,
    /// Set when it is unknown what the file holds after a failed write.
    poisoned: bool,
}

/// The bytes after the last line break.
pub(super) struct Tail {
    pub(super) bytes: Vec<u8>,
}

impl LedgerFile {
    /// Opens or creates the file and locks it for as long as the value lives.
    pub(super) fn open(path: &Path) -> Result<Self, LedgerError> {
        let opened = OpenOptions::new().read(true).append(true).create(true).open(path);
        let file = opened.map_err(|source| io_error(path, "open it", source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(io_error(path, "lock it", source)),
        }
        if file.metadata().map_err(|source| io_error(path, "look at it", source))?.len() == 0 {
            sync_parent(path).map_err(|source| io_error(path, "sync its directory", source))?;
        }
        Ok(Self { path: path.to_owned(), file, complete_bytes: 0, starts: Vec::new(), changed: None, poisoned: false })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives each complete line, without its line break, to `accept`; returns what follows the last one, if anything.
    pub(super) fn read_lines(
        &mut self,
        mut accept: impl FnMut(&[u8]) -> Result<(), LedgerError>,
    ) -> Result<Option<Tail>, LedgerError> {
        self.complete_bytes = 0;
        self.starts.clear();
        let failed = |source| io_error(&self.path, "read it", source);
        let mut reader = BufReader::new(&self.file);
        reader.rewind().map_err(failed)?;
        loop {
            let mut line = Vec::new();
            let read = reader.by_ref().take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).map_err(failed)?;
            match line.strip_suffix(b"\n") {
                Some(line) => accept(line)?,
                None if line.is_empty() => return Ok(None),
                None => return Tail::new(line).map(Some),
            }
            self.starts.push(self.complete_bytes);
            self.complete_bytes += read as u64;
        }
    }

    /// Complete lines with their line breaks, from line `from` on: as many as fit, and one at least while there are any.
    pub(super) fn lines(&self, from: u64, bytes_max: u64) -> Result<Vec<u8>, LedgerError> {
        let starts = usize::try_from(from).ok().and_then(|from| self.starts.get(from..)).unwrap_or_default();
        let Some((&start, later)) = starts.split_first() else { return Ok(Vec::new()) };
        let ends = later.iter().copied().chain([self.complete_bytes]);
        let end = ends.take_while(|end| end - start <= bytes_max).last();
        let end = end.unwrap_or_else(|| later.first().copied().unwrap_or(self.complete_bytes));
        let mut bytes = vec![0; (end - start) as usize];
        let read = self.file.read_exact_at(&mut bytes, start);
        read.map_err(|source| io_error(&self.path, "read entries", source))?;
        Ok(bytes)
    }

    /// Appends a line with its line break and waits until it is on the disk. What fails half-way is taken back. To be called
    /// on a file that was just checked.
    pub(super) fn append(&mut self, line: &[u8]) -> Result<(), LedgerError> {
        self.write(line, self.complete_bytes)?;
        self.starts.push(self.complete_bytes);
        self.complete_bytes += line.len() as u64;
        self.note_change()
    }

    /// Whether anything was written to the file, or only its name changed, since we last wrote or read all of it. After a
    /// failed write of ours nobody can say who it was.
    pub(super) fn was_touched(&self) -> Result<bool, LedgerError> {
        if self.poisoned {
            return Err(LedgerError::Poisoned { path: self.path.clone() });
        }
        Ok(self.changed != Some(self.change_time()?))
    }

    /// Takes the file as it is now for what is known.
    pub(super) fn note_change(&mut self) -> Result<(), LedgerError> {
        self.changed = Some(self.change_time()?);
        Ok(())
    }

    fn change_time(&self) -> Result<(i64, i64), LedgerError> {
        let metadata = self.file.metadata().map_err(|source| io_error(&self.path, "look at it", source))?;
        Ok((metadata.ctime(), metadata.ctime_nsec()))
    }

    /// Complete lines, each without its line break, and what follows them.
    pub(super) fn pieces(&self) -> Result<Vec<Vec<u8>>, LedgerError> {
        let length = self.file.metadata().map_err(|source| io_error(&self.path, "look at it", source))?.len();
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0).map_err(|source| io_error(&self.path, "read it again", source))?;
        Ok(bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect())
    }

    /// Sees whether the path still leads to this file, and all that was written is in it. What can be read of a file that
    /// has lost its name is saved beside it.
    pub(super) fn check(&self) -> Result<(), LedgerError> {
        let failed = |source| io_error(&self.path, "look at it", source);
        let ours = self.file.metadata().map_err(failed)?;
        if ours.len() < self.complete_bytes {
            let (found, expected) = (ours.len(), self.complete_bytes);
            return Err(LedgerError::Shrunk { path: self.path.clone(), found, expected });
        }
        let named = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            named => Some(named.map_err(failed)?),
        };
        if named.is_some_and(|named| (named.dev(), named.ino()) == (ours.dev(), ours.ino())) {
            return Ok(());
        }
        let mut bytes = vec![0; usize::try_from(self.complete_bytes).unwrap_or(usize::MAX)];
        self.file.read_exact_at(&mut bytes, 0).map_err(|source| io_error(&self.path, "read what is left", source))?;
        let saved_to = save_aside(&self.path, "saved", self.complete_bytes, &bytes).ok();
        Err(LedgerError::Vanished { path: self.path.clone(), saved_to })
    }

    /// Gives the last line the line break that it lacks.
    pub(super) fn finish(&mut self, tail: &Tail) -> Result<(), LedgerError> {
        let end = self.complete_bytes + tail.bytes.len() as u64;
        self.write(b"\n", end)?;
        self.starts.push(self.complete_bytes);
        self.complete_bytes = end + 1;
        Ok(())
    }

    /// Writes at the end of the file, which is at `end`.
    fn write(&mut self, bytes: &[u8], end: u64) -> Result<(), LedgerError> {
        if self.poisoned {
            return Err(LedgerError::Poisoned { path: self.path.clone() });
        }
        if let Err(source) = self.file.write_all(bytes) {
            self.poisoned = self.file.set_len(end).is_err();
            return Err(io_error(&self.path, "append an entry", source));
        }
        if let Err(source) = self.file.sync_data() {
            // After a failed fsync the kernel may have dropped the pages or not.
            self.poisoned = true;
            return Err(io_error(&self.path, "sync an entry", source));
        }
        Ok(())
    }

    /// Saves a torn end in a file of its own, then cuts it off.
    pub(super) fn cut_off(&mut self, tail: &Tail) -> Result<Recovery, LedgerError> {
        let saved = save_aside(&self.path, "torn", self.complete_bytes, &tail.bytes);
        let saved_to = saved.map_err(|source| io_error(&self.path, "save its torn end", source))?;
        let cut = self.file.set_len(self.complete_bytes).and_then(|()| self.file.sync_all());
        cut.map_err(|source| io_error(&self.path, "cut off its torn end", source))?;
        Ok(Recovery::CutOff { saved_to, size_bytes: tail.bytes.len() as u64 })
    }
}

impl Tail {
    /// Bytes that are the rest of the file, and not the beginning of a line that is too long to read.
    fn new(bytes: Vec<u8>) -> Result<Self, LedgerError> {
        let size_bytes = bytes.len() as u64;
        if size_bytes > LINE_BYTES_MAX {
            return Err(LedgerError::TooLarge { what: "line in bytes", value: size_bytes, limit: LINE_BYTES_MAX });
        }
        Ok(Self { bytes })
    }
}

/// Writes `PATH.WHAT-OFFSET-N` with the first N that is free.
fn save_aside(path: &Path, what: &str, offset: u64, bytes: &[u8]) -> io::Result<PathBuf> {
    for number in 0..SAVED_TAILS_MAX {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{what}-{offset}-{number}"));
        let saved_to = PathBuf::from(name);
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&saved_to) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
            opened => opened?,
        };
        file.write_all(bytes)?;
        file.sync_all()?;
        sync_parent(path)?;
        return Ok(saved_to);
    }
    Err(io::Error::other(format!("{SAVED_TAILS_MAX} files were saved at offset {offset}")))
}

/// Makes the name of a new file durable.
pub(crate) fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::File::open(parent)?.sync_all()
}

fn io_error(path: &Path, doing: &'static str, source: io::Error) -> LedgerError {
    LedgerError::Io { path: path.to_owned(), doing, source }
}
