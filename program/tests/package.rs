//! Packages whose model is an ONNX file, through the function that guards the door.

use crate::file::{Message, float_tensor, graph, int, model, node, tensor};
use crate::{fixture, folder};
use program::package::{Admitted, AdmittedGraph, Classifier, Package, Published, admit, classifier};
use program::{Limits, onnx};
use protocol::Digest;
use protocol::architecture::ImageShape;
use protocol::competition::{self, InputSpec, Taken};
use protocol::package::{Admission, Format, OnnxConfig, package_sha256};
use protocol::submission::{Blame, Code, Rejection};

const BOTH: [Taken; 2] = [Taken::Catalogue, Taken::Onnx];
const SQUARE: ImageShape = ImageShape { channels: 1, height: 28, width: 28 };

struct Rules {
    input: InputSpec,
    labels: Vec<String>,
    limits: competition::Limits,
}

impl Rules {
    fn of(shape: ImageShape, classes: usize) -> Self {
        let ImageShape { channels, height, width } = shape;
        let planes = channels as usize;
        Self {
            input: InputSpec { channels, height, width, mean_ppm: vec![0; planes], deviation_ppm: vec![1; planes] },
            labels: (0..classes).map(|class| format!("class {class}")).collect(),
            limits: competition::Limits {
                size_bytes_max: 1 << 20,
                parameters_max: 1 << 20,
                macs_max: 1 << 28,
                activation_bytes_max: 1 << 20,
                submissions_per_day: 1,
                upload_seconds_max: 1,
                evaluation_seconds_max: 1,
            },
        }
    }

    fn config(&self) -> Vec<u8> {
        serde_json::to_vec(&OnnxConfig::new(&self.labels)).unwrap()
    }

    fn admit_as(&self, format: Format, config_json: &[u8], model: &[u8]) -> Result<Admitted, Rejection> {
        let rules = Admission { input: &self.input, labels: &self.labels, limits: &self.limits };
        admit(&Package { format, config_json, model }, &rules, &BOTH)
    }

    fn admit(&self, config_json: &[u8], model: &[u8]) -> Result<AdmittedGraph, Rejection> {
        match self.admit_as(Format::Onnx, config_json, model)? {
            Admitted::Onnx(graph) => Ok(*graph),
            Admitted::Catalogue(_) => panic!("it is a graph"),
        }
    }

    fn code(&self, config_json: &str, model: &[u8]) -> Code {
        self.admit(config_json.as_bytes(), model).unwrap_err().code
    }
}

#[test]
fn an_export_is_admitted_and_what_is_published_of_it_is_admitted_alike() {
    for name in ["conv-script", "conv-dynamo", "conv-qdq", "vit-script", "resnet-script"] {
        let (rules, file) = (Rules::of(SQUARE, 10), fixture(name));
        for config in [rules.config(), br#"{"format":"retort/2","kind":"onnx"}"#.to_vec()] {
            let whole = rules.admit_as(Format::Onnx, &config, &file).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(whole.package_sha256(), package_sha256(&config, &file), "{name}");
            let Published::Onnx(config, canonical) = whole.published(&file).unwrap() else { panic!("{name}") };
            let again = rules.admit(&config, &canonical).unwrap_or_else(|why| panic!("{name}, published: {why}"));
            assert_eq!((&again.canonical, again.costs), (&canonical, whole.costs()), "{name}");
            assert_eq!(again.model.canonical_sha256, Digest::of(&canonical), "{name}");
            assert_eq!(serde_json::to_vec(&again.config).unwrap().len(), config.len(), "{name}");
            let read = Classifier::read(&file, SQUARE, 10).unwrap();
            assert_eq!((&read.canonical, &read.model), (&canonical, &again.model), "{name}");
        }
    }
}

#[test]
fn what_is_told_of_a_graph_is_what_it_consists_of() {
    let (rules, file) = (Rules::of(SQUARE, 10), fixture("resnet-script"));
    let graph = rules.admit(&rules.config(), &file).unwrap();
    let read = onnx::read(&file, &classifier(SQUARE, 10), &Limits::from(&rules.limits)).unwrap();
    assert_eq!(graph.model.operators.values().sum::<u32>() as usize, read[0].graph.nodes.len());
    assert_eq!(graph.model.operators.keys().map(String::as_str).next(), Some("Add"));
    assert_eq!(graph.costs.parameters, read[0].costs.parameters);
    assert!(graph.model.operators_told().starts_with("Conv "), "{}", graph.model.operators_told());
}

