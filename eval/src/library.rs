//! The library of onnxruntime on this host: where it lies, opened and hashed when it is first asked for, and once; and with
//! it which engines this host has.
//!
//! Nothing of it is loaded into this process: workers are handed its descriptor.

use crate::runtime::RuntimeKind;
use protocol::competition::{EngineName, OfficialEngine};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

/// The variable, and the validator's setting of that name, by which the library is found.
pub const ONNXRUNTIME_VARIABLE: &str = "RETORT_ONNXRUNTIME";

/// What to do where it isn't there.
const FETCH: &str = "scripts/onnxruntime.sh fetches it and prints where it lies, for the variable RETORT_ONNXRUNTIME or the setting \
                     `onnxruntime` in validator.toml";

/// Where this host has the library of onnxruntime, if it has one.
#[derive(Clone, Debug, Default)]
pub struct Library {
    path: Option<PathBuf>,
    opened: Arc<Mutex<Option<RuntimeKind>>>,
}

impl Library {
    /// At this path; nowhere where it is empty.
    pub fn at(path: impl Into<PathBuf>) -> Self {
        let path = Some(path.into()).filter(|path: &PathBuf| !path.as_os_str().is_empty());
        Self { path, opened: Arc::default() }
    }

    /// At the path that [`ONNXRUNTIME_VARIABLE`] says.
    pub fn named() -> Self {
        Self::at(std::env::var_os(ONNXRUNTIME_VARIABLE).unwrap_or_default())
    }

    /// The engine that is asked for as this host has it, named with its version and the digest of its library.
    ///
    /// # Errors
    /// When it isn't here or is another, and what to do.
    pub fn official(&self, asked: OfficialEngine) -> Result<OfficialEngine, String> {
        self.asked_for(asked).map(|(_, here)| here)
    }

    /// The same, with what runs models by it.
    ///
    /// # Errors
    /// As [`Self::official`].
    pub fn asked_for(&self, asked: OfficialEngine) -> Result<(RuntimeKind, OfficialEngine), String> {
        let runtime = match asked.name {
            EngineName::Burn => RuntimeKind::Burn,
            EngineName::Rten => RuntimeKind::Rten,
            EngineName::Onnxruntime => self.runtime()?,
        };
        let here = runtime.as_asked(asked)?;
        Ok((runtime, here))
    }

    /// onnxruntime with this library. What failed is tried anew the next time.
    ///
    /// # Errors
    /// When the library isn't there or is another, and what to do.
    pub fn runtime(&self) -> Result<RuntimeKind, String> {
        let path = self.path.as_ref().ok_or_else(|| format!("onnxruntime has no library here: {FETCH}"))?;
        let mut opened = self.opened.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(runtime) = &*opened {
            return Ok(runtime.clone());
        }
        let runtime = open(path)?;
        Ok(opened.insert(runtime).clone())
    }

    /// The library's bytes.
    ///
    /// # Errors
    /// As [`Self::runtime`], and when it can't be read again.
    pub fn bytes(&self) -> Result<Vec<u8>, String> {
        use std::os::unix::fs::FileExt;
        let runtime = self.runtime()?;
        let file = runtime.library().ok_or("onnxruntime has no library here")?;
        let read = || {
            let mut bytes = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX)];
            file.read_exact_at(&mut bytes, 0).map(|()| bytes)
        };
        read().map_err(|error| format!("read onnxruntime's library: {error}"))
    }
}

#[cfg(feature = "ort")]
fn open(path: &std::path::Path) -> Result<RuntimeKind, String> {
    let official = engine::ort::LIBRARY.parse().map_err(|error| format!("{error}"))?;
    let opened = engine::ort::OnnxRuntime::open(path, &official);
    opened.map(|runtime| RuntimeKind::OnnxRuntime(Arc::new(runtime))).map_err(|error| match error.kind() {
        // Which says it already.
        std::io::ErrorKind::InvalidData => format!("onnxruntime: {error}"),
        _ => format!("onnxruntime: {error}: {FETCH}"),
    })
}

#[cfg(not(feature = "ort"))]
fn open(_: &std::path::Path) -> Result<RuntimeKind, String> {
    Err("this program was built without onnxruntime (feature `ort`)".to_owned())
}
