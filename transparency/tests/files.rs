//! Names and bytes of tiles, entries and key files: one form each, and every other refused.

use crate::support::{ORIGIN, signer};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use transparency::entry::ENTRY_BYTES_MAX;
use transparency::keyfile::{self, KeyFileError};
use transparency::merkle::TREE_SIZE_MAX;
use transparency::tile::{TileError, decode_entries, decode_hashes, encode_entries, encode_hashes};
use transparency::{Entry, EntryError, EntryKind, Envelope, LogSigner, Resource, Tile};

#[test]
fn paths_are_those_of_the_specification() {
    let cases = [
        ("checkpoint", Resource::Checkpoint),
        ("tile/0/000", Resource::Hashes(Tile { level: 0, index: 0, width: 256 })),
        ("tile/0/x001/x234/067", Resource::Hashes(Tile { level: 0, index: 1_234_067, width: 256 })),
        ("tile/2/001.p/17", Resource::Hashes(Tile { level: 2, index: 1, width: 17 })),
        ("tile/entries/x001/000.p/255", Resource::Entries(Tile { level: 0, index: 1000, width: 255 })),
    ];
    for (path, resource) in cases {
        assert_eq!(resource.to_string(), path);
        assert_eq!(Resource::parse(path), Some(resource), "{path}");
    }
}

#[test]
fn other_paths_are_none() {
    let long = format!("tile/0/{}000", "x000/".repeat(20));
    let paths = [
        "",
        "/",
        "checkpoint/",
        "checkpoint2",
        "tile",
        "tile/",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/+1/000",
        "tile/64/000",
        "tile/-1/000",
        "tile/0/x000",
        "tile/0/x000/000",
        "tile/0/001/000",
        "tile/0/xx01/000",
        "tile/0/000.p",
        "tile/0/000.p/",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/+1",
        "tile/0/000.p/1/2",
        "tile/data/000",
        "tile/entries/../checkpoint",
        "tile/0/x018/x446/x744/x073/x709/x551/616",
        "tile/8/0/000",
        "TILE/0/000",
        "tile/0/000 ",
        "tile/0/\u{661}00",
        &long,
    ];
    for path in paths {
        assert_eq!(Resource::parse(path), None, "{path}");
    }
}

#[test]
fn the_edge_is_that_of_the_specifications_example() {
    let edge: Vec<String> = Tile::edge(70_000).map(|tile| Resource::Hashes(tile).to_string()).collect();
    assert_eq!(edge, ["tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1"]);
    let edge: Vec<String> = Tile::edge(256).map(|tile| Resource::Hashes(tile).to_string()).collect();
    assert_eq!(edge, ["tile/1/000.p/1"]);
    assert_eq!(Tile::edge(0).count(), 0);
    assert!(Resource::parse("tile/0/272").unwrap().lies_in(70_000));
    assert!(!Resource::parse("tile/0/273").unwrap().lies_in(70_000));
    assert!(Resource::parse("tile/0/273.p/112").unwrap().lies_in(70_000));
    assert!(!Resource::parse("tile/0/273.p/113").unwrap().lies_in(70_000));
    assert!(!Resource::parse("tile/63/000.p/1").unwrap().lies_in(TREE_SIZE_MAX));
    assert_eq!(Tile::holding(0, 70_000, 70_000), None);
    assert_eq!(Tile::holding(0, 69_999, 70_000), Some(Tile { level: 0, index: 273, width: 112 }));
}

#[test]
fn bundles_and_tiles_of_other_lengths_are_refused() {
    let entries: [&[u8]; 3] = [b"a", b"", b"ccc"];
    let bytes = encode_entries(entries);
    assert_eq!(bytes, b"\0\x01a\0\0\0\x03ccc");
    assert_eq!(decode_entries(&bytes, 3), Ok(entries.to_vec()));
    for end in 0..bytes.len() {
        assert!(matches!(decode_entries(&bytes[..end], 3), Err(TileError::Length { .. })), "{end}");
    }
    assert_eq!(decode_entries(&bytes, 2), Err(TileError::Length { expected: 5, found: 10 }));
    assert_eq!(decode_entries(&bytes, 4), Err(TileError::Length { expected: 12, found: 10 }));
    assert_eq!(decode_entries(b"\xff\xff", 1), Err(TileError::EntryTooLong { number: 0, bytes: 65_535 }));
    let hashes = vec![[1; 32], [2; 32]];
    assert_eq!(decode_hashes(&encode_hashes(&hashes), 2), Ok(hashes.clone()));
    assert_eq!(decode_hashes(&encode_hashes(&hashes), 3), Err(TileError::Length { expected: 96, found: 64 }));
}

#[test]
fn an_entry_is_canonical_and_not_too_large() {
    let entry = Entry::new(EntryKind::Reward, "r/1", &serde_json::json!({ "round": 1, "b": [], "a": null })).unwrap();
    let text = r#"{"body":{"a":null,"b":[],"round":1},"format":"retort-log/1","key":"r/1","kind":"reward"}"#;
    assert_eq!(str::from_utf8(entry.as_bytes()).unwrap(), text);
    assert_eq!(Envelope::parse(entry.as_bytes()).unwrap().kind, EntryKind::Reward);
    for (bad, what) in [("retort-log/2", "format"), ("reward\",\"extra\":\"", "field"), ("gift", "kind")] {
        let from = if what == "format" { "retort-log/1" } else { "reward" };
        assert!(Envelope::parse(text.replace(from, bad).as_bytes()).is_err(), "{what}");
    }
    let large = vec![b'x'; ENTRY_BYTES_MAX + 1];
    assert!(matches!(Entry::from_bytes(&large), Err(EntryError::Size { .. })));
    assert!(matches!(Entry::from_bytes(b""), Err(EntryError::Size { bytes: 0 })));
    assert!(Entry::from_bytes(&large[1..]).is_ok());
}

#[test]
fn every_kind_is_called_in_text_as_in_json() {
    for kind in EntryKind::ALL {
        assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    assert!("gift".parse::<EntryKind>().is_err());
}

#[test]
fn a_key_file_is_its_owners_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.key");
    keyfile::create(&path, &signer()).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(keyfile::load::<LogSigner>(&path).unwrap().key(), signer().key());
    assert!(matches!(keyfile::create(&path, &signer()), Err(KeyFileError::Exists { .. })));
    for mode in [0o640, 0o604, 0o620, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let Err(KeyFileError::OpenToOthers { mode: found, .. }) = keyfile::load::<LogSigner>(&path) else {
            panic!("{mode:o} was accepted");
        };
        assert_eq!(found, mode);
    }
    assert!(matches!(keyfile::load::<LogSigner>(dir.path()), Err(KeyFileError::NotAFile { .. })));
    assert!(matches!(keyfile::load::<LogSigner>(&dir.path().join("none")), Err(KeyFileError::Io { .. })));
}

#[test]
fn two_generated_keys_differ() {
    let [one, other] = [(); 2].map(|()| keyfile::generate::<LogSigner>(ORIGIN).unwrap().key());
    assert_ne!(one, other);
    assert!(keyfile::generate::<LogSigner>("two words").is_err());
}

#[test]
fn a_key_file_with_something_else_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log.key");
    keyfile::create(&path, &signer()).unwrap();
    let good = fs::read_to_string(&path).unwrap();
    for bad in ["", "PRIVATE+KEY+", &good[12..], &good.replace("retort.test", "retort.best"), &good[..good.len() - 3]] {
        fs::write(&path, bad).unwrap();
        assert!(matches!(keyfile::load::<LogSigner>(&path), Err(KeyFileError::Unusable { .. })), "{bad:?}");
    }
}
