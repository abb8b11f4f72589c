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
    assert!(matches!(keyfile::load(dir.path()), Err(KeyfileError::NotAFile { .. })));
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

#[test]
fn generated_keys_differ() {
    assert_ne!(keyfile::generate().unwrap().hotkey(), keyfile::generate().unwrap().hotkey());
}
