//! Beacons: rounds that drand's chains really published, and every way in which one can be the wrong one.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

use datasets::hidden::{Beacon, BeaconError, BeaconRule, DrandChain, DrandError, DrandRound};

/// `GET /52db9ba7...84e971/public/1000`.
pub(super) const QUICKNET_1000: &str = r#"{"round":1000,"randomness":"fe290beca10872ef2fb164d2aa4442de4566183ec51c56ff3cd603d930e54fdd","signature":"b44679b9a59af2ec876b1a6b1ad52ea9b1615fc3982b19576350f93447cb1125e342b73a8dd2bacbe47e4b6b63ed5e39"}"#;
/// The signature of quicknet's round 123, from the documentation of `drand-verify`.
const QUICKNET_123_SIGNATURE: &str =
    "b75c69d0b72a5d906e854e808ba7e2accb1542ac355ae486d591aa9d43765482e26cd02df835d3546d23c4b13e0dfc92";
/// `GET /8990e7a9...51b2ce/public/1`: chained, its predecessor is the group's hash.
const MAINNET_1: &str = r#"{"round":1,"randomness":"101297f1ca7dc44ef6088d94ad5fb7ba03455dc33d53ddb412bbc4564ed986ec","signature":"8d61d9100567de44682506aea1a7a6fa6e5491cd27a0a0ed349ef6910ac5ac20ff7bc3e09d7c046566c9f7f3c6f3b10104990e7cb424998203d8f7de586fb7fa5f60045417a432684f85093b06ca91c769f0e7ca19268375e659c2a2352b4655","previous_signature":"176f93498eac9ca337150b46d21dd58673ea4e3581185f869672e59fa4cb390a"}"#;
/// `GET /8990e7a9...51b2ce/public/72785`, from the documentation of `drand-verify`.
const MAINNET_72785: &str = r#"{"round":72785,"randomness":"8b676484b5fb1f37f9ec5c413d7d29883504e5b669f604a1ce68b3388e9ae3d9","signature":"82f5d3d2de4db19d40a6980e8aa37842a0e55d1df06bd68bddc8d60002e8e959eb9cfa368b3c1b77d18f02a54fe047b80f0989315f83b12a74fd8679c4f12aae86eaf6ab5690b34f1fddd50ee3cc6f6cdf59e95526d5a5d82aaa84fa6f181e42","previous_signature":"a609e19a03c2fcc559e8dae14900aaefe517cb55c840f6e69bc8e4f66c8d18e8a609685d9917efbfb0c37f058c2de88f13d297c7e19e0ab24813079efe57a182554ff054c7638153f9b26a60e7111f71a0ff63d9571704905d3ca6df0b031747"}"#;

fn read(json: &str) -> DrandRound {
    DrandRound::from_json(json.as_bytes()).unwrap()
}

#[test]
fn chains_have_the_hashes_under_which_they_are_known() {
    let hashes = [DrandChain::quicknet(), DrandChain::mainnet()].map(|chain| hex::encode(chain.hash()));
    assert_eq!(hashes[0], "52db9ba70e0cc0f6eaf7803dd07447a1f5477735fd3f661792ba94600c84e971");
    assert_eq!(hashes[1], "8990e7a9aaed2ffed73dbd7092123d6f289930540d7651336225dc172e51b2ce");
}

#[test]
fn published_rounds_hold() {
    let chains = [DrandChain::quicknet(), DrandChain::mainnet(), DrandChain::mainnet()];
    for (chain, json) in chains.iter().zip([QUICKNET_1000, MAINNET_1, MAINNET_72785]) {
        let round = read(json);
        assert_eq!(chain.verify(&round), Ok(round.randomness));
        assert_eq!(serde_json::to_string(&round).unwrap(), json, "written as the chain writes it");
    }
}

#[test]
fn forged_rounds_are_found() {
    let (chain, honest) = (DrandChain::quicknet(), read(QUICKNET_1000));
    let other_round = DrandRound { round: 1_001, ..honest.clone() };
    assert_eq!(chain.verify(&other_round), Err(DrandError::Forged { round: 1_001 }));
    let other_signature = DrandRound { signature: QUICKNET_123_SIGNATURE.into(), ..honest.clone() };
    assert_eq!(chain.verify(&other_signature), Err(DrandError::Forged { round: 1_000 }));
    let no_point = DrandRound { signature: "00".repeat(48), ..honest.clone() };
    assert_eq!(chain.verify(&no_point), Err(DrandError::Forged { round: 1_000 }));
    let other_randomness = DrandRound { randomness: [0; 32], ..honest.clone() };
    assert_eq!(chain.verify(&other_randomness), Err(DrandError::Randomness { round: 1_000 }));
    let other_key = DrandChain { public_key: vec![0; 96], ..chain.clone() };
    assert!(matches!(other_key.verify(&honest), Err(DrandError::PublicKey { .. })));

    let (mainnet, chained) = (DrandChain::mainnet(), read(MAINNET_72785));
    let other_past = DrandRound { previous_signature: Some(chained.signature.clone()), ..chained };
    assert_eq!(mainnet.verify(&other_past), Err(DrandError::Forged { round: 72_785 }));
    let malformed = DrandError::Malformed { what: "previous signature", round: 1_000 };
    assert_eq!(mainnet.verify(&honest), Err(malformed));
}

