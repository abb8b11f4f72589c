//! rten: pure Rust, nothing to download, the default. It computes whole numbers in 32 bits and floats in float32.
//!
//! It always computes on a pool of threads: here of one. A process that is told `RTEN_NUM_THREADS=1` has one such thread in
//! all, the pool that rten makes for itself; any other gets a pool of one for its sessions beside that. Loading uses rten's
//! own pool, whose making reads what the system says of the processor, so it is made before a lock.

use crate::failure::{Refused, RunError, cleaned, guarded};
use crate::id::{EngineId, Mode};
use crate::ports::Ports;
use crate::tensor::{Tensor, Values};
use crate::{Runtime, Session};
use program::op::Attribute;
use program::{Dtype, Graph, Op, TensorType, onnx};
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool, Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;
use std::io;
use std::sync::{Arc, OnceLock};

/// The version that the workspace pins; rten doesn't say its own.
const VERSION: &str = "0.27.0";

/// How rten's own pool is told its size.
pub const THREADS_VARIABLE: &str = "RTEN_NUM_THREADS";

/// The engine.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rten;

/// The pool of one on which sessions run; none where rten's own is that.
fn pool() -> Option<&'static Arc<ThreadPool>> {
    static POOL: OnceLock<Option<Arc<ThreadPool>>> = OnceLock::new();
    let is_one = || std::env::var_os(THREADS_VARIABLE).is_some_and(|threads| threads == "1");
    POOL.get_or_init(|| (!is_one()).then(|| Arc::new(ThreadPool::with_num_threads(1)))).as_ref()
}

impl Runtime for Rten {
    fn id(&self) -> EngineId {
        EngineId { name: "rten", version: VERSION.to_owned(), library: None }
    }

    fn prepare(&self) -> io::Result<()> {
        rten::thread_pool();
        pool();
        Ok(())
    }

    fn within(&self, work: &mut (dyn FnMut() + Send)) {
        match pool() {
            Some(pool) => pool.run(work),
            None => rten::thread_pool().run(work),
        }
    }

    fn load(&self, graph: &Graph<'_>, _mode: Mode) -> Result<Box<dyn Session>, Refused> {
        let ports = Ports::of(graph)?;
        let graph = graph.with_float32_alone()?;
        check(&graph)?;
        let bytes = onnx::write(&graph);
        let load = || ModelOptions::with_all_ops().prepack_weights(true).load(bytes);
        let model = match guarded(load) {
            Ok(Ok(model)) => model,
            Ok(Err(error)) => return Err(Refused::Engine(cleaned(&error.to_string()))),
            Err(panic) => return Err(Refused::Engine(panic)),
        };
        let mut loaded = Loaded { ports, model };
        loaded.try_once()?;
        Ok(Box::new(loaded))
    }
}

/// What rten doesn't have or does otherwise, said before it fails or answers.
fn check(graph: &Graph<'_>) -> Result<(), Refused> {
    for node in &graph.nodes {
        let what = match node.op {
            Op::QLinearConv | Op::QLinearMatMul => {
                "(quantise with QuantizeLinear and DequantizeLinear around each layer)"
            }
            // It takes the last of equal ones, ONNX the first.
            Op::ArgMax => "that takes the first of equal values",
            // It interpolates along lines instead, without a word.
            Op::Resize if node.attributes.get("mode") == Some(&Attribute::Text("cubic")) => "in the mode `cubic`",
            _ => continue,
        };
        return Err(Refused::Unsupported { op: node.op, what: what.to_owned() });
    }
    let types = graph.made.iter().chain(graph.initialisers.iter().map(|constant| constant.ty()));
    match types.map(|ty| ty.dtype).find(|dtype| matches!(dtype, Dtype::F16 | Dtype::Bf16)) {
        Some(dtype) => Err(Refused::Dtype(dtype)),
        None => Ok(()),
    }
}

struct Loaded {
    ports: Ports,
    model: Model,
}

