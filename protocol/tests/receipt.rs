//! Receipts through the public door: what is issued verifies, and nothing else does.

use protocol::auth::{Keypair, Signature};
use protocol::digest::canonical_json;
use protocol::receipt::{
    ENGINE_BYTES_MAX, RECEIPT_BYTES_MAX, RECEIPT_CONTEXT, Receipt, ReceiptError, SignedReceipt, Subject,
};
use protocol::report::{
    Calibration, Cost, DataSeen, Estimate, Fidelity, Host, Latency, Phases, Quality, REPORT_FORMAT,
};
use protocol::{CompetitionId, Digest, Report, SubmissionId};
use serde_json::{Value, json};

fn validator() -> Keypair {
    Keypair::from_seed(&[7; 32])
}

fn competition() -> (CompetitionId, Digest) {
    ("fashion-mnist".parse().unwrap(), Digest::of(b"competition"))
}

fn subject() -> Subject {
    let (competition, competition_sha256) = competition();
    Subject {
        competition,
        competition_sha256,
        submission: SubmissionId::new(1_700_000_000_000, 42),
        hotkey: Keypair::from_seed(&[8; 32]).hotkey(),
        attempt: 1,
        round: None,
        worker: None,
        data_root: Digest::of(b"root"),
        outcomes_sha256: Digest::of(b"outcomes"),
    }
}

fn report() -> Report {
    let ratio = Estimate { value_ppm: 512_345, low_ppm: 509_000, high_ppm: 515_001 };
    Report {
        format: REPORT_FORMAT.into(),
        package_sha256: Digest::of(b"package"),
        engine: "eval 0.1.0 (burn 0.22.1)".into(),
        host: Host { cpu_model: "AMD EPYC".into(), cores: 2, ..Host::default() },
        device: "flex".into(),
        on_backend: None,
        data: DataSeen { images_sha256: Digest::of(b"images"), seed: u64::MAX, items: 10_000, public_items: 5_000 },
        outputs_sha256: Digest::of(b"outputs"),
        quality: Quality {
            correct: 9_000,
            public_correct: 4_500,
            confusion: vec![vec![9_000]],
            negative_flips: 1,
            positive_flips: 2,
        },
        fidelity: Fidelity::default(),
        calibration: Calibration::default(),
        latency: Latency { ratio, ..Latency::default() },
        cost: Cost::default(),
        phases_ms: Phases::default(),
    }
}

fn issued() -> Vec<u8> {
    Receipt::issue(&validator(), subject(), &report(), 1_700_000_000).unwrap().to_json().unwrap()
}

fn verify(bytes: &[u8]) -> Result<Receipt, ReceiptError> {
    let (id, sha256) = competition();
    Receipt::verify(bytes, &[validator().hotkey()], (&id, sha256))
}

/// The receipt as JSON after a change, in canonical form: only what was changed can be what is refused.
fn after(change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut json: Value = serde_json::from_slice(&issued()).unwrap();
    change(&mut json);
    canonical_json(&json).unwrap()
}

#[test]
fn an_issued_receipt_verifies_and_covers_its_report() {
    let receipt = verify(&issued()).unwrap();
    assert_eq!(receipt.subject, subject());
    assert_eq!(receipt.measured.data.seed, u64::MAX, "no number was rounded on the way");
    assert_eq!(receipt.measured.latency_ratio, report().latency.ratio);
    assert_eq!(receipt.covers(&report()), Ok(()));
    assert!(issued().len() < 2_000, "{} bytes", issued().len());
}

#[test]
fn each_changed_byte_is_refused() {
    let bytes = issued();
    let mut passed = Vec::new();
    for at in 0..bytes.len() {
        // One bit, the case of a letter, and any other value.
        for mask in [0x01, 0x20, 0x80, 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= mask;
            if verify(&changed).is_ok() {
                passed.push((at, mask));
            }
        }
    }
    assert_eq!(passed, []);
}

#[test]
fn each_shortened_and_lengthened_receipt_is_refused() {
    let bytes = issued();
    assert!((0..bytes.len()).all(|end| verify(&bytes[..end]).is_err()));
    for tail in [" ", "\n", "}", "\0", "{}"] {
        assert!(verify(&[bytes.as_slice(), tail.as_bytes()].concat()).is_err(), "{tail:?}");
    }
}

#[test]
fn each_changed_field_breaks_the_signature() {
    let other = Digest::of(b"other").to_string();
    let changes = [
        ("/receipt/subject/competition", json!("other")),
        ("/receipt/subject/competition_sha256", json!(other)),
        ("/receipt/subject/submission", json!(SubmissionId::new(1, 1))),
        ("/receipt/subject/hotkey", json!(validator().hotkey())),
        ("/receipt/rules", json!(1)),
        ("/receipt/subject/attempt", json!(2)),
        ("/receipt/subject/data_root", json!(other)),
        ("/receipt/subject/outcomes_sha256", json!(other)),
        ("/receipt/measured/package_sha256", json!(other)),
        ("/receipt/measured/data/images_sha256", json!(other)),
        ("/receipt/measured/data/seed", json!("18446744073709551614")),
        ("/receipt/measured/data/items", json!(9_999)),
        ("/receipt/measured/engine", json!("eval 0.1.1")),
        ("/receipt/measured/host_sha256", json!(other)),
        ("/receipt/measured/outputs_sha256", json!(other)),
        ("/receipt/measured/latency_ratio/value_ppm", json!(512_344)),
        ("/receipt/measured/latency_ratio/low_ppm", json!(509_001)),
        ("/receipt/measured/latency_ratio/high_ppm", json!(515_000)),
        ("/receipt/measured/report_sha256", json!(other)),
        ("/receipt/issued_at", json!(1_700_000_001)),
        ("/signature", json!(Signature::from_bytes([0; 64]))),
    ];
    for (pointer, value) in changes {
        let bytes = after(|json| *json.pointer_mut(pointer).unwrap() = value);
        assert!(matches!(verify(&bytes), Err(ReceiptError::Changed(_))), "{pointer}: {:?}", verify(&bytes));
    }
}

