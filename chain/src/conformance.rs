//! What every ledger must do, as a function that a ledger's tests run.
//!
//! It does NOT know which ledger it tests: it enters by the trait alone, and panics at the first broken promise.

use protocol::auth::Hotkey;
use protocol::digest::Digest;

use crate::ledger::{Ledger, LedgerError, Registration, WEIGHT_PPM_SUM_MAX};

/// Checks that the ledgers that `make` gives, each of them empty, keep the promises of [`Ledger`].
///
/// # Panics
/// At the first promise that is broken.
pub fn ledger_conformance(make: impl Fn() -> Box<dyn Ledger>) {
    registrations_keep_their_order_and_their_latest_stake(&*make());
    weights_are_returned_as_set_and_sorted(&*make());
    weights_of_a_round_are_set_once(&*make());
    refused_weights_leave_no_trace(&*make());
    whom_anybody_signs_for_is_refused(&*make());
    numbers_beyond_exact_json_are_refused(&*make());
    heights_and_hashes_grow_with_each_change_only(&*make());
    a_mark_is_one_entry_and_keeps_its_height(&*make());
    threads_can_share_a_ledger(&*make());
}

fn whom_anybody_signs_for_is_refused(ledger: &dyn Ledger) {
    let before = height(ledger);
    let (zero, owned) = (hotkey(0), Registration { owner: Some(hotkey(0)), ..Registration::own(hotkey(1), 1) });
    for refused in
        [ledger.register(Registration::own(zero, 1)), ledger.register(owned), ledger.set_weights(1, &[(zero, 1)])]
    {
        assert!(matches!(refused, Err(LedgerError::Anybodys { hotkey }) if hotkey == zero), "{refused:?}");
    }
    assert_eq!(height(ledger), before, "nothing was entered");
    assert_eq!(owned.owner(), hotkey(1), "what a chain lists owns nothing");
}

fn hotkey(byte: u8) -> Hotkey {
    Hotkey::from_bytes([byte; 32])
}

fn register(ledger: &dyn Ledger, bytes: &[u8]) {
    for &byte in bytes {
        ledger.register(Registration::own(hotkey(byte), u64::from(byte))).expect("a hotkey can register");
    }
}

fn height(ledger: &dyn Ledger) -> u64 {
    ledger.height().expect("a ledger has a height")
}

fn registrations_keep_their_order_and_their_latest_stake(ledger: &dyn Ledger) {
    assert_eq!(ledger.registrations().expect("registrations can be listed"), []);
    register(ledger, &[3, 1, 2]);
    ledger.register(Registration::own(hotkey(1), 100)).expect("stake can be restated");
    let owned = Registration { owner: Some(hotkey(9)), ..Registration::own(hotkey(2), 2) };
    ledger.register(owned).expect("an owner can be stated");
    assert_eq!((owned.owner(), Registration::own(hotkey(2), 2).owner()), (hotkey(9), hotkey(2)));
    let expected = [Registration::own(hotkey(3), 3), Registration::own(hotkey(1), 100), owned];
    assert_eq!(ledger.registrations().expect("registrations can be listed"), expected);
}

fn weights_are_returned_as_set_and_sorted(ledger: &dyn Ledger) {
    register(ledger, &[1, 2, 3]);
    assert_eq!(ledger.weights(7).expect("weights can be asked for"), None);
    ledger.set_weights(7, &[(hotkey(3), 300_000), (hotkey(1), 700_000), (hotkey(2), 0)]).expect("a full round");
    ledger.set_weights(2, &[]).expect("an earlier round that burns everything");
    let expected = vec![(hotkey(1), 700_000), (hotkey(2), 0), (hotkey(3), 300_000)];
    assert_eq!(ledger.weights(7).expect("weights can be asked for"), Some(expected));
    assert_eq!(ledger.weights(2).expect("weights can be asked for"), Some(vec![]));
    assert_eq!(ledger.weights(3).expect("weights can be asked for"), None);
}

fn weights_of_a_round_are_set_once(ledger: &dyn Ledger) {
    register(ledger, &[1, 2]);
    let weights = [(hotkey(1), 600_000), (hotkey(2), 400_000)];
    ledger.set_weights(1, &weights).expect("a first time");
    let entered = height(ledger);
    ledger.set_weights(1, &[weights[1], weights[0]]).expect("equal weights in another order change nothing");
    assert_eq!(height(ledger), entered);
    for different in [&weights[..1], &[], &[(hotkey(1), 600_001), weights[1]]] {
        let refused = ledger.set_weights(1, different);
        assert!(matches!(refused, Err(LedgerError::RoundAlreadySet { round: 1 })), "{refused:?}");
    }
    assert_eq!(ledger.weights(1).expect("weights can be asked for"), Some(weights.to_vec()));
}

