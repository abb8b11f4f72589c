//! The validator's directory and its settings: read from `validator.toml`, overridden by `RETORT_*`, validated once.
//!
//! It does not open what it names, but for [`Home::init`], which makes a new directory with a key in it.

mod limits;
mod witness;

pub use limits::ServiceLimits;
pub use witness::WitnessSetting;

use crate::secret::Secret;
use chain::keyfile::{self, KeyfileError};
use ipnet::IpNet;
use protocol::Hotkey;
use protocol::auth::Keypair;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use transparency::keyfile::{self as log_keyfile, KeyFileError};
use transparency::{LogKey, LogSigner};
use url::Url;
use utoipa::ToSchema;

/// What variables that override settings begin with: `RETORT_LISTEN`, `RETORT_LIMITS_PENDING_MAX`.
pub const ENV_PREFIX: &str = "RETORT_";

const TEMPLATE: &str = "\
# Settings of a Retort validator. Everything has a default; RETORT_LISTEN, RETORT_LIMITS_PENDING_MAX and the like
# override what is written here.

# Where the API and the pages listen. Put a reverse proxy with TLS in front of a public address.
# listen = \"127.0.0.1:7070\"

# The address that miners see, for absolute links: \"https://validator.example\". It may have a path, where a proxy serves this
# validator below one and takes it off: \"https://example.org/retort\".
# public_url = \"\"

# Where models and data are stored: a folder (file:///…), a bucket (s3://bucket/prefix, keys from AWS_*), or memory:///.
# object_store = \"\"

# Who may submit: \"required\" for hotkeys that the ledger has registered, \"invite\" for these and whoever shows a code of
# `retort validator invite`, \"open\" for everybody. It must be written as soon as others than this machine can come.
# registration = \"open\"

# How long latency is measured: \"full\" as competitions need it, or \"quick\", the same in a fifth of the time.
# latency = \"full\"

# Whether evaluations may go on where this host gives no control group to bound all of their memory: \"if_available\", with a
# warning where it has them and gives none, or \"required\".
# control_groups = \"if_available\"

# The folder in which this machine is taken for a measurement, one at a time; by default one of this user's own. Only its
# owner and its group may enter it: users who measure on the same machine share one. (Every `retort` takes RETORT_LEASE_DIR.)
# lease_dir = \"\"

# The library of onnxruntime, for competitions whose manifest says engine = \"onnxruntime\": scripts/onnxruntime.sh fetches it and
# prints where it lies. (Every `retort` takes RETORT_ONNXRUNTIME.)
# onnxruntime = \"\"

# The Hub that `hf://` teachers of manifests are fetched from, if not https://huggingface.co.
# hub_endpoint = \"\"

# A relay of drand, which gives rounds their beacons: \"https://api.drand.sh\". Without it they are handed in by hand.
# drand_url = \"\"

# Shown as `Authorization: Bearer ...`, it opens the operator's page at /operator and /metrics, and lets the operator
# act. Without it, the one in the file operator.token beside this file does; `retort validator operator` prints a link.
# operator_token = \"\"

# An address at which /metrics needs no token, for scrapers that have none: \"127.0.0.1:9090\". Nothing else is there.
# metrics_listen = \"\"

# Reverse proxies whose X-Forwarded-For is believed: [\"127.0.0.1/32\"]. Without it everybody behind a proxy shares the
# limits of one address. (RETORT_TRUSTED_PROXIES: with commas in between.)
# trusted_proxies = []

# Witnesses that are asked to cosign the public log: then others than its operator say that it only grew, and when. Each is
# an address and a key with a space in between; `retort witness` is one, and prints both. (RETORT_WITNESSES: with commas in
# between.)
# witnesses = []

# Where spans go, in a build with `--features otel`: the address of an OpenTelemetry collector that takes OTLP over HTTP,
# such as \"http://127.0.0.1:4318\". Without it, what OTEL_EXPORTER_OTLP_ENDPOINT says.
# traces_endpoint = \"\"

# Whether webhooks may lead to this machine and its networks, and to plain HTTP: for closed networks only.
# webhooks_private = false

# [limits]
# disk_reserve_bytes = 268435456
# evaluation_memory_bytes_max = 2147483648
";

