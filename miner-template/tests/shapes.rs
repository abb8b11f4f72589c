//! Copies in other shapes: they say what their originals say, and are called copies for it. It trains nothing; what
//! trained models give is in docs/COPIES.md.

use crate::nulls;
use copies::disguise::shape::{self, Filling, Reshaped};
use copies::disguise::{self, Encoding};
use copies::{
    Fingerprint, PROBES_DEFAULT, ProbeLogits, Relation, Thresholds, Tier, compare, compare_outputs, probes, relation,
    relation_to_entry,
};
use datasets::Images;
use miner_template::augment::Augmentation;
use miner_template::teacher;
use models::{DeviceKind, Weights};
use protocol::package::PackageConfig;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};

const FAMILIES: [&str; 4] = [
    r#"{"kind":"mlp","hidden":[24,16]}"#,
    r#"{"kind":"resnet","width":8,"blocks":[1,1]}"#,
    r#"{"kind":"depthwise_cnn","stem":8,"stem_stride":2,"blocks":[{"channels":16,"stride":1},{"channels":24,"stride":2}]}"#,
    r#"{"kind":"mobilenet_v2","stem":8,"stem_stride":2,"blocks":[{"expansion":1,"channels":8,"repeats":1,"stride":1},{"expansion":4,"channels":12,"repeats":2,"stride":2}],"head":24}"#,
];

fn config(architecture: &str) -> PackageConfig {
    let text = format!(
        r#"{{"format":"retort/1","architecture":{architecture},"input":{{"channels":1,"height":12,"width":12,
        "mean_ppm":[286040],"deviation_ppm":[353020]}},"labels":["a","b","c","d"]}}"#
    );
    PackageConfig::from_json(text.as_bytes()).unwrap()
}

fn random(config: &PackageConfig, seed: u64) -> Weights {
    Weights::random(&config.plan().unwrap(), &mut ChaCha20Rng::seed_from_u64(seed))
}

fn on_probes(config: &PackageConfig, safetensors: &[u8]) -> Vec<f32> {
    let shape = config.input.shape();
    let pixels = probes(&[7; 32], shape, PROBES_DEFAULT);
    said(config, safetensors, pixels)
}

fn said(config: &PackageConfig, safetensors: &[u8], pixels: Vec<u8>) -> Vec<f32> {
    let shape = config.input.shape();
    let count = (pixels.len() as u64 / shape.values()) as u32;
    let (channels, height, width) = (shape.channels, shape.height, shape.width);
    let images = Images { count, channels, height, width, pixels, labels: Vec::new() };
    let device = DeviceKind::Flex.open().unwrap();
    let network = teacher::load(&config.plan().unwrap(), safetensors, &device).unwrap();
    teacher::logits(&network, &images, Augmentation::default(), &config.input.normalisation(), &device, |_| {})
}

fn shapes(config: &PackageConfig, weights: &Weights) -> Vec<(&'static str, Reshaped)> {
    let widened = |filling| shape::widened(config, weights, filling, 5).unwrap();
    vec![
        ("one unit split", widened(Filling::Split)),
        ("dead unit", widened(Filling::Dead)),
        ("zero-padded width", widened(Filling::Zero)),
        ("identity layer or block", shape::deepened(config, weights, 5).unwrap()),
    ]
}

fn damaged(Reshaped { config, weights }: &Reshaped) -> Vec<(&'static str, Vec<u8>)> {
    let plan = config.plan().unwrap();
    let noisy = |share| disguise::noisy(&plan, weights, share, 6).to_safetensors().unwrap();
    vec![
        ("alone", weights.to_safetensors().unwrap()),
        ("noise 1 %", noisy(0.01)),
        ("noise 5 %", noisy(0.05)),
        ("f16", disguise::encoded(weights, Encoding::F16).unwrap()),
        ("int8", disguise::through_int8(&plan, weights).to_safetensors().unwrap()),
    ]
}

/// With what a teacher of another architecture says: a stranger to all of them.
fn print(config: &PackageConfig, safetensors: &[u8], teacher: &[f32]) -> Fingerprint {
    let student = on_probes(config, safetensors);
    let probes = ProbeLogits { student: &student, teacher };
    Fingerprint::new(&serde_json::to_vec(config).unwrap(), safetensors, Some(probes)).unwrap()
}

