//! From an order's bytes to what workers are given: a model's outline and normalised inputs.
//!
//! It reads `config.json` and the names in the weights, never a value; a graph is read by `program`, and written anew. It
//! doesn't know how anything is measured.

use models::Weights;
use program::Dim;
use program::onnx;
use program::package::{ANY, Classifier};
use protocol::Digest;
use protocol::architecture::{Costs, Plan};
use protocol::competition::InputSpec;
use protocol::evaluation::{self, EvaluationFailure, Order, PackageBytes};
use protocol::package::{Format, PackageConfig, package_digest, package_sha256};
use protocol::pixels::Pixels;
use protocol::submission::{Code, Rejection};
use rand::Rng;
use sandbox::Sealed;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// A package whose outline is known and whose weights nobody has read yet.
pub(crate) struct Model {
    pub(crate) config_json: Arc<[u8]>,
    /// Bytes of the model as workers get it.
    pub(crate) model_bytes: u64,
    /// `config.json` and the model, one after the other, as workers read them.
    pub(crate) sealed: Sealed,
    pub(crate) package_sha256: Digest,
    pub(crate) classes: usize,
    pub(crate) costs: Costs,
    outline: Outline,
}

/// What a random twin is made from.
enum Outline {
    Plan(Plan),
    /// The graph's canonical bytes, and how many classes it tells apart.
    Graph(Arc<[u8]>, usize),
}

impl Outline {
    fn classes(&self) -> usize {
        match self {
            Self::Plan(plan) => plan.classes() as usize,
            Self::Graph(_, classes) => *classes,
        }
    }
}

impl Model {
    fn new(package: &PackageBytes, input: &InputSpec) -> Result<Self, EvaluationFailure> {
        match Format::of_config(&package.config_json) {
            Format::Onnx => Self::graph(package, input),
            Format::Catalogue => Self::catalogue(package, input),
        }
    }

    fn catalogue(package: &PackageBytes, input: &InputSpec) -> Result<Self, EvaluationFailure> {
        let config_json = Arc::clone(&package.config_json);
        let config = PackageConfig::of_package(&config_json, &package.weights)?;
        if config.input != *input {
            return Err(Code::InputMismatch.because("the package's input isn't that of the items".into()).into());
        }
        let plan = config.plan()?;
        let costs = plan.costs().map_err(|error| Code::ArchitectureInvalid.because(error.to_string()))?;
        Self::sealed(config_json, &package.weights, Outline::Plan(plan), costs, None)
            .map_err(|error| EvaluationFailure::Infrastructure(format!("seal a package: {error}")))
    }

    /// What workers get of a graph is the canonical bytes; it is named by those that were handed in.
    fn graph(package: &PackageBytes, input: &InputSpec) -> Result<Self, EvaluationFailure> {
        let PackageBytes { config_json, weights: file } = package;
        let ports = onnx::ports(file, 1).map_err(Rejection::from)?;
        let classes = ports.outputs.first().and_then(last_size).unwrap_or(0) as usize;
        let Classifier { canonical, costs, .. } = Classifier::read(file, input.shape(), classes)?;
        let (canonical, named) = (Arc::<[u8]>::from(canonical), package_sha256(config_json, file));
        let outline = Outline::Graph(Arc::clone(&canonical), classes);
        Self::sealed(Arc::clone(config_json), &canonical, outline, costs, Some(named))
            .map_err(|error| EvaluationFailure::Infrastructure(format!("seal a package: {error}")))
    }

    /// `named` is the digest of a package that has its model in other bytes than workers get. Else it is taken through the
    /// descriptor that workers read, so it is of the very bytes that they get.
    fn sealed(
        config_json: Arc<[u8]>,
        model: &[u8],
        outline: Outline,
        costs: Costs,
        named: Option<Digest>,
    ) -> io::Result<Self> {
        let sealed = Sealed::new("package", [&config_json, model])?;
        let package_sha256 = match named {
            Some(named) => named,
            None => {
                let config = Digest::of(&sealed.read(0, config_json.len())?);
                package_digest(&config, &Digest::of(&sealed.read(config_json.len() as u64, model.len())?))
            }
        };
        let (model_bytes, classes) = (model.len() as u64, outline.classes());
        Ok(Self { config_json, model_bytes, sealed, package_sha256, classes, costs, outline })
    }

    /// Whether it is a graph, which burn doesn't run.
    pub(crate) fn is_graph(&self) -> bool {
        matches!(self.outline, Outline::Graph(..))
    }

    /// A model of the same architecture with random weights. No report names it: it goes by the name of what it is the twin of.
    pub(crate) fn random_twin(&self, rng: &mut impl Rng) -> Result<Self, EvaluationFailure> {
        let ours = |error: &dyn std::fmt::Display| EvaluationFailure::Infrastructure(format!("a random twin: {error}"));
        let (bytes, outline) = match &self.outline {
            Outline::Plan(plan) => {
                let weights = Weights::random(plan, rng).to_safetensors().map_err(|error| ours(&error))?;
                (weights.into(), Outline::Plan(plan.clone()))
            }
            Outline::Graph(canonical, classes) => {
                let lowered = onnx::read_as_stated(canonical, &ANY).map_err(|error| ours(&error))?;
                let twin = lowered.graph.random_twin(rng).map_err(|error| ours(&error))?;
                let twin: Arc<[u8]> = onnx::write(&twin).into();
                (Arc::clone(&twin), Outline::Graph(twin, *classes))
            }
        };
        Self::sealed(Arc::clone(&self.config_json), &bytes, outline, self.costs, Some(self.package_sha256))
            .map_err(|error| ours(&error))
    }
}

