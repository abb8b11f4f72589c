//! Copies under disguise against strangers, without training. It does NOT measure recall: docs/COPIES.md does.

use crate::models::{MATCHED, MLP, MOBILENET, Model, RESNET, VIT, nulls};
use copies::disguise::{self, Encoding};
use copies::{
    Evidence, FUNCTION_PPM, Fingerprint, Relation, Signal, Thresholds, Tier, compare, relation, relation_to_entry,
    unless_known,
};
use protocol::nulls::FamilyNull;

fn print(model: &Model, safetensors: &[u8]) -> Fingerprint {
    Fingerprint::new(&model.config_json, safetensors, None).unwrap()
}

fn against_original(model: &Model, safetensors: &[u8]) -> Evidence {
    compare(&print(model, &model.safetensors()), &print(model, safetensors))
}

#[test]
fn the_same_bytes_are_the_same_package() {
    for architecture in MATCHED.into_iter().chain([VIT]) {
        let model = Model::random(architecture, 1);
        let evidence = against_original(&model, &model.safetensors());
        assert!(evidence.same_package && evidence.same_canonical && evidence.same_symmetric, "{architecture}");
    }
}

#[test]
fn a_copy_in_half_the_bytes_is_canonically_the_same_in_every_family() {
    for architecture in MATCHED.into_iter().chain([VIT]) {
        for encoding in [Encoding::F16, Encoding::Bf16] {
            let model = Model::random(architecture, 1);
            let evidence = against_original(&model, &disguise::encoded(&model.weights, encoding).unwrap());
            assert!(!evidence.same_package, "{architecture}");
            assert!(evidence.same_canonical, "{architecture} {encoding:?} {:?}", evidence.layers);
        }
    }
}

#[test]
fn shuffled_and_rescaled_units_are_symmetrically_the_same() {
    for architecture in MATCHED {
        let model = Model::random(architecture, 1);
        let shuffled = disguise::permuted(&model.plan, &model.weights, 7);
        let both = disguise::rescaled(&model.plan, &shuffled, 8);
        for bytes in [
            shuffled.to_safetensors().unwrap(),
            both.to_safetensors().unwrap(),
            disguise::encoded(&both, Encoding::Bf16).unwrap(),
        ] {
            let evidence = against_original(&model, &bytes);
            assert!(!evidence.same_canonical, "{architecture}");
            assert!(evidence.same_symmetric, "{architecture} {:?}", evidence.layers);
        }
    }
}

#[test]
fn strangers_share_neither_numbers_nor_units() {
    for architecture in MATCHED.into_iter().chain([VIT]) {
        let [a, b] = [1, 2].map(|seed| Model::random(architecture, seed));
        let evidence = compare(&print(&a, &a.safetensors()), &print(&b, &b.safetensors()));
        assert!(!evidence.same_canonical && !evidence.same_symmetric, "{architecture}");
        assert!(evidence.weight_match_ppm.is_none_or(|ppm| ppm < 700_000), "{architecture} {evidence:?}");
    }
}

#[test]
fn noise_pruning_and_int8_leave_units_recognisable() {
    for architecture in MATCHED {
        let model = Model::random(architecture, 1);
        let shuffled = disguise::permuted(&model.plan, &model.weights, 7);
        for changed in [
            disguise::noisy(&model.plan, &shuffled, 0.1, 3),
            disguise::pruned(&model.plan, &shuffled, 0.3),
            disguise::through_int8(&model.plan, &shuffled),
        ] {
            let evidence = against_original(&model, &changed.to_safetensors().unwrap());
            assert!(evidence.weight_match_ppm.unwrap() > 950_000, "{architecture} {evidence:?}");
        }
    }
}

#[test]
fn a_shuffle_changes_the_weights_and_its_seed_decides_how() {
    let model = Model::random(RESNET, 1);
    let shuffled = |seed| disguise::permuted(&model.plan, &model.weights, seed);
    assert_ne!(shuffled(1), model.weights);
    assert_ne!(shuffled(1), shuffled(2));
    assert_eq!(shuffled(1), shuffled(1));
}

#[test]
fn other_architectures_have_no_weights_in_common() {
    let (a, b) = (Model::random(MLP, 1), Model::random(MOBILENET, 1));
    let evidence = compare(&print(&a, &a.safetensors()), &print(&b, &b.safetensors()));
    assert_eq!((evidence.weight_match_ppm, evidence.layers.len()), (None, 0));
    assert_eq!(relation(&evidence, &Thresholds::between(Some(&nulls()), "mlp", "mobilenet_v2")), Relation::Independent);
}

#[test]
fn evidence_is_the_same_in_both_directions_and_each_time() {
    let [a, b] = [1, 2].map(|seed| Model::random(RESNET, seed));
    let [a, b] = [&a, &b].map(|model| print(model, &model.safetensors()));
    assert_eq!(compare(&a, &b), compare(&a, &b));
    let stored = Fingerprint::from_bytes(&a.to_bytes().unwrap()).unwrap();
    assert_eq!(compare(&stored, &b), compare(&a, &b));
    assert_eq!(compare(&a, &b).same_symmetric, compare(&b, &a).same_symmetric);
}

