//! burn: graphs on whatever it has a device for: flex (pure Rust, on the processor), wgpu, LibTorch. It computes with float32; whole
//! numbers are what shapes, axes and indices are.
//!
//! It interprets: each node of a graph is a closure over what of it is known beforehand, made once, and an answer is what they
//! compute in order. A form that it doesn't have is refused by its operator's name.

mod compute;
mod elementwise;
mod layout;
mod node;
mod reduce;
mod windows;

use crate::failure::{Refused, RunError, guarded};
use crate::id::{EngineId, Mode};
use crate::ports::Ports;
use crate::tensor::{Tensor, Values};
use crate::{Runtime, Session};
use burn::tensor::{Device, Int, TensorData};
use burn_backend::ops::FloatTensorOps;
use burn_backend::{Shape, TensorMetadata};
use burn_dispatch::{Dispatch, DispatchTensor};
use node::Site;
use program::{Dtype, Graph, ValueId};
use std::collections::BTreeSet;
use std::io;

/// The version that the workspace pins; burn doesn't say its own.
pub const VERSION: &str = "0.22.1";

/// The engine, on a device.
#[derive(Clone, Debug)]
pub struct Burn {
    device: Device,
}

impl Burn {
    /// The engine on `device`.
    pub fn on(device: Device) -> Self {
        Self { device }
    }
}

impl Runtime for Burn {
    fn id(&self) -> EngineId {
        EngineId { name: "burn", version: VERSION.to_owned(), library: None }
    }

    /// A product of matrices reads the sizes of the processor's caches from files when it is first asked for.
    fn prepare(&self) -> io::Result<()> {
        let square = burn::tensor::Tensor::<2>::ones([64, 64], &self.device);
        std::hint::black_box(square.clone().matmul(square).into_data());
        Ok(())
    }

    fn load(&self, graph: &Graph<'_>, _mode: Mode) -> Result<Box<dyn Session>, Refused> {
        let ports = Ports::of(graph)?;
        let graph = graph.with_float32_alone()?;
        let loaded = guarded(|| Loaded::new(&graph, ports, self.device.clone())).map_err(Refused::Engine)?;
        let mut loaded = loaded?;
        loaded.try_once()?;
        Ok(Box::new(loaded))
    }
}

/// What a node computes from inputs, which are its own from then on: what nobody else has may be overwritten.
enum Kernel {
    One(Box<dyn Fn(DispatchTensor) -> DispatchTensor>),
    Two(Box<dyn Fn(DispatchTensor, DispatchTensor) -> DispatchTensor>),
    Many(Box<dyn Fn(Vec<DispatchTensor>) -> DispatchTensor>),
}

/// One output of a node.
struct Step {
    kernel: Kernel,
    inputs: Vec<Read>,
    output: ValueId,
}

/// A value that a step reads.
struct Read {
    value: ValueId,
    /// Whether nobody reads it afterwards.
    last: bool,
}

/// Indices that come from outside, and how many entries there are: what lies elsewhere has no answer.
struct Indices {
    input: usize,
    entries: i64,
}

struct Loaded {
    ports: Ports,
    device: Device,
    /// Weights, and what is computed while it is needed.
    values: Vec<Option<DispatchTensor>>,
    steps: Vec<Step>,
    indices: Vec<Indices>,
    outputs: Vec<ValueId>,
}

impl Loaded {
    fn new(graph: &Graph<'_>, ports: Ports, device: Device) -> Result<Self, Refused> {
        let mut steps = Vec::new();
        let mut indices = Vec::new();
        for node in &graph.nodes {
            let site = Site { graph, node, device: &device };
            indices.extend(layout::indices_from_outside(&site));
            for (place, output) in node.outputs.iter().enumerate() {
                let Some(output) = *output else { continue };
                let (inputs, kernel) = kernel(&site, place)?;
                let read = |at| Ok(Read { value: site.value(at)?, last: false });
                let inputs = inputs.into_iter().map(read).collect::<Result<_, Refused>>()?;
                steps.push(Step { kernel, inputs, output });
            }
        }
        let outputs: Vec<ValueId> = graph.outputs.iter().map(|(_, value)| *value).collect();
        let known = graph.inputs.len() + graph.initialisers.len();
        let mut values: Vec<Option<DispatchTensor>> = vec![None; known + graph.made.len()];
        for (place, constant) in values.iter_mut().skip(graph.inputs.len()).zip(&graph.initialisers) {
            *place = node::tensor(constant, &device);
        }
        find_last(&mut steps, &outputs, known);
        Ok(Self { ports, device, values, steps, indices, outputs })
    }

    /// Runs it on zeros: forms that burn itself refuses are found on loading.
    fn try_once(&mut self) -> Result<(), Refused> {
        let zeros: Option<Vec<Tensor>> = self.ports.inputs.iter().map(|(_, ty)| Tensor::filled(ty, 0)).collect();
        let tried = self.run(&zeros.unwrap_or_default(), &mut Vec::new());
        tried.map_err(|error| Refused::Engine(error.to_string()))
    }

