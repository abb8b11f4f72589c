//! What a committed package comes to beside a committed teacher, number by number: what is recorded, signed and ranked
//! changes with no rearrangement of our own. Counts and millionths, which the last bits of an output don't reach.

use crate::support::{engine, evaluate, request};
use protocol::evaluation::{PackageBytes, Scope};
use protocol::report::{Calibration, Cost, Fidelity};
use protocol::score::{Ceiling, ScoreRules, score};
use std::path::Path;

fn committed(package: &str) -> PackageBytes {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(package);
    let bytes = |file: &str| std::fs::read(folder.join(file)).unwrap().into();
    PackageBytes { config_json: bytes("config.json"), weights: bytes("model.safetensors") }
}

#[test]
fn a_committed_package_has_the_report_the_outcomes_and_the_score_that_it_always_had() {
    let outputs = |candidate, teacher| {
        let mut request = request(candidate, teacher);
        (request.order.reference, request.order.scope) = (committed("reference"), Scope::OutputsOnly);
        evaluate(&engine(), &request).unwrap()
    };
    let teacher = outputs(committed("fixtures/pytorch_student"), None);
    let found = outputs(committed("reference"), Some(teacher.logits));
    let (report, outcomes) = (&found.report, found.outcomes.values());

    let quality = &report.quality;
    let counts = [quality.correct, quality.public_correct, quality.negative_flips, quality.positive_flips];
    let diagonal: Vec<u32> = (0..10).map(|class| quality.confusion[class][class]).collect();
    assert_eq!((counts, diagonal), ([176, 102, 13, 5], vec![15, 27, 24, 15, 17, 16, 10, 18, 18, 16]));
    let fidelity = Fidelity { agreement: 180, kl_micronats: 177_531, js_micronats: 31_788, js_micronats_se: 5_774 };
    assert_eq!(report.fidelity, fidelity);
    let calibration = Calibration { ece_ppm: 57_134, brier_ppm: 178_275, nll_micronats: 389_954 };
    assert_eq!(report.calibration, calibration);
    let cost = Cost { peak_rss_bytes: 0, throughput_milli: 0, ..report.cost };
    let expected = Cost {
        size_bytes: 22_244,
        file_bytes: 48_392,
        parameters: 11_230,
        macs: 924_576,
        activation_bytes: 28_224,
        ..Cost::default()
    };
    assert_eq!(cost, expected);

    let right = outcomes.right.iter().enumerate().map(|(item, right)| item * usize::from(*right)).sum::<usize>();
    let js = outcomes.js_micronats.iter().map(|js| u64::from(*js)).sum::<u64>();
    assert_eq!((right, outcomes.public_items, outcomes.size_bytes), (18_011, 120, 22_244));
    // The last bits of a product depend on the processor: 6,357,602 was seen on one without AVX-512.
    assert!(js.abs_diff(6_357_600) <= 20, "{js}");
    let teacher = Ceiling { correct: teacher.report.quality.correct, items: 200 };
    let score = score(report, teacher, &ScoreRules::default());
    assert_eq!((teacher.correct, score.gate, score.composite.value_ppm), (184, true, 823_917));
}
