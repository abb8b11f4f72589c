//! burn, on the processor.

use crate::data;
use burn::tensor::Device;
use engine::Refused;
use engine::burn::Burn;
use engine::conformance::check;
use std::collections::BTreeSet;

/// Operators of the tests that burn lacks in every form; of others it lacks some.
const LACKING: [&str; 28] = [
    "And",
    "ArgMax",
    "ConvInteger",
    "CumSum",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "Equal",
    "GRU",
    "GatherElements",
    "GatherND",
    "Greater",
    "GreaterOrEqual",
    "GridSample",
    "IsNaN",
    "LSTM",
    "Less",
    "LessOrEqual",
    "MatMulInteger",
    "Mod",
    "Not",
    "Or",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
    "Resize",
    "ScatterElements",
    "TopK",
    "Where",
];

#[test]
fn it_answers_operators_as_onnx_says_or_refuses_them() {
    let cases = data::operators();
    let findings = check(&Burn::on(Device::flex()), &cases);
    assert!(findings.broken.is_empty(), "{} of {}: {:#?}", findings.broken.len(), cases.len(), findings.broken);
    let mut lacking = BTreeSet::new();
    for (name, why) in &findings.refused {
        match why {
            Refused::Unsupported { op, what } if what == "at all" => drop(lacking.insert(op.name())),
            // Whole numbers, computed sizes, three axes, lopsided windows.
            Refused::Unsupported { .. } | Refused::Dtype(_) => {}
            other => panic!("{name}: {other}"),
        }
    }
    assert_eq!(lacking.into_iter().collect::<Vec<_>>(), LACKING);
    assert_eq!((findings.passed, cases.len()), (2 * 299, 481), "the figures of docs/ENGINES.md");
}

#[test]
fn it_answers_what_pytorch_exports_as_pytorch_does_but_for_text_and_recurrence() {
    let cases = data::exports();
    let findings = check(&Burn::on(Device::flex()), &cases);
    assert!(findings.broken.is_empty(), "{findings:#?}");
    let refused: BTreeSet<&str> = findings.refused.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), ["recurrent-script", "text-script"]);
    assert_eq!(findings.passed, 2 * (cases.len() - 2));
}
