//! Ledgers: both keep the promises of the trait, and the local one notices every change and survives every crash.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use chain::{
    Ledger, LedgerError, LocalLedger, MemoryLedger, Recovery, Registration, Replica, ReplicaError, ledger_conformance,
};
use protocol::auth::{Hotkey, Keypair};
use protocol::digest::Digest;
use tempfile::TempDir;

fn owner() -> Keypair {
    Keypair::from_seed(&[1; 32])
}

fn hotkey(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn open(path: &Path) -> Result<LocalLedger, LedgerError> {
    LocalLedger::open(path, owner())
}

/// A closed ledger of four entries.
fn written() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("ledger.jsonl");
    let ledger = open(&path).unwrap();
    ledger.register(Registration::own(hotkey(5), 50)).unwrap();
    ledger.register(Registration::own(hotkey(6), 60)).unwrap();
    ledger.set_weights(1, &[(hotkey(6), 250_000), (hotkey(5), 750_000)]).unwrap();
    assert_eq!(ledger.height().unwrap(), 3);
    (dir, path)
}

/// The length of the file without its last line, and with it.
fn last_line(path: &Path) -> (usize, usize) {
    let content = fs::read(path).unwrap();
    let earlier = content[..content.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    (earlier, content.len())
}

fn files_in(dir: &TempDir) -> usize {
    fs::read_dir(dir.path()).unwrap().count()
}

#[test]
fn the_ledger_in_memory_conforms() {
    ledger_conformance(|| Box::new(MemoryLedger::new()));
}

#[test]
fn the_local_ledger_conforms() {
    let dir = tempfile::tempdir().unwrap();
    let next = Cell::new(0);
    ledger_conformance(|| {
        next.set(next.get() + 1);
        Box::new(open(&dir.path().join(format!("{}.jsonl", next.get()))).unwrap())
    });
}

#[test]
fn a_reopened_ledger_holds_what_was_written_and_goes_on() {
    let (dir, path) = written();
    let hashes = |ledger: &LocalLedger| -> Vec<_> { (0..4).map(|at| ledger.block_hash(at).unwrap()).collect() };
    let ledger = open(&path).unwrap();
    let before = hashes(&ledger);
    assert_eq!(ledger.recovery(), None);
    assert_eq!(
        ledger.registrations().unwrap(),
        [(5, 50), (6, 60)].map(|(byte, stake_micro)| Registration::own(hotkey(byte), stake_micro))
    );
    assert_eq!(ledger.weights(1).unwrap(), Some(vec![(hotkey(5), 750_000), (hotkey(6), 250_000)]));
    ledger.set_weights(2, &[]).unwrap();
    drop(ledger);
    let ledger = open(&path).unwrap();
    assert_eq!(hashes(&ledger), before);
    assert_eq!((ledger.height().unwrap(), ledger.weights(2).unwrap()), (4, Some(vec![])));
    assert_eq!(files_in(&dir), 1);
}

#[test]
fn a_ledger_is_open_once() {
    let (_dir, path) = written();
    let first = open(&path).unwrap();
    assert!(matches!(open(&path), Err(LedgerError::InUse { .. })));
    drop(first);
    assert!(open(&path).is_ok());
}

#[test]
fn another_key_can_not_open_the_ledger() {
    let (_dir, path) = written();
    let stranger = Keypair::from_seed(&[2; 32]);
    let refused = LocalLedger::open(&path, stranger);
    assert!(matches!(refused, Err(LedgerError::WrongOwner { found, .. }) if found == owner().hotkey()), "{refused:?}");
}

#[test]
fn every_changed_byte_is_noticed_and_nothing_is_repaired() {
    let (dir, path) = written();
    let content = fs::read(&path).unwrap();
    for index in 0..content.len() {
        // Another digit or letter; at some places, and at each line break, also the other case, NUL for a line break,
        // and a byte that is no ASCII.
        let thorough = content[index] == b'\n' || index % 11 == 0;
        for mask in if thorough { &[0x01, 0x20, 0x0a, 0x80][..] } else { &[0x01] } {
            let mut changed = content.clone();
            changed[index] ^= mask;
            fs::write(&path, &changed).unwrap();
            let opened = open(&path);
            assert!(matches!(opened, Err(LedgerError::Damaged { .. })), "byte {index} mask {mask}: {opened:?}");
            assert!(fs::read(&path).unwrap() == changed, "byte {index} mask {mask}");
        }
    }
    assert_eq!(files_in(&dir), 1);
}

#[test]
fn removed_repeated_and_swapped_lines_are_noticed() {
    let (_dir, path) = written();
    let content = fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    for order in [&[1, 2, 3][..], &[0, 2, 3], &[0, 1, 3], &[0, 2, 1, 3], &[0, 1, 1, 2, 3], &[0, 1, 2, 3, 3], &[0, 0]] {
        fs::write(&path, order.iter().map(|&line| lines[line]).collect::<String>()).unwrap();
        let opened = open(&path);
        assert!(matches!(opened, Err(LedgerError::Damaged { .. })), "{order:?}: {opened:?}");
    }
}

/// A file can't show that whole lines are missing at its end; a height and hash that were kept elsewhere do.
#[test]
fn a_rollback_shows_against_a_hash_that_was_kept() {
    let (_dir, path) = written();
    let kept = open(&path).unwrap().block_hash(3).unwrap();
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..last_line(&path).0]).unwrap();
    let ledger = open(&path).unwrap();
    assert!(matches!(ledger.block_hash(3), Err(LedgerError::UnknownHeight { height: 3, latest: 2 })));
    ledger.set_weights(1, &[]).unwrap();
    assert_ne!(ledger.block_hash(3).unwrap(), kept);
}

