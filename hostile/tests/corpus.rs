//! Every handmade package has its end.

use hostile::corpus::foreign::FORMATS;
use hostile::{Package, Rules, cases, oracle};
use protocol::package::{admit, read_header};
use protocol::submission::{Blame, Code};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

#[test]
fn every_handmade_package_is_refused_with_its_code_and_every_control_is_admitted() {
    let rules = Rules::default();
    let mut wrong = Vec::new();
    let mut times = Vec::new();
    let mut codes = BTreeSet::new();
    let cases: Vec<_> = cases().into_iter().filter(|case| !case.is_large).collect();
    for case in &cases {
        let package = case.package();
        let start = Instant::now();
        let _ = admit(&package.config, &package.weights, &rules.admission());
        times.push(start.elapsed());
        match oracle::examine(&package, &rules) {
            Ok(found) if found == case.expected => codes.extend(found.map(Code::as_str)),
            Ok(found) => wrong.push(format!("{}: {found:?}, expected {:?}", case.name, case.expected)),
            Err(violation) => wrong.push(format!("{}: {violation}", case.name)),
        }
    }
    times.sort_unstable();
    let p99 = hostile::measure::quantile(&times, 990);
    println!("{} packages, p99 {:.3} ms", cases.len(), p99.as_secs_f64() * 1e3);
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
    let refused = cases.iter().filter(|case| case.expected.is_some()).count();
    assert!(refused >= 300, "{refused} malformed packages");
    // Every code that the admission check can give is somebody's.
    let expected = [
        "architecture_invalid",
        "config_invalid",
        "config_too_large",
        "data_length",
        "header_invalid",
        "header_too_large",
        "input_mismatch",
        "labels_mismatch",
        "not_safetensors",
        "over_limit",
        "tensor_dtype",
        "tensor_missing",
        "tensor_not_finite",
        "tensor_out_of_range",
        "tensor_shape",
        "tensor_unexpected",
    ];
    assert_eq!(codes.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn no_two_cases_are_the_same() {
    let mut names = BTreeSet::new();
    let mut packages = BTreeMap::new();
    let mut same = Vec::new();
    for case in cases().into_iter().filter(|case| !case.is_large) {
        let Package { config, weights } = case.package();
        if !names.insert(case.name.clone()) {
            same.push(format!("{} twice", case.name));
        }
        if let Some(other) = packages.insert((config, weights), case.name.clone()) {
            same.push(format!("{} has the bytes of {other}", case.name));
        }
    }
    assert!(same.is_empty(), "{same:#?}");
}

#[test]
fn every_rejection_blames_the_miner_and_has_a_hint() {
    for code in cases().iter().filter_map(|case| case.expected) {
        assert_eq!(code.blame(), Blame::Miner, "{code}");
        assert!(code.hint().len() > 20, "{code}");
    }
}

#[test]
fn a_foreign_file_is_refused_by_name_with_what_to_do_instead() {
    for (name, bytes, expected) in FORMATS {
        let rejection = read_header(bytes).expect_err(name);
        assert_eq!(rejection.code, Code::NotSafetensors, "{name}");
        assert!(rejection.detail.contains(expected), "{name}: {rejection}");
        assert!(rejection.detail.contains(": "), "{name}: {rejection} doesn't say what to do");
    }
    let checkpoint = read_header(FORMATS[13].1).expect_err("torch.save").to_string();
    assert!(
        checkpoint.contains("safetensors.torch.save_file(model.state_dict(), \"model.safetensors\")"),
        "{checkpoint}"
    );
}
