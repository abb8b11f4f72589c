//! The committed fingerprints of independent students against what the built-in competition states. It trains nothing: see
//! docs/COPIES.md.

use crate::models::nulls;
use copies::{Fingerprint, Relation, Thresholds, compare, relation};
use std::path::Path;

fn students(family: &str) -> Vec<Fingerprint> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("calibration").join(family);
    let mut paths: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| Fingerprint::from_bytes(&std::fs::read(path).unwrap()).unwrap()).collect()
}

const FAMILIES: [&str; 4] = ["mlp", "resnet", "depthwise_cnn", "mobilenet_v2"];

#[test]
fn what_is_stated_is_beyond_the_committed_null_and_flags_none_of_it() {
    let stated = nulls();
    let families = FAMILIES.map(students);
    let mut pairs = 0;
    for (name, students) in FAMILIES.iter().zip(&families) {
        let thresholds = Thresholds::between(Some(&stated), name, name);
        let (mut weights, mut residuals) = (i32::MIN, i32::MIN);
        for (index, a) in students.iter().enumerate() {
            for b in &students[index + 1..] {
                let evidence = compare(a, b);
                weights = weights.max(evidence.weight_match_ppm.unwrap());
                residuals = residuals.max(evidence.residual_correlation_ppm.unwrap());
                assert_eq!(relation(&evidence, &thresholds), Relation::Independent, "{name}");
                pairs += 1;
            }
        }
        let null = stated.families[*name];
        assert!(null.weight_match_max_ppm as i32 >= weights, "{name}: {weights}");
        assert!(null.residual_correlation_max_ppm as i32 >= residuals, "{name}: {residuals}");
        assert!(stated.residual_correlation_max_ppm >= null.residual_correlation_max_ppm, "{name}");
    }
    for (index, (name, students)) in FAMILIES.iter().zip(&families).enumerate() {
        for (other, others) in FAMILIES.iter().zip(&families).skip(index + 1) {
            for (a, b) in students.iter().flat_map(|a| others.iter().map(move |b| (a, b))) {
                let found = relation(&compare(a, b), &Thresholds::between(Some(&stated), name, other));
                assert_eq!(found, Relation::Independent, "{name} {other}");
                pairs += 1;
            }
        }
    }
    assert!(pairs >= 500, "{pairs} honest pairs");
}

#[test]
fn students_of_different_architectures_are_judged_by_their_outputs_alone() {
    let (a, b) = (&students("mlp")[0], &students("resnet")[0]);
    let evidence = compare(a, b);
    assert!(evidence.weight_match_ppm.is_none() && evidence.residual_correlation_ppm.is_some());
    assert_eq!(relation(&evidence, &Thresholds::between(Some(&nulls()), "mlp", "resnet")), Relation::Independent);
    assert_eq!(Thresholds::between(Some(&nulls()), "vit", "vit").weight_match_ppm, None);
}
