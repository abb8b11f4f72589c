//! Key files: what we create loads again, and a file that others may read, or a coldkey, never does.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use chain::keyfile::{self, KeyfileError};
use protocol::auth::{Keypair, WalletError};

fn keypair() -> Keypair {
    Keypair::from_seed(&[7; 32])
}

#[test]
fn a_created_key_loads_again_and_only_its_owner_may_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("miner");
    keyfile::create(&path, &keypair()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(keyfile::load(&path).unwrap().hotkey(), keypair().hotkey());
}

#[test]
fn an_existing_file_is_never_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("miner");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(keyfile::create(&path, &keypair()), Err(KeyfileError::Exists { .. })));
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    let dangling = dir.path().join("link");
    symlink(dir.path().join("nothing"), &dangling).unwrap();
    assert!(matches!(keyfile::create(&dangling, &keypair()), Err(KeyfileError::Exists { .. })));
}

#[test]
fn a_file_that_others_may_read_is_refused_with_the_command_that_helps() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("miner");
    keyfile::create(&path, &keypair()).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601, 0o644, 0o777] {
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        let error = keyfile::load(&path).unwrap_err();
        assert!(matches!(error, KeyfileError::OpenToOthers { mode: found, .. } if found == mode), "{error}");
        assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
    }
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    assert!(keyfile::load(&path).is_ok());
}

#[test]
fn what_is_no_key_is_told_so_before_its_mode_and_printed_paths_are_words_of_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let (text, key) = (dir.path().join("notes.txt"), dir.path().join("my key"));
    fs::write(&text, "no key").unwrap();
    fs::set_permissions(&text, Permissions::from_mode(0o644)).unwrap();
    let error = keyfile::load(&text).unwrap_err();
    assert!(matches!(error, KeyfileError::Unusable { .. }), "{error}");
    keyfile::create(&key, &keypair()).unwrap();
    fs::set_permissions(&key, Permissions::from_mode(0o644)).unwrap();
    let error = keyfile::load(&key).unwrap_err().to_string();
    assert!(error.contains(&format!("run: chmod 600 '{}', or", key.display())), "{error}");
}

#[test]
fn coldkeys_are_refused_by_name_also_behind_a_link() {
    let dir = tempfile::tempdir().unwrap();
    let hotkey = dir.path().join("miner");
    keyfile::create(&hotkey, &keypair()).unwrap();
    for name in ["coldkey", "coldkeypub.txt", "ColdKey"] {
        let path = dir.path().join(name);
        fs::copy(&hotkey, &path).unwrap();
        assert!(matches!(keyfile::load(&path), Err(KeyfileError::Coldkey { .. })), "{name}");
        assert!(matches!(keyfile::create(&path, &keypair()), Err(KeyfileError::Coldkey { .. })), "{name}");
    }
    let link = dir.path().join("innocent");
    symlink(dir.path().join("coldkey"), &link).unwrap();
    assert!(matches!(keyfile::load(&link), Err(KeyfileError::Coldkey { .. })));
}

#[test]
fn what_is_no_key_file_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    assert!(matches!(keyfile::load(dir.path()), Err(KeyfileError::Folder { .. })));
    assert!(matches!(keyfile::load(&dir.path().join("absent")), Err(KeyfileError::Io { doing: "find it", .. })));
    let path = dir.path().join("miner");
    for (content, expected) in [
        (b"$NACL\xee\x1d".to_vec(), WalletError::Encrypted { format: "NaCl" }),
        (vec![b' '; 1 << 20], WalletError::TooLarge { size_bytes: 65_537 }),
    ] {
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let error = keyfile::load(&path).unwrap_err();
        assert!(matches!(&error, KeyfileError::Unusable { source, .. } if *source == expected), "{error}");
    }
}

/// A wallet, its folder of hotkeys, and an address, where the path of a hotkey belongs.
#[test]
fn the_words_of_a_wallet_are_refused_and_not_repeated() {
    let words = "abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon abandon about";
    let error = keyfile::load(std::path::Path::new(words)).unwrap_err();
    assert!(matches!(error, KeyfileError::Phrase), "{error}");
    assert!(!error.to_string().contains("abandon"), "{error}");
}

#[test]
fn a_wallet_is_told_the_names_of_its_hotkeys_and_an_address_what_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let told = |path: &std::path::Path| keyfile::load(path).unwrap_err().to_string();
    assert!(told(dir.path()).contains("hotkeys/NAME, and there is none here"), "{}", told(dir.path()));
    let hotkeys = dir.path().join("hotkeys");
    fs::create_dir(&hotkeys).unwrap();
    for name in ["miner", "default", "defaultpub.txt", ".hidden"] {
        fs::write(hotkeys.join(name), "").unwrap();
    }
    let (wallet, inside) = (told(dir.path()), told(&hotkeys));
    assert!(
        wallet.ends_with("is a folder; name the file of a hotkey in it: hotkeys/default, hotkeys/miner"),
        "{wallet}"
    );
    assert!(inside.ends_with(": default, miner"), "{inside}");
    let address = keypair().hotkey();
    let error = keyfile::load(std::path::Path::new(&address.to_string())).unwrap_err();
    assert!(matches!(error, KeyfileError::Address { address: found } if found == address), "{error}");
}

#[test]
fn generated_keys_differ() {
    assert_ne!(keyfile::generate().unwrap().hotkey(), keyfile::generate().unwrap().hotkey());
}
