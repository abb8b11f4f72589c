//! Files as exporters write them.

use crate::tree::Tree;
use crate::{FIXTURES, LIMITS, fixture, folder, signature};
use program::{Costs, Op, onnx};
use protocol::architecture::{Architecture, ImageShape};
use serde_json::json;
use std::process::Command;

#[test]
fn what_exporters_write_is_read_and_what_is_written_is_the_same_graph() {
    for name in FIXTURES {
        let file = fixture(name);
        let read = onnx::read(&file, &signature(name), &LIMITS).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        let [lowered] = &read[..] else { panic!("{name} has one class") };
        let written = onnx::write(&lowered.graph);
        let again =
            onnx::read(&written, &signature(name), &LIMITS).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
        assert_eq!(again, read, "{name}");
        assert_eq!(onnx::write(&again[0].graph), written, "{name}");
        assert_eq!(onnx::digest(&again[0].graph), protocol::Digest::of(&written), "{name}");
    }
}

#[test]
fn nothing_is_left_that_shapes_or_exporters_needed() {
    let gone =
        [Op::Shape, Op::Size, Op::Identity, Op::Range, Op::ConstantOfShape, Op::Squeeze, Op::Unsqueeze, Op::Flatten];
    for name in FIXTURES {
        let file = fixture(name);
        let read = onnx::read(&file, &signature(name), &LIMITS).unwrap();
        let left = read[0].graph.nodes.iter().find(|node| gone.contains(&node.op));
        assert_eq!(left, None, "{name}");
        let written = onnx::write(&read[0].graph);
        // Paths and lines of the author's machine, module names, documentation.
        for word in ["torch", "onnx::", "node_", "Constant_output", ".py"] {
            let found = written.windows(word.len()).any(|window| window == word.as_bytes());
            assert!(!found, "{name} has {word:?}");
        }
    }
}

#[test]
fn names_and_order_of_a_file_mean_nothing() {
    for name in ["conv-script", "conv-dynamo", "conv-qdq", "vit-script", "resnet-script"] {
        let (file, disguised) = (fixture(name), Tree::of(&fixture(name), "model").disguised().bytes());
        assert_ne!(file, disguised);
        let [plain, disguised] = [&file, &disguised].map(|file| {
            let read =
                onnx::read(file, &signature(name), &LIMITS).unwrap_or_else(|refusal| panic!("{name}: {refusal}"));
            onnx::digest(&read[0].graph)
        });
        assert_eq!(plain, disguised, "{name}");
    }
}

#[test]
fn costs_are_those_of_the_catalogue() {
    for (name, side, description) in [
        ("mlp-script", 7, json!({"kind": "mlp", "hidden": [32]})),
        ("resnet-script", 28, json!({"kind": "resnet", "width": 4, "blocks": [1, 1, 1], "stem_stride": 2})),
    ] {
        let architecture: Architecture = serde_json::from_value(description).unwrap();
        let plan = architecture.plan(ImageShape { channels: 1, height: side, width: side }, 10).unwrap();
        let expected = plan.costs().unwrap();
        let file = fixture(name);
        let costs = onnx::read(&file, &signature(name), &LIMITS).unwrap()[0].costs;
        assert_eq!(
            (costs.size_bytes, costs.macs, costs.activation_bytes_peak),
            (expected.size_bytes, expected.macs, expected.activation_bytes_peak),
            "{name}"
        );
        assert_eq!(costs.parameters * 2, costs.size_bytes, "{name}");
        assert!(costs.graph_bytes < 200 * 40, "{name}: {}", costs.graph_bytes);
    }
}

#[test]
fn both_exporters_cost_the_same() {
    let costs = ["conv-script", "conv-dynamo"].map(|name| {
        let file = fixture(name);
        onnx::read(&file, &signature(name), &LIMITS).unwrap()[0].costs
    });
    let [script, dynamo] = costs.map(|costs| Costs { graph_bytes: 0, ..costs });
    assert_eq!(script, dynamo);
}

#[test]
fn every_limit_is_held() {
    let file = fixture("conv-script");
    let costs = onnx::read(&file, &signature("conv-script"), &LIMITS).unwrap()[0].costs;
    let exact = program::Limits {
        file_bytes_max: file.len() as u64,
        parameters_max: costs.parameters,
        macs_max: costs.macs,
        activation_bytes_max: costs.activation_bytes_peak,
    };
    assert!(onnx::read(&file, &signature("conv-script"), &exact).is_ok());
    for (index, less) in [
        program::Limits { file_bytes_max: exact.file_bytes_max - 1, ..exact },
        program::Limits { parameters_max: exact.parameters_max - 1, ..exact },
        program::Limits { macs_max: exact.macs_max - 1, ..exact },
        program::Limits { activation_bytes_max: exact.activation_bytes_max - 1, ..exact },
    ]
    .iter()
    .enumerate()
    {
        let refusal = onnx::read(&file, &signature("conv-script"), less).unwrap_err();
        assert_eq!(refusal.code, program::Code::OverLimit, "{index}: {refusal}");
    }
}

/// Python's onnxruntime, as users have it, on what they exported and on what we wrote: bit for bit.
#[test]
fn onnxruntime_computes_the_same() {
    let out = std::env::temp_dir().join(format!("retort-canonical-{}", std::process::id()));
    std::fs::create_dir_all(&out).unwrap();
    let mut originals = Vec::new();
    for name in FIXTURES {
        let file = fixture(name);
        let read = onnx::read(&file, &signature(name), &LIMITS).unwrap();
        std::fs::write(out.join(format!("{name}.onnx")), onnx::write(&read[0].graph)).unwrap();
        originals.push(folder("fixtures").join(format!("{name}.onnx")));
    }
    let made = Command::new(folder("../../scripts/python.sh")).arg("onnx").output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let python = String::from_utf8(made.stdout).unwrap();
    let script = folder("../../scripts/onnx_agree.py");
    let run = Command::new(python.trim()).arg(script).arg(&out).args(&originals).output().unwrap();
    std::fs::remove_dir_all(&out).unwrap();
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{said}{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(said.matches(": equal").count(), FIXTURES.len(), "{said}");
}

#[test]
fn the_readme_lists_the_operators() {
    let readme = std::fs::read_to_string(folder("../README.md")).unwrap();
    for op in Op::ALL {
        assert!(readme.contains(&format!("`{op}`")), "{op} isn't in the README");
    }
}