#[test]
fn an_unknown_validator_and_a_foreign_competition_have_their_errors() {
    let (id, sha256) = competition();
    let stranger = Keypair::from_seed(&[9; 32]).hotkey();
    let unknown = Receipt::verify(&issued(), &[stranger], (&id, sha256));
    assert_eq!(unknown, Err(ReceiptError::UnknownKey { found: validator().hotkey() }));
    // Who puts their own key in can't keep the signature.
    let bytes = after(|json| json["receipt"]["validator"] = json!(stranger));
    let stolen = Receipt::verify(&bytes, &[stranger], (&id, sha256));
    assert!(matches!(stolen, Err(ReceiptError::Changed(_))));

    let other: CompetitionId = "other".parse().unwrap();
    for competition in [(&other, sha256), (&id, Digest::of(b"other rules"))] {
        let foreign = Receipt::verify(&issued(), &[validator().hotkey()], competition);
        assert!(matches!(foreign, Err(ReceiptError::ForeignCompetition { .. })), "{foreign:?}");
    }
}

#[test]
fn only_the_canonical_form_of_this_version_is_read() {
    let pretty = serde_json::to_vec_pretty(&serde_json::from_slice::<Value>(&issued()).unwrap()).unwrap();
    assert!(matches!(verify(&pretty), Err(ReceiptError::NotCanonical { offset: 1 })));
    let unknown = after(|json| json["receipt"]["measured"]["bonus"] = json!(1));
    assert!(matches!(verify(&unknown), Err(ReceiptError::Malformed { .. })));
    let missing = after(|json| drop(json["receipt"]["subject"].as_object_mut().unwrap().remove("data_root")));
    assert!(matches!(verify(&missing), Err(ReceiptError::Malformed { .. })));
    let version = after(|json| json["receipt"]["format"] = json!("retort-receipt/1"));
    assert_eq!(verify(&version), Err(ReceiptError::Format { found: "retort-receipt/1".into() }));
    let seed = after(|json| json["receipt"]["measured"]["data"]["seed"] = json!("+1"));
    assert!(matches!(verify(&seed), Err(ReceiptError::NotCanonical { .. })));
    let large = vec![b' '; RECEIPT_BYTES_MAX + 1];
    assert_eq!(verify(&large), Err(ReceiptError::TooLarge { bytes: RECEIPT_BYTES_MAX + 1 }));
}

#[test]
fn a_report_that_no_receipt_may_hold_is_not_signed() {
    let issue = |change: fn(&mut Report)| {
        let mut report = report();
        change(&mut report);
        Receipt::issue(&validator(), subject(), &report, 0)
    };
    for engine in [|r: &mut Report| r.engine.clear(), |r: &mut Report| r.engine = "x".repeat(ENGINE_BYTES_MAX + 1)] {
        assert!(matches!(issue(engine), Err(ReceiptError::Engine { .. })));
    }
    assert!(matches!(issue(|r| r.engine = "line\nbreak".into()), Err(ReceiptError::Engine { .. })));
    let rounded = issue(|r| r.latency.ratio.high_ppm = (1 << 53) + 1);
    assert_eq!(rounded, Err(ReceiptError::NumberTooLarge));
}

#[test]
fn another_report_is_not_covered() {
    let receipt = verify(&issued()).unwrap();
    type Change = fn(&mut Report);
    let changes: [(&str, Change); 4] = [
        ("package", |r| r.package_sha256 = Digest::of(b"")),
        ("host", |r| r.host.cores += 1),
        ("data", |r| r.data.seed = 0),
        ("report", |r| r.quality.correct += 1),
    ];
    for (field, change) in changes {
        let mut other = report();
        change(&mut other);
        assert_eq!(receipt.covers(&other), Err(ReceiptError::OtherReport { field }));
    }
}

#[test]
fn a_signature_without_the_context_is_no_receipt() {
    let mut signed = SignedReceipt::parse(&issued()).unwrap();
    signed.signature = validator().sign(&canonical_json(&signed.receipt).unwrap());
    assert!(matches!(verify(&signed.to_json().unwrap()), Err(ReceiptError::Changed(_))));
    let message = [RECEIPT_CONTEXT, &canonical_json(&signed.receipt).unwrap()].concat();
    signed.signature = validator().sign(&message);
    assert!(verify(&signed.to_json().unwrap()).is_ok());
}
