//! Answers from a backend in place of the official engine: all items in batches there, a random sample on both, and the
//! official engine for all of them where the two differ.
//!
//! What comes of it counts for public items alone; who may be asked so is the order's to say. It does NOT know what is decided
//! by the answers.

use crate::accuracy_pass::{AccuracyPass, accuracy_pass};
use crate::cancel::Cancel;
use crate::evaluate::{Engine, bounds};
use crate::latency::coins;
use crate::prepare::{Prepared, prepare};
use crate::process::{Launcher, WorkerFailure};
use crate::runtime::RuntimeKind;
use crate::watchdog::Bounds;
use engine::Mode;
use models::DeviceKind;
use protocol::backend::{Backend, DELTA_MICRO_MAX, HELD_AGAINST_SHARE, OnBackend};
use protocol::evaluation::{EvaluationFailure, Order, arg_max};
use std::time::Instant;

/// The part of an order's wall clock that a backend may take.
const PART_OF_TIME: u32 = 3;

/// Fewer items than these say nothing of all.
const HELD_AGAINST_MIN: usize = 32;

/// What a backend is here.
fn device(backend: Backend) -> DeviceKind {
    match backend {
        Backend::Wgpu => DeviceKind::Wgpu,
        Backend::Tch => DeviceKind::Tch,
        Backend::Flex | Backend::Rten | Backend::Onnxruntime => DeviceKind::Flex,
    }
}

impl Engine {
    /// What runs models on a backend, if this build and this host have it.
    ///
    /// # Errors
    /// What is missing, and what to do.
    pub fn backend(&self, backend: Backend) -> Result<(DeviceKind, RuntimeKind), String> {
        let runtime = match backend {
            Backend::Rten => RuntimeKind::Rten,
            Backend::Onnxruntime => self.library.runtime()?,
            Backend::Flex | Backend::Wgpu | Backend::Tch => RuntimeKind::Burn,
        };
        device(backend).open().map_err(|error| error.to_string())?;
        Ok((device(backend), runtime))
    }

    /// Waits for the machine, and answers all items on a backend whatever the official engine says: the logits `[items, classes]` and
    /// items per second in thousandths. For comparing backends; no evaluation uses it.
    ///
    /// # Errors
    /// As [`Engine::backend`] and [`Engine::evaluate`].
    pub fn answers_on(&self, backend: Backend, order: &Order) -> Result<(Vec<f32>, u64), EvaluationFailure> {
        let _machine = self.machine()?;
        let pass = self.pass_on(backend, order, &prepare(order)?, &Cancel::default(), &|_| {})?;
        Ok((pass.logits, pass.throughput_milli))
    }

    /// The backend of this machine that an order allows, unless that is the official engine itself.
    pub(crate) fn allowed(&self, order: &Order) -> Option<Backend> {
        let own = Backend::from(order.engine.name);
        self.accuracy_on.filter(|backend| *backend != own && order.backends.contains(backend))
    }

    /// All items and probes on `backend`, held against the official engine, which `official` launches.
    pub(crate) fn on_backend(
        &self,
        backend: Backend,
        official: Launcher<'_>,
        order: &Order,
        prepared: &Prepared<'_>,
        progress: &dyn Fn(u8),
    ) -> Result<(AccuracyPass, OnBackend), EvaluationFailure> {
        let places = sample(prepared.inputs.len(), order.exact_seed());
        let some = prepared.inputs.at(places.iter().copied());
        let exact = self.accuracy(official, order, prepared, (&some, &prepared.probes.first(0)), &|_| {})?;
        let mut found = OnBackend { backend, held_against: places.len() as u32, delta_micro_max: 0, incident: None };
        let passed = self.pass_on(backend, order, prepared, official.cancel, progress);
        let passed = passed.map_err(|failure| failure.to_string());
        let agreed = passed.and_then(|pass| {
            let delta = apart(&pass.logits, &exact.logits, &places, prepared.candidate.classes)?;
            Ok((pass, delta))
        });
        match agreed {
            Ok((pass, delta)) => {
                found.delta_micro_max = delta;
                // A driver's memory is not the model's.
                let (peak_rss_bytes, flushes_to_zero) = (exact.peak_rss_bytes, exact.flushes_to_zero);
                Ok((AccuracyPass { peak_rss_bytes, flushes_to_zero, ..pass }, found))
            }
            Err(incident) => {
                found.incident = Some(incident);
                let all = (&prepared.inputs, &prepared.probes);
                Ok((self.accuracy(official, order, prepared, all, progress)?, found))
            }
        }
    }