#[test]
fn one_signal_alone_is_a_suspicion_and_both_are_a_copy() {
    let model = Model::random(MLP, 1);
    let mut evidence = against_original(&model, &model.safetensors());
    (evidence.same_package, evidence.same_canonical, evidence.same_symmetric) = (false, false, false);
    let mut stated = nulls();
    let null = FamilyNull { weight_match_max_ppm: 400_000, residual_correlation_max_ppm: 300_000 };
    stated.families.insert("mlp".into(), null);
    let thresholds = Thresholds::between(Some(&stated), "mlp", "mlp");
    let (alone, support) = (650_000, 370_000);
    assert_eq!(thresholds.weight_match_ppm, Some(700_000));
    assert_eq!((thresholds.residual_correlation_ppm, thresholds.residual_support_ppm), (alone, support));
    let mut judge = |units: Option<i32>, errors: Option<i32>| {
        (evidence.weight_match_ppm, evidence.residual_correlation_ppm) = (units, errors);
        relation(&evidence, &thresholds)
    };
    assert_eq!(judge(Some(700_000), Some(support)), Relation::Copy(Tier::MatchedAndCorrelated));
    assert_eq!(judge(Some(969_999), Some(support - 1)), Relation::Suspicion(Signal::WeightMatch));
    // Units that match as those of copies do need errors that have something in common.
    assert_eq!(judge(Some(970_000), Some(250_000)), Relation::Copy(Tier::MatchedAndCorrelated));
    assert_eq!(judge(Some(1_000_000), Some(249_999)), Relation::Suspicion(Signal::WeightMatch));
    assert_eq!(judge(Some(1_000_000), None), Relation::Suspicion(Signal::WeightMatch));
    assert_eq!(judge(Some(699_999), Some(650_000)), Relation::Suspicion(Signal::ResidualCorrelation));
    assert_eq!(judge(None, Some(FUNCTION_PPM - 1)), Relation::Suspicion(Signal::ResidualCorrelation));
    assert_eq!(judge(None, Some(FUNCTION_PPM)), Relation::Copy(Tier::Function));
    assert_eq!(judge(Some(699_999), Some(649_999)), Relation::Independent);
}

#[test]
fn the_same_errors_on_fresh_items_are_the_same_function_whatever_the_probes_say() {
    let model = Model::random(MLP, 1);
    let mut evidence = against_original(&model, &model.safetensors());
    (evidence.same_package, evidence.same_canonical, evidence.same_symmetric) = (false, false, false);
    (evidence.weight_match_ppm, evidence.residual_correlation_ppm) = (None, Some(10_000));
    let thresholds = Thresholds::between(Some(&nulls()), "mlp", "resnet");
    assert_eq!(relation(&evidence, &thresholds), Relation::Independent);
    evidence.fresh_residual_correlation_ppm = Some(thresholds.fresh_function_ppm);
    assert_eq!(relation(&evidence, &thresholds), Relation::Copy(Tier::Function));
}

/// What two honest students have in common on data that nobody measured isn't known.
#[test]
fn without_a_null_only_equal_weights_and_equal_functions_make_a_copy() {
    let model = Model::random(MLP, 1);
    let mut evidence = against_original(&model, &model.safetensors());
    let thresholds = Thresholds::between(None, "mlp", "mlp");
    assert_eq!(relation(&evidence, &thresholds), Relation::Copy(Tier::Bytes));
    (evidence.same_package, evidence.same_canonical, evidence.same_symmetric) = (false, false, false);
    let mut judge = |units: Option<i32>, probes: i32, fresh: i32| {
        evidence.weight_match_ppm = units;
        (evidence.residual_correlation_ppm, evidence.fresh_residual_correlation_ppm) = (Some(probes), Some(fresh));
        relation(&evidence, &thresholds)
    };
    assert_eq!(judge(Some(1_000_000), 998_999, 998_999), Relation::Suspicion(Signal::WeightMatch));
    assert_eq!(judge(Some(100_000), 998_999, 998_999), Relation::Suspicion(Signal::ResidualCorrelation));
    assert_eq!(judge(Some(100_000), 500_000, 500_000), Relation::Independent);
    assert_eq!(judge(None, 999_000, 0), Relation::Copy(Tier::Function));
    assert_eq!(judge(None, 0, 999_000), Relation::Copy(Tier::Function));
    evidence.fresh_residual_correlation_ppm = None;
    evidence.unexplained_ppm = Some(1_000);
    assert_eq!(relation_to_entry(&evidence, &thresholds), Relation::Independent);
    evidence.unexplained_ppm = Some(999);
    assert_eq!(relation_to_entry(&evidence, &thresholds), Relation::Copy(Tier::Outputs));
}

#[test]
fn outputs_that_an_entry_0_explains_are_its_own() {
    let model = Model::random(MLP, 1);
    let mut evidence = against_original(&model, &model.safetensors());
    (evidence.same_package, evidence.same_canonical, evidence.same_symmetric) = (false, false, false);
    let thresholds = Thresholds::between(Some(&nulls()), "mlp", "mlp");
    (evidence.weight_match_ppm, evidence.unexplained_ppm) = (None, Some(thresholds.entry_unexplained_ppm));
    assert_eq!(relation_to_entry(&evidence, &thresholds), Relation::Independent);
    evidence.unexplained_ppm = Some(thresholds.entry_unexplained_ppm - 1);
    assert_eq!(relation_to_entry(&evidence, &thresholds), Relation::Copy(Tier::Outputs));
}

#[test]
fn a_known_start_makes_nobody_a_copy_unless_the_two_are_closer_to_each_other_than_to_it() {
    let near = Relation::Copy(Tier::MatchedAndCorrelated);
    let same = Relation::Copy(Tier::Bytes);
    assert_eq!(unless_known(near, &[(near, near)]), Relation::KnownStart);
    assert_eq!(unless_known(near, &[(Relation::Independent, near), (near, near)]), Relation::KnownStart);
    assert_eq!(unless_known(near, &[(near, Relation::Independent)]), near);
    assert_eq!(unless_known(near, &[]), near);
    // Two who enter the public package as it is; and one who takes what the other made of it.
    assert_eq!(unless_known(same, &[(same, same)]), Relation::KnownStart);
    assert_eq!(unless_known(same, &[(near, near)]), same);
}
