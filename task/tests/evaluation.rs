//! From an answer to an evaluation: what is computed here, and which answers are none.

use protocol::Digest;
use protocol::backend::{Backend, OnBackend};
use protocol::competition::InputSpec;
use protocol::evaluation::{
    Answer, EvaluationFailure, EvaluationRequest, Inputs, Measured, Order, PackageBytes, Scope, Truth, outputs_digest,
};
use protocol::report::{Cost, Phases};
use std::sync::Arc;
use task::{AnswerError, evaluation, is_worth_timing};

/// Four items of two pixels, told apart into three classes; the first two are public.
fn request() -> EvaluationRequest {
    let package = |text: &str| PackageBytes { config_json: b"{}"[..].into(), weights: text.as_bytes().into() };
    let spec = InputSpec { channels: 1, height: 1, width: 2, mean_ppm: vec![0], deviation_ppm: vec![1_000_000] };
    let order = Order {
        candidate: package("candidate"),
        reference: package("reference"),
        inputs: Inputs { spec, pixels: vec![1, 2, 3, 4, 5, 6, 7, 8].into() },
        probes: Arc::from([9, 9]),
        expected: None,
        engine: Default::default(),
        backends: Vec::new(),
        scope: Scope::FullIfWorthIt,
        seed: 7,
        wall_seconds_max: 1,
        memory_bytes_max: 1,
    };
    let teacher = Some(rows([0, 1, 1, 0]).into());
    EvaluationRequest::new(order, Truth { labels: Arc::from([0, 1, 2, 0]), public: 2, teacher_logits: teacher })
}

/// Logits of these answers.
fn rows<const N: usize>(answers: [usize; N]) -> Vec<f32> {
    answers.into_iter().flat_map(|answer| [0, 1, 2].map(|class| if class == answer { 2.0 } else { 0.0 })).collect()
}

fn answer(request: &EvaluationRequest) -> Answer {
    let measured = Measured {
        about: request.order.about().expect("its pixels are in memory"),
        engine: "engine/1".into(),
        host: Default::default(),
        device: "device".into(),
        on_backend: None,
        latency: Default::default(),
        cost: Cost { size_bytes: 9, ..Cost::default() },
        phases_ms: Phases { accuracy: 5, ..Phases::default() },
    };
    let (outputs, probe_outputs) = (rows([0, 2, 2, 1]), rows([1]));
    Answer { measured, outputs, probe_outputs, latency_samples: b"[]".to_vec(), log_ratio_nanos: vec![-5, 5] }
}

#[test]
fn a_report_says_what_was_measured_and_what_it_is_worth_beside_the_truth() {
    let request = request();
    let found = evaluation(&request, answer(&request)).unwrap();
    let report = &found.report;
    assert_eq!(report.about(), request.order.about().unwrap());
    assert_eq!((report.data.items, report.data.public_items, report.data.seed), (4, 2, 7));
    assert_eq!((report.engine.as_str(), report.device.as_str(), report.phases_ms.accuracy), ("engine/1", "device", 5));
    assert_eq!(report.outputs_sha256, outputs_digest(&rows([0, 2, 2, 1])));
    let quality = &report.quality;
    assert_eq!((quality.correct, quality.public_correct), (2, 1));
    assert_eq!((quality.negative_flips, quality.positive_flips), (2, 1));
    assert_eq!(report.fidelity.agreement, 1);
    let outcomes = found.outcomes.values();
    assert_eq!(outcomes.right, [true, false, true, false]);
    assert_eq!((outcomes.public_items, outcomes.size_bytes), (2, 9));
    assert_eq!((outcomes.js_micronats[0], outcomes.log_ratio_nanos.as_slice()), (0, &[-5, 5][..]));
    assert_eq!((found.probe_logits, found.latency_samples), (rows([1]), b"[]".to_vec()));
}

#[test]
fn without_a_teacher_the_candidate_is_the_teacher() {
    let mut request = request();
    request.truth.teacher_logits = None;
    let found = evaluation(&request, answer(&request)).unwrap();
    assert_eq!((found.report.fidelity.agreement, found.report.quality.negative_flips), (4, 0));
    assert_eq!(found.outcomes.values().js_micronats, [0; 4]);
}

#[test]
fn an_answer_to_another_order_is_none() {
    let request = request();
    let changes: [fn(&mut Answer); 4] = [
        |answer| answer.measured.about.package_sha256 = Digest::of(b"another"),
        |answer| answer.measured.about.images_sha256 = Digest::of(b"others"),
        |answer| answer.measured.about.items += 1,
        |answer| answer.measured.about.seed += 1,
    ];
    for change in changes {
        let mut answer = answer(&request);
        change(&mut answer);
        assert_eq!(evaluation(&request, answer).unwrap_err(), AnswerError::Another);
    }
}

#[test]
fn answers_come_from_no_backend_that_the_order_does_not_allow() {
    let mut request = request();
    let with = |request: &EvaluationRequest| {
        let mut answer = answer(request);
        let found = OnBackend { backend: Backend::Wgpu, held_against: 4, delta_micro_max: 0, incident: None };
        answer.measured.on_backend = Some(found);
        evaluation(request, answer)
    };
    assert_eq!(with(&request).unwrap_err(), AnswerError::Backend(Backend::Wgpu));
    request.order.backends = vec![Backend::Tch, Backend::Wgpu];
    assert_eq!(with(&request).unwrap().report.on_backend.unwrap().backend, Backend::Wgpu);
}

#[test]
fn outputs_that_are_no_rows_or_no_numbers_are_refused() {
    let request = request();
    let with = |outputs: Vec<f32>, probe_outputs: Vec<f32>| {
        evaluation(&request, Answer { outputs, probe_outputs, ..answer(&request) }).unwrap_err()
    };
    let uneven = |found| AnswerError::Outputs { found, items: 4, probes: 1 };
    assert_eq!(with(vec![], vec![]), uneven(0));
    assert_eq!(with(rows([0, 0, 0, 0])[1..].to_vec(), rows([1])), uneven(14));
    assert_eq!(with(rows([0, 0, 0, 0]), vec![]), uneven(12));
    let mut spoiled = rows([0, 0, 0, 0]);
    spoiled[5] = f32::NAN;
    assert_eq!(with(spoiled, rows([1])), AnswerError::NotFinite);
    assert_eq!(with(rows([0, 0, 0, 0]), vec![f32::INFINITY; 3]), AnswerError::NotFinite);
}

#[test]
fn a_truth_that_is_not_one_of_these_items_is_never_the_packages_fault() {
    let changes: [fn(&mut EvaluationRequest); 5] = [
        |request| request.truth.labels = Arc::from([0, 1, 2]),
        |request| request.truth.labels = Arc::from([0, 1, 2, 3]),
        |request| request.truth.teacher_logits = Some(Arc::from([0.0; 7])),
        |request| request.truth.teacher_logits = Some(Arc::from([0.0; 8])),
        |request| request.truth.public = 5,
    ];
    for change in changes {
        let mut request = request();
        change(&mut request);
        let failure = EvaluationFailure::from(evaluation(&request, answer(&request)).unwrap_err());
        assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("items")), "{failure}");
    }
}

#[test]
fn a_model_is_worth_timing_from_so_many_right_answers_on() {
    let mut request = request();
    let outputs = rows([0, 2, 2, 1]);
    for (timed_from, is_worth_it) in [(0, true), (2, true), (3, false)] {
        request.timed_from = timed_from;
        assert_eq!(is_worth_timing(&request, &outputs), is_worth_it, "{timed_from}");
    }
    assert!(!is_worth_timing(&request, &[]), "what is no answer isn't right");
}
