//! Headers of signed requests: read before anything is known about who sends them.

use protocol::Digest;
use protocol::auth::{Claim, Hotkey, Keypair, OutgoingRequest, Policy, RequestParts, sign_request, verify};

const NOW_NS: u64 = 1_700_000_000_000_000_000;

fn miner() -> Keypair {
    Keypair::from_seed(&[5; 32])
}

fn validator() -> Hotkey {
    Keypair::from_seed(&[6; 32]).hotkey()
}

/// Lines of `name: value`, as HTTP has them; the first line is the method and the target.
pub(super) fn btauth(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let request = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (method, target) = request.split_once(' ').unwrap_or((request, ""));
    let headers: Vec<(&str, &[u8])> = lines
        .filter_map(|line| {
            let at = line.iter().position(|byte| *byte == b':')?;
            Some((std::str::from_utf8(&line[..at]).ok()?, line[at + 1..].trim_ascii()))
        })
        .collect();
    if let Ok(claim) = Claim::from_headers(headers.iter().copied()) {
        let _ = claim.admit(&validator(), NOW_NS, &Policy::default());
    }
    let parts = RequestParts { method, target, headers: &headers, body_sha256: Digest::of(b"") };
    if let Ok(verified) = verify(&parts, &validator(), NOW_NS, &Policy::default()) {
        assert_eq!(verified.hotkey, miner().hotkey(), "a forged request");
        assert!(method.eq_ignore_ascii_case("GET") && target == "/api/v1/submissions?a=b", "{method} {target}");
    }
    let text = std::str::from_utf8(input).unwrap_or_default();
    if let Ok(hotkey) = text.parse::<Hotkey>() {
        assert_eq!(hotkey.to_string(), text, "a hotkey with two forms");
    }
}

pub(super) fn seeds() -> Vec<Vec<u8>> {
    let signed = |target, nonce_ns| {
        let outgoing = OutgoingRequest {
            method: "GET",
            target,
            body_sha256: Digest::of(b""),
            receiver: Some(validator()),
            nonce_ns,
        };
        let headers = sign_request(&miner(), &outgoing);
        let lines: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
        format!("GET {target}\n{}\n", lines.join("\n")).into_bytes()
    };
    vec![
        signed("/api/v1/submissions?a=b", NOW_NS),
        signed("/api/v1/submissions?a=b", NOW_NS - 60_000_000_000),
        miner().hotkey().to_string().into_bytes(),
    ]
}