impl Loaded {
    /// Runs it on zeros, or on ones where it fails on those: what of an operator's forms it doesn't have, rten finds out
    /// when it meets one.
    fn try_once(&mut self) -> Result<(), Refused> {
        let filled = |value: u8| -> Option<Vec<Tensor>> {
            self.ports.inputs.iter().map(|(_, ty)| Tensor::filled(ty, value)).collect()
        };
        let (zeros, ones) = (filled(0).unwrap_or_default(), filled(1).unwrap_or_default());
        let tried = self.run(&zeros, &mut Vec::new()).or_else(|_| self.run(&ones, &mut Vec::new()));
        tried.map_err(|error| Refused::Engine(cleaned(&error.to_string())))
    }
}

impl Session for Loaded {
    fn ports(&self) -> &Ports {
        &self.ports
    }

    fn run(&mut self, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), RunError> {
        self.ports.check_inputs(inputs)?;
        let given = self.model.input_ids().iter().zip(inputs);
        let given: Vec<(NodeId, ValueOrView<'_>)> =
            given.map(|(id, tensor)| Ok((*id, value(tensor)?))).collect::<Result<_, RunError>>()?;
        let options = RunOptions::default().with_thread_pool(pool().cloned());
        let run = || self.model.run(given, self.model.output_ids(), Some(options));
        let made = match guarded(run) {
            Ok(Ok(made)) => made,
            Ok(Err(error)) => return Err(RunError::Engine(cleaned(&error.to_string()))),
            Err(panic) => return Err(RunError::Engine(panic)),
        };
        outputs.clear();
        for ((name, ty), value) in self.ports.outputs.iter().zip(&made) {
            let tensor = tensor(ty, value);
            outputs
                .push(tensor.ok_or_else(|| RunError::Outputs(format!("`{name}` is {:?}, not {ty}", value.dtype())))?);
        }
        self.ports.check_outputs(outputs)
    }
}

/// A tensor as rten takes it: whole numbers in 32 bits.
fn value(tensor: &Tensor) -> Result<ValueOrView<'_>, RunError> {
    let shape: Vec<usize> = tensor.shape().dims().iter().map(|dim| *dim as usize).collect();
    let wrong = |error: &dyn std::fmt::Display| RunError::Inputs(cleaned(&error.to_string()));
    let owned = |values: Vec<i32>| match Value::from_shape(&shape, values) {
        Ok(value) => Ok(ValueOrView::Value(value)),
        Err(error) => Err(wrong(&error)),
    };
    let view = match tensor.values() {
        Values::F32(values) => ValueView::from_shape(&shape, values).map_err(|error| wrong(&error)),
        Values::I32(values) => ValueView::from_shape(&shape, values).map_err(|error| wrong(&error)),
        Values::I8(values) => ValueView::from_shape(&shape, values).map_err(|error| wrong(&error)),
        Values::U8(values) => ValueView::from_shape(&shape, values).map_err(|error| wrong(&error)),
        Values::Bool(values) => return owned(values.iter().copied().map(i32::from).collect()),
        Values::I64(values) => {
            let narrow = values.iter().map(|value| i32::try_from(*value)).collect::<Result<_, _>>();
            return owned(narrow.map_err(|_| RunError::Inputs("a whole number of more than 32 bits".to_owned()))?);
        }
    };
    view.map(ValueOrView::View)
}

/// What rten answered as what the graph says; `None` where it is of another type or shape.
fn tensor(ty: &TensorType, value: &Value) -> Option<Tensor> {
    let values = match (value, ty.dtype) {
        (Value::FloatTensor(tensor), Dtype::F32) => Values::F32(tensor.to_vec()),
        (Value::Int32Tensor(tensor), Dtype::I32) => Values::I32(tensor.to_vec()),
        (Value::Int32Tensor(tensor), Dtype::I64) => Values::I64(tensor.iter().copied().map(i64::from).collect()),
        (Value::Int32Tensor(tensor), Dtype::Bool) => Values::Bool(tensor.iter().map(|value| *value != 0).collect()),
        (Value::Int8Tensor(tensor), Dtype::I8) => Values::I8(tensor.to_vec()),
        (Value::UInt8Tensor(tensor), Dtype::U8) => Values::U8(tensor.to_vec()),
        _ => return None,
    };
    let dims = value.as_view().shape().iter().map(|dim| *dim as u64).collect();
    Tensor::new(program::Shape::new(dims).ok()?, values)
}
