//! Signed requests: the recorded outcomes of `bittensor.http_auth`, and what lies between them.

use protocol::auth::{
    AuthError, Claim, Hotkey, Keypair, MalformedAuth, NonceWindow, OutgoingRequest, Policy, RequestParts, Scheme,
    VerifiedRequest, WalletFile, sign_request, signing_payload, verify,
};
use protocol::digest::Digest;
use serde_json::Value;

use super::{BOB, bytes, text, vectors};

const NOW_NS: u64 = 1_752_076_800_000_000_000;
const S: u64 = 1_000_000_000;

fn alice() -> Keypair {
    let wallets = vectors(include_str!("../vectors/wallet_vectors.json"));
    WalletFile::parse(wallets["alice_keyfile"].to_string().as_bytes()).unwrap().into_keypair()
}

fn bob() -> Hotkey {
    BOB.parse().unwrap()
}

fn outgoing(nonce_ns: u64) -> OutgoingRequest<'static> {
    let body_sha256 = Digest::of(b"body");
    OutgoingRequest { method: "POST", target: "/a?b=c%20d", body_sha256, receiver: Some(bob()), nonce_ns }
}

/// Headers as a client would send them.
fn signed(request: &OutgoingRequest<'_>) -> Vec<(String, String)> {
    sign_request(&alice(), request).into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

fn verify_at(headers: &[(String, String)], now_ns: u64) -> Result<VerifiedRequest, AuthError> {
    verify_under(headers, now_ns, &Policy::default())
}

fn verify_under(headers: &[(String, String)], now_ns: u64, policy: &Policy) -> Result<VerifiedRequest, AuthError> {
    let OutgoingRequest { method, target, body_sha256, .. } = outgoing(NOW_NS);
    let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    verify(&RequestParts { method, target, headers: &headers, body_sha256 }, &bob(), now_ns, policy)
}

fn with(name: &str, value: &str) -> Vec<(String, String)> {
    let mut headers = signed(&outgoing(NOW_NS));
    headers.retain(|(present, _)| !present.eq_ignore_ascii_case(name));
    headers.push((name.to_owned(), value.to_owned()));
    headers
}

/// Runs a recorded case with a nonce window of its own, as often as its note says.
fn outcome(case: &Value) -> Result<VerifiedRequest, AuthError> {
    let headers = case["headers"].as_object().unwrap();
    let headers: Vec<_> = headers.iter().map(|(name, value)| (&**name, value.as_str().unwrap().as_bytes())).collect();
    let request = RequestParts {
        method: text(case, "method"),
        target: text(case, "path"),
        headers: &headers,
        body_sha256: Digest::of(text(case, "body").as_bytes()),
    };
    let (receiver, now_ns) = (text(case, "self_hotkey").parse().unwrap(), case["now_ns"].as_u64().unwrap());
    let policy = Policy::default();
    let mut window = NonceWindow::new(10, &policy);
    let mut accept = || {
        let verified = verify(&request, &receiver, now_ns, &policy)?;
        window.accept(&verified, now_ns).map(|()| verified)
    };
    if text(case, "name") == "replay_second_time" {
        accept()?;
    }
    accept()
}

#[test]
fn all_recorded_cases_end_as_they_ended_in_python() {
    let vectors = vectors(include_str!("../vectors/btauth_vectors.json"));
    let cases = vectors["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 18);
    let wrong: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let found =
                outcome(case).map_or_else(|e| e.name().to_owned(), |verified| format!("ok {}", verified.hotkey));
            let expected = text(case, "expect");
            let same = found == expected || (expected == "ok" && found.starts_with("ok "));
            (!same).then(|| format!("{}: expected {expected}, found {found}", case["name"]))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_signed_text_is_the_recorded_one() {
    let vectors = vectors(include_str!("../vectors/btauth_vectors.json"));
    let case = &vectors["cases"][0];
    let sender: Hotkey = text(&case["headers"], "X-Bittensor-Hotkey").parse().unwrap();
    let body_sha256 = Digest::of(text(case, "body").as_bytes());
    let payload = signing_payload(Scheme::Sr25519, "post", text(case, "path"), body_sha256, NOW_NS, &sender, Some(BOB));
    assert_eq!(payload, text(case, "payload_utf8"));
}

#[test]
fn a_request_that_we_sign_verifies() {
    let verified = verify_at(&signed(&outgoing(NOW_NS)), NOW_NS + 1).unwrap();
    assert_eq!((verified.hotkey, verified.nonce_ns), (alice().hotkey(), NOW_NS));
}

#[test]
fn header_names_compare_without_case() {
    let mut headers = signed(&outgoing(NOW_NS));
    headers.iter_mut().for_each(|(name, _)| *name = name.to_lowercase());
    assert!(verify_at(&headers, NOW_NS).is_ok());
}

#[test]
fn freshness_ends_just_after_ten_seconds_back_and_two_ahead() {
    let headers = signed(&outgoing(NOW_NS));
    for (now_ns, fresh) in [
        (NOW_NS + 10 * S, true),
        (NOW_NS + 10 * S + 1, false),
        (NOW_NS - 2 * S, true),
        (NOW_NS - 2 * S - 1, false),
        (0, false),
        (u64::MAX, false),
    ] {
        assert_eq!(verify_at(&headers, now_ns).is_ok(), fresh, "{now_ns}");
    }
}

#[test]
fn an_unbound_request_needs_a_policy_that_takes_it() {
    let headers = signed(&OutgoingRequest { receiver: None, ..outgoing(NOW_NS) });
    assert_eq!(verify_at(&headers, NOW_NS).unwrap_err().name(), "WrongReceiver");
    let lenient = Policy { require_receiver: false, ..Policy::default() };
    assert!(verify_under(&headers, NOW_NS, &lenient).is_ok());
    let elsewhere = signed(&OutgoingRequest { receiver: Some(alice().hotkey()), ..outgoing(NOW_NS) });
    assert_eq!(verify_under(&elsewhere, NOW_NS, &lenient).unwrap_err().name(), "WrongReceiver");
}

#[test]
fn headers_of_another_shape_are_malformed() {
    let now = NOW_NS.to_string();
    for (name, value) in [
        ("X-Bittensor-Version", ""),
        ("X-Bittensor-Version", "01"),
        ("X-Bittensor-Hotkey", "alice"),
        ("X-Bittensor-Nonce", ""),
        ("X-Bittensor-Nonce", &format!("+{now}")),
        ("X-Bittensor-Nonce", &format!("0{now}")),
        ("X-Bittensor-Nonce", &format!(" {now}")),
        ("X-Bittensor-Nonce", "99999999999999999999"),
        ("X-Bittensor-Nonce", &"1".repeat(1000)),
        ("X-Bittensor-Crypto", "ecdsa"),
        ("X-Bittensor-Crypto", "SR25519"),
        ("X-Bittensor-Signature", ""),
        ("X-Bittensor-Signature", "0x"),
        ("X-Bittensor-Receiver", "5F\u{7f}"),
    ] {
        let found = verify_at(&with(name, value), NOW_NS).map_err(|error| error.name());
        assert_eq!(found, Err("MalformedAuth"), "{name}: {value:?}");
    }
}

#[test]
fn a_missing_header_is_named() {
    for (name, _) in signed(&outgoing(NOW_NS)) {
        let mut headers = signed(&outgoing(NOW_NS));
        headers.retain(|(present, _)| *present != name);
        let error = verify_at(&headers, NOW_NS).unwrap_err();
        let expected = if name == "X-Bittensor-Receiver" { "receiver -" } else { &name };
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// Two copies of a header let a proxy and a server read different ones.
#[test]
fn a_repeated_header_is_refused_even_with_equal_values() {
    for (name, value) in signed(&outgoing(NOW_NS)) {
        let mut headers = signed(&outgoing(NOW_NS));
        headers.push((name.to_lowercase(), value));
        let error = verify_at(&headers, NOW_NS).unwrap_err();
        assert!(matches!(error, AuthError::MalformedAuth(MalformedAuth::Repeated(_))), "{name}: {error}");
    }
}

/// A line break in method or target would let one signature stand for another request.
#[test]
fn a_line_break_in_the_request_line_is_malformed() {
    let headers = signed(&outgoing(NOW_NS));
    for (method, target) in [("POST\n/a", "/b"), ("POST", "/a\n0"), ("POST", "/a b"), ("PO ST", "/a")] {
        let claim = Claim::from_headers(headers.iter().map(|(name, value)| (&**name, value.as_bytes()))).unwrap();
        let admitted = claim.admit(&bob(), NOW_NS, &Policy::default()).unwrap();
        assert_eq!(admitted.claimed_hotkey(), alice().hotkey());
        let error = admitted.verify(method, target, Digest::of(b"body")).unwrap_err();
        assert_eq!(error, MalformedAuth::RequestLine.into());
    }
}

#[test]
fn the_golden_ed25519_signature_fails_when_one_bit_changes() {
    let vectors = vectors(include_str!("../vectors/btauth_vectors.json"));
    let case = &vectors["cases"][1];
    let mut signature: [u8; 64] = bytes(&case["headers"], "X-Bittensor-Signature");
    signature[5] ^= 1;
    let mut case = case.clone();
    case["headers"]["X-Bittensor-Signature"] = format!("0x{}", hex::encode(signature)).into();
    assert_eq!(outcome(&case).unwrap_err().name(), "BadSignature");
}

#[test]
fn a_nonce_is_accepted_once_per_hotkey() {
    let policy = Policy::default();
    let mut window = NonceWindow::new(10, &policy);
    let request = verify_at(&signed(&outgoing(NOW_NS)), NOW_NS).unwrap();
    let later = verify_at(&signed(&outgoing(NOW_NS + 1)), NOW_NS).unwrap();
    assert_eq!(window.accept(&request, NOW_NS), Ok(()));
    assert_eq!(window.accept(&request, NOW_NS + 9 * S).unwrap_err().name(), "ReplayedRequest");
    assert_eq!(window.accept(&later, NOW_NS + 9 * S), Ok(()));
}

#[test]
fn a_full_nonce_window_refuses_and_has_room_again_after_its_retention() {
    let mut window = NonceWindow::new(2, &Policy::default());
    let request = |nonce_ns| verify_at(&signed(&outgoing(nonce_ns)), nonce_ns).unwrap();
    window.accept(&request(NOW_NS), NOW_NS).unwrap();
    window.accept(&request(NOW_NS + 1), NOW_NS).unwrap();
    assert_eq!(window.accept(&request(NOW_NS + 2), NOW_NS), Err(AuthError::NonceWindowFull { entries: 2 }));
    let later_ns = NOW_NS + 61 * S;
    assert_eq!(window.accept(&request(later_ns), later_ns), Ok(()));
    assert_eq!(window.entries(), 1);
}

#[test]
fn a_forgotten_nonce_stays_refused_when_the_clock_is_set_back() {
    let mut window = NonceWindow::new(10, &Policy::default());
    let request = verify_at(&signed(&outgoing(NOW_NS)), NOW_NS).unwrap();
    let much_later_ns = NOW_NS + 3600 * S;
    let later = verify_at(&signed(&outgoing(much_later_ns)), much_later_ns).unwrap();
    window.accept(&request, NOW_NS).unwrap();
    window.accept(&later, much_later_ns).unwrap();
    assert_eq!(window.accept(&request, NOW_NS).unwrap_err().name(), "StaleRequest");
}

#[test]
fn a_restart_forgets_nothing() {
    let request = verify_at(&signed(&outgoing(NOW_NS)), NOW_NS).unwrap();
    let restarted_ns = NOW_NS - S; // The client's clock is ahead, as far as the policy allows.
    let mut window = NonceWindow::new(10, &Policy::default()).after_restart(restarted_ns);
    assert_eq!(window.accept(&request, NOW_NS).unwrap_err().name(), "StaleRequest");
    let fresh = verify_at(&signed(&outgoing(NOW_NS + 2 * S)), NOW_NS + 2 * S).unwrap();
    assert_eq!(window.accept(&fresh, NOW_NS + 2 * S), Ok(()));
}
