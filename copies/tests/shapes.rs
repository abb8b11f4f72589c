//! Copies in another shape, without training: their units are found again. It does NOT run models:
//! `miner-template/tests/shapes.rs` shows that these disguises keep the function, and docs/COPIES.md the recall.

use crate::models::{MATCHED, MLP, MOBILENET, Model, RESNET, VIT, nulls};
use copies::disguise::shape::{self, Filling, Reshaped};
use copies::disguise::{self, Encoding};
use copies::{Evidence, Fingerprint, Thresholds, compare};
use protocol::package::PackageConfig;

fn shapes(model: &Model) -> Vec<(&'static str, Reshaped)> {
    let config = PackageConfig::from_json(&model.config_json).unwrap();
    let widened = |filling| shape::widened(&config, &model.weights, filling, 5).unwrap();
    vec![
        ("one unit split", widened(Filling::Split)),
        ("dead unit", widened(Filling::Dead)),
        ("zero-padded width", widened(Filling::Zero)),
        ("identity layer or block", shape::deepened(&config, &model.weights, 5).unwrap()),
    ]
}

fn print(config: &PackageConfig, safetensors: &[u8]) -> Fingerprint {
    Fingerprint::new(&serde_json::to_vec(config).unwrap(), safetensors, None).unwrap()
}

fn original(model: &Model) -> Fingerprint {
    Fingerprint::new(&model.config_json, &model.safetensors(), None).unwrap()
}

/// In both directions: whoever came first, the evidence is the same.
fn against(original: &Fingerprint, copy: &Fingerprint) -> Evidence {
    let evidence = compare(original, copy);
    assert_eq!(compare(copy, original).weight_match_ppm, evidence.weight_match_ppm);
    evidence
}

#[test]
fn units_are_found_again_in_another_shape_and_under_every_disguise() {
    for architecture in MATCHED {
        let model = Model::random(architecture, 1);
        let original = original(&model);
        for (name, Reshaped { config, weights }) in shapes(&model) {
            let plan = config.plan().unwrap();
            // Noise before factors: after them it would be sixteen times larger than some rows.
            let shuffle =
                |weights: &weights::Weights| disguise::rescaled(&plan, &disguise::permuted(&plan, weights, 3), 4);
            let noisy = |share| shuffle(&disguise::noisy(&plan, &weights, share, 6));
            let f32 = |weights: &weights::Weights| weights.to_safetensors().unwrap();
            for (disguise, bytes, least) in [
                ("nothing else", f32(&weights), 960_000),
                ("shuffled and rescaled", f32(&shuffle(&weights)), 960_000),
                ("noise 1 %", f32(&noisy(0.01)), 950_000),
                ("noise 5 %", f32(&noisy(0.05)), 900_000),
                ("f16", disguise::encoded(&shuffle(&weights), Encoding::F16).unwrap(), 960_000),
                ("int8", f32(&disguise::through_int8(&plan, &weights)), 950_000),
            ] {
                let evidence = against(&original, &print(&config, &bytes));
                let found = evidence.weight_match_ppm.unwrap_or_else(|| panic!("{architecture}, {name}, {disguise}"));
                let family = original.family();
                let threshold = Thresholds::between(Some(&nulls()), family, family).weight_match_ppm.unwrap();
                assert!(found >= least.max(threshold), "{architecture}, {name}, {disguise}: {found} {evidence:?}");
            }
        }
    }
}

#[test]
fn a_stranger_in_another_shape_shares_no_units() {
    for architecture in MATCHED {
        let [a, b] = [1, 2].map(|seed| Model::random(architecture, seed));
        for (name, Reshaped { config, weights }) in shapes(&b) {
            let evidence = against(&original(&a), &print(&config, &weights.to_safetensors().unwrap()));
            assert!(evidence.weight_match_ppm.unwrap() < 700_000, "{architecture}, {name}: {evidence:?}");
        }
    }
}

#[test]
fn both_members_of_an_ensemble_are_found_in_it() {
    for architecture in MATCHED {
        let members = [1, 2].map(|seed| Model::random(architecture, seed));
        let config = PackageConfig::from_json(&members[0].config_json).unwrap();
        let Reshaped { config, weights } = shape::ensembled(&config, &members[0].weights, &members[1].weights).unwrap();
        let ensemble = print(&config, &weights.to_safetensors().unwrap());
        for member in &members {
            let found = against(&original(member), &ensemble).weight_match_ppm.unwrap();
            assert!(found > 950_000, "{architecture}: {found}");
        }
    }
}

#[test]
fn models_whose_parts_do_not_correspond_have_no_weights_in_common() {
    let deeper = r#"{"kind":"resnet","width":8,"blocks":[1,1,1]}"#;
    let wrong = [(RESNET, deeper), (MLP, MOBILENET), (MLP, VIT)];
    for (a, b) in wrong {
        let evidence = against(&original(&Model::random(a, 1)), &original(&Model::random(b, 1)));
        assert_eq!((evidence.weight_match_ppm, evidence.layers.len()), (None, 0), "{a} {b}");
        assert!(!evidence.same_symmetric && !evidence.same_canonical);
    }
}

#[test]
fn there_is_no_other_shape_for_what_has_none() {
    let model = Model::random(VIT, 1);
    let config = PackageConfig::from_json(&model.config_json).unwrap();
    assert!(shape::widened(&config, &model.weights, Filling::Zero, 1).is_none());
    assert!(shape::deepened(&config, &model.weights, 1).is_none());
    assert!(shape::ensembled(&config, &model.weights, &model.weights).is_none());
    assert!(shape::blinded(&config, &model.weights, 1).is_none());
}