/// The last size of a port, where it is a number.
fn last_size(port: &program::Port) -> Option<u32> {
    match port.dims.last()? {
        Dim::Fixed(size) => Some(*size),
        Dim::Classes(_) => None,
    }
}

/// Everything that the measurements need, checked against each other.
pub(crate) struct Prepared {
    pub(crate) candidate: Model,
    pub(crate) reference: Model,
    pub(crate) inputs: Inputs,
    pub(crate) probes: Inputs,
}

/// Reads both configurations and checks that models and items fit each other.
pub(crate) fn prepare(order: &Order) -> Result<Prepared, EvaluationFailure> {
    let evaluation::Inputs { spec, pixels } = &order.inputs;
    let reference = Model::new(&order.reference, spec)
        .map_err(|failure| EvaluationFailure::Infrastructure(format!("the reference student: {failure}")))?;
    let candidate = Model::new(&order.candidate, spec)?;
    if candidate.classes != reference.classes {
        let detail = format!("{} classes, not {}", candidate.classes, reference.classes);
        return Err(Code::LabelsMismatch.because(detail).into());
    }
    check(order).map_err(EvaluationFailure::Infrastructure)?;
    let inputs = |pixels| Inputs::new(spec, pixels);
    let probes = inputs(Arc::clone(&order.probes).into());
    Ok(Prepared { candidate, reference, inputs: inputs(pixels.clone()), probes })
}

fn check(order: &Order) -> Result<(), String> {
    let evaluation::Inputs { spec, pixels } = &order.inputs;
    let (count, probes, planes) = (order.inputs.count(), &order.probes, spec.channels as usize);
    let checks = [
        (count > 0 && u32::try_from(count).is_ok(), format!("{} pixels are no whole items", pixels.bytes())),
        (probes.is_empty() || order.probe_count() > 0, format!("{} pixels are no whole probes", probes.len())),
        (spec.mean_ppm.len() == planes && spec.deviation_ppm.len() == planes, "normalisation".into()),
    ];
    match checks.into_iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, what)) => Err(format!("the evaluation items make no sense: {what}")),
    }
}

/// Pixels, wherever they lie, and the table that turns them into a model's inputs.
pub(crate) struct Inputs {
    pixels: Pixels,
    /// What each pixel value becomes, a table per plane, in bytes of f32 little-endian.
    tables: Vec<[[u8; 4]; 256]>,
    /// Values of a plane.
    plane: usize,
    /// Values of an item.
    values: usize,
}

impl Inputs {
    fn new(input: &InputSpec, pixels: Pixels) -> Self {
        Self {
            pixels,
            tables: input.normalisation().into_iter().map(|table| table.map(f32::to_le_bytes)).collect(),
            plane: input.height as usize * input.width as usize,
            values: input.shape().values() as usize,
        }
    }

    /// The first few of them.
    pub(crate) fn first(&self, count_max: usize) -> Self {
        self.with(self.pixels.part(0..(count_max as u64).saturating_mul(self.values as u64)))
    }

    /// Those at `places`, in memory.
    pub(crate) fn at(&self, places: impl Iterator<Item = usize>) -> Result<Self, EvaluationFailure> {
        let mut pixels = Vec::new();
        for place in places {
            pixels.extend(self.read(place..place + 1).map_err(EvaluationFailure::unread)?);
        }
        Ok(self.with(pixels.into()))
    }

    fn with(&self, pixels: Pixels) -> Self {
        Self { pixels, tables: self.tables.clone(), plane: self.plane, values: self.values }
    }

    /// How many items there are.
    pub(crate) fn len(&self) -> usize {
        (self.pixels.bytes() / self.values as u64) as usize
    }

    /// Bytes of an item when it goes to a worker.
    pub(crate) fn item_bytes(&self) -> usize {
        4 * self.values
    }

    /// The pixels of some items, as they are.
    pub(crate) fn read(&self, items: Range<usize>) -> io::Result<Vec<u8>> {
        let place = |item: usize| item as u64 * self.values as u64;
        self.pixels.read(place(items.start)..place(items.end))
    }

    /// The pixels of whole items, normalised, as a worker reads them.
    pub(crate) fn normalised(&self, pixels: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 4 * pixels.len()];
        let planes = bytes.as_chunks_mut::<4>().0.chunks_mut(self.plane).zip(pixels.chunks(self.plane));
        for ((slots, plane), table) in planes.zip(self.tables.iter().cycle()) {
            slots.iter_mut().zip(plane).for_each(|(slot, pixel)| *slot = table[usize::from(*pixel)]);
        }
        bytes
    }
}
