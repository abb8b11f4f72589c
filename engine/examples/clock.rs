//! Times graphs on onnxruntime as latency is measured: one thread, one item, the mode *fast*; without a jail and without the
//! care that a ranking takes. It is what `scripts/engine_speed.py` holds Python's onnxruntime against.
//!
//! ```text
//! clock LIBRARY MILLISECONDS MODEL..        prints nanoseconds of a run, the median of each model
//! ```

use engine::ort::{LIBRARY, OnnxRuntime};
use engine::{Mode, Runtime, Tensor};
use program::{Limits, TensorType, onnx};
use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

const LIMITS: Limits =
    Limits { file_bytes_max: 1 << 30, parameters_max: 1 << 30, macs_max: 1 << 50, activation_bytes_max: 1 << 30 };

/// Ones; but whole numbers are indices, of which 0 is always one.
fn input((_, ty): &(String, TensorType)) -> Option<Tensor> {
    Tensor::filled(ty, u8::from(ty.dtype.is_float()))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let library = arguments.next().ok_or("clock LIBRARY MILLISECONDS MODEL..")?;
    let long = Duration::from_millis(arguments.next().ok_or("how many milliseconds?")?.parse()?);
    let runtime = OnnxRuntime::open(Path::new(&library), &LIBRARY.parse()?)?;
    runtime.prepare()?;
    for model in arguments {
        let file = std::fs::read(&model)?;
        let read = onnx::read_as_stated(&file, &LIMITS).map_err(|error| format!("{model}: {error}"))?;
        println!("{}", median(&runtime, &read.graph, long).map_err(|error| format!("{model}: {error}"))?);
    }
    Ok(())
}

fn median(runtime: &OnnxRuntime, graph: &program::Graph<'_>, long: Duration) -> Result<u64, Box<dyn Error>> {
    let mut session = runtime.load(graph, Mode::Fast)?;
    let inputs: Vec<Tensor> = session.ports().inputs.iter().filter_map(input).collect();
    let (mut outputs, mut runs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        session.run(&inputs, &mut outputs)?;
    }
    let began = Instant::now();
    while began.elapsed() < long {
        let start = Instant::now();
        session.run(&inputs, &mut outputs)?;
        runs.push(start.elapsed().as_nanos() as u64);
    }
    runs.sort_unstable();
    Ok(runs.get(runs.len() / 2).copied().unwrap_or_default())
}
