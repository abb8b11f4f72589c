//! Receipts and manifests.

use protocol::auth::Keypair;
use protocol::receipt::{Receipt, SignedReceipt, Subject};
use protocol::report::{
    Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality, REPORT_FORMAT,
};
use protocol::{Competition, CompetitionId, Digest, Manifest, Report, SubmissionId};

/// A seed of a key that signs nothing else.
const KEY: [u8; 32] = [7; 32];

fn subject() -> Subject {
    Subject {
        competition: competition(),
        competition_sha256: Digest::of(b"competition"),
        submission: SubmissionId::new(1_700_000_000_000, 42),
        hotkey: Keypair::from_seed(&[8; 32]).hotkey(),
        attempt: 1,
        round: None,
        worker: None,
        data_root: Digest::of(b"root"),
        outcomes_sha256: Digest::of(b"outcomes"),
    }
}

fn competition() -> CompetitionId {
    "fashion-mnist".parse().expect("an id, because it is written here")
}

fn issued() -> Vec<u8> {
    let report = Report {
        format: REPORT_FORMAT.into(),
        package_sha256: Digest::of(b"package"),
        engine: "eval 0.1.0".into(),
        host: Host { cpu_model: "AMD EPYC".into(), cores: 2, ..Host::default() },
        device: "flex".into(),
        on_backend: None,
        data: DataSeen { images_sha256: Digest::of(b"images"), seed: u64::MAX, items: 100, public_items: 50 },
        outputs_sha256: Digest::of(b"outputs"),
        quality: Quality {
            correct: 90,
            public_correct: 45,
            confusion: vec![vec![90]],
            negative_flips: 1,
            positive_flips: 2,
        },
        fidelity: Fidelity::default(),
        calibration: Calibration::default(),
        latency: Latency {
            ratio: Estimate { value_ppm: 512_345, low_ppm: 509_000, high_ppm: 515_001 },
            ..Latency::default()
        },
        cost: Cost::default(),
        phases_ms: Phases::default(),
    };
    let receipt = Receipt::issue(&Keypair::from_seed(&KEY), subject(), &report, 1_700_000_000);
    receipt.and_then(|receipt| receipt.to_json()).expect("a receipt, because every field is in range")
}

/// What is read has one form, and nothing but what the key signed verifies.
pub(super) fn receipt(input: &[u8]) {
    if let Ok(signed) = SignedReceipt::parse(input) {
        assert_eq!(signed.to_json().as_deref(), Ok(input), "a receipt with two forms");
    }
    let validator = Keypair::from_seed(&KEY).hotkey();
    let verified = Receipt::verify(input, &[validator], (&competition(), Digest::of(b"competition")));
    // A signature has one form for each message here, and this key signed one receipt.
    assert!(verified.is_err() || verified.is_ok_and(|receipt| receipt.subject == subject()), "a forged receipt");
}

pub(super) fn receipt_seeds() -> Vec<Vec<u8>> {
    let cut = issued().len() / 2;
    vec![issued(), issued()[..cut].to_vec(), b"{}".to_vec()]
}

/// A manifest that was read is written and read again as the same, and is as sensible as it claims.
pub(super) fn manifest(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if let Ok(manifest) = Manifest::from_toml(text) {
        let again = toml::to_string(&manifest).expect("TOML, because it was");
        assert_eq!(Manifest::from_toml(&again).ok().as_ref(), Some(&manifest), "written and read again");
        assert_eq!(manifest.input.normalisation().len(), manifest.input.channels as usize);
        assert!(
            manifest.input.normalisation().iter().flatten().all(|value| value.is_finite()),
            "a pixel that is no number"
        );
        let json = protocol::digest::canonical_json(&manifest).expect("JSON, because it is plain data");
        assert!(!json.is_empty());
    }
    // The published form, which clients read from a validator that they don't trust yet.
    let _ = serde_json::from_str::<Competition>(text);
}

/// The manifest as a value, changed in one place and written as TOML again.
pub(super) fn manifest_mutate(input: &[u8], seed: u64) -> Option<Vec<u8>> {
    let value: toml::Value = toml::from_str(std::str::from_utf8(input).ok()?).ok()?;
    let changed = crate::mutate::edit_json(serde_json::to_string(&value).ok()?.as_bytes(), seed)?;
    let changed: serde_json::Value = serde_json::from_slice(&changed).ok()?;
    toml::to_string(&changed).ok().map(String::into_bytes)
}

pub(super) fn manifest_seeds() -> Vec<Vec<u8>> {
    vec![include_bytes!("../../../competitions/fashion-mnist/competition.toml").to_vec()]
}
