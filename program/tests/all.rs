//! The crate through its door: real exports, hostile files, mutated files, memory.

#![expect(clippy::unwrap_used, reason = "tests")]

mod classes;
mod exports;
mod file;
mod forms;
mod hostile;
mod memory;
mod mutated;
mod operators;
mod package;
mod tree;

use program::{Dtype, Limits, Port, Signature};
use std::path::PathBuf;

/// Limits of a competition of small images.
const LIMITS: Limits =
    Limits { file_bytes_max: 64 << 20, parameters_max: 16 << 20, macs_max: 1 << 32, activation_bytes_max: 16 << 20 };

fn folder(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

fn fixture(name: &str) -> Vec<u8> {
    std::fs::read(folder("fixtures").join(format!("{name}.onnx"))).unwrap()
}

/// One input and one output of float32.
fn floats(input: &[u32], output: &[u32]) -> Signature {
    Signature {
        inputs: vec![Port::fixed("input", Dtype::F32, input)],
        outputs: vec![Port::fixed("logits", Dtype::F32, output)],
    }
}

/// The signature of a fixture.
fn signature(name: &str) -> Signature {
    match name {
        "mlp-script" => floats(&[1, 1, 7, 7], &[1, 10]),
        "recurrent-script" => floats(&[1, 5, 8], &[1, 3]),
        "text-script" => text(&[32]),
        _ => floats(&[1, 1, 28, 28], &[1, 10]),
    }
}

/// The text encoder's, of some lengths.
fn text(lengths: &[u32]) -> Signature {
    let port = |name: &str| Port {
        name: name.to_owned(),
        dtype: Dtype::I64,
        dims: vec![program::Dim::Fixed(1), program::Dim::Classes(lengths.to_vec())],
    };
    Signature { inputs: vec![port("ids"), port("mask")], outputs: vec![Port::fixed("logits", Dtype::F32, &[1, 4])] }
}

const FIXTURES: [&str; 8] = [
    "conv-script",
    "conv-dynamo",
    "conv-qdq",
    "vit-script",
    "text-script",
    "recurrent-script",
    "mlp-script",
    "resnet-script",
];
