//! Hostile and mistaken packages, each sent through the front door, each ended with its own code.

use super::support::{Package, Setup, TestApp};
use futures::StreamExt;
use protocol::api::FileDeclaration;
use protocol::package::CONFIG_BYTES_MAX;
use protocol::submission::{Blame, State};
use protocol::{Digest, api::SubmissionRequest};
use safetensors::tensor::Dtype;
use serde_json::json;

/// A package that the admission check must reject, and the code it must give.
fn rejected() -> Vec<(&'static str, Package, &'static str)> {
    let mlp = || Package::mlp(&[8], 7);
    let tensors = |change: fn(&mut Vec<super::support::Tensor>)| Package::with_tensors(&[8], 7, change);
    let value = |bytes: [u8; 4]| {
        move |weights: &mut Vec<u8>| {
            let end = weights.len();
            weights[end - 4..].copy_from_slice(&bytes);
        }
    };
    vec![
        ("a missing tensor", tensors(|t| drop(t.pop())), "tensor_missing"),
        (
            "an extra tensor",
            tensors(|t| {
                let bytes = vec![0; 4];
                t.push(super::support::Tensor { name: "extra".into(), dtype: Dtype::F32, shape: vec![1], bytes });
            }),
            "tensor_unexpected",
        ),
        ("a misnamed tensor", tensors(|t| t[0].name = "layer.weight".into()), "tensor_missing"),
        ("a transposed tensor", tensors(|t| t[0].shape.reverse()), "tensor_shape"),
        (
            "integers for weights",
            tensors(|t| {
                t[0].dtype = Dtype::I64;
                t[0].bytes = vec![0; t[0].bytes.len() * 2];
            }),
            "tensor_dtype",
        ),
        (
            "bytes for weights",
            tensors(|t| {
                t[0].dtype = Dtype::U8;
                t[0].bytes = vec![0; t[0].bytes.len() / 4];
            }),
            "tensor_dtype",
        ),
        ("NaN", mlp().with_weights(value(f32::NAN.to_le_bytes())), "tensor_not_finite"),
        ("infinity", mlp().with_weights(value(f32::INFINITY.to_le_bytes())), "tensor_not_finite"),
        ("a huge value", mlp().with_weights(value(1e30_f32.to_le_bytes())), "tensor_out_of_range"),
        ("a truncated file", mlp().with_weights(|w| w.truncate(w.len() - 100)), "data_length"),
        ("trailing bytes", mlp().with_weights(|w| w.extend([0; 100])), "data_length"),
        ("a header that ends behind the file", mlp().with_weights(|w| w.truncate(60)), "header_invalid"),
        ("a header of gigabytes", mlp().with_weights(|w| w[..8].fill(0x7f)), "header_too_large"),
        ("a pickle", mlp().with_weights(|w| w[..4].copy_from_slice(b"PK\x03\x04")), "not_safetensors"),
        ("text for a config", mlp().with_config(|c| *c = json!("resnet")), "config_invalid"),
        ("an unknown field", mlp().with_config(|c| c["extra"] = json!(1)), "config_invalid"),
        ("an unknown architecture", mlp().with_config(|c| c["architecture"]["kind"] = json!("gpt")), "config_invalid"),
        ("another format", mlp().with_config(|c| c["format"] = json!("retort/9")), "config_invalid"),
        ("another input", mlp().with_config(|c| c["input"]["width"] = json!(9)), "input_mismatch"),
        ("other labels", mlp().with_config(|c| c["labels"][0] = json!("zero")), "labels_mismatch"),
        ("no units", mlp().with_config(|c| c["architecture"]["hidden"] = json!([0])), "architecture_invalid"),
        ("another architecture", mlp().with_config(|c| c["architecture"]["hidden"] = json!([9])), "tensor_shape"),
        ("too many parameters", Package::mlp(&[40], 7), "over_limit"),
    ]
}

