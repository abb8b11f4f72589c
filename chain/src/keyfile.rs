//! Hotkey files on disk: loaded only where nobody else may read them, or from a read-only mount; created where nothing was.
//!
//! It does NOT touch coldkeys: a service never needs the key that holds the money, so a file of that name is refused
//! before it is opened. What is in a file is `protocol::auth`'s.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use protocol::auth::{Hotkey, Keypair, WALLET_FILE_BYTES_MAX, WalletError, WalletFile};

use crate::local::sync_parent;

/// Read and write for the owner, nothing for anyone else.
const MODE: u32 = 0o600;
/// The permission bits of the world.
const WORLD: u32 = 0o007;
/// The permission bits of group and world.
const OTHERS: u32 = 0o077;

/// Why a key file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyfileError {
    /// A coldkey, by its name.
    #[error("key file {path} is a coldkey; use a hotkey")]
    Coldkey {
        /// The file.
        path: PathBuf,
    },
    /// A folder: a wallet, or the hotkeys of one.
    #[error("key file {path} is a folder; name the file of a hotkey in it: {choice}")]
    Folder {
        /// The folder.
        path: PathBuf,
        /// The files of hotkeys in it, or where they lie.
        choice: String,
    },
    /// An address where a path belongs.
    #[error(
        "{address} is an address and no file; what signs is a hotkey's file, as \
         ~/.bittensor/wallets/WALLET/hotkeys/NAME or what `retort keys new FILE` makes"
    )]
    Address {
        /// What was given.
        address: Hotkey,
    },
    /// The words of a wallet where a path belongs. They aren't repeated.
    #[error(
        "that looks like the words of a wallet and no file; what signs is a hotkey's file, as \
         ~/.bittensor/wallets/WALLET/hotkeys/NAME. Whoever reads this command line can use the words: make another wallet"
    )]
    Phrase,
    /// A pipe or the like.
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
    /// It is read, and it holds no key that can sign.
    #[error("key file {path} can't be used")]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What is wrong with its content.
        source: WalletError,
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

/// The hotkey in a Bittensor wallet file.
pub fn load(path: &Path) -> Result<Keypair, KeyfileError> {
    let failed = |doing| move |source| KeyfileError::Io { path: path.to_owned(), doing, source };
    refuse_coldkey(path)?;
    refuse_address(path)?;
    refuse_phrase(path)?;
    // A link may hide the name that the file really has.
    refuse_coldkey(&fs::canonicalize(path).map_err(failed("find it"))?)?;
    let metadata = fs::metadata(path).map_err(failed("look at it"))?;
    if metadata.is_dir() {
        return Err(KeyfileError::Folder { path: path.to_owned(), choice: hotkeys_in(path) });
    }
    // Opening a pipe would wait for its writer.
    if !metadata.is_file() {
        return Err(KeyfileError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(failed("open it"))?;
    let mut bytes = Vec::new();
    file.take(WALLET_FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(failed("read it"))?;
    let wallet =
        WalletFile::parse(&bytes).map_err(|source| KeyfileError::Unusable { path: path.to_owned(), source })?;
    // What is no key at all needs no other mode.
    check_readers(path)?;
    Ok(wallet.into_keypair())
}

/// Refuses a file that others may read, unless it lies on a file system that is mounted read-only: orchestrators hand out
/// secrets so, with modes of their own (0440, 0444). A warning where somebody else than the owner could read it there.
pub fn check_readers(path: &Path) -> Result<Option<String>, KeyfileError> {
    let failed = |doing| move |source| KeyfileError::Io { path: path.to_owned(), doing, source };
    let mode = fs::metadata(path).map_err(failed("look at it"))?.mode() & 0o777;
    if mode & OTHERS == 0 {
        return Ok(None);
    }
    let mount = rustix::fs::statvfs(path).map_err(|error| failed("look at its file system")(error.into()))?;
    if !mount.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY) {
        return Err(KeyfileError::OpenToOthers { path: path.to_owned(), mode });
    }
    let who = if mode & WORLD != 0 { "everybody on this machine or in this container" } else { "its whole group" };
    Ok(Some(format!("key file {} has mode {mode:03o} on a read-only mount: {who} may read it", path.display())))
}

/// Writes a key to a new file that nobody else may read; an existing file stays as it is.
pub fn create(path: &Path, keypair: &Keypair) -> Result<(), KeyfileError> {
    refuse_coldkey(path)?;
    let json = WalletFile::new(keypair.clone()).to_wallet_json();
    let opened = OpenOptions::new().write(true).create_new(true).mode(MODE).open(path);
    let file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyfileError::Exists { path: path.to_owned() },
        _ => KeyfileError::Io { path: path.to_owned(), doing: "create it", source },
    })?;
    write_durably(file, path, json.as_bytes()).map_err(|source| {
        // Half a key is of no use, and would be in the way of a second attempt; that it stays is no worse than failing.
        let _ = fs::remove_file(path);
        KeyfileError::Io { path: path.to_owned(), doing: "write it", source }
    })
}

