//! Answers from a backend in place of the official engine: taken where a sample agrees, and only where the order allows it.

use crate::support::{ITEMS, RESNET, engine, evaluate, package, request};
use eval::{Cancel, Engine, Home};
use protocol::backend::Backend;
use protocol::evaluation::{EvaluationRequest, Scope};

/// To answer on rten, which the engine officially has, or on a backend.
fn on_rten(backends: &[Backend]) -> EvaluationRequest {
    let mut request = request(package(RESNET, 2), None);
    request.order.engine = "rten".parse().unwrap();
    (request.order.backends, request.order.scope) = (backends.to_vec(), Scope::OutputsOnly);
    request
}

fn with(accuracy_on: Option<Backend>) -> Engine {
    Engine { accuracy_on, ..engine() }
}

#[test]
fn a_backend_answers_where_a_manifest_allows_it_and_the_sample_agrees() {
    let official = evaluate(&with(None), &on_rten(&[Backend::Flex])).unwrap();
    assert_eq!((official.report.on_backend, official.report.device.as_str()), (None, "rten"));
    let found = evaluate(&with(Some(Backend::Flex)), &on_rten(&[Backend::Wgpu, Backend::Flex])).unwrap();
    let on_backend = found.report.on_backend.unwrap();
    assert_eq!((on_backend.backend, on_backend.held_against, &on_backend.incident), (Backend::Flex, 32, &None));
    assert!(on_backend.delta_micro_max < 100, "{on_backend:?}");
    assert_eq!(found.report.device, "flex");
    assert!(found.report.engine.ends_with(" rten 0.27.0"), "latency is the official engine's: {}", found.report.engine);
    assert_eq!(found.report.quality.correct, official.report.quality.correct);
    assert_ne!(
        found.report.outputs_sha256, official.report.outputs_sha256,
        "they are another engine's, to the last bit"
    );
    assert_eq!(found.logits.len(), 10 * ITEMS as usize);
}

#[test]
fn whatever_a_machine_prefers_the_official_engine_answers_where_nothing_else_is_allowed() {
    for (request, preferred) in [
        (on_rten(&[]), Backend::Flex),
        (on_rten(&[Backend::Flex]), Backend::Wgpu),
        (on_rten(&[Backend::Rten]), Backend::Rten),
    ] {
        let found = evaluate(&with(Some(preferred)), &request).unwrap();
        assert_eq!((found.report.on_backend, found.report.device.as_str()), (None, "rten"));
    }
}

/// A device that isn't in this build stands for any that fails.
#[cfg(not(feature = "wgpu"))]
#[test]
fn a_backend_that_fails_is_an_incident_and_nobodys_fault() {
    let official = evaluate(&with(None), &on_rten(&[])).unwrap();
    let found = evaluate(&with(Some(Backend::Wgpu)), &on_rten(&[Backend::Wgpu])).unwrap();
    let incident = found.report.on_backend.unwrap().incident.unwrap();
    assert!(incident.contains("--features wgpu"), "{incident}");
    assert_eq!(found.report.outputs_sha256, official.report.outputs_sha256, "all of them are the official engine's");
    assert_eq!(found.report.device, "rten");
}

#[test]
fn a_cancelled_order_ends_on_a_backend_too() {
    let engine = with(Some(Backend::Flex));
    let machine = engine.lease.wait(|_| {}).unwrap();
    let cancel = Cancel::default();
    cancel.cancel();
    let home = Home { progress: &|_| {}, is_worth_timing: &|_| true };
    assert!(engine.evaluate_on(&machine, &on_rten(&[Backend::Flex]).order, &cancel, home).is_err());
}