/// What is said of a setting that other versions had.
const REPLACED: &str = "require_registration is no setting any more: write registration = \"required\" for true, and \
                        registration = \"open\" for false (\"invite\" lets in whoever has a code)";

/// Where a validator's directory is unless somebody says otherwise.
pub const DIR_DEFAULT: &str = "retort-validator";

/// Random bytes of a token of ours.
const TOKEN_BYTES: usize = 24;
/// A shorter token could be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// A note has places for as many signatures with every reader (C2SP signed-note).
const WITNESSES_MAX: usize = 15;

/// The settings of a validator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where the API and the pages listen.
    pub listen: SocketAddr,
    /// What absolute links begin with; empty for links without a host.
    pub public_url: String,
    /// The URL of the object store; empty for the folder `objects` beside the settings.
    pub object_store: String,
    /// Who may submit.
    pub registration: Registration,
    /// How long latency is measured.
    pub latency: LatencyEffort,
    /// Whether this host must give control groups to evaluations.
    pub control_groups: ControlGroups,
    /// The folder in which the machine is taken for a measurement; empty for the user's own.
    pub lease_dir: String,
    /// The library of onnxruntime; empty for none.
    pub onnxruntime: String,
    /// The Hub that `hf://` sources of manifests are fetched from; empty for the one that `HF_ENDPOINT` names, or
    /// <https://huggingface.co>.
    pub hub_endpoint: String,
    /// A relay of drand that beacons are fetched from; empty for beacons that are handed in by hand.
    pub drand_url: String,
    /// Opens the operator's page and the metrics, and lets the operator act; empty for the one in
    /// [`Home::operator_token`].
    pub operator_token: Secret,
    /// Where the metrics are for everybody, as an address with a port; empty for nowhere.
    pub metrics_listen: String,
    /// Networks of reverse proxies whose `X-Forwarded-For` is believed; each stands for many clients.
    pub trusted_proxies: Vec<IpNet>,
    /// Who is asked to cosign the public log.
    pub witnesses: Vec<WitnessSetting>,
    /// Where spans go, as OTLP over HTTP; empty for what `OTEL_EXPORTER_OTLP_ENDPOINT` names, or nowhere. It needs a build
    /// with the feature `otel`.
    pub traces_endpoint: String,
    /// Whether webhooks may lead to this machine and its networks, and to plain HTTP: for closed networks only.
    pub webhooks_private: bool,
    /// Bounds on everything that comes from outside.
    pub limits: ServiceLimits,
    /// The directory that these are the settings of, for commands that are to be typed; empty where there is none.
    #[serde(skip)]
    pub dir: PathBuf,
}

/// Who may submit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Registration {
    /// Nobody said: everybody, and only from this machine.
    #[default]
    #[serde(rename = "")]
    Unset,
    /// Hotkeys that the ledger has registered.
    Required,
    /// These, and whoever shows a code of the operator.
    Invite,
    /// Everybody, with as many keys as he likes.
    Open,
}

impl Registration {
    /// Whether the ledger takes whoever is to be paid.
    pub fn registers_the_paid(self) -> bool {
        self != Self::Required
    }
}

/// How long latency is measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum LatencyEffort {
    /// As competitions need it.
    #[default]
    Full,
    /// The same protocol in a fifth of the time, judged by wider limits: for trying out.
    Quick,
}

/// Whether a host must bound the memory of all workers of an evaluation together, beside that of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ControlGroups {
    /// Where it can.
    #[default]
    IfAvailable,
    /// Or nothing is evaluated.
    Required,
}

impl LatencyEffort {
    /// The name in the settings.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Quick => "quick",
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 7070)),
            public_url: String::new(),
            object_store: String::new(),
            registration: Registration::default(),
            latency: LatencyEffort::default(),
            control_groups: ControlGroups::default(),
            lease_dir: String::new(),
            onnxruntime: String::new(),
            hub_endpoint: String::new(),
            drand_url: String::new(),
            operator_token: Secret::default(),
            metrics_listen: String::new(),
            trusted_proxies: Vec::new(),
            witnesses: Vec::new(),
            traces_endpoint: String::new(),
            webhooks_private: false,
            limits: ServiceLimits::default(),
            dir: PathBuf::new(),
        }
    }
}

