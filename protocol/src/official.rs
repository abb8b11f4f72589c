//! The engine that a competition's models are measured on: its name in a manifest, and once it is published its version and
//! the digest of its library, too, so that manifest and receipts name the same.
//!
//! It knows no engine and opens no library.

use crate::Digest;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// What stands before a library's digest.
const SHA256: &str = "sha256:";

/// What runs models.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, strum::Display, strum::EnumString, strum::IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum EngineName {
    /// burn: architectures of the catalogue as modules.
    #[default]
    Burn,
    /// rten: graphs, and architectures of the catalogue lowered to graphs.
    Rten,
    /// The same on onnxruntime, whose library is a file beside the program.
    Onnxruntime,
}

impl EngineName {
    /// All there are.
    pub const ALL: [Self; 3] = [Self::Burn, Self::Rten, Self::Onnxruntime];

    /// As manifests write it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// What runs the models of a competition where they are measured. As text: `onnxruntime`, as an author writes it, or
/// `onnxruntime 1.32.0 sha256:6c15…`, as it is published and as receipts name it.
///
/// burn without a version isn't written in manifests, so that what was published before keeps its digest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OfficialEngine {
    /// Which.
    pub name: EngineName,
    /// Its version, if one is said.
    version: Option<[u16; 3]>,
    /// The digest of its library, if it has one and it is said.
    pub library: Option<Digest>,
}

impl OfficialEngine {
    /// An engine in whatever version there is.
    pub fn any(name: EngineName) -> Self {
        Self { name, ..Self::default() }
    }

    /// Whether nothing is said of it.
    pub(crate) fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether `here` is this one: of that name, and in all that is said the same.
    pub fn is_met_by(&self, here: &Self) -> bool {
        self.name == here.name
            && (self.version.is_none() || self.version == here.version)
            && (self.library.is_none() || self.library == here.library)
    }

    /// Whether a report with that engine was measured on this one. Where no version is said, nothing is asked of it.
    pub fn measured(&self, report_engine: &str) -> bool {
        self.version.is_none() || Self::of_report(report_engine).is_some_and(|ran| self.is_met_by(&ran))
    }

    /// What a report's engine names: `retort-eval/0.1.0+burn-0.22.1` alone, or that and what ran graphs,
    /// `retort-eval/0.1.0+burn-0.22.1 rten 0.27.0`.
    fn of_report(engine: &str) -> Option<Self> {
        match engine.split_once(' ') {
            Some((_, of_graphs)) => of_graphs.parse().ok(),
            None => engine.rsplit_once('+')?.1.replacen('-', " ", 1).parse().ok(),
        }
    }
}

/// Text that names no engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no engine: write burn, rten or onnxruntime, perhaps with a version and a digest as in `onnxruntime 1.32.0 sha256:…`"
)]
pub struct NoEngine(String);

impl FromStr for OfficialEngine {
    type Err = NoEngine;

    fn from_str(text: &str) -> Result<Self, NoEngine> {
        let none = || NoEngine(text.chars().take(80).collect());
        let mut words = text.split(' ');
        let name = words.next().and_then(|word| word.parse().ok());
        let version = words.next().map(|word| version(word).ok_or_else(none)).transpose()?;
        let digest = |word: &str| word.strip_prefix(SHA256).and_then(|digest| digest.parse().ok()).ok_or_else(none);
        let library = words.next().map(digest).transpose()?;
        match (name, words.next()) {
            (Some(name), None) => Ok(Self { name, version, library }),
            _ => Err(none()),
        }
    }
}

/// Three numbers, each in its one shortest form.
fn version(text: &str) -> Option<[u16; 3]> {
    let numbers: Vec<u16> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    let numbers = <[u16; 3]>::try_from(numbers).ok()?;
    (shown(numbers) == text).then_some(numbers)
}

fn shown([major, minor, patch]: [u16; 3]) -> String {
    format!("{major}.{minor}.{patch}")
}

impl fmt::Display for OfficialEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(version) = self.version {
            write!(f, " {}", shown(version))?;
        }
        match &self.library {
            Some(digest) => write!(f, " {SHA256}{digest}"),
            None => Ok(()),
        }
    }
}

impl TryFrom<String> for OfficialEngine {
    type Error = NoEngine;

    fn try_from(text: String) -> Result<Self, NoEngine> {
        text.parse()
    }
}

impl From<OfficialEngine> for String {
    fn from(engine: OfficialEngine) -> Self {
        engine.to_string()
    }
}

impl PartialSchema for OfficialEngine {
    fn schema() -> RefOr<Schema> {
        crate::schema::text(
            "What runs models where they are measured, with its version and, where it is a library, the library's digest.",
            "^(burn|rten|onnxruntime)( [0-9]+\\.[0-9]+\\.[0-9]+( sha256:[0-9a-f]{64})?)?$",
            "rten 0.27.0",
        )
    }
}

impl ToSchema for OfficialEngine {}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(text: &str) -> OfficialEngine {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        for text in ["burn", "rten 0.27.0", "onnxruntime", &format!("onnxruntime 1.32.0 sha256:{DIGEST}")] {
            assert_eq!(parse(text).to_string(), text);
        }
        for text in ["", "tract", "rten ", "rten 0.27", "rten 00.27.0", "rten 0.27.0 ", "rten 0.27.0 sha256:1", "Burn"]
        {
            assert!(text.parse::<OfficialEngine>().is_err(), "{text}");
        }
        assert!(format!("onnxruntime 1.32.0 sha256:{DIGEST} more").parse::<OfficialEngine>().is_err());
    }

    #[test]
    fn what_is_said_has_to_be_there_and_what_is_not_may_be_anything() {
        let here = parse(&format!("onnxruntime 1.32.0 sha256:{DIGEST}"));
        assert!(parse("onnxruntime").is_met_by(&here) && parse("onnxruntime 1.32.0").is_met_by(&here));
        assert!(here.is_met_by(&here));
        for other in ["rten", "onnxruntime 1.31.0", &format!("onnxruntime 1.32.0 sha256:{}", DIGEST.replace('e', "f"))]
        {
            assert!(!parse(other).is_met_by(&here), "{other}");
        }
        assert!(!here.is_met_by(&parse("onnxruntime 1.32.0")), "a library that isn't named is no such library");
    }

    #[test]
    fn a_report_says_what_it_was_measured_on() {
        let (burn, rten) = ("retort-eval/0.1.0+burn-0.22.1", "retort-eval/0.1.0+burn-0.22.1 rten 0.27.0");
        assert!(parse("burn 0.22.1").measured(burn) && !parse("burn 0.22.1").measured(rten));
        assert!(parse("rten 0.27.0").measured(rten) && !parse("rten 0.27.0").measured(burn));
        assert!(!parse("rten 0.28.0").measured(rten) && !parse("burn 0.22.2").measured(burn));
        assert!(OfficialEngine::default().measured("scripted/1"), "what says no version asks for none");
    }
}
