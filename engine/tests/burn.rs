//! burn, on the processor.

use crate::data;
use burn::tensor::Device;
use engine::burn::Burn;
use engine::conformance::check;
use std::collections::BTreeMap;

#[test]
fn it_answers_operators_as_onnx_says_or_refuses_them() {
    let cases = data::operators();
    let findings = check(&Burn::on(Device::flex()), &cases);
    let mut by: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, why) in &findings.refused { by.entry(why.to_string().chars().take(90).collect()).or_default().push(name.clone()); }
    println!("passed {} broken {} refused {}", findings.passed, findings.broken.len(), findings.refused.len());
    println!("{by:#?}");
    assert!(findings.broken.is_empty(), "{} of {}: {:#?}", findings.broken.len(), cases.len(), findings.broken);
}

#[test]
fn it_answers_what_pytorch_exports_as_pytorch_does() {
    let cases = data::exports();
    let findings = check(&Burn::on(Device::flex()), &cases);
    assert!(findings.broken.is_empty() && findings.refused.is_empty(), "{findings:#?}");
    assert_eq!(findings.passed, 2 * cases.len());
}
