//! What every engine has to do, as one suite: known answers within a tolerance, the same bits for the same input, and a
//! typed error for what isn't the graph's. Tests run it for each engine, and for scripted ones that break each promise.
//!
//! It reads no files: cases are the caller's (`tests/data` holds operators from ONNX's own tests and exports of PyTorch).

use crate::failure::{Refused, RunError};
use crate::id::Mode;
use crate::tensor::{Tensor, Values};
use crate::{Runtime, Session};
use program::{Dtype, Graph, Limits, Shape, TensorType, onnx};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How far floats may be off, of one or of the expected value where that is larger.
pub const TOLERANCE: f32 = 1e-4;

/// What a case may cost: far more than any does.
const LIMITS: Limits =
    Limits { file_bytes_max: 1 << 28, parameters_max: 1 << 28, macs_max: 1 << 40, activation_bytes_max: 1 << 28 };

/// A model, what goes in, and what has to come out.
#[derive(Clone, Debug)]
pub struct Case {
    /// What it is called.
    pub name: String,
    /// The model as somebody wrote it.
    pub file: Vec<u8>,
    /// In the file's order.
    pub inputs: Vec<Tensor>,
    /// In the file's order.
    pub outputs: Vec<Tensor>,
    /// How far floats may be off: [`TOLERANCE`] but for what is quantised.
    pub tolerance: f32,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Cases, in each mode, that did all they have to.
    pub passed: usize,
    /// Cases that the engine doesn't take, and why: each engine's tests name them.
    pub refused: Vec<(String, Refused)>,
    /// What isn't as it has to be.
    pub broken: Vec<String>,
}

/// Runs every case in both modes.
pub fn check(runtime: &dyn Runtime, cases: &[Case]) -> Findings {
    let mut findings = Findings::default();
    if let Err(error) = runtime.prepare().and_then(|()| runtime.prepare()) {
        findings.broken.push(format!("it isn't ready: {error}"));
    }
    for case in cases {
        for mode in [Mode::Exact, Mode::Fast] {
            let checked = catch_unwind(AssertUnwindSafe(|| one(runtime, case, mode)));
            match checked.unwrap_or_else(|_| Err(Finding::Broken("it panicked".to_owned()))) {
                Ok(()) => findings.passed += 1,
                Err(Finding::Refused(why)) => findings.refused.push((case.name.clone(), why)),
                Err(Finding::Broken(what)) => findings.broken.push(format!("{} ({mode}): {what}", case.name)),
            }
        }
    }
    findings
}

enum Finding {
    Refused(Refused),
    Broken(String),
}

fn broken<T>(what: impl Into<String>) -> Result<T, Finding> {
    Err(Finding::Broken(what.into()))
}

fn one(runtime: &dyn Runtime, case: &Case, mode: Mode) -> Result<(), Finding> {
    let lowered = onnx::read_as_stated(&case.file, &LIMITS)
        .map_err(|refusal| Finding::Broken(format!("it isn't admitted: {refusal}")))?;
    let load = || runtime.load(&lowered.graph, mode).map_err(Finding::Refused);
    let (mut session, mut other) = (load()?, load()?);
    if session.ports().outputs.len() != case.outputs.len() {
        return broken("the ports aren't the graph's");
    }
    answers(&mut *session, case, &lowered.graph)?;
    repeats(&mut *session, &mut *other, case)?;
    refuses(&mut *session, case)?;
    survives(&mut *session, case)
}

/// The known answers, in buffers that held something else.
fn answers(session: &mut dyn Session, case: &Case, graph: &Graph<'_>) -> Result<(), Finding> {
    let mut outputs = case.inputs.clone();
    run(session, &case.inputs, &mut outputs)?;
    if outputs.len() != graph.outputs.len() {
        return broken(format!("{} outputs, not {}", outputs.len(), graph.outputs.len()));
    }
    match outputs.iter().zip(&case.outputs).find_map(|(output, expected)| apart(output, expected, case.tolerance)) {
        Some(what) => broken(what),
        None => Ok(()),
    }
}

/// The same bits again, after other inputs, and from another session.
fn repeats(session: &mut dyn Session, other: &mut dyn Session, case: &Case) -> Result<(), Finding> {
    let (mut first, mut again, mut elsewhere) = (Vec::new(), Vec::new(), Vec::new());
    run(session, &case.inputs, &mut first)?;
    let blank = case
        .inputs
        .iter()
        .map(|tensor| Tensor::filled(&tensor.ty(), 0))
        .collect::<Option<Vec<_>>>()
        .unwrap_or_default();
    // What it says to that is its own; it may fail, as on an index that isn't there.
    let _ = session.run(&blank, &mut again);
    run(session, &case.inputs, &mut again)?;
    run(other, &case.inputs, &mut elsewhere)?;
    match bits(&first) == bits(&again) && bits(&first) == bits(&elsewhere) {
        true => Ok(()),
        false => broken("the same input has other answers"),
    }
}