#[test]
fn a_configuration_says_which_format_it_is_of_and_nothing_unknown() {
    let (rules, file) = (Rules::of(SQUARE, 10), fixture("resnet-script"));
    for (config, code) in [
        (r#"{"format":"retort/2","kind":"onnx","input":{}}"#, Code::ConfigInvalid),
        (r#"{"format":"retort/2","kind":"mlp"}"#, Code::ConfigInvalid),
        (r#"{"format":"retort/1","kind":"onnx"}"#, Code::ConfigInvalid),
        (r#"{"format":"retort/3","kind":"onnx"}"#, Code::ConfigInvalid),
        (r#"["retort/2","onnx"]"#, Code::ConfigInvalid),
        (r#"{"format":"retort/2","format":"retort/2","kind":"onnx"}"#, Code::ConfigInvalid),
        ("", Code::ConfigInvalid),
        (r#"{"format":"retort/2","kind":"onnx","labels":["a","b"]}"#, Code::LabelsMismatch),
    ] {
        assert_eq!(rules.code(config, &file), code, "{config}");
    }
    let config = rules.config();
    let as_weights = rules.admit_as(Format::Catalogue, &config, &file).unwrap_err();
    assert!(as_weights.code == Code::ConfigInvalid && as_weights.detail.contains("model.onnx"), "{as_weights}");
    let marked = [&b"\xef\xbb\xbf"[..], &config].concat();
    assert!(rules.admit(&marked, &file).is_ok() && Format::of_config(&marked) == Format::Onnx);
}

#[test]
fn limits_and_kinds_are_the_manifests() {
    let (rules, file) = (Rules::of(SQUARE, 10), fixture("resnet-script"));
    let config = rules.config();
    let costs = rules.admit(&config, &file).unwrap().costs;
    let tight = |change: &dyn Fn(&mut competition::Limits)| {
        let mut tight = Rules::of(SQUARE, 10);
        change(&mut tight.limits);
        tight.admit(&config, &file).unwrap_err().code
    };
    assert_eq!(tight(&|limits| limits.size_bytes_max = file.len() as u64 - 1), Code::FileTooLarge);
    assert_eq!(tight(&|limits| limits.parameters_max = costs.parameters - 1), Code::OverLimit);
    assert_eq!(tight(&|limits| limits.macs_max = costs.macs - 1), Code::OverLimit);
    assert_eq!(tight(&|limits| limits.activation_bytes_max = costs.activation_bytes_peak - 1), Code::OverLimit);
    assert_eq!(Rules::of(SQUARE, 9).code(r#"{"format":"retort/2","kind":"onnx"}"#, &file), Code::OnnxOutput);
    let wide = ImageShape { width: 32, ..SQUARE };
    assert_eq!(Rules::of(wide, 10).code(r#"{"format":"retort/2","kind":"onnx"}"#, &file), Code::OnnxInput);
    let given = Package { format: Format::Onnx, config_json: &config, model: &file };
    let asked = Admission { input: &rules.input, labels: &rules.labels, limits: &rules.limits };
    assert_eq!(admit(&given, &asked, &[Taken::Catalogue]).unwrap_err().code, Code::KindNotTaken);
}

#[test]
fn every_hostile_file_is_refused_at_the_door_and_it_is_the_miners_to_mend() {
    let (mut refused, mut files) = (0, 0);
    for entry in std::fs::read_dir(folder("hostile")).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        for shape in [SQUARE, ImageShape { channels: 3, height: 8, width: 8 }] {
            let rules = Rules::of(shape, 4);
            match rules.admit(&rules.config(), &file) {
                Err(Rejection { code, .. }) if code.blame() == Blame::Miner && !code.hint().is_empty() => refused += 1,
                other => panic!("{}: {:?}", path.display(), other.map(|graph| graph.model)),
            }
        }
        files += 1;
    }
    assert!(files > 40 && refused == 2 * files, "{refused} of {files}");
}

/// A perceptron without a hidden layer, whose weights lie in the file or `beside` it.
fn perceptron(values: &[u8], beside: bool) -> Vec<u8> {
    let shape = [10, 784];
    let entry = |key: &str, value: &str| Message::default().text(1, key).text(2, value);
    let weights = match beside {
        false => tensor("w", 1, &shape, values),
        true => Message::default()
            .int(1, 10)
            .int(1, 784)
            .int(2, 1)
            .text(8, "w")
            .message(13, &entry("location", "model.onnx.data"))
            .message(13, &entry("offset", "4"))
            .message(13, &entry("length", &values.len().to_string()))
            .int(14, 1),
    };
    let nodes = [node("Flatten", &["x"], &["f"]), node("Gemm", &["f", "w", "b"], &["y"]).message(5, &int("transB", 1))];
    model(&graph(&nodes, &[weights, float_tensor("b", &[10], 0.5)], &[1, 1, 28, 28], &[1, 10])).0
}

fn numbers() -> Vec<u8> {
    (0..7840_u32).flat_map(|number| (number as f32 / 7840.0).to_le_bytes()).collect()
}

#[test]
fn numbers_beside_a_file_are_put_into_it_and_never_admitted_beside_it() {
    let (values, rules) = (numbers(), Rules::of(SQUARE, 10));
    let (whole, split) = (perceptron(&values, false), perceptron(&values, true));
    assert_eq!(rules.admit(&rules.config(), &split).unwrap_err().code, Code::OnnxExternalData);
    assert_eq!(onnx::beside(&whole).unwrap(), [] as [String; 0]);
    assert_eq!(onnx::beside(&split).unwrap(), ["model.onnx.data"]);
    let data = [&[7; 4], &values[..], &[7; 9]].concat();
    let inlined = onnx::inlined(&split, |name| (name == "model.onnx.data").then_some(&data[..])).unwrap();
    let canonical = |file: &[u8]| rules.admit(&rules.config(), file).unwrap().canonical;
    assert_eq!(canonical(&inlined), canonical(&whole));
    for short in [&data[..100], b""] {
        let refusal = onnx::inlined(&split, |_| Some(short)).unwrap_err();
        assert_eq!(refusal.code.of_submission(), Code::OnnxExternalData);
    }
    assert!(onnx::inlined(&split, |_| None).is_err());
}

#[test]
fn the_same_numbers_in_another_layout_are_known() {
    let values = numbers();
    let plain = Classifier::read(&perceptron(&values, false), SQUARE, 10).unwrap();
    let rows: Vec<&[u8]> = values.chunks_exact(4).collect();
    let transposed: Vec<u8> = (0..784)
        .flat_map(|column| (0..10).flat_map(move |row| [row * 784 + column]))
        .flat_map(|at| rows[at])
        .copied()
        .collect();
    let nodes =
        [node("Flatten", &["x"], &["f"]), node("MatMul", &["f", "w"], &["m"]), node("Add", &["m", "b"], &["y"])];
    let initialisers = [tensor("w", 1, &[784, 10], &transposed), float_tensor("b", &[10], 0.5)];
    let other = model(&graph(&nodes, &initialisers, &[1, 1, 28, 28], &[1, 10])).0;
    let other = Classifier::read(&other, SQUARE, 10).unwrap();
    assert_ne!(other.model.canonical_sha256, plain.model.canonical_sha256);
    assert!(other.numbers.is_some() && other.numbers == plain.numbers);
    let nudged = [&values[..7836 * 4], &1.0_f32.to_le_bytes().repeat(4)].concat();
    let nudged = Classifier::read(&perceptron(&nudged, false), SQUARE, 10).unwrap();
    assert_ne!(nudged.numbers, plain.numbers);
}

#[test]
fn every_operator_that_is_not_read_is_named_at_once() {
    let nodes = [
        node("Einsum", &["x", "x"], &["a"]),
        node("Relu", &["a"], &["b"]),
        node("Det", &["b"], &["c"]),
        node("Einsum", &["c", "c"], &["y"]),
    ];
    let file = model(&graph(&nodes, &[], &[1, 4], &[1, 4])).0;
    let foreign: Vec<_> = onnx::foreign_operators(&file).unwrap().into_iter().collect();
    assert_eq!(foreign, [("Det".to_owned(), 1), ("Einsum".to_owned(), 2)]);
}

#[test]
fn every_refusal_is_a_code_of_a_submission() {
    for code in program::Code::ALL {
        let rejection: Rejection = code.because("here").into();
        assert_eq!((rejection.code.as_str(), rejection.code.blame()), (code.as_str(), Blame::Miner));
        assert!(code.as_str().starts_with("onnx_") || *code == program::Code::OverLimit, "{code}");
    }
}
