//! The validator's directory and its settings: read from `validator.toml`, overridden by `RETORT_*`, validated once.
//!
//! Here are the settings themselves and what is to be held of them; `home` is the directory, `read` takes them from file and
//! variables. Nothing here opens what it names, but for [`Home::init`], which makes a new directory with a key in it.

mod home;
mod limits;
mod read;
mod witness;

pub use home::{Home, Initialised};
pub use limits::ServiceLimits;
pub use read::ENV_PREFIX;
pub use witness::WitnessSetting;

use crate::secret::Secret;
use chain::keyfile::KeyfileError;
use ipnet::IpNet;
use protocol::Hotkey;
use protocol::backend::Backend;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use transparency::keyfile::KeyFileError;
use url::Url;
use utoipa::ToSchema;

/// Where a validator's directory is unless somebody says otherwise.
pub const DIR_DEFAULT: &str = "retort-validator";

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
    /// The backend that computes answers to public items where a competition allows it; empty for the official engine.
    pub accuracy_device: String,
    /// Whether submissions are left to workers elsewhere, so that this machine measures rounds and publications alone.
    pub submissions_elsewhere: bool,
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema, strum::IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
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
        self.into()
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
            accuracy_device: String::new(),
            submissions_elsewhere: false,
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
        self.accuracy_backend()?;
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

    /// The backend that computes answers to public items.
    ///
    /// # Errors
    /// When it is none.
    pub fn accuracy_backend(&self) -> Result<Option<Backend>, String> {
        let named = Some(&self.accuracy_device).filter(|name| !name.is_empty());
        named.map(|name| name.parse()).transpose().map_err(|error: String| format!("accuracy_device: {error}"))
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

fn is_web_url(text: &str) -> bool {
    is_address(text) && Url::parse(text).is_ok_and(|url| url.path() == "/")
}

fn io_error(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> ConfigError {
    move |source| ConfigError::Io { path: path.to_owned(), doing, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_name_the_directory_where_it_isn_t_the_default() {
        let option = |dir: &str| Config { dir: dir.into(), ..Config::default() }.dir_option();
        assert_eq!([option(""), option(DIR_DEFAULT)], ["", ""]);
        assert_eq!(option("/var/lib/retort"), " --dir /var/lib/retort");
        assert_eq!(option("my arena's"), " --dir 'my arena'\\''s'");
    }
}
