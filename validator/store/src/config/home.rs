//! A validator's directory: where what lies in it, its keys and its token, and how a new one is made.
//!
//! It opens no database, no log and no store.

use super::{Config, ConfigError, TOKEN_BYTES_MIN, io_error};
use crate::secret::Secret;
use chain::keyfile::{self, KeyfileError};
use protocol::Hotkey;
use protocol::auth::Keypair;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use transparency::keyfile as log_keyfile;
use transparency::{LogKey, LogSigner};

/// What a new `validator.toml` says: every setting, commented out.
pub(super) const TEMPLATE: &str = include_str!("template.toml");

/// Random bytes of a token of ours.
const TOKEN_BYTES: usize = 24;

/// A validator's directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Home(PathBuf);

/// What [`Home::init`] found or made.
#[derive(Clone, Debug)]
pub struct Initialised {
    /// The validator's hotkey.
    pub hotkey: Hotkey,
    /// Whether the key is new; an existing directory keeps its own.
    pub created: bool,
    /// The public key of the validator's log.
    pub log_key: LogKey,
}

impl Home {
    /// The directory at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The directory itself.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// `validator.toml`.
    pub fn config(&self) -> PathBuf {
        self.0.join("validator.toml")
    }

    /// The key that answers for this validator.
    pub fn hotkey(&self) -> PathBuf {
        self.0.join("hotkey")
    }

    /// The key that signs the public log. It isn't the hotkey: it signs all day, and losing it costs no stake.
    pub fn log_key(&self) -> PathBuf {
        self.0.join("log.key")
    }

    /// The operator's token, where the settings have none.
    pub fn operator_token(&self) -> PathBuf {
        self.0.join("operator.token")
    }

    /// A file that holds nothing but space, for when there is no other.
    pub fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// The database.
    pub fn database(&self) -> PathBuf {
        self.0.join("data.sqlite")
    }

    /// Where objects lie unless the settings name another store.
    pub fn objects(&self) -> PathBuf {
        self.0.join("objects")
    }

    /// The local ledger.
    pub fn ledger(&self) -> PathBuf {
        self.0.join("ledger.jsonl")
    }

    /// Where uploads lie until their digest is known; emptied at every start.
    pub fn tmp(&self) -> PathBuf {
        self.0.join("tmp")
    }

    /// Where a serving process notes the address that it listens at.
    pub fn serving_at(&self) -> PathBuf {
        self.0.join("serving-at")
    }

    /// Where the machine is taken for a measurement if the user has no folder for that.
    pub fn lease(&self) -> PathBuf {
        self.0.join("lease")
    }

    /// Makes the directory with settings and a new hotkey; whatever is there already stays as it is.
    ///
    /// # Errors
    /// When the file system refuses or an existing key can't be used.
    pub fn init(&self) -> Result<Initialised, ConfigError> {
        for dir in [self.path(), &self.objects(), &self.tmp()] {
            let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
            made.map_err(io_error(dir, "create it"))?;
        }
        if !self.config().exists() {
            fs::write(self.config(), TEMPLATE).map_err(io_error(&self.config(), "write it"))?;
            let mode = fs::Permissions::from_mode(0o600);
            fs::set_permissions(self.config(), mode).map_err(io_error(&self.config(), "protect it"))?;
        }
        let created = !self.hotkey().exists();
        if created {
            let key = keyfile::generate().map_err(io_error(&self.hotkey(), "make a key for it"))?;
            keyfile::create(&self.hotkey(), &key)?;
        }
        let hotkey = self.keypair()?.hotkey();
        if !self.log_key().exists() {
            let origin = self.load(std::iter::empty())?.log_origin(&hotkey);
            let signer: LogSigner =
                log_keyfile::generate(&origin).map_err(io_error(&self.log_key(), "make a key for it"))?;
            log_keyfile::create(&self.log_key(), &signer)?;
        }
        Ok(Initialised { hotkey, created, log_key: self.log_signer()?.key() })
    }

    /// The operator's token: the one of the settings, or the one in its file, which is made where there is none. Whoever
    /// wants another removes the file and starts the validator again.
    ///
    /// # Errors
    /// When the file can't be made or used.
    pub fn operator_secret(&self, config: &Config) -> Result<Secret, ConfigError> {
        if !config.operator_token.is_empty() {
            return Ok(config.operator_token.clone());
        }
        let path = self.operator_token();
        if !path.exists() {
            make_token(&path).map_err(io_error(&path, "make it"))?;
        }
        warn_of_readers(&path)?;
        let text = fs::read_to_string(&path).map_err(io_error(&path, "read it"))?;
        let token = Secret::from(text.trim());
        if token.expose().len() < TOKEN_BYTES_MIN {
            let problem = format!("it must have at least {TOKEN_BYTES_MIN} characters; remove it to get a new one");
            return Err(ConfigError::Setting { origin: path.display().to_string(), problem });
        }
        Ok(token)
    }

