//! Wallet files: those of Bittensor's tools load, what we write loads again, and all others are refused by name.

use protocol::auth::{Keypair, WALLET_FILE_BYTES_MAX, WalletError, WalletFile};
use serde_json::Value;

use super::{ALICE, BOB, bytes, text, vectors};

fn wallet_vectors() -> Value {
    vectors(include_str!("../vectors/wallet_vectors.json"))
}

fn parse(fields: &Value) -> Result<Keypair, WalletError> {
    WalletFile::parse(fields.to_string().as_bytes()).map(WalletFile::into_keypair)
}

fn changed(file: &str, field: &str, value: impl Into<Value>) -> Value {
    let mut fields = wallet_vectors()[file].clone();
    fields[field] = value.into();
    fields
}

#[test]
fn recorded_wallet_files_load_and_sign_as_their_address() {
    for file in ["mnemonic_keyfile", "alice_keyfile"] {
        let fields = &wallet_vectors()[file];
        let keypair = parse(fields).unwrap();
        assert_eq!(keypair.hotkey().to_string(), text(fields, "ss58Address"), "{file}");
        assert_eq!(keypair.verify(b"message", &keypair.sign(b"message")), Ok(()), "{file}");
    }
}

#[test]
fn a_seed_and_the_private_key_next_to_it_are_the_same_key() {
    let fields = &wallet_vectors()["mnemonic_keyfile"];
    let seeded = Keypair::from_seed(&bytes(fields, "secretSeed"));
    let private = Keypair::from_private_key(&bytes(fields, "privateKey")).unwrap();
    assert_eq!(seeded.hotkey(), private.hotkey());
    assert_eq!(seeded.hotkey().to_string(), text(fields, "ss58Address"));
}

#[test]
fn a_file_that_we_write_has_the_fields_that_bittensor_writes() {
    for file in ["mnemonic_keyfile", "alice_keyfile"] {
        let mut expected = wallet_vectors()[file].clone();
        expected.as_object_mut().unwrap().remove("secretPhrase");
        let written = WalletFile::new(parse(&expected).unwrap()).to_wallet_json();
        assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), expected, "{file}");
        assert!(!written.contains('\n'), "{file}");
    }
}

#[test]
fn an_old_file_with_a_seed_alone_loads() {
    let mut fields = wallet_vectors()["mnemonic_keyfile"].clone();
    fields["privateKey"] = Value::Null;
    fields.as_object_mut().unwrap().remove("cryptoType");
    assert_eq!(parse(&fields).unwrap().hotkey().to_string(), text(&fields, "ss58Address"));
}

#[test]
fn encrypted_files_are_refused_with_their_form() {
    let nacl = hex::decode(text(&wallet_vectors()["encrypted_nacl"], "hex")).unwrap();
    let ansible: &[u8] = b"$ANSIBLE_VAULT;1.1;AES256\n6238";
    for (file, format) in [(&nacl[..], "NaCl"), (ansible, "Ansible Vault"), (b"gAAAAABl", "Fernet")] {
        assert_eq!(WalletFile::parse(file).unwrap_err(), WalletError::Encrypted { format });
    }
}

#[test]
fn files_whose_parts_disagree_are_refused() {
    let bob_hex = "0x8eaf04151687736326c9fea17e25fc5287613693c912909cb226aa4794f26a48";
    let cases = [
        changed("alice_keyfile", "ss58Address", BOB),
        changed("alice_keyfile", "publicKey", bob_hex),
        changed("alice_keyfile", "accountId", bob_hex),
        changed("alice_keyfile", "secretSeed", format!("0x{}", "07".repeat(32))),
    ];
    for fields in cases {
        assert!(matches!(parse(&fields), Err(WalletError::Inconsistent { .. })), "{:?}", parse(&fields));
    }
}

#[test]
fn unusable_files_are_refused_by_name_and_without_their_secrets() {
    let private = text(&wallet_vectors()["alice_keyfile"], "privateKey").to_owned();
    let public_only = serde_json::json!({ "ss58Address": ALICE, "cryptoType": 1 });
    let cases = [
        (public_only, "no private key"),
        (changed("alice_keyfile", "cryptoType", 0), "crypto type 0"),
        (changed("alice_keyfile", "privateKey", &private[2..]), "privateKey is not 0x"),
        (changed("alice_keyfile", "privateKey", &private[..128]), "privateKey is not 0x"),
        (changed("alice_keyfile", "privateKey", format!("0x{}", "ff".repeat(64))), "privateKey is unusable"),
        (changed("alice_keyfile", "ss58Address", Value::Null), "ss58Address is unusable"),
        (changed("alice_keyfile", "cryptoType", private.as_str()), "line 1"),
    ];
    for (fields, message) in cases {
        let error = parse(&fields).unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(!error.contains(&private[2..20]), "{error}");
    }
    let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    for (text, message) in [
        (serde_json::json!({ "secretPhrase": phrase }).to_string(), "btcli wallet regen-hotkey"),
        (format!("{phrase}\n"), "btcli wallet regen-hotkey"),
        (format!("{ALICE}\n"), "public half"),
        (
            serde_json::json!({ "encoded": "x", "encoding": {}, "address": ALICE, "meta": {} }).to_string(),
            "polkadot-js",
        ),
        (String::new(), "is empty"),
    ] {
        let error = WalletFile::parse(text.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(message) && !error.contains("bottom"), "{error}");
    }
    let file = wallet_vectors()["alice_keyfile"].to_string();
    let marked = WalletFile::parse(format!("\u{feff}{file}").as_bytes()).unwrap();
    assert_eq!(marked.keypair().hotkey(), WalletFile::parse(file.as_bytes()).unwrap().keypair().hotkey());
    let wide: Vec<u8> = format!("\u{feff}{file}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(WalletFile::parse(&wide).unwrap_err(), WalletError::Utf16);
    assert!(matches!(WalletFile::parse(b"0x33a6f309"), Err(WalletError::NotWalletJson { line: 1, .. })));
    let large = vec![b' '; WALLET_FILE_BYTES_MAX + 1];
    assert_eq!(WalletFile::parse(&large).unwrap_err(), WalletError::TooLarge { size_bytes: large.len() });
}
