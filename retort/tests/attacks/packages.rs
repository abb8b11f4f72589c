//! Hostile packages (part B of the threats, incidents E2, E3, E12 and E18): what a stranger can put into two files, and
//! what becomes of it at the door of the real binary and inside its sandbox.

use super::hall::hall;
use super::package::{Package, declaration};
use super::stranger::{COMPETITION, SUBMISSIONS, Stranger};
use protocol::api::SubmissionStatus;
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::submission::{Blame, State};
use serde_json::{Value, json};
use std::fs;

/// What a miner is told about a package that was rejected.
fn rejected(status: &SubmissionStatus) -> (&str, Blame) {
    assert_eq!(status.state, State::Rejected, "{:?}", status.reason);
    let reason = status.reason.as_ref().unwrap();
    assert!(!reason.hint.is_empty() && status.score.is_none() && status.rank.is_none());
    (reason.code.as_str(), reason.blame)
}

/// E2: a large teacher under another name beside a decoy that looks like a small student.
#[test]
fn decoys_beside_the_model_stay_on_the_strangers_disk_and_are_refused_where_they_are_sent() {
    let dir = tempfile::tempdir().unwrap();
    let mallory = Stranger::new(hall());
    let decoy = Package::fixture("mlp").described(|config| config["labels"][0] = json!("decoy"));
    let folder = dir.path().join("student");
    decoy.write(&folder);
    for (name, bytes) in [("pytorch_model.bin", "PK\x03\x04"), ("modeling.py", "import os"), (".netrc", "secret")] {
        fs::write(folder.join(name), bytes).unwrap();
    }
    let (success, told) = mallory.submit_by_command(&folder);
    assert!(!success && told.contains("labels_mismatch"), "{told}");
    let entered = mallory.entered();
    let status = mallory.status(entered[0]["id"].as_str().unwrap());
    assert_eq!(status.files, decoy.declarations(), "nothing else left the folder");

    let teacher = Package::fixture("pytorch_student");
    for (path, says) in [
        ("pytorch_model.bin", "is no file of a package"),
        ("model-00001-of-00002.safetensors", "is no file of a package"),
        ("Model.safetensors", "is no file of a package"),
        ("./model.safetensors", "is no file of a package"),
        ("../model.safetensors", "is no file of a package"),
        ("model.safetensors\0.bin", "is no file of a package"),
        (WEIGHTS_FILE, "model.safetensors is announced twice"),
        (CONFIG_FILE, "config.json is announced twice"),
    ] {
        let mut files = decoy.declarations();
        files.push(declaration(path, &teacher.config));
        let body = json!({ "competition": COMPETITION, "files": files }).to_string();
        let answer = mallory.signed("POST", SUBMISSIONS, body.as_bytes());
        assert_eq!(answer.refusal(), (422, "file_unexpected".into()), "{path:?}");
        assert!(answer.text().contains(says), "{}", answer.text());
    }
    assert_eq!(mallory.entered().len(), 1, "nothing of it was entered");
}

