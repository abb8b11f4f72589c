//! Whole evaluations of untrained models on real images.

use crate::support::{
    ITEMS, MLP, PUBLIC, RESNET, changed_package, config, effort, engine, engine_with, evaluate, images, input, order,
    package, request,
};
use burn::tensor::{Device, Tensor, TensorData};
use datasets::arg_max;
use eval::{Cancel, Engine, Handicap, Home, Phase, Pinning, Progress, Samples};
use models::{Network, Weights};
use protocol::Digest;
use protocol::evaluation::{EvaluationFailure, EvaluationRequest, Order, PackageBytes, Scope};
use protocol::package::{Expected, package_digest};
use protocol::submission::Code;
use rand::SeedableRng;
use rand_chacha::ChaCha20Rng;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use std::cell::RefCell;
use std::sync::Arc;

#[test]
fn a_report_says_what_was_measured_and_on_what() {
    let candidate = package(RESNET, 2);
    let evaluation = evaluate(&engine(), &request(candidate.clone(), None)).unwrap();
    let report = &evaluation.report;

    let digests = (Digest::of(&candidate.config_json), Digest::of(&candidate.weights));
    assert_eq!(report.package_sha256, package_digest(&digests.0, &digests.1));
    assert_eq!(report.data.images_sha256, Digest::of(&images().pixels));
    assert_eq!((report.data.items, report.data.public_items, report.data.seed), (ITEMS, PUBLIC, 7));
    assert_eq!(report.device, "flex");
    assert!(report.host.sandbox.starts_with("strict ns=user,"), "{}", report.host.sandbox);
    assert!(report.engine.starts_with("retort-eval/"), "{}", report.engine);
    assert!(report.host.flush_to_zero);
    assert!(!report.host.kernel.is_empty() && report.host.cores > 0);

    let costs = config(RESNET).plan().unwrap().costs().unwrap();
    assert_eq!((report.cost.parameters, report.cost.macs), (costs.parameters, costs.macs));
    assert_eq!((report.cost.size_bytes, report.cost.file_bytes), (costs.size_bytes, candidate.weights.len() as u64));
    assert!(report.cost.peak_rss_bytes > 1 << 20 && report.cost.throughput_milli > 0);

    let answered: u32 = report.quality.confusion.iter().flatten().sum();
    assert_eq!(answered, ITEMS);
    assert!(report.quality.public_correct <= report.quality.correct);
    assert_eq!(report.fidelity.agreement, ITEMS, "without a teacher the candidate is the teacher");
}

#[test]
fn a_model_of_more_classes_than_a_byte_tells_apart_is_measured_like_any_other() {
    let many = |seed| {
        let mut config = config(MLP);
        config.labels = (0..300).map(|class| class.to_string()).collect();
        let weights = Weights::random(&config.plan().unwrap(), &mut ChaCha20Rng::seed_from_u64(seed));
        let weights = weights.to_safetensors().unwrap().into();
        PackageBytes { config_json: serde_json::to_vec(&config).unwrap().into(), weights }
    };
    let mut request = request(many(2), None);
    request.order.reference = many(1);
    let logits = engine().evaluate(&request.order, &|_| {}).unwrap().outputs;
    // The truth is what the model answers, but for one item, whose last byte is right.
    let mut labels: Vec<u16> = logits.chunks(300).map(|row| arg_max(row) as u16).collect();
    let wrong = labels.iter().position(|label| *label > 255).unwrap();
    labels[wrong] -= 256;
    request.truth.labels = labels.into();
    let evaluation = evaluate(&engine(), &request).unwrap();
    let quality = &evaluation.report.quality;
    assert_eq!((quality.correct, quality.confusion.len()), (ITEMS - 1, 0));
    let right = &evaluation.outcomes.values().right;
    assert!(right.iter().enumerate().all(|(item, right)| *right == (item != wrong)));
}

