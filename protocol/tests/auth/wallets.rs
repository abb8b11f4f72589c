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

/// One public half is enough; without any the secret's own address is told, and what to write.
#[test]
fn a_secret_without_its_address_says_which_one_to_write() {
    for file in ["mnemonic_keyfile", "alice_keyfile"] {
        let mut fields = wallet_vectors()[file].clone();
        let address = text(&fields, "ss58Address").to_owned();
        fields.as_object_mut().unwrap().remove("ss58Address");
        assert_eq!(parse(&fields).unwrap().hotkey().to_string(), address, "its public key names it: {file}");
        for field in ["publicKey", "accountId"] {
            fields.as_object_mut().unwrap().remove(field);
        }
        let told = parse(&fields).unwrap_err().to_string();
        let secret = ["secretSeed", "privateKey"].iter().find_map(|field| fields[field].as_str()).unwrap();
        assert!(told.contains(&format!("\"ss58Address\": \"{address}\"")) && !told.contains(&secret[2..20]), "{told}");
        fields["ss58Address"] = address.clone().into();
        assert_eq!(parse(&fields).unwrap().hotkey().to_string(), address);
    }
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
        (changed("alice_keyfile", "privateKey", &private[..128]), "privateKey is not 64 bytes in hex"),
        (changed("alice_keyfile", "privateKey", "secret"), "privateKey is not 64 bytes in hex"),
        (changed("alice_keyfile", "privateKey", format!("0x{}", "ff".repeat(64))), "privateKey is unusable"),
        (changed("alice_keyfile", "ss58Address", ""), "ss58Address is unusable"),
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
            "polkadot-js, encrypted with a password",
        ),
        (
            serde_json::json!({ "encoded": "x", "encoding": { "type": ["scrypt", "xsalsa20-poly1305"] } }).to_string(),
            "regen-hotkey --json",
        ),
        (
            serde_json::json!({ "crypto": { "cipher": "aes-128-ctr" }, "address": "5e97", "version": 3 }).to_string(),
            "an Ethereum keystore",
        ),
        (serde_json::json!({ "Crypto": {}, "version": 3 }).to_string(), "an Ethereum keystore"),
        (serde_json::json!({ "secretKeyUri": format!("{phrase}//Alice") }).to_string(), "a secret URI"),
        (serde_json::json!({ "kty": "OKP" }).to_string(), "none of a wallet's fields"),
        ("{}".to_owned(), "none of a wallet's fields"),
        ("//Alice\n".to_owned(), "a secret URI"),
        ("-----BEGIN PRIVATE KEY-----\nbottom\n-----END PRIVATE KEY-----\n".to_owned(), "a PEM key"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nbottom\n".to_owned(), "a PEM key"),
        (" \"\" ".to_owned(), "is empty"),
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
    let unmarked: Vec<u8> = file.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert_eq!(WalletFile::parse(&unmarked).unwrap_err(), WalletError::Utf16);
    assert!(matches!(WalletFile::parse(b"0x33a6f309"), Err(WalletError::NotWalletJson { line: 1, .. })));
    let large = vec![b' '; WALLET_FILE_BYTES_MAX + 1];
    assert_eq!(WalletFile::parse(&large).unwrap_err(), WalletError::TooLarge { size_bytes: large.len() });
}