/// A package, the code of its rejection, and words that its owner reads with it.
type Case = (&'static str, Package, &'static str, &'static str);

/// Each case is entered by the command under a key of its own, and told to its owner, to everybody and to the operator.
fn each_is_rejected_by_command(cases: Vec<Case>) {
    let dir = tempfile::tempdir().unwrap();
    for (index, (what, package, code, says)) in cases.into_iter().enumerate() {
        let mallory = Stranger::new(hall());
        let folder = dir.path().join(format!("{index}/student"));
        package.write(&folder);
        let (success, told) = mallory.submit_by_command(&folder);
        assert!(!success && told.contains(code) && told.contains(says), "{what}: {told}");
        assert!(told.contains("it is its miner's to mend: "), "{what}: {told}");
        let entered = mallory.entered();
        assert_eq!((&entered[0]["state"], &entered[0]["code"]), (&json!("rejected"), &json!(code)), "{what}");
        let id = entered[0]["id"].as_str().unwrap();
        assert!(hall().logs(&[&format!("rejected submission {id}"), code]), "{what}: the operator sees it too");
        // What was refused is nobody's download, however it is asked for, unless it is the reference's own file.
        let public = Package::fixture("mlp").declarations();
        let sha256 = mallory.status(id).files.into_iter().find(|file| !public.contains(file)).unwrap().sha256;
        for target in [
            format!("/api/v1/objects/sha256/{sha256}"),
            format!("/submissions/{id}/resolve/main/model.safetensors"),
            format!("{SUBMISSIONS}/{id}/receipt"),
        ] {
            assert_eq!(mallory.get(&target).status, 404, "{target}");
        }
    }
}

/// E3 and E8: what `config.json` and an announcement claim, against what the tensors and the signature say.
#[test]
fn a_config_that_lies_is_rejected_in_the_strangers_own_terminal() {
    let mlp = |change: fn(&mut Value)| Package::fixture("mlp").described(change);
    each_is_rejected_by_command(vec![
        ("classes", mlp(|c| c["labels"] = json!(["a", "b"])), "labels_mismatch", "labels"),
        ("order", mlp(|c| c["labels"].as_array_mut().unwrap().swap(0, 1)), "labels_mismatch", "labels"),
        ("shapes", mlp(|c| c["architecture"]["hidden"][0] = json!(64)), "tensor_shape", "must be [64, 784]"),
        ("depth", mlp(|c| c["architecture"]["hidden"] = json!([48])), "tensor_shape", "must be [10, 48]"),
        ("input", mlp(|c| c["input"]["width"] = json!(14)), "input_mismatch", "input"),
        ("family", mlp(|c| c["architecture"]["kind"] = json!("resnet")), "config_invalid", "hidden"),
        ("its block", mlp(|c| c["block"] = json!(1)), "config_invalid", "block"),
        ("its score", mlp(|c| c["score_ppm"] = json!(1_000_000)), "config_invalid", "score_ppm"),
    ]);
    let (mallory, victim) = (Stranger::new(hall()), Stranger::new(hall()));
    let files = Package::fixture("mlp").declarations();
    for (field, value) in [("hotkey", json!(victim.key.hotkey())), ("block", json!(1)), ("arrival", json!(0))] {
        let body = json!({ "competition": COMPETITION, "files": files, field: value }).to_string();
        let answer = mallory.signed("POST", SUBMISSIONS, body.as_bytes());
        assert_eq!(answer.refusal(), (422, "invalid_body".into()), "{field} is nobody's to claim");
    }
    assert!(mallory.entered().is_empty() && victim.entered().is_empty());
}

/// Rows 11 and 13: a hundred bytes that ask for gigabytes, and small models that ask for hours.
#[test]
fn a_description_that_would_cost_too_much_is_refused_before_it_costs_anything() {
    let mlp = |hidden: Value| Package::fixture("mlp").described(|c| c["architecture"]["hidden"] = hidden);
    let vit = |depth: u32| {
        Package::fixture("vit").described(|c| {
            c["architecture"]["patch"] = json!(1);
            c["architecture"]["depth"] = json!(depth);
        })
    };
    let before = hall().peak_bytes();
    each_is_rejected_by_command(vec![
        ("a giant", mlp(json!(vec![8_192; 256])), "over_limit", "parameters"),
        ("a titan", mlp(json!([u32::MAX])), "architecture_invalid", "8192"),
        ("no number", mlp(json!([1e300])), "config_invalid", "1e+300"),
        ("few numbers, used often", vit(2), "over_limit", "multiply-accumulates"),
        ("attention between all pixels", vit(1), "over_limit", "activation bytes"),
        ("sixteen thousand brackets", Package { config: vec![b'['; 16_000], ..mlp(json!([1])) }, "config_invalid", ""),
    ]);
    let grown = hall().peak_bytes().saturating_sub(before);
    assert!(grown < 128 << 20, "descriptions cost {grown} bytes");
}

/// Rows 15 to 17: what would run, unpack or be read by another parser, under the name that we read.
#[test]
fn a_pickle_a_zip_or_a_gguf_by_the_right_name_is_called_by_its_own_and_never_opened() {
    let dir = tempfile::tempdir().unwrap();
    let mark = dir.path().join("the pickle ran");
    let pickle = format!("cposix\nsystem\n(S'touch \"{}\"'\ntR.", mark.display());
    let zipped = [b"PK\x03\x04".as_slice(), &[0; 26], b"archive/data.pkl", &[0; 64]].concat();
    let sound = Package::fixture("mlp").weights;
    let after = [&sound, b"PK\x05\x06".as_slice(), &[0; 18]].concat();
    let files: [(&str, Vec<u8>, &str); 7] = [
        ("pickle", pickle.into_bytes(), "a Python pickle"),
        ("checkpoint", zipped, "a PyTorch checkpoint"),
        ("llama", b"GGUF\x03\0\0\0\0\0\0\0\0\0\0\0".to_vec(), "a GGUF file"),
        ("onnx", b"\x08\x07\x12\x07pytorch".to_vec(), "an ONNX file"),
        ("archive", b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "a 7z archive"),
        ("keras", b"\x89HDF\r\n\x1a\n\0\0".to_vec(), "an HDF5 file"),
        ("script", b"#!/bin/sh\nrm -rf /\n".to_vec(), "a script"),
    ];
    let named = |weights| Package { weights, ..Package::fixture("mlp") };
    let mut cases: Vec<Case> =
        files.into_iter().map(|(what, bytes, says)| (what, named(bytes), "not_safetensors", says)).collect();
    // A zip archive is read from its end, safetensors from its beginning: one file for both.
    cases.push(("both", named(after), "data_length", ""));
    each_is_rejected_by_command(cases);
    assert!(!mark.exists(), "nobody unpickled it");
}

/// Row 6 and E18: numbers that are none, numbers that become none, and who is told so.
#[test]
fn a_model_that_answers_nan_is_its_owners_fault_and_nothing_of_it_reaches_the_board() {
    let mallory = Stranger::new(hall());
    let last = |bytes: [u8; 4]| {
        Package::fixture("mlp").holding(|weights| {
            let end = weights.len();
            weights[end - 4..].copy_from_slice(&bytes);
        })
    };
    for (value, code) in
        [(f32::NAN, "tensor_not_finite"), (f32::NEG_INFINITY, "tensor_not_finite"), (1e30, "tensor_out_of_range")]
    {
        let id = mallory.submit(&last(value.to_le_bytes()));
        assert_eq!(rejected(&mallory.end(&id)), (code, Blame::Miner), "{value}");
    }
    // Each number is allowed; on real images their products are infinite, and infinity minus infinity is no number.
    let deep = Package::fixture("mlp").described(|config| config["architecture"]["hidden"] = json!(vec![32; 8]));
    let bomb = deep.made_of(|index| if index % 2 == 0 { 1e6 } else { -9e5 });
    let id = mallory.submit(&bomb);
    let status = mallory.end(&id);
    assert_eq!(rejected(&status), ("outputs_invalid", Blame::Miner));
    assert!(status.costs.is_some(), "it was admitted, and found out inside");
    let board = mallory.get(&format!("/api/v1/competitions/{COMPETITION}/leaderboard"));
    assert!(!board.text().contains(&id), "{}", board.text());
    let board: Value = board.json();
    assert!(board["rows"].as_array().unwrap().iter().all(|row| row["score_ppm"].is_i64()), "{board}");
    assert!(hall().logs(&[&id, "outputs_invalid"]));
}

/// Row 7: subnormal numbers make a processor that doesn't flush them many times slower.
#[test]
fn a_model_of_subnormal_numbers_is_as_fast_as_the_reference_that_it_is_made_after() {
    let mallory = Stranger::new(hall());
    let subnormal = |index: usize| f32::from_bits(1 + (index as u32 * 7_919) % 0x7f_ffff);
    let id = mallory.submit(&Package::fixture("mlp").made_of(subnormal));
    let status = mallory.end(&id);
    assert_eq!(status.state, State::Scored, "finite and small is allowed: {:?}", status.reason);
    let report = status.report.unwrap();
    let ratio_ppm = report.latency.ratio.value_ppm;
    // The same operations on the same shapes; six times as slow without flushing, and a crowded machine in between.
    assert!((500_000..2_000_000).contains(&ratio_ppm), "{ratio_ppm}");
    let accuracy_ppm = status.score.unwrap().accuracy.value_ppm;
    assert!(accuracy_ppm < 250_000, "all its answers are the same one: {accuracy_ppm}");
}