/// Settings that can't be used, with what would be right.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The directory isn't a validator's.
    #[error(
        "{} is no validator's directory: run `retort validator init` first, or name the right one with --dir",
        path.display()
    )]
    NotInitialised {
        /// The directory.
        path: PathBuf,
    },
    /// The file system refused.
    #[error("{}: can't {doing}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What was being done.
        doing: &'static str,
        /// The system's answer.
        source: io::Error,
    },
    /// Not TOML, not these settings, or numbers that make no sense.
    #[error("{origin}: {problem}")]
    Setting {
        /// The file or variable.
        origin: String,
        /// What is wrong.
        problem: String,
    },
    /// The hotkey can't be used.
    #[error(transparent)]
    Key(#[from] KeyfileError),
    /// There is no key for the public log.
    #[error("{} is missing: put it back, or run `retort validator init` if there never was one", path.display())]
    NoLogKey {
        /// The key's file.
        path: PathBuf,
    },
    /// The public log's key can't be used.
    #[error(transparent)]
    LogKey(#[from] KeyFileError),
}

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

    /// Reads and validates the settings; `variables` are the process's environment.
    ///
    /// # Errors
    /// When the directory isn't initialised or a setting makes no sense.
    pub fn load(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let path = self.config();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ConfigError::NotInitialised { path: self.0.clone() });
            }
            Err(source) => return Err(ConfigError::Io { path, doing: "read it", source }),
        };
        let setting = |problem: String| ConfigError::Setting { origin: path.display().to_string(), problem };
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| setting(error.to_string()))?;
        if table.contains_key("require_registration") {
            return Err(setting(REPLACED.into()));
        }
        override_from(&mut table, variables)?;
        check_addresses(&table).map_err(setting)?;
        let config: Config = table.try_into().map_err(|error: toml::de::Error| setting(error.to_string()))?;
        config.check().map_err(setting)?;
        Ok(config)
    }
}

impl Config {
    /// Says what is wrong with the settings, if anything.
    fn check(&self) -> Result<(), String> {
        if !self.public_url.is_empty() && !is_address(&self.public_url) {
            return Err(
                "public_url must be like `https://validator.example` or `https://example.org/retort`, or empty".into(),
            );
        }
        if !self.drand_url.is_empty() && !is_web_url(&self.drand_url) {
            return Err("drand_url must be like `https://api.drand.sh`, or empty".into());
        }
        if !self.object_store.is_empty() && Url::parse(&self.object_store).is_err() {
            return Err("object_store must be a URL like `s3://bucket/prefix`, or empty".into());
        }
        if !self.operator_token.is_empty() && self.operator_token.expose().len() < TOKEN_BYTES_MIN {
            return Err(format!("operator_token must have at least {TOKEN_BYTES_MIN} characters, or be empty"));
        }
        if !self.metrics_listen.is_empty() && self.metrics_listen.parse::<SocketAddr>().is_err() {
            return Err("metrics_listen must be an address with a port like `127.0.0.1:9090`, or empty".into());
        }
        self.check_registration()?;
        if !self.traces_endpoint.is_empty() && !is_web_url(&self.traces_endpoint) {
            return Err("traces_endpoint must be like `http://127.0.0.1:4318`, or empty".into());
        }
        if !self.traces_endpoint.is_empty() && !cfg!(feature = "otel") {
            return Err("traces_endpoint needs a build with `--features otel`".into());
        }
        let keys: BTreeSet<String> = self.witnesses.iter().map(|witness| witness.key.to_string()).collect();
        if keys.len() < self.witnesses.len() || keys.len() > WITNESSES_MAX {
            return Err(format!("witnesses must be at most {WITNESSES_MAX}, each with a key of its own"));
        }
        self.limits.check()
    }

    /// The address below which others find us, without a slash at its end; `None` where none is set.
    pub fn public_base(&self) -> Option<&str> {
        Some(self.public_url.trim_end_matches('/')).filter(|base| !base.is_empty())
    }

    /// Where clients find this validator, without a slash at its end: the address of the settings, or else the one that
    /// connections are taken at, with this machine's own name for one that stands for all.
    pub fn endpoint(&self, bound: Option<SocketAddr>) -> String {
        if let Some(base) = self.public_base() {
            return base.to_owned();
        }
        let address = bound.unwrap_or(self.listen);
        match address.ip().is_unspecified() {
            true => format!("http://localhost:{}", address.port()),
            false => format!("http://{address}"),
        }
    }

