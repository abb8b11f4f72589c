//! A model that is loaded and answers: a module on burn, or a graph's session. It lives in the worker, behind the lock.

use burn::tensor::{DType, Device, Tensor, TensorData};
use engine::{Mode, Runtime, Session};
use models::{Network, Weights, WeightsError, fold_batch_norm};
use program::package::ANY;
use program::{Graph, catalogue, onnx};
use protocol::architecture::{ImageShape, Plan};
use protocol::package::{Format, PackageConfig};
use protocol::submission::{Code, Rejection};
use std::io;

/// What computes, and on what.
pub(crate) enum Runner {
    /// A module on a device.
    Module(Box<Network>, Device, ImageShape),
    /// A graph, item by item: an answer then depends on no neighbour, not even by its last bits.
    Session {
        session: Box<dyn Session>,
        /// The one input, whose memory is used again.
        item: [engine::Tensor; 1],
        outputs: Vec<engine::Tensor>,
    },
}

/// Logits `[count, classes]`, f32 little-endian.
pub(crate) enum Logits {
    Module(TensorData),
    Session(Vec<u8>),
}

impl Logits {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Module(data) => data.as_bytes(),
            Self::Session(bytes) => bytes,
        }
    }
}

/// A runner and what the parent checks it by.
pub(crate) struct Loaded {
    pub(crate) runner: Runner,
    pub(crate) parameters: u64,
    /// Values of an item.
    pub(crate) item_values: usize,
}

/// A package of the catalogue as a module.
pub(crate) fn module(config_json: &[u8], weights: &[u8], device: Device) -> Result<Loaded, Rejection> {
    let (plan, weights) = catalogue_package(config_json, weights)?;
    let parameters = parameters(&plan)?;
    let (folded, weights) = fold_batch_norm(&plan, weights).map_err(|error| blame(&error))?;
    let network = Network::new(&folded, &weights, &device).map_err(|error| blame(&error))?;
    let input = plan.input();
    let runner = Runner::Module(Box::new(network), device, input);
    Ok(Loaded { runner, parameters, item_values: input.values() as usize })
}

/// Any package as a session: a graph in the bytes that the parent wrote, or one of the catalogue, which is lowered here.
pub(crate) fn session(
    config_json: &[u8],
    model: &[u8],
    runtime: &dyn Runtime,
    mode: Mode,
) -> Result<Loaded, Rejection> {
    let refused = |error: &dyn std::fmt::Display| Code::EngineRefused.because(error.to_string());
    if Format::of_config(config_json) == Format::Catalogue {
        let (plan, weights) = catalogue_package(config_json, model)?;
        let parameters = parameters(&plan)?;
        let graph = catalogue::lower(&plan, weights).map_err(|error| refused(&error))?;
        return opened(&graph, parameters, runtime, mode);
    }
    let lowered = onnx::read_as_stated(model, &ANY).map_err(|error| refused(&error))?;
    opened(&lowered.graph, lowered.costs.parameters, runtime, mode)
}

fn opened(graph: &Graph<'_>, parameters: u64, runtime: &dyn Runtime, mode: Mode) -> Result<Loaded, Rejection> {
    let refused = |error: &dyn std::fmt::Display| Code::EngineRefused.because(error.to_string());
    let session = runtime.load(graph, mode).map_err(|error| match error {
        engine::Refused::NotReady(why) => Code::Infrastructure.because(why),
        error => refused(&error),
    })?;
    let [(_, ty)] = &session.ports().inputs[..] else {
        return Err(refused(&format!("{} inputs, where one is given", session.ports().inputs.len())));
    };
    let item = engine::Tensor::filled(ty, 0).ok_or_else(|| refused(&format!("an input of {}", ty.dtype)))?;
    let item_values = ty.shape.elements() as usize;
    Ok(Loaded { runner: Runner::Session { session, item: [item], outputs: Vec::new() }, parameters, item_values })
}

impl Runner {
    /// Answers `count` items of f32, little-endian.
    pub(crate) fn forward(&mut self, inputs: &[u8], count: usize) -> io::Result<Logits> {
        match self {
            Self::Module(network, device, input) => {
                let shape = [count, input.channels as usize, input.height as usize, input.width as usize];
                let data = TensorData::from_bytes_vec(inputs.to_vec(), shape, DType::F32);
                let logits = network.forward(Tensor::<4>::from_data(data, &*device)).try_into_data();
                let logits = logits.map_err(|error| io::Error::other(format!("read the logits: {error:?}")))?;
                Ok(Logits::Module(logits.convert::<f32>()))
            }
            Self::Session { session, item, outputs } => {
                let (mut logits, bytes) = (Vec::new(), inputs.len() / count.max(1));
                for input in inputs.chunks(bytes.max(1)) {
                    let [tensor] = &mut *item;
                    if !tensor.fill(input) {
                        return Err(io::Error::other(format!("{} bytes are no item", input.len())));
                    }
                    session.run(item, outputs).map_err(io::Error::other)?;
                    outputs.iter().for_each(|output| output.write(&mut logits));
                }
                Ok(Logits::Session(logits))
            }
        }
    }
}

fn catalogue_package(config_json: &[u8], weights: &[u8]) -> Result<(Plan, Weights), Rejection> {
    let plan = PackageConfig::of_package(config_json, weights)?.plan()?;
    let weights = Weights::from_safetensors(weights, &plan).map_err(|error| blame(&error))?;
    Ok((plan, weights))
}

fn parameters(plan: &Plan) -> Result<u64, Rejection> {
    let costs = plan.costs().map_err(|error| Code::ArchitectureInvalid.because(error.to_string()))?;
    Ok(costs.parameters)
}

fn blame(error: &WeightsError) -> Rejection {
    let code = match error {
        WeightsError::Safetensors(_) => Code::NotSafetensors,
        WeightsError::Missing(_) => Code::TensorMissing,
        WeightsError::Shape { .. } => Code::TensorShape,
        WeightsError::Dtype { .. } => Code::TensorDtype,
    };
    code.because(error.to_string())
}