#[test]
fn what_a_chain_does_not_publish_is_not_read() {
    let refused = [
        QUICKNET_1000.replace("}", r#","extra":1}"#),
        QUICKNET_1000.replace("fe290b", "FE290B"),
        QUICKNET_1000.replace("fe290b", ""),
        QUICKNET_1000.replace("1000", "-1"),
        format!("{QUICKNET_1000}{QUICKNET_1000}"),
        " ".repeat(5_000),
        String::new(),
    ];
    for json in refused {
        assert!(matches!(DrandRound::from_json(json.as_bytes()), Err(DrandError::Json { .. })), "{json}");
    }
    let short = DrandRound { signature: "abcd".into(), ..read(QUICKNET_1000) };
    assert_eq!(DrandChain::quicknet().verify(&short), Err(DrandError::Malformed { what: "signature", round: 1_000 }));
}

#[test]
fn round_after_a_close_is_the_first_that_nobody_can_know_yet() {
    let chain = DrandChain::quicknet();
    let genesis = chain.genesis_unix;
    assert_eq!(chain.round_unix(1), genesis);
    for (at, round) in [(0, 1), (genesis - 1, 1), (genesis, 2), (genesis + 2, 2), (genesis + 3, 3)] {
        assert_eq!(chain.round_after(at), round);
        assert!(chain.round_unix(round) > at);
    }
    chain.round_unix(chain.round_after(u64::MAX));
}

#[test]
fn a_round_is_bound_to_no_beacon_that_was_there_when_it_closed() {
    let chain = DrandChain::quicknet();
    let closed_at = chain.round_unix(1_000) - 32;
    let bound = |round| BeaconRule::Drand { chain: chain.hash(), round };
    assert_eq!(BeaconRule::drand_after(&chain, closed_at), bound(1_000));
    assert_eq!(bound(1_000).check_close(&chain, closed_at), Ok(()));
    assert_eq!(bound(1_000).check_close(&chain, closed_at - 3_000), Ok(()), "closed before the announced time");
    let early = |expected| Err(BeaconError::TooEarly { expected, found: 1_000 });
    assert_eq!(bound(1_000).check_close(&chain, closed_at + 3), early(1_001));
    assert_eq!(bound(1_000).check_close(&chain, closed_at + 3_600), early(2_200));
    assert_eq!(
        (bound(1_000).due_at(&chain, closed_at), bound(1).due_at(&chain, closed_at)),
        (closed_at + 32, closed_at)
    );
    let ledger = BeaconRule::LedgerFrom { height_min: 7 };
    assert_eq!((ledger.due_at(&chain, 5), ledger.check_close(&chain, 5)), (5, Ok(())));
}

#[test]
fn rule_takes_one_beacon_and_says_what_is_wrong_with_others() {
    let chain = DrandChain::quicknet();
    let rule = |round| BeaconRule::Drand { chain: chain.hash(), round };
    let beacon = Beacon::Drand { chain: chain.hash(), published: read(QUICKNET_1000) };
    assert_eq!(rule(1_000).check(&beacon, Some(&chain)), Ok(read(QUICKNET_1000).randomness));
    let early = BeaconError::TooEarly { expected: 1_001, found: 1_000 };
    assert_eq!(rule(1_001).check(&beacon, Some(&chain)), Err(early));
    let late = BeaconError::TooLate { expected: 999, found: 1_000 };
    assert_eq!(rule(999).check(&beacon, Some(&chain)), Err(late));
    let stranger = Beacon::Drand { chain: DrandChain::mainnet().hash(), published: read(QUICKNET_1000) };
    assert!(matches!(rule(1_000).check(&stranger, Some(&chain)), Err(BeaconError::Chain { .. })));
    for chain in [None, Some(&DrandChain::mainnet())] {
        assert!(matches!(rule(1_000).check(&beacon, chain), Err(BeaconError::UnknownChain { .. })));
    }

    let entry = |height| Beacon::Ledger { height, hash: [5; 32] };
    let (at, from) = (BeaconRule::Ledger { height: 10 }, BeaconRule::LedgerFrom { height_min: 10 });
    assert_eq!(at.check(&entry(10), None), Ok([5; 32]));
    assert_eq!(from.check(&entry(12), None), Ok([5; 32]));
    assert_eq!(at.check(&entry(12), None), Err(BeaconError::TooLate { expected: 10, found: 12 }));
    for rule in [&at, &from] {
        assert_eq!(rule.check(&entry(9), None), Err(BeaconError::TooEarly { expected: 10, found: 9 }));
    }
    let kind = BeaconError::Kind { expected: "ledger", found: "drand" };
    assert_eq!(at.check(&beacon, Some(&chain)), Err(kind));
}