    /// What commands about this validator end with, ready to be typed: nothing where it lies in the default folder.
    pub fn dir_option(&self) -> String {
        let dir = self.dir.display().to_string();
        if dir.is_empty() || dir == DIR_DEFAULT {
            return String::new();
        }
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@%:,=".contains(&byte);
        match dir.bytes().all(is_plain) {
            true => format!(" --dir {dir}"),
            false => format!(" --dir '{}'", dir.replace('\'', "'\\''")),
        }
    }

    /// The path of `public_url`, without a slash at its end; `None` where we have a host to ourselves.
    pub fn root(&self) -> Option<String> {
        let path = Url::parse(&self.public_url).ok()?.path().trim_end_matches('/').to_owned();
        (!path.is_empty()).then_some(path)
    }

    /// Where the metrics are for everybody.
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics_listen.parse().ok()
    }

    /// Says that it must be decided who may submit, as soon as others than this machine's own can come.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn check_registration(&self) -> Result<(), String> {
        let at_home = self.listen.ip().to_canonical().is_loopback();
        if self.registration != Registration::Unset
            || (at_home && self.public_url.is_empty() && self.trusted_proxies.is_empty())
        {
            return Ok(());
        }
        Err("registration must be written once others can come (listen, public_url or trusted_proxies say so): \"required\" \
             for hotkeys that the ledger has registered, \"invite\" for these and whoever shows a code of `retort validator \
             invite`, or \"open\" for everybody with any number of keys"
            .into())
    }

    /// What a new log is called: where it is found, or else whose it is.
    fn log_origin(&self, hotkey: &Hotkey) -> String {
        let host = Url::parse(&self.public_url).ok();
        match host.as_ref().map(|url| &url[url::Position::BeforeHost..url::Position::AfterPath]) {
            Some(host) => format!("{}/log", host.trim_end_matches('/')),
            None => format!("retort/{hotkey}"),
        }
    }

    /// The object store's URL in the directory `home`.
    pub fn object_store_url(&self, home: &Home) -> Result<Url, ConfigError> {
        let setting = |problem: String| ConfigError::Setting { origin: "object_store".into(), problem };
        if self.object_store.is_empty() {
            let dir = std::path::absolute(home.objects()).map_err(io_error(&home.objects(), "find it"))?;
            return Url::from_directory_path(dir).map_err(|()| setting("the folder has no URL".into()));
        }
        Url::parse(&self.object_store).map_err(|error| setting(error.to_string()))
    }
}

