//! Notes and checkpoints: the example of Go's `note` package, and what is refused.

use crate::support::{ORIGIN, log_of, signer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use transparency::checkpoint::CheckpointError;
use transparency::note::{KeyError, Note, NoteError};
use transparency::{LogKey, LogSigner, SignedCheckpoint, keyfile};

/// The published test key of Go's `note` package, and what it signs.
const PRIVATE: &str = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
const PUBLIC: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
const TEXT: &str =
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
const SIGNATURE: &str = "— PeterNeumann \
    x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

#[test]
fn the_published_key_signs_the_published_note() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key");
    fs::write(&path, PRIVATE).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let signer = keyfile::load::<LogSigner>(&path).unwrap();
    assert_eq!(signer.key().to_string(), PUBLIC);
    let note = format!("{TEXT}\n{SIGNATURE}");
    assert_eq!(signer.sign(TEXT), note);
    let key: LogKey = PUBLIC.parse().unwrap();
    assert_eq!(key.verify(&Note::parse(note.as_bytes()).unwrap()), Ok(()));
    assert!(!format!("{signer:?}").contains("AYEKFALVFGyN"), "Debug shows the private key");
}

#[test]
fn keys_that_are_none_are_refused() {
    let cases = [
        ("", KeyError::Shape),
        ("PeterNeumann", KeyError::Shape),
        ("PeterNeumann+c74f20a3", KeyError::Shape),
        ("PeterNeumann+C74F20A3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Shape),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10T", KeyError::Shape),
        ("PeterNeuman+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id),
        ("PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Id),
        ("Peter Neumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
        ("+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::Name),
        ("PeterNeumann+c74f20a3+Ahpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", KeyError::NotEd25519),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<LogKey>(), Err(error), "{text}");
    }
}

#[test]
fn other_keys_signatures_are_passed_over_and_a_false_one_of_ours_is_not() {
    let key: LogKey = PUBLIC.parse().unwrap();
    let check = |lines: &[&str]| {
        let note = format!("{TEXT}\n{}", lines.concat());
        let note = Note::parse(note.as_bytes()).unwrap();
        key.verify(&note)
    };
    let witness = "— witness.example AAAAAAAA\n";
    let other_id = SIGNATURE.replace("x08go/", "x08gp/");
    let forged = SIGNATURE.replace("RyyBwJnAM=", "RyyBwJnAI=");
    let unsigned = Err(NoteError::Unsigned { name: "PeterNeumann".into() });
    assert_eq!(check(&[witness, SIGNATURE]), Ok(()));
    assert_eq!(check(&[&other_id, SIGNATURE]), Ok(()), "another key of the same name");
    assert_eq!(check(&[witness]), unsigned);
    assert_eq!(check(&[&other_id]), unsigned);
    let bad = Err(NoteError::BadSignature { name: "PeterNeumann".into() });
    assert_eq!(check(&[&forged]), bad);
    assert_eq!(check(&[SIGNATURE, &forged]), bad);
    assert_eq!(check(&[&forged, SIGNATURE]), bad);
}

#[test]
fn what_is_no_note_is_refused() {
    let good = format!("{TEXT}\n{SIGNATURE}");
    let many = format!("{TEXT}\n{}", SIGNATURE.repeat(65));
    let cases: [(&[u8], NoteError); 9] = [
        (b"", NoteError::Shape),
        (TEXT.as_bytes(), NoteError::Shape),
        (good.trim_end().as_bytes(), NoteError::Shape),
        (b"text\n\n\xff\n", NoteError::NotText),
        (b"te\rxt\n\n\n", NoteError::NotText),
        (b"text\n\nname AAAAAAAA\n", NoteError::SignatureLine { line: 1 }),
        ("text\n\n— name AAAA\n".as_bytes(), NoteError::SignatureLine { line: 1 }),
        ("text\n\n— name AAAAAAAA\n— na+me AAAAAAAA\n".as_bytes(), NoteError::SignatureLine { line: 2 }),
        (many.as_bytes(), NoteError::TooMany),
    ];
    for (bytes, error) in cases {
        assert_eq!(Note::parse(bytes), Err(error), "{:?}", String::from_utf8_lossy(bytes));
    }
}

#[test]
fn only_three_exact_lines_are_a_checkpoint() {
    let root = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
    let open = |text: &str| SignedCheckpoint::open(signer().sign(text).as_bytes(), &signer().key());
    let good = open(&format!("{ORIGIN}\n0\n{root}\n")).unwrap();
    assert_eq!((good.origin(), good.size()), (ORIGIN, 0));
    let size = |line: &str| open(&format!("{ORIGIN}\n{line}\n{root}\n"));
    for line in ["", "00", "01", "+1", "-1", "1.0", " 1", "1099511627777", "18446744073709551616"] {
        let error = CheckpointError::Size { found: line.to_owned() };
        assert_eq!(size(line), Err(error), "{line}");
    }
    assert_eq!(size("1099511627776").unwrap().size(), 1 << 40);
    for line in
        ["", "AAAA", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFV=", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"]
    {
        let result = open(&format!("{ORIGIN}\n1\n{line}\n"));
        assert_eq!(result, Err(CheckpointError::Root { found: line.to_owned() }), "{line}");
    }
    let nonempty = open(&format!("{ORIGIN}\n0\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"));
    assert!(matches!(nonempty, Err(CheckpointError::EmptyRoot)));
    assert_eq!(open(&format!("{ORIGIN}\n1\n")), Err(CheckpointError::Shape));
    assert_eq!(open(&format!("{ORIGIN}\n1\n{root}\nextension\n")), Err(CheckpointError::Shape));
    assert!(matches!(open(&format!("other.test/log\n1\n{root}\n")), Err(CheckpointError::Origin { .. })));
}

#[tokio::test]
async fn each_changed_byte_of_a_checkpoint_is_refused() {
    let (_, checkpoints) = log_of(&[5]).await;
    let note = checkpoints[0].note().as_bytes();
    assert!(SignedCheckpoint::open(note, &signer().key()).is_ok());
    for at in 0..note.len() {
        for mask in [0x01, 0x02, 0x10, 0x20, 0x80] {
            let mut changed = note.to_vec();
            changed[at] ^= mask;
            assert!(SignedCheckpoint::open(&changed, &signer().key()).is_err(), "byte {at} ^ {mask}");
        }
    }
    let stranger = LogSigner::from_seed(ORIGIN, &[4; 32]).unwrap();
    assert!(matches!(SignedCheckpoint::open(note, &stranger.key()), Err(CheckpointError::Note(_))));
    let large = [note, &vec![b'\n'; 70_000]].concat();
    assert!(matches!(SignedCheckpoint::open(&large, &signer().key()), Err(CheckpointError::TooLarge { .. })));
}
