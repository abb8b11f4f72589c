//! Smaller forms of trained packages, as an engine answers them.

use crate::fixture::classes;
use crate::graphs::{Package, answers, assert_near};
use datasets::FashionMnist;
use engine::rten::Rten;
use program::package::{LOGITS, classifier};
use program::{Graph, Op, Range, onnx};

/// Items that ranges are told of, and others that both forms answer.
const CALIBRATED: usize = 100;
const ASKED: usize = 200;

/// One trained student of each family; of some a second width.
const STUDENTS: [&str; 7] = [
    "mlp-12k-train-1",
    "mlp-235k-train-1",
    "resnet-11k-train-1",
    "resnet-31k-train-1",
    "depthwise-8k-train-1",
    "mobilenet-12k-train-1",
    "vit-43k-train-1",
];

fn count(graph: &Graph<'_>, op: Op) -> usize {
    graph.nodes.iter().filter(|node| node.op == op).count()
}

fn agreement(found: &[f32], expected: &[f32]) -> usize {
    classes(found).iter().zip(classes(expected)).filter(|(a, b)| **a == *b).count()
}

#[test]
fn what_is_smaller_answers_alike() {
    let test = FashionMnist::load_test().unwrap();
    let engine = Rten;
    for name in STUDENTS {
        let package = Package::named(name);
        let values = package.plan.input().values() as usize;
        let inputs = package.inputs(&test.pixels[..(CALIBRATED + ASKED) * values]);
        let (calibration, asked) = inputs.split_at(CALIBRATED * values);
        let whole = package.graph();
        let expected = answers(&engine, &whole, asked);

        let folded = whole.with_norms_folded().unwrap();
        assert_eq!(count(&folded, Op::BatchNormalization), 0, "{name}");
        assert_near(name, &answers(&engine, &folded, asked), &expected);

        let half = folded.in_half().unwrap();
        let same = agreement(&answers(&engine, &half, asked), &expected);
        assert!(same >= ASKED - 1, "{name} in half: {same} of {ASKED}");

        let told = folded.with_ranges_told(LOGITS).unwrap().expect("it has weights");
        let columns = told.made.last().unwrap().shape.elements() as usize;
        let ranges = Range::over(&answers(&engine, &told, calibration), columns);
        let int8 = folded.quantised(&ranges).unwrap();
        let same = agreement(&answers(&engine, &int8, asked), &expected);
        let bytes = [&whole, &half, &int8].map(|graph| onnx::write(graph).len());
        println!("{name}: {bytes:?} bytes, int8 agrees in {same} of {ASKED}");
        assert!(same >= ASKED * 95 / 100, "{name} in int8: {same} of {ASKED}");
        assert!(bytes[1] * 10 < bytes[0] * 6 && bytes[2] < bytes[1], "{name}: {bytes:?}");

        // As onnxruntime has to be told it.
        let moved = int8.with_unsigned_weights().unwrap();
        let some = &asked[..8 * values];
        assert_near(name, &answers(&engine, &moved, some), &answers(&engine, &int8, some));

        // What has whole numbers already is not rounded again, and each form is a package that can be entered.
        assert!(int8.with_ranges_told(LOGITS).unwrap().is_none(), "{name}");
        for form in [&folded, &half, &int8] {
            let file = onnx::write(form);
            let read = onnx::read(&file, &classifier(package.plan.input(), 10), &program::package::ANY).unwrap();
            assert_eq!(onnx::write(&read[0].graph), file, "{name}");
        }
    }
}