#[test]
fn an_entry_torn_anywhere_is_reported_saved_and_cut_off() {
    let (_dir, path) = written();
    let content = fs::read(&path).unwrap();
    let (earlier, end) = last_line(&path);
    for cut in earlier + 1..end - 1 {
        let zeros = [0, 5][cut % 2];
        let torn = [&content[..cut], &vec![0; zeros]].concat();
        fs::write(&path, &torn).unwrap();
        let ledger = open(&path).unwrap();
        let Some(Recovery::CutOff { saved_to, size_bytes }) = ledger.recovery().cloned() else {
            panic!("cut at {cut}: {:?}", ledger.recovery());
        };
        assert_eq!(size_bytes as usize, torn.len() - earlier);
        assert_eq!(fs::read(&saved_to).unwrap(), torn[earlier..]);
        assert_eq!(fs::read(&path).unwrap(), content[..earlier]);
        assert_eq!((ledger.height().unwrap(), ledger.weights(1).unwrap()), (2, None));
        fs::remove_file(saved_to).unwrap();
    }
}

#[test]
fn a_ledger_goes_on_after_a_torn_entry() {
    let (dir, path) = written();
    for repetition in 1..4 {
        let content = fs::read(&path).unwrap();
        fs::write(&path, &content[..content.len() - 10]).unwrap();
        let ledger = open(&path).unwrap();
        assert!(matches!(ledger.recovery(), Some(Recovery::CutOff { .. })));
        ledger.set_weights(1, &[(hotkey(5), 1)]).unwrap();
        assert_eq!(files_in(&dir), 1 + repetition, "no saved bytes are overwritten");
        drop(ledger);
        assert_eq!(open(&path).unwrap().recovery(), None);
    }
}

#[test]
fn an_entry_that_lacks_only_its_line_break_is_finished() {
    let (dir, path) = written();
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    let ledger = open(&path).unwrap();
    assert_eq!(ledger.recovery(), Some(&Recovery::Finished { height: 3 }));
    assert_eq!(fs::read(&path).unwrap(), content);
    assert_eq!(files_in(&dir), 1);
}

#[test]
fn a_torn_first_entry_begins_the_ledger_again() {
    let (_dir, path) = written();
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..40]).unwrap();
    let ledger = open(&path).unwrap();
    assert!(matches!(ledger.recovery(), Some(Recovery::CutOff { size_bytes: 40, .. })));
    assert_eq!(ledger.height().unwrap(), 0);
}