#[test]
fn latency_is_an_ordered_interval_that_the_stored_samples_recompute() {
    let evaluation = evaluate(&engine(), &request(package(RESNET, 2), None)).unwrap();
    let latency = &evaluation.report.latency;
    let ratio = latency.ratio;
    assert!(0 < ratio.low_ppm && ratio.low_ppm <= ratio.value_ppm && ratio.value_ppm <= ratio.high_ppm, "{ratio:?}");
    assert_eq!(latency.launches, 2);
    assert!(latency.pairs >= 40 && latency.p50_ns > 0 && latency.cold_load_ns > latency.p50_ns);

    let samples: Samples = serde_json::from_slice(&evaluation.latency_samples).unwrap();
    assert_eq!(samples.summary(), *latency);
    assert!(samples.output_delta_micro_max <= 100, "timed inferences gave other outputs: {samples:?}");
    let counts = [&samples.control, &samples.other_items, &samples.repeated_item, &samples.random_twin].map(Vec::len);
    assert_eq!(counts, [1; 4]);
    for pair in samples.launches.iter().flat_map(|launch| &launch.pairs) {
        assert!(pair.subject_worker_ns <= pair.subject_ns && pair.baseline_worker_ns <= pair.baseline_ns);
    }
}

#[test]
fn logits_are_those_of_the_same_network_without_a_worker() {
    let evaluation = evaluate(&engine(), &request(package(RESNET, 2), None)).unwrap();
    let plan = config(RESNET).plan().unwrap();
    let weights = Weights::from_safetensors(&package(RESNET, 2).weights, &plan).unwrap();
    let device = Device::flex();
    let table = input().normalisation()[0];
    let values: Vec<f32> = images().pixels.iter().map(|pixel| table[usize::from(*pixel)]).collect();
    let inputs = Tensor::<4>::from_data(TensorData::new(values, [ITEMS as usize, 1, 28, 28]), &device);
    let logits = Network::new(&plan, &weights, &device).unwrap().forward(inputs);
    let expected: Vec<f32> = logits.into_data().try_into_vec().unwrap();
    assert_eq!(expected.len(), evaluation.logits.len());
    for (found, expected) in evaluation.logits.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-3, "{found} is not {expected}");
    }
}

#[test]
fn outputs_have_the_same_bits_in_every_run_with_any_threads() {
    let request = request(package(RESNET, 3), None);
    let digest = |accuracy_threads| {
        let engine = Engine { accuracy_threads, effort: effort(1), ..engine() };
        evaluate(&engine, &request).unwrap().report.outputs_sha256
    };
    let one = digest(1);
    assert_eq!(one, digest(1));
    assert_eq!(one, digest(2));
}

#[test]
fn a_teacher_with_the_same_outputs_agrees_and_another_differs() {
    let engine = Engine { effort: effort(1), ..engine() };
    let own = evaluate(&engine, &request(package(RESNET, 2), None)).unwrap().logits;
    let same = evaluate(&engine, &request(package(RESNET, 2), Some(own.clone()))).unwrap().report;
    assert_eq!((same.fidelity.agreement, same.fidelity.kl_micronats), (ITEMS, 0));
    assert_eq!((same.quality.negative_flips, same.quality.positive_flips), (0, 0));

    let other = evaluate(&engine, &request(package(RESNET, 9), Some(own))).unwrap().report;
    assert!(other.fidelity.agreement < ITEMS && other.fidelity.js_micronats > 0);
    let (better, worse) = (other.quality.positive_flips, other.quality.negative_flips);
    assert_eq!(other.quality.correct + worse, same.quality.correct + better);
}

#[test]
fn progress_goes_through_every_phase_and_never_back() {
    let seen = RefCell::new(Vec::new());
    let remember = |progress: Progress| seen.borrow_mut().push(progress);
    engine().evaluate(&order(package(MLP, 2)), &remember).unwrap();
    let seen = seen.into_inner();
    let phases: Vec<Phase> = seen.chunk_by(|a, b| a.phase == b.phase).map(|group| group[0].phase).collect();
    assert_eq!(phases, [Phase::Accuracy, Phase::Latency]);
    for phase in phases {
        let percents: Vec<u8> = seen.iter().filter(|p| p.phase == phase).map(|p| p.percent).collect();
        assert!(percents.is_sorted() && percents.last() == Some(&100), "{phase:?}: {percents:?}");
    }
}