    fn compute(&mut self, inputs: &[Tensor]) -> Result<Vec<DispatchTensor>, RunError> {
        let Self { values, steps, device, outputs, .. } = self;
        for (value, tensor) in values.iter_mut().zip(inputs) {
            *value = Some(given(tensor, device)?);
        }
        for Step { kernel, inputs, output } in steps {
            let made = match (kernel, &inputs[..]) {
                (Kernel::One(kernel), [x]) => kernel(taken(values, x)?),
                (Kernel::Two(kernel), [x, y]) => {
                    let x = taken(values, x)?;
                    kernel(x, taken(values, y)?)
                }
                (Kernel::Many(kernel), inputs) => {
                    kernel(inputs.iter().map(|input| taken(values, input)).collect::<Result<_, _>>()?)
                }
                _ => return Err(RunError::Engine("a kernel takes other inputs; this is a bug".to_owned())),
            };
            if let Some(place) = values.get_mut(*output) {
                *place = Some(made);
            }
        }
        let mut whole = |value: &ValueId| taken(values, &Read { value: *value, last: false });
        outputs.iter().map(&mut whole).collect()
    }

    fn check_indices(&self, inputs: &[Tensor]) -> Result<(), RunError> {
        for Indices { input, entries } in &self.indices {
            let outside = |index: &i64| !(-entries..*entries).contains(index);
            let found = inputs.get(*input).and_then(|tensor| whole_numbers(tensor).into_iter().find(outside));
            if let Some(index) = found {
                return Err(RunError::Inputs(format!("index {index} of {entries} entries")));
            }
        }
        Ok(())
    }
}

impl Session for Loaded {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn run(&mut self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), RunError> {
        self.ports.check_inputs(inputs)?;
        self.check_indices(inputs)?;
        let made = guarded(|| self.compute(inputs)).map_err(RunError::Engine)??;
        outputs.clear();
        for ((name, ty), made) in self.ports.outputs.iter().zip(made) {
            let (dims, values) = read(made).map_err(RunError::Engine)?;
            let shape = program::Shape::new(dims.iter().map(|dim| *dim as u64).collect());
            let tensor = shape.ok().and_then(|shape| Tensor::new(shape, Values::F32(values)));
            outputs.push(tensor.ok_or_else(|| RunError::Outputs(format!("`{name}` is of {dims:?}, not {ty}")))?);
        }
        self.ports.check_outputs(outputs)
    }
}

/// Which inputs of a node its kernel takes, and the kernel of one of its outputs.
fn kernel(site: &Site<'_>, output: usize) -> Result<(Vec<usize>, Kernel), Refused> {
    let found = elementwise::kernel(site)?
        .or(compute::kernel(site)?)
        .or(windows::kernel(site)?)
        .or(reduce::kernel(site)?)
        .or(layout::kernel(site, output)?);
    found.ok_or_else(|| site.refuse("at all"))
}

/// Finds where each value is read for the last time. Weights and outputs stay.
fn find_last(steps: &mut [Step], outputs: &[ValueId], known: usize) {
    let mut seen: BTreeSet<ValueId> = outputs.iter().copied().collect();
    for read in steps.iter_mut().rev().flat_map(|step| step.inputs.iter_mut().rev()) {
        read.last = read.value >= known && seen.insert(read.value);
    }
}

fn taken(values: &mut [Option<DispatchTensor>], Read { value, last }: &Read) -> Result<DispatchTensor, RunError> {
    let place = values.get_mut(*value);
    let found = place.and_then(|place| if *last { place.take() } else { place.clone() });
    found.ok_or_else(|| RunError::Engine(format!("value {value} isn't there; this is a bug")))
}

/// An input on the device.
fn given(tensor: &Tensor, device: &Device) -> Result<DispatchTensor, RunError> {
    let dims: Vec<usize> = tensor.shape().dims().iter().map(|dim| *dim as usize).collect();
    match tensor.values() {
        Values::F32(values) => Ok(floats(values.clone(), dims, device)),
        Values::I64(_) | Values::I32(_) => Ok(integers(whole_numbers(tensor), device)),
        _ => Err(RunError::Inputs(format!("burn takes no {}", tensor.ty()))),
    }
}

fn whole_numbers(tensor: &Tensor) -> Vec<i64> {
    match tensor.values() {
        Values::I64(values) => values.clone(),
        Values::I32(values) => values.iter().copied().map(i64::from).collect(),
        _ => Vec::new(),
    }
}

fn floats(values: Vec<f32>, dims: Vec<usize>, device: &Device) -> DispatchTensor {
    let count = values.len();
    let flat = burn::tensor::Tensor::<1>::from_data(TensorData::new(values, [count]), device).into_dispatch();
    Dispatch::float_reshape(flat, Shape::from(dims))
}

/// Indices, one after the other: what has a shape is what is gathered by them.
fn integers(values: Vec<i64>, device: &Device) -> DispatchTensor {
    let count = values.len();
    burn::tensor::Tensor::<1, Int>::from_data(TensorData::new(values, [count]), device).into_dispatch()
}

/// Sizes and values of what was computed.
fn read(tensor: DispatchTensor) -> Result<(Vec<usize>, Vec<f32>), String> {
    let dims: Vec<usize> = tensor.shape().iter().copied().collect();
    let flat = Dispatch::float_reshape(tensor, Shape::from(vec![dims.iter().product::<usize>()]));
    let data = burn::tensor::Tensor::<1>::from_dispatch(flat).try_into_data();
    let data = data.map_err(|error| format!("the values can't be read: {error:?}"))?;
    Ok((dims, data.convert::<f32>().try_to_vec().map_err(|error| format!("the values can't be read: {error:?}"))?))
}

/// Whether burn computes with that.
fn is_computed_with(dtype: Dtype) -> bool {
    dtype == Dtype::F32
}
