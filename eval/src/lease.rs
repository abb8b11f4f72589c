//! The measurement lease: one evaluation at a time on a machine, so that none disturbs another's clock.
//!
//! Advisory locks on two files in a folder that only its owner may enter. They exclude threads of this process (each opens
//! the files anew) as well as other processes, and the kernel gives them back when their holder dies. One lock is the
//! machine, the other is the place of whoever is next: a process that measures without a pause can't overtake somebody who
//! waits.
//!
//! Why a folder of one's own: a well-known name where everybody may write can be held by anybody, and where folders are
//! swept a lock vanishes under its holder. The same goes for an abstract socket's name (anybody binds it first) and for
//! the user's runtime folder (gone when the last session ends). Users who share a machine share a folder by the setting
//! `lease_dir`, or they disturb each other; it doesn't know who else computes here.

use crate::holder::{self, Holder};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;
use std::fs::DirBuilder;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Names the folder, instead of one of the user's own.
pub const LEASE_DIR_VARIABLE: &str = "RETORT_LEASE_DIR";

/// Below the folder for what programs remember of a user.
const OWN_FOLDER: &str = "retort/lease";

/// Whoever has this lock has the machine.
const MACHINE: &str = "machine";
/// Whoever has this one is next.
const NEXT: &str = "next";

/// How long whoever waits for the machine leaves it alone between two looks.
pub const LEASE_POLL: Duration = Duration::from_millis(50);
/// Whoever waits for less than this needn't know for whom.
const UNTOLD_MAX: Duration = Duration::from_secs(1);

/// Why the lease of this machine can't be had, now or ever.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    /// There is no folder to lock anything in.
    #[error(
        "this user has no home folder to keep the measurement lease in: name a folder that only this user may enter, by \
         {LEASE_DIR_VARIABLE} or, in validator.toml, by lease_dir"
    )]
    NoFolder,
    /// The system refuses.
    #[error(
        "the measurement lease in {}: {source}; {LEASE_DIR_VARIABLE} (in validator.toml: lease_dir) names another folder",
        path.display()
    )]
    System {
        /// The folder.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// Others could hold up every measurement.
    #[error(
        "the measurement lease in {}: {problem}, so that others could hold up every measurement; take it from them \
         (chmod 700), or name another folder by {LEASE_DIR_VARIABLE} (in validator.toml: lease_dir)",
        path.display()
    )]
    NotPrivate {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// Where the lease of this machine is taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseFolder {
    path: PathBuf,
    /// Whether somebody named it, who may share it with a group.
    is_named: bool,
}

