//! Which engine runs models, as the parent decides and as a worker is told.
//!
//! burn runs packages of the catalogue as modules and ONNX as graphs, on a device. The others run graphs alone: a package of the
//! catalogue is lowered to one, in the worker and behind its lock, so that a competition's models all meet on one engine. A
//! ratio is never taken across two of them.

use engine::burn::{Burn, VERSION as BURN_VERSION};
#[cfg(feature = "ort")]
use engine::ort::OnnxRuntime;
use engine::rten::{Rten, THREADS_VARIABLE};
use engine::{Mode, Runtime};
use models::DeviceKind;
use protocol::competition::{EngineName, OfficialEngine};
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::sync::Arc;

/// How a worker is told its engine; burn where nothing is said.
const ENGINE_VARIABLE: &str = "RETORT_ENGINE";
/// And how exact it is to be.
const MODE_VARIABLE: &str = "RETORT_MODE";
/// Digest and version of the library that it is handed.
#[cfg(feature = "ort")]
const LIBRARY_VARIABLE: &str = "RETORT_ENGINE_LIBRARY";

/// What runs models.
#[derive(Clone, Debug, Default)]
pub enum RuntimeKind {
    /// burn, on the engine's device.
    #[default]
    Burn,
    /// rten, which is part of this program.
    Rten,
    /// onnxruntime, whose library was opened and hashed.
    #[cfg(feature = "ort")]
    OnnxRuntime(Arc<OnnxRuntime>),
}

impl RuntimeKind {
    /// The name on command lines and in reports.
    pub fn name(&self) -> EngineName {
        match self {
            Self::Burn => EngineName::Burn,
            Self::Rten => EngineName::Rten,
            #[cfg(feature = "ort")]
            Self::OnnxRuntime(_) => EngineName::Onnxruntime,
        }
    }

    /// Name, version and build, as manifests and receipts name it.
    pub fn id(&self) -> String {
        match self {
            Self::Burn => format!("{} {BURN_VERSION}", EngineName::Burn),
            Self::Rten => Rten.id().to_string(),
            #[cfg(feature = "ort")]
            Self::OnnxRuntime(runtime) => runtime.id().to_string(),
        }
    }

    /// The engine itself, for graphs in this very process; burn on the processor.
    ///
    /// # Errors
    /// When the device can't be opened.
    pub fn here(&self) -> Result<Arc<dyn Runtime>, models::DeviceError> {
        Ok(match self {
            Self::Burn => Arc::new(Burn::on(DeviceKind::Flex.open()?)),
            Self::Rten => Arc::new(Rten),
            #[cfg(feature = "ort")]
            Self::OnnxRuntime(runtime) => Arc::clone(runtime) as Arc<dyn Runtime>,
        })
    }

    /// Whether this is the engine that is asked for.
    ///
    /// # Errors
    /// What the difference is, and what to do.
    pub(crate) fn as_asked(&self, asked: OfficialEngine) -> Result<OfficialEngine, String> {
        let here: OfficialEngine = self.id().parse().map_err(|error| format!("{error}"))?;
        match asked.is_met_by(&here) {
            true => Ok(here),
            false => Err(format!(
                "{asked} is asked for, and this host has {here}: take the `retort` and the library that it was published with"
            )),
        }
    }

    /// What a worker's environment has for it.
    pub(crate) fn environment(&self, mode: Mode) -> Vec<(String, OsString)> {
        let variable = |name: &str, value: &str| (name.to_owned(), OsString::from(value));
        let told = || vec![variable(ENGINE_VARIABLE, self.name().as_str()), variable(MODE_VARIABLE, &mode.to_string())];
        match self {
            Self::Burn => Vec::new(),
            Self::Rten => told().into_iter().chain([variable(THREADS_VARIABLE, "1")]).collect(),
            #[cfg(feature = "ort")]
            Self::OnnxRuntime(runtime) => {
                let library = format!("{} {}", runtime.digest(), runtime.version());
                let silent = variable(engine::ort::TELEMETRY_VARIABLE, "1");
                told().into_iter().chain([silent, variable(LIBRARY_VARIABLE, &library)]).collect()
            }
        }
    }

    /// The library that a worker is handed.
    pub(crate) fn library(&self) -> Option<Arc<File>> {
        match self {
            Self::Burn | Self::Rten => None,
            #[cfg(feature = "ort")]
            Self::OnnxRuntime(runtime) => Some(runtime.library()),
        }
    }
}

/// What this worker was told to run graphs by; none for burn.
///
/// # Errors
/// When it is none that this program has, or its library wasn't handed over.
pub(crate) fn told() -> io::Result<Option<(Box<dyn Runtime>, Mode)>> {
    let Some(name) = std::env::var_os(ENGINE_VARIABLE) else { return Ok(None) };
    let runtime: Box<dyn Runtime> = match name.to_str() {
        Some("rten") => Box::new(Rten),
        #[cfg(feature = "ort")]
        Some("onnxruntime") => Box::new(handed_over()?),
        _ => return Err(io::Error::other(format!("no engine {name:?} in this program"))),
    };
    let mode = match std::env::var(MODE_VARIABLE).as_deref() {
        Ok("fast") => Mode::Fast,
        _ => Mode::Exact,
    };
    Ok(Some((runtime, mode)))
}

/// onnxruntime by the file that the parent hashed.
#[cfg(feature = "ort")]
fn handed_over() -> io::Result<OnnxRuntime> {
    let told = std::env::var(LIBRARY_VARIABLE).map_err(io::Error::other)?;
    let (digest, version) = told.split_once(' ').ok_or_else(|| io::Error::other("the library has no name"))?;
    Ok(OnnxRuntime::hashed(sandbox::library()?, digest.parse().map_err(io::Error::other)?, version.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_that_were_built() {
        let lock = include_str!("../../Cargo.lock");
        for kind in [RuntimeKind::Burn, RuntimeKind::Rten] {
            let id = kind.id();
            let (name, version) = id.split_once(' ').unwrap_or_default();
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"{version}\"\n")), "{id}");
            let official = kind.as_asked(OfficialEngine::any(kind.name()));
            assert_eq!(official.map(|official| official.to_string()), Ok(id));
        }
    }
}