#[test]
fn a_file_that_is_no_ledger_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notes.txt");
    for content in ["hello", "hello\n", "{}", "{}\n", "{\"bodies\":[", "[1", "\n", "\u{feff}{", &"[".repeat(2 << 20)] {
        fs::write(&path, content).unwrap();
        let opened = open(&path);
        assert!(opened.is_err(), "{content:.20}: {opened:?}");
        assert!(fs::read_to_string(&path).unwrap() == content, "{content:.20}");
    }
    assert_eq!(files_in(&dir), 1);
}

#[test]
fn whoever_follows_a_ledger_sees_what_its_owner_sees() {
    let (_dir, path) = written();
    let ledger = open(&path).unwrap();
    let owned = Registration { owner: Some(hotkey(9)), ..Registration::own(hotkey(5), 50) };
    ledger.register(owned).unwrap();
    let marked = ledger.mark(Digest::of(b"a close")).unwrap();
    let whole = fs::read(&path).unwrap();
    for bytes_max in [0, 400, 1 << 20] {
        let mut replica = Replica::new(owner().hotkey());
        loop {
            let lines = ledger.lines(replica.next_height(), bytes_max).unwrap();
            assert!(whole.windows(lines.len().max(1)).any(|window| window == lines) || lines.is_empty());
            if replica.take(&lines).unwrap() == 0 {
                break;
            }
        }
        assert_eq!(replica.next_height(), ledger.height().unwrap() + 1);
        assert_eq!(replica.block_hash(marked), Some(ledger.block_hash(marked).unwrap()));
        assert_eq!(replica.marked_at(&Digest::of(b"a close")), Some(marked));
        assert_eq!(replica.weights(1).map(<[_]>::to_vec), ledger.weights(1).unwrap());
        assert_eq!(replica.registrations(), ledger.registrations().unwrap());
        let set: Vec<u64> = replica.all_weights().map(|(round, _)| round).collect();
        assert_eq!(set, [1], "nobody else was paid");
        let all = [Registration::own(hotkey(5), 50), Registration::own(hotkey(6), 60), owned];
        assert_eq!(replica.registered(), all, "who had another owner before is remembered with both");
        assert_eq!((replica.weights(2), replica.block_hash(marked + 1)), (None, None));
    }
    assert!(ledger.lines(marked + 1, 1 << 20).unwrap().is_empty());
    assert!(MemoryLedger::new().lines(0, 1 << 20).unwrap().is_empty(), "nothing is signed in memory");
}

#[test]
fn a_ledger_whose_last_line_was_finished_shows_all_of_it_and_goes_on() {
    let (_dir, path) = written();
    let content = fs::read(&path).unwrap();
    fs::write(&path, &content[..content.len() - 1]).unwrap();
    let ledger = open(&path).unwrap();
    ledger.set_weights(2, &[]).unwrap();
    let lines = ledger.lines(0, 1 << 20).unwrap();
    assert_eq!(lines, fs::read(&path).unwrap());
    assert_eq!(Replica::new(owner().hotkey()).take(&lines), Ok(5));
}

#[test]
fn a_ledger_that_was_changed_for_one_reader_is_refused_at_the_entry() {
    let (_dir, path) = written();
    let content = fs::read_to_string(&path).unwrap();
    let take = |text: &str| Replica::new(owner().hotkey()).take(text.as_bytes());
    assert_eq!(take(&content), Ok(4));
    // All weights to somebody else, a registration left out, another order, a torn end.
    let lines: Vec<&str> = content.split_inclusive('\n').collect();
    for (changed, at) in [
        (content.replace("750000", "250001"), 3),
        (content.replace(lines[1], ""), 1),
        ([lines[0], lines[2], lines[1], lines[3]].concat(), 1),
        (content.trim_end().to_owned(), 3),
    ] {
        let refused = take(&changed);
        assert!(matches!(refused, Err(ReplicaError::Damaged { height, .. }) if height == at), "{at}: {refused:?}");
    }
    let stranger = Keypair::from_seed(&[2; 32]).hotkey();
    let refused = Replica::new(stranger).take(content.as_bytes());
    assert_eq!(refused, Err(ReplicaError::WrongOwner { expected: stranger, found: owner().hotkey() }));
}