impl LeaseFolder {
    /// The folder at `path`, which a group may share.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), is_named: true }
    }

    /// What [`LEASE_DIR_VARIABLE`] names, or else this user's own: below `XDG_STATE_HOME`, or `.local/state` at home.
    pub fn of_this_user() -> Self {
        if let Some(named) = std::env::var_os(LEASE_DIR_VARIABLE).filter(|named| !named.is_empty()) {
            return Self::at(named);
        }
        let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")));
        // Without either there is no path, and whoever asks for the lease is told so.
        let path = state.filter(|path| path.is_absolute()).map(|state| state.join(OWN_FOLDER)).unwrap_or_default();
        Self { path, is_named: false }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder if it isn't there, and tries it out.
    ///
    /// # Errors
    /// When nothing can be locked in it, or others could.
    pub fn prepare(&self) -> Result<(), LeaseError> {
        if self.path.as_os_str().is_empty() {
            return Err(LeaseError::NoFolder);
        }
        DirBuilder::new().recursive(true).mode(0o700).create(&self.path).map_err(|source| self.system(source))?;
        self.check()?;
        [NEXT, MACHINE].into_iter().try_for_each(|name| self.open(name).map(drop))
    }

    /// Whether others than its owner (or the group that it was named for) are kept out.
    fn check(&self) -> Result<(), LeaseError> {
        let found = std::fs::metadata(&self.path).map_err(|source| self.system(source))?;
        let kept_out = if self.is_named { 0o007 } else { 0o077 };
        let problem = if found.mode() & kept_out != 0 {
            format!("the folder has mode {:o}", found.mode() & 0o777)
        } else if !self.is_named && found.uid() != rustix::process::geteuid().as_raw() {
            format!("the folder is user {}'s", found.uid())
        } else {
            return Ok(());
        };
        Err(LeaseError::NotPrivate { path: self.path.clone(), problem })
    }

    /// Lines up for the machine.
    ///
    /// # Errors
    /// As [`LeaseFolder::prepare`].
    pub fn line_up(&self) -> Result<Waiting<'_>, LeaseError> {
        self.prepare()?;
        Ok(Waiting { folder: self, next: None, since: Instant::now(), told: None })
    }

    /// Blocks until the machine is free; `tell` hears for whom it waits, unless that is this process itself.
    ///
    /// # Errors
    /// As [`LeaseFolder::prepare`].
    pub fn wait(&self, tell: impl Fn(&Holder)) -> Result<Lease, LeaseError> {
        let mut waiting = self.line_up()?;
        loop {
            if let Some(lease) = waiting.look()? {
                return Ok(lease);
            }
            waiting.for_whom().iter().for_each(&tell);
            std::thread::sleep(LEASE_POLL);
        }
    }

    /// Who has the machine now; `None` where nobody has it.
    ///
    /// # Errors
    /// As [`LeaseFolder::prepare`].
    pub fn holder(&self) -> Result<Option<Holder>, LeaseError> {
        self.prepare()?;
        let is_free = self.try_lock(MACHINE)?.is_some();
        Ok((!is_free).then(|| Holder::of(&self.path.join(MACHINE))))
    }

    fn open(&self, name: &str) -> Result<OwnedFd, LeaseError> {
        let (common, mode) =
            (OFlags::CREATE | OFlags::CLOEXEC | OFlags::NOFOLLOW, Mode::RUSR | Mode::WUSR | Mode::RGRP);
        let open = |access| rustix::fs::open(self.path.join(name), access | common, mode);
        // One of a group that shares the folder may lock what it may not write.
        let opened = open(OFlags::RDWR).or_else(|_| open(OFlags::RDONLY));
        opened.map_err(|error| self.system(error.into()))
    }

    /// The lock of this name, if nobody has it.
    fn try_lock(&self, name: &str) -> Result<Option<OwnedFd>, LeaseError> {
        loop {
            let file = self.open(name)?;
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(Errno::INTR) => continue,
                Err(error) => return Err(self.system(error.into())),
                Ok(()) => {}
            }
            let found = rustix::fs::fstat(&file).map_err(|error| self.system(error.into()))?;
            // A file that was removed in between has no name any more, and nobody else will look at it.
            if found.st_nlink > 0 {
                return Ok(Some(file));
            }
        }
    }

    fn system(&self, source: io::Error) -> LeaseError {
        LeaseError::System { path: self.path.clone(), source }
    }
}

/// A place in the line for the machine. Dropping it leaves the line.
#[derive(Debug)]
pub struct Waiting<'a> {
    folder: &'a LeaseFolder,
    next: Option<OwnedFd>,
    since: Instant,
    /// For whom it was said to wait.
    told: Option<Holder>,
}

impl Waiting<'_> {
    /// Takes the machine if it is free; doesn't wait.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn look(&mut self) -> Result<Option<Lease>, LeaseError> {
        if self.next.is_none() {
            self.next = self.folder.try_lock(NEXT)?;
        }
        if self.next.is_none() {
            return Ok(None);
        }
        let taken = self.folder.try_lock(MACHINE)?;
        if taken.is_some() {
            self.next = None;
        }
        Ok(taken.map(|file| Lease { _file: holder::note(file) }))
    }

    /// For whom it waits, once for each, and not for moments; never for this very process, which knows.
    pub fn for_whom(&mut self) -> Option<Holder> {
        if self.since.elapsed() < UNTOLD_MAX {
            return None;
        }
        let holder = Holder::of(&self.folder.path.join(MACHINE));
        let is_new = self.told.as_ref().is_none_or(|told| told.process != holder.process);
        (is_new && !holder.is_this()).then(|| self.told.insert(holder).clone())
    }
}

/// The machine, held until dropped.
#[derive(Debug)]
pub struct Lease {
    _file: OwnedFd,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt;

    fn folder() -> (tempfile::TempDir, LeaseFolder) {
        let temporary = tempfile::tempdir().unwrap();
        let folder = LeaseFolder { path: temporary.path().join("state/retort"), is_named: false };
        (temporary, folder)
    }

