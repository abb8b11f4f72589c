//! Hotkeys, wallet files and signed requests against the vectors that Bittensor's own Python packages made.
//!
//! It does NOT know how the vectors were made: `vectors/*.json` say it themselves.

mod requests;
mod wallets;

use protocol::auth::{Hotkey, HotkeyError, Keypair, KeypairError, Scheme, Signature};
use serde_json::Value;

const ALICE: &str = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
const BOB: &str = "5FHneW46xGXgs5mUiveU4sbTyGBzmstUspZC92UhjJM694ty";

fn vectors(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn sign_vectors() -> Value {
    vectors(include_str!("../vectors/sign_vectors.json"))
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or_else(|| panic!("no text {field} in {value}"))
}

fn bytes<const N: usize>(value: &Value, field: &str) -> [u8; N] {
    let mut bytes = [0; N];
    hex::decode_to_slice(text(value, field).trim_start_matches("0x"), &mut bytes).unwrap();
    bytes
}

#[test]
fn every_recorded_public_key_has_the_recorded_address_and_back() {
    for (uri, keys) in sign_vectors()["uris"].as_object().unwrap() {
        for scheme in ["sr25519", "ed25519"] {
            let address = text(keys, &format!("{scheme}_ss58_42"));
            let hotkey = Hotkey::from_bytes(bytes(keys, &format!("{scheme}_public")));
            assert_eq!(hotkey.to_string(), address, "{uri}");
            assert_eq!(address.parse(), Ok(hotkey), "{uri}");
            assert_eq!(serde_json::to_value(hotkey).unwrap(), Value::from(address), "{uri}");
            assert_eq!(serde_json::from_value::<Hotkey>(address.into()).unwrap(), hotkey, "{uri}");
        }
    }
}

#[test]
fn every_changed_character_of_an_address_is_refused() {
    for index in 0..ALICE.len() {
        for other in "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz".chars() {
            let mut changed: Vec<char> = ALICE.chars().collect();
            if changed[index] == other {
                continue;
            }
            changed[index] = other;
            let changed: String = changed.into_iter().collect();
            // Two bytes of checksum let one in 65,536 wrong addresses through, and such a one is another key.
            if let Ok(hotkey) = changed.parse::<Hotkey>() {
                assert_ne!(hotkey.to_string(), ALICE);
            }
        }
    }
}

#[test]
fn addresses_that_are_not_ours_are_refused_by_name() {
    let polkadot = "15oF4uVJwmo4TdGW7VfQxNLavjCXviqxT9S1MgbjMNHr6Sp5"; // Alice with prefix 0.
    let mistyped = ALICE.replace("utQY", "utQZ");
    assert_eq!(polkadot.parse::<Hotkey>(), Err(HotkeyError::WrongPrefix { text: polkadot.into(), prefix: 0 }));
    assert_eq!(mistyped.parse::<Hotkey>(), Err(HotkeyError::WrongChecksum { text: mistyped.clone() }));
    assert_eq!("".parse::<Hotkey>(), Err(HotkeyError::WrongLength { text: "".into(), bytes: 0 }));
    assert_eq!("0OIl".parse::<Hotkey>(), Err(HotkeyError::NotBase58 { text: "0OIl".into() }));
    assert_eq!("1".repeat(49).parse::<Hotkey>(), Err(HotkeyError::TooLong { chars: 49 }));
    assert!(format!(" {ALICE}").parse::<Hotkey>().is_err(), "white space is not trimmed away");
    assert!(matches!(ALICE[..40].parse::<Hotkey>(), Err(HotkeyError::WrongLength { .. })));
}

#[test]
fn every_recorded_signature_verifies_as_its_signer_and_nobody_else() {
    let (alice, bob): (Hotkey, Hotkey) = (ALICE.parse().unwrap(), BOB.parse().unwrap());
    for case in sign_vectors()["sr25519_sign"].as_array().unwrap() {
        let message = hex::decode(text(case, "message_hex")).unwrap();
        let signature: Signature = text(case, "signature_hex").parse().unwrap();
        assert_eq!(alice.verify(Scheme::Sr25519, &message, &signature), Ok(()), "{case}");
        assert!(bob.verify(Scheme::Sr25519, &message, &signature).is_err(), "{case}");
        assert!(alice.verify(Scheme::Ed25519, &message, &signature).is_err(), "{case}");
        assert!(alice.verify(Scheme::Sr25519, b"another message", &signature).is_err(), "{case}");
    }
}

/// Bittensor's `verify` also takes a browser wallet's wrapping for the bare message; ours takes what was signed.
#[test]
fn a_signature_over_wrapped_bytes_verifies_only_with_the_wrapping() {
    let case = &sign_vectors()["bytes_wrap"];
    let alice: Hotkey = ALICE.parse().unwrap();
    let signature: Signature = text(case, "signature_hex").parse().unwrap();
    assert_eq!(alice.verify(Scheme::Sr25519, text(case, "signed_over").as_bytes(), &signature), Ok(()));
    assert!(alice.verify(Scheme::Sr25519, text(case, "message").as_bytes(), &signature).is_err());
}

#[test]
fn a_key_verifies_its_own_signatures_which_differ_each_time() {
    let keypair = Keypair::from_seed(&[7; 32]);
    let (first, second) = (keypair.sign(b"message"), keypair.sign(b"message"));
    assert_ne!(first, second);
    assert_eq!(keypair.verify(b"message", &first), Ok(()));
    assert_eq!(keypair.verify(b"message", &second), Ok(()));
    assert!(keypair.verify(b"massage", &first).is_err());
    assert!(Keypair::from_seed(&[8; 32]).verify(b"message", &first).is_err());
}

#[test]
fn every_flipped_bit_of_a_signature_is_noticed() {
    let keypair = Keypair::from_seed(&[7; 32]);
    let signature = keypair.sign(b"message");
    for bit in 0..512 {
        let mut flipped = *signature.as_bytes();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(keypair.verify(b"message", &Signature::from_bytes(flipped)).is_err(), "bit {bit}");
    }
}

#[test]
fn a_small_order_ed25519_key_signs_nothing() {
    // The identity point with R = identity and s = 0 verifies over any message where verification is not strict.
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut forged = [0; 64];
    forged[0] = 1;
    let verified = Hotkey::from_bytes(identity).verify(Scheme::Ed25519, b"any", &Signature::from_bytes(forged));
    assert!(verified.is_err());
}

#[test]
fn a_key_of_zero_bytes_signs_nothing_and_can_be_read() {
    // R = identity and s = 0, which belongs to the identity point over any message; the last bit marks schnorrkel's form.
    let mut forged = [0; 64];
    forged[63] = 0x80;
    let zero = Hotkey::from_bytes([0; 32]);
    for scheme in [Scheme::Sr25519, Scheme::Ed25519] {
        assert!(zero.verify(scheme, b"any", &Signature::from_bytes(forged)).is_err(), "{scheme:?}");
    }
    assert_eq!(zero.to_string().parse(), Ok(zero), "a chain may list it");
    assert!(zero.is_anybodys());
    // Points of small order of ed25519, the last of them in two spellings.
    for text in [
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    ] {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).unwrap();
        assert!(Hotkey::from_bytes(key).is_anybodys(), "{text}");
    }
    assert!((0..50).all(|seed| !Keypair::from_seed(&[seed; 32]).hotkey().is_anybodys()));
    assert_eq!(Keypair::from_private_key(&[0; 64]).unwrap_err(), KeypairError::Zero);
}

#[test]
fn a_key_for_a_purpose_is_the_same_wherever_its_keypair_comes_from_and_another_s_for_no_other() {
    let keypair = Keypair::from_seed(&[7; 32]);
    let key = keypair.key_for("retort/test/1");
    assert_eq!(key, Keypair::from_seed(&[7; 32]).key_for("retort/test/1"));
    assert_ne!(key, keypair.key_for("retort/test/2"));
    assert_ne!(key, Keypair::from_seed(&[8; 32]).key_for("retort/test/1"));
}

#[test]
fn a_keypair_never_prints_its_secret() {
    let keypair = Keypair::from_seed(&[7; 32]);
    assert_eq!(format!("{keypair:?}"), format!("Keypair {{ hotkey: Hotkey({}), .. }}", keypair.hotkey()));
}
