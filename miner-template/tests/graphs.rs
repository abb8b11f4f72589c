//! Students of the catalogue as ONNX files (scripts/onnx_students.py): admitted by the same rules, and recognised in either
//! format by what they say. Their own answers are onnxruntime's, as they were written beside them; the others are burn's.

use crate::{assets, nulls};
use copies::{Fingerprint, ProbeLogits, Relation, Thresholds, Tier, compare, relation, same_on_items};
use datasets::{FashionMnist, Images};
use miner_template::augment::Augmentation;
use miner_template::files::PackageFiles;
use miner_template::source::Assets;
use miner_template::teacher;
use models::DeviceKind;
use program::package::{Admitted, Package, admit};
use protocol::competition::Taken;
use protocol::package::{Admission, Format, PackageConfig};
use std::path::{Path, PathBuf};

/// As many as the script asked about.
const ITEMS: u32 = 256;
/// The package that each was exported from.
const STUDENTS: [(&str, &str); 2] = [("resnet", "fixtures/pytorch_student"), ("mlp", "scale/mlp-12k-train-3")];

fn models(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../models").join(path)
}

fn graph(name: &str) -> PackageFiles {
    PackageFiles::read(&models(&format!("fixtures/onnx/{name}"))).unwrap()
}

fn logits(name: &str) -> Vec<f32> {
    let bytes = std::fs::read(models(&format!("fixtures/onnx/{name}/logits.f32"))).unwrap();
    bytes.as_chunks::<4>().0.iter().map(|value| f32::from_le_bytes(*value)).collect()
}

fn items() -> Images {
    let Images { channels, height, width, pixels, labels, .. } = FashionMnist::load_test().unwrap();
    let values = (ITEMS * channels * height * width) as usize;
    let labels = labels[..ITEMS as usize].to_vec();
    Images { count: ITEMS, channels, height, width, pixels: pixels[..values].to_vec(), labels }
}

fn said(config: &PackageConfig, weights: &[u8], items: &Images) -> Vec<f32> {
    let device = DeviceKind::Flex.open().unwrap();
    let config = PackageConfig::of_package(&serde_json::to_vec(config).unwrap(), weights).unwrap();
    let network = teacher::load(&config.plan().unwrap(), weights, &device).unwrap();
    teacher::logits(&network, items, Augmentation::default(), &config.input.normalisation(), &device, |_| {})
}

fn catalogue(path: &str, items: &Images) -> (PackageFiles, Vec<f32>) {
    let files = PackageFiles::read(&models(path)).unwrap();
    let said = said(&PackageConfig::from_json(&files.config_json).unwrap(), &files.weights, items);
    (files, said)
}

fn print(assets: &Assets, files: &PackageFiles, student: &[f32], teacher: &[f32]) -> Fingerprint {
    let ports = (assets.input.shape(), assets.labels.len());
    let probes = Some(ProbeLogits { student, teacher });
    Fingerprint::of_package(&files.config_json, &files.weights, ports, probes).unwrap()
}

#[test]
fn an_exported_student_costs_what_its_package_does() {
    let assets = assets();
    let rules = Admission { input: &assets.input, labels: &assets.labels, limits: &assets.limits };
    for (name, path) in STUDENTS {
        let admitted = |files: &PackageFiles| {
            let package = Package { format: files.format, config_json: &files.config_json, model: &files.weights };
            admit(&package, &rules, &[Taken::Catalogue, Taken::Onnx]).unwrap_or_else(|why| panic!("{name}: {why}"))
        };
        let (onnx, weights) = (admitted(&graph(name)), admitted(&PackageFiles::read(&models(path)).unwrap()));
        assert!(matches!((&onnx, &weights), (Admitted::Onnx(_), Admitted::Catalogue(_))));
        let (onnx, weights) = (onnx.costs(), weights.costs());
        assert_eq!((onnx.macs, onnx.size_bytes), (weights.macs, weights.size_bytes), "{name}");
    }
}

#[test]
fn a_student_is_recognised_in_either_format_by_what_it_says() {
    let (assets, items) = (assets(), items());
    let teacher = assets.teacher.as_ref().map(|teacher| said(&teacher.config, &teacher.weights, &items)).unwrap();
    let prints = STUDENTS.map(|(name, path)| {
        let (files, burn) = catalogue(path, &items);
        let onnx = logits(name);
        let off = burn.iter().zip(&onnx).fold(0f32, |off, (a, b)| off.max((a - b).abs()));
        assert!(onnx.len() == burn.len() && off < 1e-3, "{name} is off by {off}");
        (print(&assets, &files, &burn, &teacher), print(&assets, &graph(name), &onnx, &teacher), onnx)
    });
    for (weights, graph, _) in &prints {
        let evidence = compare(weights, graph);
        assert!(evidence.of_graph && evidence.weight_match_ppm.is_none() && evidence.layers.is_empty());
        assert!(!evidence.same_canonical, "another encoding of another description");
        let found = relation(&evidence, &Thresholds::between(Some(&nulls()), weights.family(), graph.family()));
        assert_eq!(found, Relation::Copy(Tier::Function), "{evidence:?}");
        println!("{} as a graph: rc {:?} ppm", weights.family(), evidence.residual_correlation_ppm);
        assert_eq!(Fingerprint::from_bytes(&graph.to_bytes().unwrap()).unwrap(), *graph);
    }
    let [(resnet, resnet_graph, resnet_said), (mlp, mlp_graph, mlp_said)] = &prints;
    for (a, b) in [(resnet, mlp_graph), (mlp, resnet_graph), (resnet_graph, mlp_graph)] {
        let evidence = compare(a, b);
        let found = relation(&evidence, &Thresholds::between(Some(&nulls()), a.family(), b.family()));
        assert!(!matches!(found, Relation::Copy(_)), "{found:?}");
        println!("{} and a stranger: rc {:?} ppm", a.family(), evidence.residual_correlation_ppm);
    }
    // On fresh items, as a round compares everybody.
    let (_, burn) = catalogue(STUDENTS[0].1, &items);
    let threshold = Thresholds::between(Some(&nulls()), "resnet", "onnx").fresh_function_ppm;
    let same = same_on_items(&[&burn, resnet_said, mlp_said], &teacher, 10, threshold).unwrap();
    assert_eq!(same.iter().map(|(a, b, _)| (*a, *b)).collect::<Vec<_>>(), [(0, 1)]);
}

#[test]
fn the_same_graph_written_anew_is_the_same_model_and_not_the_same_bytes() {
    let (assets, files) = (assets(), graph("mlp"));
    let rules = Admission { input: &assets.input, labels: &assets.labels, limits: &assets.limits };
    let given = Package { format: Format::Onnx, config_json: &files.config_json, model: &files.weights };
    let Ok(Admitted::Onnx(admitted)) = admit(&given, &rules, &[Taken::Onnx]) else { panic!("it is admitted") };
    let again = PackageFiles { weights: admitted.canonical.clone(), ..files.clone() };
    let said = logits("mlp");
    let [first, second] = [&files, &again].map(|files| print(&assets, files, &said, &said));
    let evidence = compare(&first, &second);
    assert_eq!((evidence.same_package, evidence.same_canonical), (false, true));
    assert_eq!(
        relation(&evidence, &Thresholds::between(Some(&nulls()), "onnx", "onnx")),
        Relation::Copy(Tier::Canonical)
    );
}
