//! Known answers: `data/operators.jsonl.gz` (scripts/engine_operators.py) and `data/exports.jsonl.gz`
//! (scripts/engine_exports.py).

use engine::Tensor;
use engine::conformance::{Case, TOLERANCE};
use flate2::read::GzDecoder;
use program::{Dtype, TensorType};
use serde::Deserialize;
use std::io::{BufRead, BufReader};
use std::path::Path;

#[derive(Deserialize)]
struct Line {
    name: String,
    model: String,
    inputs: Vec<Written>,
    outputs: Vec<Written>,
}

#[derive(Deserialize)]
struct Written {
    dtype: String,
    dims: Vec<u64>,
    data: String,
}

impl Written {
    fn tensor(&self) -> Tensor {
        let dtype = Dtype::ALL.into_iter().find(|dtype| dtype.to_string() == self.dtype).expect("a type");
        let ty = TensorType::new(dtype, self.dims.clone()).expect("a shape");
        Tensor::of_bytes(&ty, &hex::decode(&self.data).expect("hex")).expect("as many values")
    }
}

fn cases(file: &str) -> Vec<Case> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(file);
    let packed = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let case = |line: Result<String, std::io::Error>| {
        let line: Line = serde_json::from_str(&line.expect("text")).expect("a case");
        Case {
            file: hex::decode(&line.model).expect("hex"),
            inputs: line.inputs.iter().map(Written::tensor).collect(),
            outputs: line.outputs.iter().map(Written::tensor).collect(),
            tolerance: TOLERANCE,
            name: line.name,
        }
    };
    BufReader::new(GzDecoder::new(packed)).lines().map(case).collect()
}

/// Single operators from ONNX's own tests.
pub(crate) fn operators() -> Vec<Case> {
    cases("operators.jsonl.gz")
}

/// Networks as PyTorch exports them, with its answers.
pub(crate) fn exports() -> Vec<Case> {
    cases("exports.jsonl.gz")
}