/// What a package would bring that answers like this to the public items from `first` on, named by their pixels.
fn expected(first: usize, logits: &[f32]) -> Arc<Expected> {
    let (items, values) = (logits.len() / 10, logits.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
    let pixels = &images().pixels[784 * first..][..784 * items];
    let logits = TensorView::new(Dtype::F32, vec![items, 10], &values).unwrap();
    let images = TensorView::new(Dtype::U8, vec![items, 1, 28, 28], pixels).unwrap();
    let file = safetensors::serialize([("logits", logits), ("images", images)], None).unwrap();
    Arc::new(Expected::read(&file, input().shape(), 10).unwrap())
}

#[test]
fn what_a_package_expects_is_compared_before_anything_is_measured() {
    let usual = request(package(RESNET, 2), None);
    let logits = engine().evaluate(&usual.order, &|_| {}).unwrap().outputs;
    let phases = |request: &EvaluationRequest| {
        let seen = RefCell::new(Vec::new());
        let came = engine().evaluate(&request.order, &|at: Progress| seen.borrow_mut().push(at.phase));
        let mut seen = seen.into_inner();
        seen.dedup();
        (seen, came)
    };
    // Items 100 to 115, so that they must be found.
    let mut answers = logits[1000..1160].to_vec();
    let (seen, came) = phases(&usual.clone().claiming(Some(expected(100, &answers))).unwrap());
    assert_eq!(seen, [Phase::Expected, Phase::Accuracy, Phase::Latency]);
    assert_eq!(came.unwrap().outputs, logits, "what was compared changes nothing that is measured");

    answers[34] += 1.0;
    let (seen, came) = phases(&usual.clone().claiming(Some(expected(100, &answers))).unwrap());
    assert_eq!(seen, [Phase::Expected], "something was measured");
    let Err(EvaluationFailure::Package(rejection)) = came else { panic!("no rejection") };
    assert_eq!(rejection.code, Code::ExpectedDiffers);
    assert!(rejection.detail.starts_with("public item 103, class 4: the engine answers"), "{rejection}");

    // Nobody published items 120 and on, so there is nothing to compare.
    let (seen, came) = phases(&usual.claiming(Some(expected(PUBLIC as usize, &answers))).unwrap());
    assert!(came.is_ok() && seen.contains(&Phase::Latency));
}

#[test]
fn who_gave_the_order_is_asked_whether_it_is_worth_timing_and_by_no_other_order() {
    let (engine, asked) = (Engine { effort: effort(1), ..engine() }, RefCell::new(Vec::new()));
    let machine = engine.lease.wait(|_| {}).unwrap();
    let measured = |scope, says: bool| {
        let is_worth_timing = |outputs: &[f32]| {
            asked.borrow_mut().push(outputs.len());
            says
        };
        let home = Home { progress: &|_| {}, is_worth_timing: &is_worth_timing };
        let order = Order { scope, ..order(package(MLP, 2)) };
        engine.evaluate_on(&machine, &order, &Cancel::default(), home).unwrap()
    };
    for scope in [Scope::Full, Scope::OutputsOnly] {
        measured(scope, false);
    }
    assert!(asked.borrow().is_empty());
    assert_eq!(measured(Scope::FullIfWorthIt, true).measured.latency.launches, 1);
    let not_timed = measured(Scope::FullIfWorthIt, false);
    assert_eq!((not_timed.measured.latency.launches, not_timed.log_ratio_nanos.len()), (0, 0));
    assert_eq!(*asked.borrow(), [10 * ITEMS as usize; 2]);
}

#[test]
fn logits_that_are_no_numbers_are_the_packages_fault() {
    let spoiled = changed_package(MLP, 2, |weights| {
        let (name, mut array) = weights.iter().next().map(|(name, array)| (name.to_owned(), array.clone())).unwrap();
        array.values[0] = f32::NAN;
        weights.insert(name, array);
    });
    assert_eq!(code_of(evaluate(&engine(), &request(spoiled, None))), Some(Code::OutputsInvalid));
}

#[test]
fn packages_that_do_not_load_are_refused_with_their_own_codes() {
    let good = package(MLP, 2);
    let mut cut = good.clone();
    cut.weights = good.weights[..100].into();
    let mut other_weights = good.clone();
    other_weights.weights = package(RESNET, 2).weights;
    let mut other_input = config(MLP);
    other_input.input.height = 27;
    let mut other_labels = config(MLP);
    other_labels.labels.pop();
    let with = |config| protocol::evaluation::PackageBytes {
        config_json: serde_json::to_vec(&config).unwrap().into(),
        ..good.clone()
    };
    let cases = [
        (cut, Code::NotSafetensors),
        (other_weights, Code::TensorMissing),
        (with(other_input), Code::InputMismatch),
        (with(other_labels), Code::LabelsMismatch),
    ];
    for (candidate, code) in cases {
        assert_eq!(code_of(evaluate(&engine(), &request(candidate, None))), Some(code));
    }
}

#[test]
fn a_reference_that_does_not_load_is_never_the_candidates_fault() {
    let mut order = order(package(MLP, 2));
    order.reference.weights = order.reference.weights[..100].into();
    let failure = engine().evaluate(&order, &|_| {}).unwrap_err();
    assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("reference")), "{failure}");
}

