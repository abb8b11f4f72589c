//! The default engine.

use crate::data;
use engine::Runtime;
use engine::conformance::check;
use engine::rten::Rten;

/// Forms of operators that it doesn't take: what is in their tests' names, and a word of what it says.
const REFUSED: [(&str, &str); 14] = [
    ("int8", "unsupported input type"),
    ("argmax", "first of equal values"),
    ("convtranspose_3d", "must have 4"),
    ("gridsample", "unsupported value"),
    ("group_normalization", "not supported"),
    ("gru_", "linear_before_reset=0"),
    ("matmul_4d_1d", "not float32[1, 2, 4]"),
    ("matmulinteger", "Zero point"),
    ("maxpool_", "dilations"),
    ("pow_types_float32_int", "type combination"),
    ("qlinear", "QuantizeLinear"),
    ("cubic", "cubic"),
    ("antialias", "antialias"),
    ("spacetodepth", "not supported"),
];

#[test]
fn it_answers_operators_as_onnx_says_or_refuses_them() {
    let cases = data::operators();
    let findings = check(&Rten, &cases);
    assert!(findings.broken.is_empty(), "{} of {}: {:#?}", findings.broken.len(), cases.len(), findings.broken);
    let mut refused: Vec<_> = findings.refused.iter().map(|(name, why)| (name.as_str(), why.to_string())).collect();
    let fits = |(name, why): &(&str, String), (test, word): &(&str, &str)| name.contains(test) && why.contains(word);
    for known in &REFUSED {
        assert!(refused.iter().any(|found| fits(found, known)), "it takes {known:?} by now");
    }
    refused.retain(|found| !REFUSED.iter().any(|known| fits(found, known)));
    assert!(refused.is_empty(), "{refused:#?}");
    assert_eq!((findings.passed, cases.len()), (2 * 397, 481), "the figures of docs/ENGINES.md");
}

#[test]
fn it_answers_what_pytorch_exports_as_pytorch_does() {
    let cases = data::exports();
    let findings = check(&Rten, &cases);
    assert!(findings.broken.is_empty() && findings.refused.is_empty(), "{findings:#?}");
    assert_eq!(findings.passed, 2 * cases.len());
}

#[test]
fn it_computes_on_one_thread_which_is_not_the_callers() {
    Rten.prepare().unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        Rten.within(&mut || seen.push(std::thread::current().id()));
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
    assert_ne!(seen[0], std::thread::current().id());
}