    /// The address of the operator's page with the token behind the `#`, where no server and no log sees it.
    ///
    /// # Errors
    /// When there is no token.
    pub fn operator_link(&self, config: &Config) -> Result<String, ConfigError> {
        let token = self.operator_secret(config)?;
        let token: String = url::form_urlencoded::byte_serialize(token.expose().as_bytes()).collect();
        Ok(format!("{}/operator#token={token}", config.endpoint(None)))
    }

    /// The key that signs the public log. Its name is the log's name, for ever.
    ///
    /// # Errors
    /// When it is missing, readable by others, or no key.
    pub fn log_signer(&self) -> Result<LogSigner, ConfigError> {
        let path = self.log_key();
        if !path.exists() {
            return Err(ConfigError::NoLogKey { path });
        }
        let key = log_keyfile::load(&path)?;
        warn_of_readers(&path)?;
        Ok(key)
    }

    /// The key that answers for this validator.
    ///
    /// # Errors
    /// When it is missing, readable by others, or no key.
    pub fn keypair(&self) -> Result<Keypair, ConfigError> {
        let key = keyfile::load(&self.hotkey())?;
        warn_of_readers(&self.hotkey())?;
        Ok(key)
    }
}

/// Tells the log where somebody else could read a secret that is taken all the same.
fn warn_of_readers(path: &Path) -> Result<(), KeyfileError> {
    if let Some(warning) = keyfile::check_readers(path)? {
        tracing::warn!("{warning}");
    }
    Ok(())
}

/// Writes a new token into a file that is there whole or not at all; whoever was faster stays.
fn make_token(path: &Path) -> io::Result<()> {
    let text = hex::encode(rand::random::<[u8; TOKEN_BYTES]>()) + "\n";
    let folder = path.parent().unwrap_or(Path::new("."));
    // For the owner alone, as all temporary files are.
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_init_keeps_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path().join("validator"));
        let (first, second) = (home.init().unwrap(), home.init().unwrap());
        assert!(first.created && !second.created);
        assert_eq!((first.hotkey, &first.log_key), (second.hotkey, &second.log_key));
        for key in [home.hotkey(), home.log_key()] {
            let mode = fs::metadata(key).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
    }

    #[test]
    fn there_is_always_a_token_of_the_operator_and_the_settings_win() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        home.init().unwrap();
        let mut config = home.load(std::iter::empty()).unwrap();
        let made = home.operator_secret(&config).unwrap();
        assert!(made.expose().len() >= 2 * TOKEN_BYTES && home.operator_secret(&config).unwrap() == made);
        let mode = fs::metadata(home.operator_token()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(home.operator_token(), "short\n").unwrap();
        assert!(home.operator_secret(&config).unwrap_err().to_string().contains("16 characters"));
        config.operator_token = "sixteen letters!".into();
        assert_eq!(home.operator_secret(&config).unwrap().expose(), "sixteen letters!");
    }

    #[test]
    fn a_log_is_called_after_where_it_is_found_or_whose_it_is() {
        let name = |toml: &str| {
            let dir = tempfile::tempdir().unwrap();
            let home = Home::new(dir.path());
            fs::write(home.config(), toml).unwrap();
            let made = home.init().unwrap();
            made.log_key.name().replace(&made.hotkey.to_string(), "HOTKEY")
        };
        assert_eq!(name(""), "retort/HOTKEY");
        assert_eq!(name("registration = 'open'\npublic_url = \"https://validator.example\""), "validator.example/log");
        assert_eq!(name("registration = 'open'\npublic_url = \"http://127.0.0.1:7070\""), "127.0.0.1:7070/log");
        assert_eq!(
            name("registration = 'open'\npublic_url = \"https://example.org/retort/\""),
            "example.org/retort/log"
        );
    }

    #[test]
    fn a_lost_log_key_is_not_replaced_in_silence() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        home.init().unwrap();
        fs::remove_file(home.log_key()).unwrap();
        assert!(matches!(home.log_signer(), Err(ConfigError::NoLogKey { .. })));
    }
}