fn refused_weights_leave_no_trace(ledger: &dyn Ledger) {
    register(ledger, &[1, 2]);
    let before = height(ledger);
    let refused = ledger.set_weights(1, &[(hotkey(9), 1)]);
    assert!(matches!(refused, Err(LedgerError::NotRegistered { hotkey: who }) if who == hotkey(9)), "{refused:?}");
    let refused = ledger.set_weights(1, &[(hotkey(1), 1), (hotkey(1), 2)]);
    assert!(matches!(refused, Err(LedgerError::DuplicateHotkey { .. })), "{refused:?}");
    let refused = ledger.set_weights(1, &[(hotkey(1), 1_000_000), (hotkey(2), 1)]);
    assert!(matches!(refused, Err(LedgerError::Overspent { sum_ppm: 1_000_001, .. })), "{refused:?}");
    let refused = ledger.set_weights(1, &[(hotkey(1), u32::MAX), (hotkey(2), u32::MAX)]);
    assert!(matches!(refused, Err(LedgerError::Overspent { sum_ppm, .. }) if sum_ppm > WEIGHT_PPM_SUM_MAX));
    let refused = ledger.set_weights(1, &[(hotkey(1), 0); 4097]);
    assert!(matches!(refused, Err(LedgerError::TooLarge { value: 4097, .. })), "{refused:?}");
    assert_eq!(height(ledger), before);
    ledger.set_weights(1, &[(hotkey(1), 1_000_000)]).expect("the round is still open");
}

fn numbers_beyond_exact_json_are_refused(ledger: &dyn Ledger) {
    ledger.register(Registration::own(hotkey(1), (1 << 53) - 1)).expect("the largest exact number");
    for beyond in [1 << 53, u64::MAX] {
        let refused = ledger.register(Registration::own(hotkey(1), beyond));
        assert!(matches!(refused, Err(LedgerError::TooLarge { .. })), "{refused:?}");
        let refused = ledger.set_weights(beyond, &[]);
        assert!(matches!(refused, Err(LedgerError::TooLarge { .. })), "{refused:?}");
    }
}

fn heights_and_hashes_grow_with_each_change_only(ledger: &dyn Ledger) {
    let start = height(ledger);
    register(ledger, &[1, 2, 1, 2]);
    assert_eq!(height(ledger), start + 2, "a repetition is no entry");
    let hashes: Vec<_> = (0..=start + 2).map(|height| ledger.block_hash(height).expect("a hash per entry")).collect();
    assert!((1..hashes.len()).all(|index| !hashes[..index].contains(&hashes[index])), "{hashes:?}");
    ledger.set_weights(1, &[]).expect("an empty round");
    let again: Vec<_> = (0..=start + 2).map(|height| ledger.block_hash(height).expect("a hash per entry")).collect();
    assert_eq!(again, hashes, "hashes never change");
    for beyond in [start + 4, u64::MAX] {
        let refused = ledger.block_hash(beyond);
        assert!(matches!(refused, Err(LedgerError::UnknownHeight { height, .. }) if height == beyond), "{refused:?}");
    }
}

fn a_mark_is_one_entry_and_keeps_its_height(ledger: &dyn Ledger) {
    let before = height(ledger);
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    assert_eq!(ledger.mark(one).expect("a first mark"), before + 1);
    assert_eq!(ledger.mark(other).expect("a second mark"), before + 2);
    assert_eq!(ledger.mark(one).expect("the first again"), before + 1, "a repetition is no entry");
    assert_eq!(height(ledger), before + 2);
}

fn threads_can_share_a_ledger(ledger: &dyn Ledger) {
    let start = height(ledger);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            scope.spawn(move || register(ledger, &[4 * thread + 1, 4 * thread + 2, 1, 2]));
        }
    });
    // 1, 2, 5, 6, 9, 10, 13 and 14, of which 1 and 2 were registered by all.
    assert_eq!(ledger.registrations().expect("registrations can be listed").len(), 8);
    assert_eq!(height(ledger), start + 8);
}