/// A new hotkey from the entropy of the operating system.
pub fn generate() -> io::Result<Keypair> {
    let mut seed = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut seed)?;
    Ok(Keypair::from_seed(&seed))
}

fn write_durably(mut file: File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_parent(path)
}

/// A path as a shell reads it.
fn word(path: &Path) -> String {
    let text = path.display().to_string();
    // What no shell can be told, a zero byte, is no part of a path.
    shlex::try_quote(&text).map_or_else(|_| text.clone(), Cow::into_owned)
}

/// Bittensor names them `coldkey` and `coldkeypub.txt`.
fn refuse_coldkey(path: &Path) -> Result<(), KeyfileError> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    if name.starts_with("coldkey") { Err(KeyfileError::Coldkey { path: path.to_owned() }) } else { Ok(()) }
}

/// An address that no file is called by.
fn refuse_address(path: &Path) -> Result<(), KeyfileError> {
    let address = path.to_str().and_then(|text| text.trim().parse::<Hotkey>().ok());
    match address {
        Some(address) if !path.exists() => Err(KeyfileError::Address { address }),
        _ => Ok(()),
    }
}

/// Refuses the words of a phrase, which must stand in no log.
fn refuse_phrase(path: &Path) -> Result<(), KeyfileError> {
    const WORDS_LEAST: usize = 12;
    let is_word = |word: &str| word.bytes().all(|byte| byte.is_ascii_lowercase());
    let words = path.to_str().filter(|text| text.split_whitespace().all(is_word));
    match words {
        Some(text) if text.split_whitespace().count() >= WORDS_LEAST => Err(KeyfileError::Phrase),
        _ => Ok(()),
    }
}

/// The files of hotkeys in a wallet's folder, or in its `hotkeys`, as they are named from there.
fn hotkeys_in(folder: &Path) -> String {
    const SHOWN: usize = 10;
    let is_hotkeys = folder.file_name().is_some_and(|name| name == "hotkeys");
    let (place, before) = if is_hotkeys { (folder.to_owned(), "") } else { (folder.join("hotkeys"), "hotkeys/") };
    let entries = fs::read_dir(place).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let names = files.filter_map(|entry| entry.file_name().into_string().ok());
    // The public halves lie beside them.
    let is_key = |name: &String| !name.starts_with('.') && !name.ends_with("pub.txt");
    let mut names: Vec<String> = names.filter(is_key).map(|name| format!("{before}{name}")).collect();
    names.sort_unstable();
    let more = if names.len() > SHOWN { " and others" } else { "" };
    names.truncate(SHOWN);
    match names.is_empty() {
        true => "in a wallet they are hotkeys/NAME, and there is none here".to_owned(),
        false => names.join(", ") + more,
    }
}