#[test]
fn items_that_contradict_each_other_are_never_the_candidates_fault() {
    let good = order(package(MLP, 2));
    let mut cases = [good.clone(), good.clone(), good];
    cases[0].inputs.pixels = images().pixels[1..].to_vec().into();
    cases[1].inputs.pixels = Vec::new().into();
    cases[2].probes = images().pixels[1..].into();
    for order in cases {
        let failure = engine().evaluate(&order, &|_| {}).unwrap_err();
        assert!(matches!(&failure, EvaluationFailure::Infrastructure(why) if why.contains("items")), "{failure}");
    }
}

fn code_of(outcome: Result<protocol::evaluation::Evaluation, EvaluationFailure>) -> Option<Code> {
    match outcome.unwrap_err() {
        EvaluationFailure::Package(rejection) => Some(rejection.code),
        EvaluationFailure::Infrastructure(why) => panic!("not the package's fault: {why}"),
    }
}

#[test]
fn a_seed_comes_back_as_json_can_hold_it() {
    let engine = Engine { effort: effort(1), ..engine() };
    let order = Order { seed: u64::MAX, ..order(package(MLP, 2)) };
    let answer = engine.evaluate(&order, &|_| {}).unwrap();
    assert_eq!(answer.measured.about.seed, (1 << 53) - 1);
    let samples: Samples = serde_json::from_slice(&answer.latency_samples).unwrap();
    assert_eq!(samples.seed, (1 << 53) - 1);
}

#[test]
fn timed_workers_are_kept_to_the_core_that_the_report_names() {
    let order = order(package(MLP, 2));
    let core = engine().evaluate(&order, &|_| {}).unwrap().measured.host.pinned_core;
    let script = "sleep 0.3; grep Cpus_allowed_list /proc/self/status >&2; exit 5";
    let failure =
        engine_with("/bin/sh", &["-c", script]).latency_with(&order, Handicap::default()).unwrap_err().to_string();
    // Where the system refuses, the report says nothing and there is nothing to hold it to.
    if let Some(core) = core {
        assert!(failure.ends_with(&format!("Cpus_allowed_list: {core}")), "{failure}");
    }

    let free = Engine { pinning: Pinning::Off, prior: false, ..engine() };
    let host = free.evaluate(&order, &|_| {}).unwrap().measured.host;
    assert_eq!((host.pinned_core, host.priority_raised), (None, false));
}
