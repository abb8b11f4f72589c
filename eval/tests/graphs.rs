//! Graphs in the jailed worker: the same answers as burn's, the same measurements, and one engine for both sides.

use crate::support::{ITEMS, MLP, RESNET, engine, evaluate, package, request};
use eval::{Confinement, Engine, RuntimeKind};
use models::Weights;
use program::op::Attribute;
use program::{Constant, Dtype, Graph, Node, Op, TensorType, catalogue, onnx};
use protocol::Digest;
use protocol::evaluation::{EvaluationFailure, PackageBytes};
use protocol::package::PackageConfig;
use protocol::submission::Code;

const CONFIG: &[u8] = br#"{"format":"retort/2","kind":"onnx"}"#;

fn lowered(package: &PackageBytes) -> Graph<'static> {
    let plan = PackageConfig::from_json(&package.config_json).unwrap().plan().unwrap();
    catalogue::lower(&plan, Weights::from_safetensors(&package.weights, &plan).unwrap()).unwrap()
}

fn graph_package(graph: &Graph<'_>) -> PackageBytes {
    PackageBytes { config_json: CONFIG.into(), weights: onnx::write(graph).into() }
}

fn on_rten() -> Engine {
    Engine { instead: Some(RuntimeKind::Rten), ..engine() }
}

fn apart(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).fold(0.0, |most, (a, b)| most.max((a - b).abs()))
}

#[test]
fn a_graph_is_measured_like_the_package_that_it_came_from() {
    let catalogue = package(RESNET, 2);
    let by_burn = evaluate(&engine(), &request(catalogue.clone(), None)).unwrap();
    let graph = graph_package(&lowered(&catalogue));
    let as_graph = evaluate(&engine(), &request(graph.clone(), None)).unwrap();
    assert!(apart(&by_burn.logits, &as_graph.logits) < 1e-4);
    assert_eq!((&as_graph.report.device, &as_graph.report.engine), (&by_burn.report.device, &by_burn.report.engine));
    let by_rten = evaluate(&on_rten(), &request(graph.clone(), None)).unwrap();
    assert!(apart(&by_burn.logits, &by_rten.logits) < 1e-4);
    assert_eq!(by_rten.report.quality.correct, by_burn.report.quality.correct);
    assert_eq!(by_rten.report.cost.macs, by_burn.report.cost.macs);
    let report = &by_rten.report;
    assert_eq!((report.device.as_str(), by_burn.report.device.as_str()), ("rten", "flex"));
    assert!(report.engine.ends_with(" rten 0.27.0"), "{}", report.engine);
    assert!(!by_burn.report.engine.contains("rten"), "{}", by_burn.report.engine);
    assert!(report.host.sandbox.starts_with("strict"), "{}", report.host.sandbox);
    let latency = &report.latency;
    assert!(latency.p50_ns > 0 && latency.launches > 0 && latency.checks.output_delta_micro_max <= 100, "{latency:?}");
    let named = [CONFIG, &graph.weights].map(Digest::of);
    let named = format!("retort/2\nconfig.json {}\nmodel.onnx {}\n", named[0], named[1]);
    assert_eq!(report.package_sha256, Digest::of(named.as_bytes()));
}

#[test]
fn packages_of_the_catalogue_run_on_the_engine_that_is_asked_for() {
    let on_rten = on_rten();
    for architecture in [MLP, RESNET] {
        let catalogue = package(architecture, 3);
        let lowered = graph_package(&lowered(&catalogue));
        let as_package = evaluate(&on_rten, &request(catalogue, None)).unwrap();
        let as_graph = evaluate(&on_rten, &request(lowered, None)).unwrap();
        assert_eq!(as_package.report.outputs_sha256, as_graph.report.outputs_sha256, "{architecture}");
        assert_eq!(as_package.logits.len(), 10 * ITEMS as usize);
    }
}

#[test]
fn a_graph_has_the_same_outputs_outside_the_sandbox() {
    let request = request(graph_package(&lowered(&package(RESNET, 2))), None);
    let [inside, outside] = [Confinement::Sandbox, Confinement::Process]
        .map(|confinement| evaluate(&Engine { confinement, ..on_rten() }, &request).unwrap().report);
    assert_eq!(inside.outputs_sha256, outside.outputs_sha256);
}

/// The graph with its first ReLU replaced by a resampling to the same size that rten doesn't have.
fn with_cubic(mut graph: Graph<'static>) -> Graph<'static> {
    let at = graph.nodes.iter().position(|node| node.op == Op::Relu).unwrap();
    let x = graph.nodes[at].inputs[0].unwrap();
    let sizes: Vec<u8> = graph.ty(x).unwrap().shape.dims().iter().flat_map(|dim| dim.to_le_bytes()).collect();
    let first_made = graph.inputs.len() + graph.initialisers.len();
    let ty = TensorType::new(Dtype::I64, vec![4]).unwrap();
    graph.initialisers.push(Constant::new(ty, sizes.into()).unwrap());
    let moved = |value: &mut usize| *value += usize::from(*value >= first_made);
    for node in &mut graph.nodes {
        node.inputs.iter_mut().chain(&mut node.outputs).flatten().for_each(moved);
    }
    graph.outputs.iter_mut().for_each(|(_, value)| moved(value));
    let Node { inputs, outputs, .. } = graph.nodes[at].clone();
    graph.nodes[at] = Node {
        op: Op::Resize,
        attributes: [("mode", Attribute::Text("cubic"))].into(),
        inputs: vec![inputs[0], None, None, Some(first_made)],
        outputs,
    };
    graph
}

#[test]
fn what_the_engine_does_not_have_is_the_models_fault_and_is_named() {
    let graph = graph_package(&with_cubic(lowered(&package(RESNET, 2))));
    match evaluate(&on_rten(), &request(graph, None)).unwrap_err() {
        EvaluationFailure::Package(rejection) => {
            assert_eq!(rejection.code, Code::EngineRefused, "{rejection}");
            assert!(rejection.detail.contains("Resize in the mode `cubic`"), "{rejection}");
        }
        failure => panic!("{failure}"),
    }
}

#[test]
fn what_is_no_graph_is_refused_before_any_engine() {
    for file in [&b""[..], b"PK\x03\x04", &[0x0a; 100]] {
        let graph = PackageBytes { config_json: CONFIG.into(), weights: file.into() };
        let failure = evaluate(&engine(), &request(graph, None)).unwrap_err();
        assert!(matches!(&failure, EvaluationFailure::Package(_)), "{failure}");
    }
}