/// Typed errors for what isn't the graph's.
fn refuses(session: &mut dyn Session, case: &Case) -> Result<(), Finding> {
    let Some((first, rest)) = case.inputs.split_first() else { return broken("the case has no input") };
    let mut dims = first.shape().dims().to_vec();
    match dims.first_mut() {
        Some(dim) => *dim = dim.saturating_add(1),
        None => dims.push(2),
    }
    let longer =
        Shape::new(dims).ok().and_then(|shape| Tensor::filled(&TensorType { dtype: first.values().dtype(), shape }, 0));
    let dtype = if first.values().dtype() == Dtype::F32 { Dtype::I64 } else { Dtype::F32 };
    let other = Tensor::filled(&TensorType { dtype, shape: first.shape().clone() }, 0);
    let more = case.inputs.iter().chain([first]).cloned().collect();
    let instead = |tensor: Option<Tensor>| tensor.into_iter().chain(rest.iter().cloned()).collect();
    for (what, inputs) in [
        ("an input less", rest.to_vec()),
        ("an input more", more),
        ("another shape", instead(longer)),
        ("another type", instead(other)),
    ] {
        match session.run(&inputs, &mut Vec::new()) {
            Err(RunError::Inputs(_)) => {}
            Err(error) => return broken(format!("{what} isn't named as what it is: {error}")),
            Ok(()) => return broken(format!("{what} is taken")),
        }
    }
    Ok(())
}

/// Numbers that are none: any answer or error, and the right answer to the next input.
fn survives(session: &mut dyn Session, case: &Case) -> Result<(), Finding> {
    let mut before = Vec::new();
    run(session, &case.inputs, &mut before)?;
    for value in [f32::NAN, f32::INFINITY, f32::MAX] {
        let strange = |tensor: &Tensor| match tensor.values() {
            Values::F32(values) => Tensor::new(tensor.shape().clone(), Values::F32(vec![value; values.len()])),
            _ => Some(tensor.clone()),
        };
        let strange: Option<Vec<Tensor>> = case.inputs.iter().map(strange).collect();
        let _ = session.run(&strange.unwrap_or_default(), &mut Vec::new());
    }
    let mut after = Vec::new();
    run(session, &case.inputs, &mut after)?;
    if bits(&before) == bits(&after) { Ok(()) } else { broken("an input changes the answer to the next one") }
}

fn run(session: &mut dyn Session, inputs: &[Tensor], outputs: &mut Vec<Tensor>) -> Result<(), Finding> {
    session.run(inputs, outputs).map_err(|error| Finding::Broken(error.to_string()))
}

fn bits(tensors: &[Tensor]) -> Vec<u8> {
    let mut bytes = Vec::new();
    tensors.iter().for_each(|tensor| tensor.write(&mut bytes));
    bytes
}

/// How two tensors differ, if they do.
pub fn apart(found: &Tensor, expected: &Tensor, tolerance: f32) -> Option<String> {
    if !found.is(&expected.ty()) {
        return Some(format!("{} comes out, not {}", found.ty(), expected.ty()));
    }
    let differs = |at: usize, found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Some(format!("value {at} is {found}, not {expected}"))
    };
    match (found.values(), expected.values()) {
        (Values::F32(found), Values::F32(expected)) => {
            let near =
                |a: f32, b: f32| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0);
            let at = found.iter().zip(expected).position(|(a, b)| !near(*a, *b))?;
            differs(at, found.get(at)?, expected.get(at)?)
        }
        // Quantising rounds what two engines computed with other last bits: a step up or down.
        (Values::U8(found), Values::U8(expected)) => {
            let at = found.iter().zip(expected).position(|(a, b)| a.abs_diff(*b) > 1)?;
            differs(at, found.get(at)?, expected.get(at)?)
        }
        (Values::I8(found), Values::I8(expected)) => {
            let at = found.iter().zip(expected).position(|(a, b)| a.abs_diff(*b) > 1)?;
            differs(at, found.get(at)?, expected.get(at)?)
        }
        (found, expected) => (found != expected).then(|| "other whole numbers come out".to_owned()),
    }
}