    /// All items and probes on a backend, whatever they come to.
    pub(crate) fn pass_on(
        &self,
        backend: Backend,
        order: &Order,
        prepared: &Prepared<'_>,
        cancel: &Cancel,
        progress: &dyn Fn(u8),
    ) -> Result<AccuracyPass, EvaluationFailure> {
        let (device, runtime) = self.backend(backend).map_err(EvaluationFailure::Infrastructure)?;
        let jail = self.jail(self.confinement, device, order)?;
        // A device that hangs leaves the official engine most of the order's time: nobody is late through it.
        let (now, all) = (Instant::now(), bounds(order));
        let deadline = now + all.deadline.saturating_duration_since(now) / PART_OF_TIME;
        let limits = Bounds { deadline, ..all };
        let launcher = self.launcher(&jail, &runtime, self.accuracy_threads, limits, cancel);
        let launcher = Launcher { device, mode: Mode::Fast, ..launcher };
        let (batch, inputs) = (self.batch.max(1) as usize, &prepared.inputs);
        let passed = accuracy_pass(launcher, &prepared.candidate, inputs, &prepared.probes, batch, progress);
        passed.map_err(WorkerFailure::of_candidate)
    }
}

/// A random twentieth of the items, in their order.
fn sample(items: usize, seed: u64) -> Vec<usize> {
    let count = (items / HELD_AGAINST_SHARE).max(HELD_AGAINST_MIN).min(items);
    let mut places = rand::seq::index::sample(&mut coins(seed), items, count).into_vec();
    places.sort_unstable();
    places
}

/// How far a backend's logits are off those of the sample, in millionths; what is wrong where that is too far or another class.
fn apart(all: &[f32], exact: &[f32], places: &[usize], classes: usize) -> Result<u64, String> {
    let mut most = 0;
    for (place, exact) in places.iter().zip(exact.chunks(classes.max(1))) {
        let found = all.chunks(classes.max(1)).nth(*place).ok_or("it answered fewer items")?;
        if arg_max(found) != arg_max(exact) {
            return Err(format!("item {place} is of another class there"));
        }
        let delta = found.iter().zip(exact).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs()).fold(0.0, f64::max);
        let micro = (delta * 1e6).ceil() as u64;
        if micro > DELTA_MICRO_MAX {
            return Err(format!("a logit of item {place} is {delta:.6} off"));
        }
        most = most.max(micro);
    }
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_twentieth_is_drawn_and_never_fewer_than_say_something() {
        assert_eq!([sample(10, 1).len(), sample(200, 1).len(), sample(10_000, 1).len()], [10, 32, 500]);
        assert!(sample(10_000, 1) != sample(10_000, 2) && sample(10_000, 1) == sample(10_000, 1));
    }

    #[test]
    fn what_is_another_class_or_too_far_off_is_an_incident() {
        let exact = [0.0, 1.0, 2.0, 1.0];
        assert_eq!(apart(&[9.0, 9.0, 0.0, 1.000_5, 2.0, 1.0], &exact, &[1, 2], 2), Ok(500));
        assert!(apart(&[9.0, 9.0, 1.0, 0.0, 2.0, 1.0], &exact, &[1, 2], 2).unwrap_err().contains("another class"));
        assert!(apart(&[9.0, 9.0, 0.0, 1.002, 2.0, 1.0], &exact, &[1, 2], 2).unwrap_err().contains("off"));
        assert!(apart(&[9.0, 9.0, 0.0, f32::NAN, 2.0, 1.0], &exact, &[1, 2], 2).is_err());
    }
}
