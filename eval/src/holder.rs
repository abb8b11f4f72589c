//! Who holds a lock: what the system's list of locks says, and what the holder of a lease wrote into its file. Both are for
//! people alone; nothing is decided by them.

use std::fmt;
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Words of a command line that say what a process does: `retort validator serve`.
const WORDS_MAX: usize = 3;
/// A note that is longer is nobody's of ours.
const NOTE_BYTES_MAX: usize = 200;

/// Who holds the machine, as far as this process may know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holder {
    /// Its process; one in another container may have no number here.
    pub process: Option<u32>,
    /// What it does.
    pub command: Option<String>,
    /// Since when it holds it.
    pub since: Option<SystemTime>,
}

impl Holder {
    /// Of the lock of a file that is held now.
    pub(crate) fn of(path: &Path) -> Self {
        let (process, note) = (holder_of(path), Note::read(path));
        match note {
            // A holder that died leaves its note behind; the lock itself is the next one's.
            Some(note) if process.is_none_or(|process| process == note.process) => Self {
                process: Some(note.process),
                command: Some(note.command),
                since: UNIX_EPOCH.checked_add(Duration::from_secs(note.since)),
            },
            _ => Self { process, command: process.and_then(name_of), since: None },
        }
    }

    /// Whether it is this very process.
    pub(crate) fn is_this(&self) -> bool {
        self.process == Some(std::process::id())
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.process {
            Some(process) => write!(f, "process {process}")?,
            None => f.write_str("another process")?,
        }
        if let Some(command) = &self.command {
            write!(f, " ({command})")?;
        }
        match self.since.and_then(|since| since.elapsed().ok()) {
            Some(elapsed) => write!(f, " has had it for {} s", elapsed.as_secs()),
            None => f.write_str(" has it"),
        }
    }
}

/// The process that holds the lock of a file, by the system's list of locks; one in another container isn't in it.
pub fn holder_of(path: &Path) -> Option<u32> {
    let inode = fs::metadata(path).ok()?.ino().to_string();
    let locks = fs::read_to_string("/proc/locks").ok()?;
    // 1: FLOCK  ADVISORY  WRITE 1234 08:01:5678 0 EOF; who waits has an arrow behind the number.
    let held = locks.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).find(|words| {
        words.get(1) == Some(&"FLOCK") && words.get(5).and_then(|file| file.rsplit(':').next()) == Some(inode.as_str())
    })?;
    held.get(4)?.parse().ok().filter(|process| *process > 0)
}

/// What the system calls a process.
fn name_of(process: u32) -> Option<String> {
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok()?;
    Some(name.trim().chars().filter(|char| !char.is_control()).collect())
}

/// What whoever takes a lock leaves in its file: process, time and command in a line.
struct Note {
    process: u32,
    since: u64,
    command: String,
}

impl Note {
    fn read(path: &Path) -> Option<Self> {
        let mut bytes = [0; NOTE_BYTES_MAX];
        let count = File::open(path).ok()?.read_at(&mut bytes, 0).ok()?;
        let text = std::str::from_utf8(&bytes[..count]).ok()?.strip_suffix('\n')?;
        let (process, rest) = text.split_once(' ')?;
        let (since, command) = rest.split_once(' ')?;
        let command = command.chars().filter(|char| !char.is_control()).collect();
        Some(Self { process: process.parse().ok()?, since: since.parse().ok()?, command })
    }
}

/// Writes this process into the file of a lock that it took. Where it may not, nobody learns who it is.
pub(crate) fn note(lock: OwnedFd) -> OwnedFd {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let line = format!("{} {since} {}\n", std::process::id(), command(std::env::args()));
    let file = File::from(lock);
    let _ = file.set_len(0).and_then(|()| file.write_all_at(line.as_bytes(), 0));
    file.into()
}

/// What a command line says that may be told: its commands, and none of what is given to them.
fn command(mut words: impl Iterator<Item = String>) -> String {
    let program = words.next().unwrap_or_default();
    let program = Path::new(&program).file_name().and_then(|name| name.to_str()).unwrap_or("?").to_owned();
    let is_command =
        |word: &String| word.len() <= 20 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let commands = words.take_while(|word| !word.starts_with('-') && is_command(word));
    let all: Vec<String> =
        std::iter::once(program.chars().take(40).collect()).chain(commands).take(WORDS_MAX).collect();
    all.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_told_without_what_is_given_to_it() {
        let told = |line: &str| command(line.split(' ').map(str::to_owned));
        assert_eq!(told("/usr/bin/retort validator serve --dir v"), "retort validator serve");
        assert_eq!(told("retort miner check /home/me/secret --hotkey k"), "retort miner check");
        assert_eq!(told("retort demo --dir secret"), "retort demo");
        assert_eq!(told("retort verify …W24N19CEB"), "retort verify");
    }
}
