//! All items through one worker, in batches: the logits, how long that took, and how much memory.
//!
//! Of items that lie elsewhere it holds a chunk at a time, whatever they come to. It knows no labels: what is right is decided
//! where the order came from.

use crate::frames::Span;
use crate::prepare::{Inputs, Model};
use crate::process::{Launcher, Worker, WorkerFailure};
use crate::watchdog::over_memory;
use protocol::Digest;
use protocol::digest::Hasher;
use std::time::{Duration, Instant};

/// Inputs that a worker holds at once, and its parent with it. Large enough that handing them over is rare, small beside any
/// worker's memory.
const CHUNK_BYTES: usize = 16 * 1024 * 1024;

/// What the pass yields.
pub(crate) struct AccuracyPass {
    /// `[items, classes]` in the order of the items.
    pub(crate) logits: Vec<f32>,
    /// `[probes, classes]` in the order of the probes.
    pub(crate) probe_logits: Vec<f32>,
    /// The digest of the items' pixels, as they were handed over.
    pub(crate) images_sha256: Digest,
    /// Starting the worker and loading the model.
    pub(crate) load: Duration,
    /// The whole pass after loading.
    pub(crate) elapsed: Duration,
    /// Items per second in thousandths, without the time to hand over inputs.
    pub(crate) throughput_milli: u64,
    /// Peak resident memory of the worker.
    pub(crate) peak_rss_bytes: u64,
    /// Processor time of the worker, loading included; `None` where the system doesn't say.
    pub(crate) processor_time: Option<Duration>,
    /// Whether the worker flushed denormals to zero.
    pub(crate) flushes_to_zero: bool,
}

/// Loads `model` into a fresh worker and runs all `inputs`, then all `probes`, in batches of `batch`.
pub(crate) fn accuracy_pass(
    launcher: Launcher<'_>,
    model: &Model,
    inputs: &Inputs,
    probes: &Inputs,
    batch: usize,
    progress: &dyn Fn(u8),
) -> Result<AccuracyPass, WorkerFailure> {
    let start = Instant::now();
    let mut worker = Worker::launch(launcher, model)?;
    let load = start.elapsed();

    let pass_start = Instant::now();
    let Ran { logits, busy, images_sha256 } = run_all(&mut worker, inputs, model.classes, batch, progress)?;
    let peak_rss_bytes = peak_within(&worker, launcher)?;
    let Ran { logits: probe_logits, .. } = run_all(&mut worker, probes, model.classes, batch, &|_| {})?;
    Ok(AccuracyPass {
        load,
        elapsed: pass_start.elapsed(),
        throughput_milli: (inputs.len() as f64 * 1e3 / busy.as_secs_f64().max(1e-9)).round() as u64,
        peak_rss_bytes,
        processor_time: worker.processor_time(),
        flushes_to_zero: worker.flushes_to_zero,
        logits,
        probe_logits,
        images_sha256,
    })
}

/// What came of all items, or all probes.
struct Ran {
    logits: Vec<f32>,
    /// For how long the worker was at it.
    busy: Duration,
    images_sha256: Digest,
}

/// All `inputs` through the worker, chunk by chunk. What is hashed is what is handed over.
fn run_all(
    worker: &mut Worker,
    inputs: &Inputs,
    classes: usize,
    batch: usize,
    progress: &dyn Fn(u8),
) -> Result<Ran, WorkerFailure> {
    let (mut logits, mut busy) = (Vec::with_capacity(inputs.len() * classes), Duration::ZERO);
    let mut hasher = Hasher::default();
    let chunk = whole_batches(CHUNK_BYTES / inputs.item_bytes(), batch);
    for first in (0..inputs.len()).step_by(chunk) {
        let end = inputs.len().min(first + chunk);
        let pixels = inputs.read(first..end).map_err(WorkerFailure::unread)?;
        hasher.update(&pixels);
        worker.store(&inputs.normalised(&pixels))?;
        let chunk_start = Instant::now();
        run_stored(worker, end - first, batch, &mut |outputs| {
            logits.extend(outputs);
            progress((100 * logits.len() / (inputs.len() * classes)) as u8);
        })?;
        busy += chunk_start.elapsed();
    }
    Ok(Ran { logits, busy, images_sha256: hasher.finish() })
}

/// At least one batch, and no partial one but at the very end.
fn whole_batches(items: usize, batch: usize) -> usize {
    (items / batch).max(1) * batch
}

/// Asks one batch ahead, so that the worker never waits for the parent.
fn run_stored(
    worker: &mut Worker,
    items: usize,
    batch: usize,
    take: &mut dyn FnMut(Vec<f32>),
) -> Result<(), WorkerFailure> {
    let span = |first: usize| Span { first: first as u32, count: batch.min(items - first) as u32 };
    worker.ask_batch(span(0))?;
    for first in (0..items).step_by(batch) {
        if first + batch < items {
            worker.ask_batch(span(first + batch))?;
        }
        take(worker.take_batch(span(first))?);
    }
    Ok(())
}

/// The peak, which a fast worker may have reached between two looks of the watchdog.
fn peak_within(worker: &Worker, launcher: Launcher<'_>) -> Result<u64, WorkerFailure> {
    let peak = worker.peak_rss_bytes().unwrap_or(0);
    let limit = launcher.bounds.memory_bytes_max;
    if peak > limit { Err(WorkerFailure::OutOfMemory(over_memory(peak, limit))) } else { Ok(peak) }
}
