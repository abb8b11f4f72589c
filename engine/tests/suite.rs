//! The suite itself: an engine that knows the answers passes, and one that breaks any promise doesn't.

use crate::data;
use engine::conformance::{Case, check};
use engine::scripted::{Fault, Scripted};
use program::{Limits, onnx};

const LIMITS: Limits =
    Limits { file_bytes_max: 1 << 28, parameters_max: 1 << 28, macs_max: 1 << 40, activation_bytes_max: 1 << 28 };

/// An engine that knows the answers to `cases`.
fn scripted(cases: &[Case], fault: Fault) -> Scripted {
    let read: Vec<_> = cases.iter().map(|case| onnx::read_as_stated(&case.file, &LIMITS).unwrap()).collect();
    let known = read.iter().zip(cases).map(|(read, case)| (&read.graph, case.inputs.clone(), case.outputs.clone()));
    Scripted::new(known, fault)
}

#[test]
fn an_engine_that_knows_the_answers_passes() {
    let cases = data::exports();
    let findings = check(&scripted(&cases, Fault::None), &cases);
    assert!(findings.broken.is_empty() && findings.refused.is_empty(), "{findings:#?}");
    assert_eq!(findings.passed, 2 * cases.len());
}

#[test]
fn an_engine_that_breaks_a_promise_is_found_out() {
    let cases: Vec<Case> = data::exports().into_iter().filter(|case| case.name == "mlp-script").collect();
    assert_eq!(cases.len(), 1);
    for (fault, words) in [
        (Fault::NotReady, "isn't ready"),
        (Fault::Wrong, "is 0, not"),
        (Fault::Tired, "other answers"),
        (Fault::Careless, "an input less is taken"),
        (Fault::Generous, "outputs"),
        (Fault::Panics, "panicked"),
        (Fault::Poisoned, "changes the answer to the next"),
    ] {
        let findings = check(&scripted(&cases, fault), &cases);
        assert!(findings.broken.iter().any(|what| what.contains(words)), "{fault:?}: {findings:#?}");
    }
}