/// As people paste it: what it is and what to do, and none of it.
#[test]
fn a_bare_secret_is_told_by_its_kind_and_never_repeated() {
    let phrase = "bottom drive obey lake curtain smoke basket hold race lonely fit walk";
    let words: Vec<&str> = phrase.split(' ').collect();
    let numbered = (1..).zip(&words).map(|(number, word): (u32, _)| format!("{number}. {word}\n")).collect::<String>();
    let good = "a phrase of 12 words alone";
    let seed = "e5be9a5092b81bca64be81d212e7f2f9eba183bb7a90954f7b76361f6edb5c0a";
    for (text, told) in [
        (phrase.to_owned(), good),
        (phrase.to_uppercase(), good),
        (words.join("\r\n"), good),
        (words.join(", "), good),
        (format!("\"{phrase}\""), good),
        (format!("['{}']", words.join("', '")), good),
        (format!("\u{201c}{phrase}\u{201d}"), good),
        (numbered, good),
        (format!("{phrase}//Alice"), "a phrase of 12 words and a derivation path alone"),
        (words[..11].join(" "), "a phrase of 11 words, where phrases have 12, 15, 18, 21 or 24"),
        (words[..5].join(" "), "a phrase of 5 words, where phrases have"),
        (phrase.replace("lake", "lakke"), "of which number 4 isn't in the list of BIP 39"),
        (phrase.replace("drive", "walk"), "whose checksum is wrong"),
        (seed.to_owned(), "a raw seed in hex alone"),
        (format!("0x{seed}\n"), "a raw seed in hex alone"),
        (format!("\"0x{}\"", seed.to_uppercase()), "a raw seed in hex alone"),
        (format!("{seed}{seed}"), "a raw private key in hex alone"),
    ] {
        for file in [text.clone(), serde_json::json!({ "secretPhrase": text }).to_string()] {
            let error = WalletFile::parse(file.as_bytes()).unwrap_err();
            let shown = format!("{error} {error:?}").to_lowercase();
            assert!(file.starts_with('{') || error.to_string().contains(told), "{told}: {error}");
            let helps = ["btcli wallet regen-hotkey", "the `privateKey` of a JSON object"];
            assert!(helps.iter().any(|help| error.to_string().contains(help)), "{error}");
            let secrets = words.iter().chain([&"lakke", &"e5be9a50", &"alice"]);
            // `hold` is in `holds`, and `fit` nowhere else.
            assert!(secrets.filter(|word| **word != "hold").all(|word| !shown.contains(word)), "{shown}");
        }
    }
    let in_json = |phrase: &str| {
        let file = serde_json::json!({ "secretPhrase": phrase, "ss58Address": ALICE }).to_string();
        WalletFile::parse(file.as_bytes()).unwrap_err().to_string()
    };
    assert!(in_json(&phrase.replace("lake", "lakke")).contains("number 4"));
}

#[test]
fn a_seed_is_read_with_and_without_its_mark() {
    let file = wallet_vectors()["mnemonic_keyfile"].clone();
    let mut bare = file.clone();
    for field in ["secretSeed", "privateKey", "publicKey", "accountId"] {
        bare[field] = text(&file, field)[2..].into();
    }
    assert_eq!(parse(&bare).unwrap().hotkey().to_string(), text(&file, "ss58Address"));
}

/// As polkadot-js writes it: PKCS 8 with the scalar times eight, in base64 (version 3) or hex.
#[test]
fn an_export_of_polkadot_js_without_a_password_is_read() {
    let seed = [7; 32];
    let keypair = Keypair::from_seed(&seed);
    let secret = schnorrkel::MiniSecretKey::from_bytes(&seed).unwrap();
    let secret = secret.expand(schnorrkel::MiniSecretKey::ED25519_MODE);
    let pkcs8 = |private: [u8; 64]| {
        let head = hex::decode("3053020101300506032b657004220420").unwrap();
        [&head[..], &private, &[161, 35, 3, 33, 0], keypair.hotkey().as_bytes()].concat()
    };
    let expanded = pkcs8(secret.to_ed25519_bytes());
    let in_base64 = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &expanded);
    let export = |encoded: &str, encoding: Value| {
        let fields = serde_json::json!({ "encoded": encoded, "encoding": encoding, "address": ALICE, "meta": {} });
        parse(&fields).map(|keypair| keypair.hotkey())
    };
    let open = serde_json::json!({ "content": ["pkcs8", "sr25519"], "type": ["none"], "version": "3" });
    let older = serde_json::json!({ "content": ["pkcs8", "sr25519"], "type": "none", "version": "2" });
    assert_eq!(export(&in_base64, open.clone()), Ok(keypair.hotkey()));
    assert_eq!(export(&format!("0x{}", hex::encode(&expanded)), older), Ok(keypair.hotkey()));
    assert_eq!(export(&format!("0x{}", hex::encode(pkcs8(secret.to_bytes()))), open.clone()), Ok(keypair.hotkey()));
    let other = serde_json::json!({ "content": ["pkcs8", "ed25519"], "type": ["none"], "version": "3" });
    for (encoded, encoding, told) in [
        (in_base64.as_str(), other, "its key isn't sr25519"),
        ("AAAA", open.clone(), "isn't in the form that polkadot-js writes"),
        (&format!("0x{}", hex::encode(pkcs8([1; 64]))), open.clone(), "isn't that of its public key"),
    ] {
        let error = export(encoded, encoding).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("without a password"), "{error}");
    }
}