    #[test]
    fn the_machine_goes_to_one_at_a_time_and_to_whoever_waits_before_whoever_had_it() {
        let (_temporary, folder) = folder();
        let (mut first, mut second) = (folder.line_up().unwrap(), folder.line_up().unwrap());
        let lease = first.look().unwrap().unwrap();
        assert!(second.look().unwrap().is_none(), "it is taken");
        drop(lease);
        assert!(first.look().unwrap().is_none(), "somebody waits");
        let lease = second.look().unwrap().unwrap();
        assert!(first.look().unwrap().is_none(), "it is taken again");
        drop(lease);
        assert!(first.look().unwrap().is_some());
    }

    #[test]
    fn whoever_waits_hears_for_whom_and_nobody_hears_of_himself_or_of_the_dead() {
        let (_temporary, folder) = folder();
        assert_eq!(folder.holder().unwrap(), None);
        let lease = folder.wait(|_| {}).unwrap();
        let own = folder.holder().unwrap().unwrap();
        assert!(own.is_this() && own.command.is_some() && own.since.is_some(), "{own:?}");
        let mut waiting = folder.line_up().unwrap();
        waiting.since -= UNTOLD_MAX;
        assert!(waiting.look().unwrap().is_none());
        assert_eq!(waiting.for_whom(), None, "it is this process");
        drop(lease);

        // Another program takes the lock without a word: what was written before it isn't its own.
        let mut held = std::process::Command::new("flock");
        let mut held = held.arg("--no-fork").arg(folder.path().join(MACHINE)).args(["sleep", "600"]).spawn().unwrap();
        let sleeps = |holder: Holder| holder.command.as_deref() == Some("sleep");
        while !folder.holder().unwrap().is_some_and(sleeps) {
            std::thread::sleep(LEASE_POLL);
        }
        let told = waiting.for_whom().unwrap();
        assert_eq!((told.process, told.since), (Some(held.id()), None));
        assert_eq!(told.to_string(), format!("process {} (sleep) has it", held.id()));
        assert_eq!(waiting.for_whom(), None, "once is enough");
        held.kill().unwrap();
        held.wait().unwrap();
    }

    #[test]
    fn whoever_leaves_the_line_holds_nobody_up() {
        let (_temporary, folder) = folder();
        let lease = folder.wait(|_| {}).unwrap();
        let mut gone = folder.line_up().unwrap();
        assert!(gone.look().unwrap().is_none());
        drop((gone, lease));
        assert!(folder.line_up().unwrap().look().unwrap().is_some());
    }

    #[test]
    fn a_lock_whose_file_is_swept_away_is_taken_anew() {
        let (_temporary, folder) = folder();
        let mut waiting = folder.line_up().unwrap();
        let held = folder.wait(|_| {}).unwrap();
        assert!(waiting.look().unwrap().is_none());
        drop(held);
        fs::remove_file(folder.path().join(MACHINE)).unwrap();
        let lease = waiting.look().unwrap().unwrap();
        assert!(folder.line_up().unwrap().look().unwrap().is_none(), "the new file is the lock");
        drop(lease);
    }

    #[test]
    fn a_folder_that_others_may_enter_is_refused_by_name() {
        let (_temporary, folder) = folder();
        folder.prepare().unwrap();
        assert_eq!(fs::metadata(folder.path()).unwrap().permissions().mode() & 0o777, 0o700);
        let refused = |folder: &LeaseFolder, mode: u32| {
            fs::set_permissions(folder.path(), Permissions::from_mode(mode)).unwrap();
            folder.wait(|_| {}).err().map(|error| error.to_string())
        };
        for mode in [0o755, 0o1777, 0o711, 0o770] {
            let problem = refused(&folder, mode).unwrap();
            assert!(problem.contains("state/retort") && problem.contains("lease_dir"), "{problem}");
        }
        let named = LeaseFolder::at(folder.path());
        assert!(refused(&named, 0o770).is_none(), "a group may share it on purpose");
        assert!(refused(&named, 0o777).is_some());
    }

    #[test]
    fn what_is_no_folder_is_said_with_its_path_and_what_to_set() {
        for path in ["/dev/null/lease", "/proc/lease"] {
            let problem = LeaseFolder::at(path).prepare().unwrap_err().to_string();
            assert!(problem.contains(path) && problem.contains("RETORT_LEASE_DIR"), "{problem}");
        }
        let nowhere = LeaseFolder { path: PathBuf::new(), is_named: false };
        assert!(matches!(nowhere.prepare(), Err(LeaseError::NoFolder)));
    }
}