#[tokio::test]
async fn every_bad_package_is_rejected_with_its_code_and_blames_the_miner() {
    let app = TestApp::with_competition(Setup::default()).await;
    let mut wrong = Vec::new();
    for (index, (what, package, code)) in rejected().into_iter().enumerate() {
        // A hotkey each, for the quota.
        let miner = app.miner(index as u8 + 1);
        let id = miner.submit(&package).await.unwrap();
        app.wait_for(&id, State::Rejected).await;
        let reason = miner.status(&id).await.reason.unwrap();
        if (reason.code.as_str(), reason.blame) != (code, Blame::Miner) {
            wrong.push(format!("{what}: {code} expected, {} found ({})", reason.code, reason.detail));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn every_bad_announcement_is_refused_before_anything_is_stored() {
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    let file = |path: &str, size: u64| FileDeclaration { path: path.into(), size, sha256: Digest::of(b"") };
    let (config, weights) = (file("config.json", 100), file("model.safetensors", 100));
    let mut wrong = Vec::new();
    for (what, files, code) in [
        ("no files", vec![], "file_missing"),
        ("no weights", vec![config.clone()], "file_missing"),
        ("no config", vec![weights.clone()], "file_missing"),
        ("empty weights", vec![config.clone(), file("model.safetensors", 0)], "file_missing"),
        ("a script", vec![config.clone(), weights.clone(), file("setup.py", 100)], "file_unexpected"),
        ("a way out", vec![config.clone(), weights.clone(), file("../config.json", 100)], "file_unexpected"),
        ("weights twice", vec![config.clone(), weights.clone(), weights.clone()], "file_unexpected"),
        ("large weights", vec![config.clone(), file("model.safetensors", 20_001)], "file_too_large"),
        ("weights of exabytes", vec![config.clone(), file("model.safetensors", u64::MAX)], "file_too_large"),
        ("a large config", vec![file("config.json", CONFIG_BYTES_MAX + 1), weights.clone()], "config_too_large"),
        ("a book", vec![config.clone(), weights.clone(), file("README.md", 262_145)], "file_too_large"),
    ] {
        let request = SubmissionRequest { competition: "digits".parse().unwrap(), files, invite: None, name: None };
        let response = miner.post("/api/v1/submissions", serde_json::to_vec(&request).unwrap()).await;
        let refusal = super::support::accept(response, &[]).await.unwrap_err();
        if (refusal.status, refusal.problem.code.as_str()) != (422, code) {
            wrong.push(format!("{what}: {code} expected, {refusal:?} found"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(app.app.db.count_by_state().await.unwrap(), []);
}

#[tokio::test]
async fn bodies_that_are_no_announcement_are_refused() {
    let list_for_a_file = format!(r#"{{"competition":"digits","files":[["config.json",9,"{}"]]}}"#, "0".repeat(64));
    let app = TestApp::with_competition(Setup::default()).await;
    let miner = app.miner(1);
    for (what, body, status, code) in [
        ("nothing", Vec::new(), 422, "invalid_body"),
        ("no JSON", b"{".to_vec(), 422, "invalid_body"),
        ("an unknown field", br#"{"competition":"digits","files":[],"x":1}"#.to_vec(), 422, "invalid_body"),
        ("a list in place of the body", br#"["digits",[]]"#.to_vec(), 422, "invalid_body"),
        ("a list in place of a file", list_for_a_file.into_bytes(), 422, "invalid_body"),
        (
            "a digest in capitals",
            br#"{"competition":"digits","files":[{"path":"a","size":1,"sha256":"AA"}]}"#.to_vec(),
            422,
            "invalid_body",
        ),
        ("too much", vec![b' '; 65 * 1024], 413, "body_too_large"),
    ] {
        let refusal = super::support::accept(miner.post("/api/v1/submissions", body).await, &[]).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (status, code), "{what}");
    }
}

#[tokio::test]
async fn bytes_that_were_not_announced_are_not_stored_and_the_right_ones_may_follow() {
    let app = TestApp::with_competition(Setup::default()).await;
    let (miner, package) = (app.miner(1), Package::mlp(&[8], 7));
    let created = miner.announce("digits", &package).await.unwrap();
    let upload = created.uploads.iter().find(|upload| upload.path == "model.safetensors").unwrap();
    let right = package.files[1].1.clone();
    let mut other = right.clone();
    other[200] ^= 1;
    for (what, bytes, code) in [
        ("another bit", other, "digest_mismatch"),
        ("fewer bytes", right[1..].to_vec(), "size_mismatch"),
        ("more bytes", [right.clone(), vec![0]].concat(), "size_mismatch"),
        ("no bytes", Vec::new(), "size_mismatch"),
    ] {
        let refusal = miner.put(upload, bytes).await.unwrap_err();
        assert_eq!((refusal.status, refusal.problem.code.as_str()), (422, code), "{what}");
    }
    // Without an announced length the bytes are counted as they come.
    let endless = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(vec![0_u8; 8_192])).take(1_000);
    let body = reqwest::Body::wrap_stream(endless);
    let sent = miner.http.put(app.url(&upload.url)).body(body).send().await;
    assert!(sent.is_err() || sent.unwrap().status() == 422);
    miner.upload_all(&created, &package).await.unwrap();
    miner.upload_all(&created, &package).await.unwrap();
    miner.complete(&created.id).await.unwrap();
    app.wait_for(&created.id, State::Scored).await;
    // Another program of the same miner may come last with the same bytes, which hurts nobody; others never count.
    let other = vec![0; right.len()];
    miner.put(upload, right).await.unwrap();
    let refusal = miner.put(upload, other).await.unwrap_err();
    assert_eq!((refusal.status, refusal.problem.code.as_str()), (422, "digest_mismatch"));
}