/// A host, and perhaps a path below it.
fn is_address(text: &str) -> bool {
    let is_bare = |url: &Url| url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https") && is_bare(&url))
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

fn is_web_url(text: &str) -> bool {
    is_address(text) && Url::parse(text).is_ok_and(|url| url.path() == "/")
}

/// Writes `RETORT_*` variables over the settings they name. Others of that prefix, such as `RETORT_LOG`, belong to
/// somebody else.
fn override_from(
    table: &mut toml::Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let defaults = toml::Table::try_from(Config::default()).expect("a table, because the settings are a struct");
    for (name, text) in variables {
        let Some(field) = name.strip_prefix(ENV_PREFIX).map(str::to_lowercase) else { continue };
        let problem = |problem: String| ConfigError::Setting { origin: name.clone(), problem };
        if let Some(default) = defaults.get(&field).filter(|default| !default.is_table()) {
            table.insert(field, parse_like(default, &text).map_err(problem)?);
        } else if let Some((section, field)) = field.split_once('_')
            && let Some(default) = defaults.get(section).and_then(|section| section.get(field))
        {
            let value = parse_like(default, &text).map_err(problem)?;
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(field.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Reads `text` as a value of the default's type.
fn parse_like(default: &toml::Value, text: &str) -> Result<toml::Value, String> {
    match default {
        toml::Value::Integer(_) => text.parse().map(toml::Value::Integer).map_err(|_| format!("{text:?} is no number")),
        toml::Value::Boolean(_) => {
            text.parse().map(toml::Value::Boolean).map_err(|_| format!("{text:?} is neither `true` nor `false`"))
        }
        toml::Value::Array(_) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(toml::Value::Array(words.map(|word| toml::Value::String(word.to_owned())).collect()))
        }
        _ => Ok(toml::Value::String(text.to_owned())),
    }
}

/// Says which value is no address, and what to write: who reads addresses doesn't know it.
fn check_addresses(table: &toml::Table) -> Result<(), String> {
    if let Some(listen) = table.get("listen").and_then(toml::Value::as_str)
        && listen.parse::<SocketAddr>().is_err()
    {
        return Err(format!("listen: {listen:?} is no address with a port; write one such as \"127.0.0.1:7070\""));
    }
    let proxies = table.get("trusted_proxies").and_then(toml::Value::as_array).into_iter().flatten();
    match proxies.filter_map(toml::Value::as_str).find(|text| text.parse::<IpNet>().is_err()) {
        Some(text) => Err(format!("trusted_proxies: {text:?} is no network; write some such as [\"127.0.0.1/32\"]")),
        None => Ok(()),
    }
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ConfigError {
    move |source| ConfigError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        fs::write(home.config(), toml).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        home.load(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn an_empty_file_and_the_template_mean_the_defaults() {
        assert_eq!(load("", &[]).unwrap(), Config::default());
        assert_eq!(load(TEMPLATE, &[]).unwrap(), Config::default());
    }

    #[test]
    fn commands_name_the_directory_where_it_isn_t_the_default() {
        let option = |dir: &str| Config { dir: dir.into(), ..Config::default() }.dir_option();
        assert_eq!([option(""), option(DIR_DEFAULT)], ["", ""]);
        assert_eq!(option("/var/lib/retort"), " --dir /var/lib/retort");
        assert_eq!(option("my arena's"), " --dir 'my arena'\\''s'");
    }

    #[test]
    fn a_setting_that_was_replaced_says_by_which() {
        let refused = load("require_registration = true", &[]).unwrap_err();
        assert!(refused.contains("registration = \"required\""), "{refused}");
    }

    #[test]
    fn variables_win_over_the_file() {
        let config = load(
            "listen = \"127.0.0.1:1\"\n[limits]\nuploads_max = 4",
            &[
                ("RETORT_REGISTRATION", "invite"),
                ("RETORT_LISTEN", "0.0.0.0:80"),
                ("RETORT_LIMITS_PENDING_MAX", "7"),
                ("RETORT_LOG", "debug"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen, SocketAddr::from(([0, 0, 0, 0], 80)));
        assert_eq!((config.limits.uploads_max, config.limits.pending_max), (4, 7));
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for (toml, variable, word) in [
            ("lisen = \"127.0.0.1:1\"", ("A", ""), "lisen"),
            ("public_url = \"validator.example\"", ("A", ""), "public_url"),
            ("drand_url = \"https://api.drand.sh/chains\"", ("A", ""), "drand_url"),
            ("", ("RETORT_LATENCY", "slow"), "quick"),
            ("", ("RETORT_CONTROL_GROUPS", "perhaps"), "required"),
            ("operator_token = \"short\"", ("A", ""), "operator_token"),
            ("metrics_listen = \"9090\"", ("A", ""), "127.0.0.1:9090"),
            ("[limits]\nuploads_max = 0", ("A", ""), "uploads_max"),
            ("", ("RETORT_REGISTRATION", "maybe"), "required"),
            ("listen = \"0.0.0.0:80\"", ("A", ""), "registration must be written"),
            ("public_url = \"https://validator.example\"", ("A", ""), "registration must be written"),
            ("trusted_proxies = [\"127.0.0.1/32\"]", ("A", ""), "registration must be written"),
            ("trusted_proxies = [\"somebody\"]", ("A", ""), "trusted_proxies: \"somebody\" is no network"),
            ("listen = \"localhost\"", ("A", ""), "\"127.0.0.1:7070\""),
            ("witnesses = [\"http://127.0.0.1:7071\"]", ("A", ""), "URL KEY"),
            ("witnesses = [\"ftp://127.0.0.1/ a+b+c\"]", ("A", ""), "https://witness.example/"),
            ("", ("RETORT_WITNESSES", "http://127.0.0.1:7071 retort.test/log+1+A"), "the key of the witness"),
        ] {
            let error = load(toml, &[variable]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

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
