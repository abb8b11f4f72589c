//! onnxruntime, the engine that users deploy: its library is a file beside the binary, known by its digest and loaded when
//! the process starts. All `unsafe` of its interface is in the crate `ort`; there is none here.
//!
//! The official builds send what they are used for to their maker unless `ORT_DISABLE_TELEMETRY=1` stands in the
//! environment before they are loaded: then they start one thread less and write no file. No library is loaded without it.
//!
//! In [`Mode::Exact`] optimisation stops below the layouts that depend on how wide the processor's registers are, products of
//! 8-bit numbers don't saturate (for which known ones are written without a sign), and a softmax is written out: then the bits are the same on AVX2 and on AVX-512
//! (docs/ENGINES.md). In [`Mode::Fast`] it runs as users run it. Both on one thread, denormals as zero.

use crate::failure::{Refused, RunError, cleaned};
use crate::id::{EngineId, Mode};
use crate::ports::Ports;
use crate::tensor::{Tensor, Values};
use crate::{Runtime, Session};
use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::SessionInputValue;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::value::{DynValue, PrimitiveTensorElementType, TensorRef};
use program::{Dtype, Graph, TensorType, onnx};
use protocol::Digest;
use std::fmt::Debug;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, OnceLock};

/// What keeps the library from telling others what it runs.
pub const TELEMETRY_VARIABLE: &str = "ORT_DISABLE_TELEMETRY";

/// The digest of the official library, 1.32.0 for Linux on x86-64 (scripts/onnxruntime.sh).
pub const LIBRARY: &str = "6c1585d1bbf45b0712ea4a21b705c5fcb4ba04ff2e30f1fbf81a49faf658638f";

/// The oldest library that is loaded: before it the variable meant nothing, and many a kernel read what it shouldn't.
const MINOR_MIN: u32 = 30;

/// The environment of this process, once the library is loaded; there is one library a process.
static LOADED: OnceLock<Result<Loaded, String>> = OnceLock::new();

struct Loaded {
    environment: Environment,
    digest: Digest,
}

/// The engine with a library that was opened and hashed.
#[derive(Debug)]
pub struct OnnxRuntime {
    library: Arc<File>,
    digest: Digest,
    version: String,
}

impl OnnxRuntime {
    /// Opens the library at `path`, which has to have that digest. What is loaded later is the very file that was hashed,
    /// whatever lies at its path by then.
    ///
    /// # Errors
    /// When it isn't there or is another.
    pub fn open(path: &Path, expected: &Digest) -> io::Result<Self> {
        let told = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
        let mut library = File::open(path).map_err(told)?;
        let mut bytes = Vec::new();
        library.read_to_end(&mut bytes).map_err(told)?;
        let digest = Digest::of(&bytes);
        if digest != *expected {
            let text = format!("{} is {digest}, not {expected}: run scripts/onnxruntime.sh", path.display());
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let version = version(&bytes).ok_or_else(|| io::Error::other("the library doesn't say its version"))?;
        Ok(Self { library: Arc::new(library), digest, version })
    }

    /// The engine with a library that somebody else has opened and hashed: a jailed process can't, and needn't again.
    pub fn hashed(library: File, digest: Digest, version: String) -> Self {
        Self { library: Arc::new(library), digest, version }
    }

    /// The library's file.
    pub fn library(&self) -> Arc<File> {
        Arc::clone(&self.library)
    }

    /// The library's digest.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The library's version.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn load_library(&self) -> Result<Loaded, String> {
        if std::env::var_os(TELEMETRY_VARIABLE).is_none_or(|value| value != "1") {
            return Err(format!(
                "set {TELEMETRY_VARIABLE}=1 before the process starts: it sends what it runs otherwise"
            ));
        }
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
        if minor.is_none_or(|minor| minor < MINOR_MIN) {
            return Err(format!(
                "onnxruntime {} is older than 1.{MINOR_MIN}: run scripts/onnxruntime.sh",
                self.version
            ));
        }
        // The file that was hashed, by its descriptor.
        let path = format!("/proc/self/fd/{}", self.library.as_raw_fd());
        let begin = || -> Result<Environment, String> {
            let builder = ort::init_from(path).map_err(|error| cleaned(&error.to_string()))?;
            builder.with_telemetry(false).build().map_err(|error| cleaned(&error.to_string()))
        };
        let environment = catch_unwind(begin).unwrap_or_else(|_| Err("its interface is another".to_owned()))?;
        Ok(Loaded { environment, digest: self.digest })
    }

    fn environment(&self) -> Result<&'static Environment, String> {
        match LOADED.get_or_init(|| self.load_library()) {
            Ok(loaded) if loaded.digest == self.digest => Ok(&loaded.environment),
            Ok(_) => Err("this process has loaded another library of onnxruntime".to_owned()),
            Err(why) => Err(why.clone()),
        }
    }
}

/// The version in the name of the symbols that a library of onnxruntime exports: `VERS_1.32.0`.
fn version(library: &[u8]) -> Option<String> {
    const MARK: &[u8] = b"VERS_1.";
    let at = library.windows(MARK.len()).position(|window| window == MARK)?;
    let text = library.get(at..)?.get(b"VERS_".len()..)?;
    let digits: Vec<u8> =
        text.iter().copied().take_while(|byte| byte.is_ascii_digit() || *byte == b'.').take(16).collect();
    String::from_utf8(digits).ok()
}