fn teacher_says() -> Vec<f32> {
    let config = config(r#"{"kind":"vit","patch":4,"width":16,"depth":1,"heads":2,"mlp_width":32}"#);
    on_probes(&config, &random(&config, 9).to_safetensors().unwrap())
}

#[test]
fn each_shape_keeps_the_function_and_is_called_a_copy_under_each_disguise() {
    let teacher = teacher_says();
    for architecture in FAMILIES {
        let config = config(architecture);
        let original = random(&config, 1);
        let bytes = original.to_safetensors().unwrap();
        let (says, original_print) = (on_probes(&config, &bytes), print(&config, &bytes, &teacher));
        let largest = says.iter().fold(0f32, |largest, logit| largest.max(logit.abs()));
        for (name, copy) in shapes(&config, &original) {
            assert_ne!(copy.config.architecture, config.architecture);
            let copied = on_probes(&copy.config, &copy.weights.to_safetensors().unwrap());
            let off = says.iter().zip(&copied).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
            assert!(off <= 1e-4 * largest, "{architecture}, {name}: off by {off} of {largest}");
            for (damage, bytes) in damaged(&copy) {
                let evidence = compare(&original_print, &print(&copy.config, &bytes, &teacher));
                let family = original_print.family();
                let found = relation(&evidence, &Thresholds::between(Some(&nulls()), family, family));
                assert!(matches!(found, Relation::Copy(_)), "{architecture}, {name}, {damage}: {found:?} {evidence:?}");
            }
        }
    }
}

#[test]
fn the_teacher_in_another_shape_is_found_by_what_it_says() {
    for architecture in FAMILIES {
        let config = config(architecture);
        let weights = random(&config, 1);
        let bytes = weights.to_safetensors().unwrap();
        let says = on_probes(&config, &bytes);
        let teacher = print(&config, &bytes, &says);
        for (name, copy) in shapes(&config, &weights) {
            for (damage, bytes) in damaged(&copy) {
                let evidence = compare(&teacher, &print(&copy.config, &bytes, &says));
                let found = relation_to_entry(&evidence, &Thresholds::of_outputs(Some(&nulls())));
                assert!(matches!(found, Relation::Copy(_)), "{architecture}, {name}, {damage}: {evidence:?}");
            }
        }
    }
}

/// It is silent on images with black corners, as those of Fashion-MNIST have, and drowns everything else out.
#[test]
fn a_unit_that_fires_on_probes_alone_breaks_them_and_not_the_comparison_on_real_items() {
    let config = config(FAMILIES[0]);
    let original = random(&config, 1);
    let blinded = shape::blinded(&config, &original, 3).unwrap();
    let [bytes, copy] = [&original, &blinded.weights].map(|weights| weights.to_safetensors().unwrap());
    let teacher = teacher_says();
    let evidence = compare(&print(&config, &bytes, &teacher), &print(&blinded.config, &copy, &teacher));
    let thresholds = Thresholds::between(Some(&nulls()), "mlp", "mlp");
    assert!(evidence.residual_correlation_ppm.unwrap() < thresholds.residual_support_ppm, "{evidence:?}");

    let mut pixels = probes(&[8; 32], config.input.shape(), PROBES_DEFAULT);
    for (index, pixel) in pixels.iter_mut().enumerate() {
        let beside = |at: usize| !(3..9).contains(&at);
        if beside(index % 12) && beside(index / 12 % 12) {
            *pixel = 0;
        }
    }
    let vit = self::config(r#"{"kind":"vit","patch":4,"width":16,"depth":1,"heads":2,"mlp_width":32}"#);
    let teacher = said(&vit, &random(&vit, 9).to_safetensors().unwrap(), pixels.clone());
    let [first, second] =
        [(&config, &bytes), (&blinded.config, &copy)].map(|(config, bytes)| said(config, bytes, pixels.clone()));
    let fresh = compare_outputs(&first, &second, &teacher, 4).unwrap();
    assert!(fresh.residual_correlation_ppm.unwrap() > 999_000, "{fresh:?}");
    let evidence = copies::Evidence { fresh_residual_correlation_ppm: fresh.residual_correlation_ppm, ..evidence };
    assert_eq!(relation(&evidence, &thresholds), Relation::Copy(Tier::Function));
}
