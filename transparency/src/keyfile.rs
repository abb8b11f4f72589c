//! The files of private keys, of logs and of witnesses: loaded only where nobody else may read them, created where nothing
//! was.
//!
//! The log's key is not the validator's hotkey: it signs without a person near, and losing it must not cost a stake. It
//! does NOT know where a file lies. The rules are those of `chain::keyfile`, which knows wallets and nothing of logs.

use crate::cosignature::WitnessSigner;
use crate::note::{KeyError, LogSigner};
use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Read and write for the owner, nothing for anyone else.
const MODE: u32 = 0o600;
/// The permission bits of group and world.
const OTHERS: u32 = 0o077;
/// A key with the longest name has less.
const KEY_FILE_BYTES_MAX: u64 = 1024;

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// A directory, a pipe or the like.
    #[error("key file {path} is not a regular file")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// Others could have copied the key.
    #[error(
        "key file {path} has mode {mode:03o}, so others may read it; run: chmod 600 {}, or mount it read-only",
        word(path)
    )]
    OpenToOthers {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// It is read, and it holds no key.
    #[error("key file {path} can't be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: KeyError,
    },
    /// A key is never overwritten.
    #[error("key file {path} already exists")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("key file {path}: can't {doing}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The file system's answer.
        source: io::Error,
    },
}

/// A private key that has a text of its own.
pub trait PrivateKey: Sized {
    /// The text, for a key file and nowhere else.
    fn to_text(&self) -> String;

    /// The key in such a text.
    ///
    /// # Errors
    /// When it is no key of this kind.
    fn from_text(text: &str) -> Result<Self, KeyError>;

    /// The key of this name with this seed.
    ///
    /// # Errors
    /// When the name can't be one.
    fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError>;
}

impl PrivateKey for LogSigner {
    fn to_text(&self) -> String {
        self.to_private_text()
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::from_private_text(text)
    }

    fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_seed(name, seed)
    }
}

impl PrivateKey for WitnessSigner {
    fn to_text(&self) -> String {
        self.to_private_text()
    }

    fn from_text(text: &str) -> Result<Self, KeyError> {
        Self::from_private_text(text)
    }

    fn of_seed(name: &str, seed: &[u8; 32]) -> Result<Self, KeyError> {
        Self::from_seed(name, seed)
    }
}

/// The key in a file.
///
/// # Errors
/// When others may read it where it could be changed, or it holds no key of this kind.
pub fn load<K: PrivateKey>(path: &Path) -> Result<K, KeyFileError> {
    let failed = |doing| move |source| KeyFileError::Io { path: path.to_owned(), doing, source };
    // Opening a pipe would wait for its writer.
    if !fs::metadata(path).map_err(failed("look at it"))?.is_file() {
        return Err(KeyFileError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed("open it"))?;
    let mode = file.metadata().map_err(failed("look at it"))?.mode() & 0o777;
    // Orchestrators hand out secrets on read-only mounts, with modes of their own.
    let mount = rustix::fs::fstatvfs(&file).map_err(|error| failed("look at its file system")(error.into()))?;
    let mut text = String::new();
    file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed("read it"))?;
    let key = K::from_text(text.strip_suffix('\n').unwrap_or(&text))
        .map_err(|source| KeyFileError::Unusable { path: path.to_owned(), source })?;
    // What is no key at all needs no other mode.
    match mode & OTHERS != 0 && !mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        true => Err(KeyFileError::OpenToOthers { path: path.to_owned(), mode }),
        false => Ok(key),
    }
}

/// Writes a key to a new file that nobody else may read; an existing file stays as it is.
///
/// # Errors
/// When there is a file already, or the file system refuses.
pub fn create(path: &Path, key: &impl PrivateKey) -> Result<(), KeyFileError> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let mut file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: path.to_owned() },
        _ => KeyFileError::Io { path: path.to_owned(), doing: "create it", source },
    })?;
    let text = key.to_text() + "\n";
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| sync_parent(path));
    written.map_err(|source| {
        // Half a key is of no use, and would be in the way of a second attempt; that it stays is no worse than failing.
        let _ = fs::remove_file(path);
        KeyFileError::Io { path: path.to_owned(), doing: "write it", source }
    })
}

/// A new key from the entropy of the operating system.
///
/// # Errors
/// When there is none, or the name can't be one.
pub fn generate<K: PrivateKey>(name: &str) -> io::Result<K> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    K::of_seed(name, &seed).map_err(io::Error::other)
}

/// A path as a shell reads it.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    // What no shell can be told, a zero byte, is no part of a path.
    shlex::try_quote(&text).map_or_else(|_| text.clone(), Cow::into_owned)
}

/// Makes the name of a new file durable.
fn sync_parent(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(parent)?.sync_all()
}