impl Runtime for OnnxRuntime {
    fn id(&self) -> EngineId {
        EngineId { name: "onnxruntime", version: self.version.clone(), library: Some(self.digest) }
    }

    fn prepare(&self) -> io::Result<()> {
        self.environment().map(|_| ()).map_err(io::Error::other)
    }

    fn load(&self, graph: &Graph<'_>, mode: Mode) -> Result<Box<dyn Session>, Refused> {
        let environment = self.environment().map_err(Refused::NotReady)?;
        let ports = Ports::of(graph)?;
        let bytes = match mode {
            Mode::Exact => onnx::write(&graph.with_softmax_written_out()?.with_unsigned_weights()?),
            Mode::Fast => onnx::write(graph),
        };
        let session = builder(environment, mode).and_then(|mut builder| builder.commit_from_memory(&bytes));
        let session = session.map_err(|error| Refused::Engine(cleaned(&error.to_string())))?;
        Ok(Box::new(Ready { ports, session }))
    }
}

fn builder(environment: &Environment, mode: Mode) -> ort::Result<SessionBuilder> {
    let level = match mode {
        Mode::Exact => GraphOptimizationLevel::Level2,
        Mode::Fast => GraphOptimizationLevel::All,
    };
    let builder = ort::session::Session::builder(environment)?
        .with_intra_threads(1)?
        .with_inter_threads(1)?
        .with_optimization_level(level)?
        .with_flush_to_zero()?
        // What fails is an error of ours; the library would write it to standard error, too.
        .with_log_level(LogLevel::Fatal)?
        .with_config_entry("session.allow_released_opsets_only", "1")?
        .with_config_entry("session.intra_op.allow_spinning", "0")?;
    match mode {
        Mode::Exact => Ok(builder.with_precise_qmm()?),
        Mode::Fast => Ok(builder),
    }
}

struct Ready {
    ports: Ports,
    session: ort::session::Session,
}

impl Session for Ready {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn run(&mut self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), RunError> {
        self.ports.check_inputs(inputs)?;
        let failed = |error: ort::Error| RunError::Engine(cleaned(&error.to_string()));
        let given = inputs.iter().map(value).collect::<ort::Result<Vec<_>>>().map_err(failed)?;
        let (session, ports) = (&mut self.session, &self.ports);
        let answer = || -> Result<Vec<Tensor>, RunError> {
            let made = session.run(&given[..]).map_err(failed)?;
            let tensor = |(name, ty): &(String, TensorType)| {
                let value = made.get(name.as_str()).and_then(|value| tensor(ty, value));
                value.ok_or_else(|| RunError::Outputs(format!("`{name}` isn't {ty}")))
            };
            ports.outputs.iter().map(tensor).collect()
        };
        // The crate asserts what it takes for granted of the library.
        let answered = catch_unwind(AssertUnwindSafe(answer));
        *outputs = answered.unwrap_or_else(|_| Err(RunError::Engine("its interface panicked".to_owned())))?;
        ports.check_outputs(outputs)
    }
}

/// A tensor as the library reads it, where it lies.
fn value(tensor: &Tensor) -> ort::Result<SessionInputValue<'_>> {
    fn view<'v, T: PrimitiveTensorElementType + Debug + Clone + 'static>(
        dims: Vec<i64>,
        values: &'v [T],
    ) -> ort::Result<SessionInputValue<'v>> {
        Ok(TensorRef::from_array_view((dims, values))?.into())
    }
    let dims: Vec<i64> = tensor.shape().dims().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect();
    match tensor.values() {
        Values::F32(values) => view(dims, values),
        Values::I64(values) => view(dims, values),
        Values::I32(values) => view(dims, values),
        Values::I8(values) => view(dims, values),
        Values::U8(values) => view(dims, values),
        Values::Bool(values) => view(dims, values),
    }
}

/// What the library answered as what the graph says; `None` where it is of another type or shape.
fn tensor(ty: &TensorType, value: &DynValue) -> Option<Tensor> {
    fn copied<T: PrimitiveTensorElementType + Clone>(value: &DynValue) -> Option<(Vec<u64>, Vec<T>)> {
        let (shape, values) = value.try_extract_tensor::<T>().ok()?;
        let dims = shape.iter().map(|dim| u64::try_from(*dim).ok()).collect::<Option<_>>()?;
        Some((dims, values.to_vec()))
    }
    fn of<T: PrimitiveTensorElementType + Clone>(value: &DynValue, values: fn(Vec<T>) -> Values) -> Option<Tensor> {
        let (dims, copied) = copied(value)?;
        Tensor::new(program::Shape::new(dims).ok()?, values(copied))
    }
    match ty.dtype {
        Dtype::F32 => of(value, Values::F32),
        Dtype::I64 => of(value, Values::I64),
        Dtype::I32 => of(value, Values::I32),
        Dtype::I8 => of(value, Values::I8),
        Dtype::U8 => of(value, Values::U8),
        Dtype::Bool => of(value, Values::Bool),
        Dtype::F16 | Dtype::Bf16 => None,
    }
}
