//! Finished rounds, opened: the honest one holds, and nothing else does.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

use super::drand::QUICKNET_1000;
use super::{COMPETITION, ledger_beacon, pool, pool_commitment, reveal_of, rules, secret, terms};
use datasets::hidden::{
    Beacon, BeaconError, BeaconRule, DrandChain, DrandRound, DrawSpec, Expected, Leaves, Reveal, RevealError, Revealed,
    RoundCommitment, Secret, Spent, Terms, draw, draw_unspent, fixed_seed, relabel, render, seed, verify_reveal,
};
use datasets::{FormatError, Images};
use proptest::prelude::*;
use protocol::competition::HiddenPool;
use protocol::round::RoundRules;
use std::sync::LazyLock;

/// What rounds of a public pool spend.
static NOTHING: LazyLock<Spent> = LazyLock::new(Spent::default);

/// A round as a validator ran it.
struct Round {
    rules: RoundRules,
    terms: Terms,
    commitment: RoundCommitment,
    beacon: Beacon,
    images: Images,
    reveal: Reveal,
}

impl Round {
    fn run(number: u64, fixed: Option<&[u8; 32]>) -> Round {
        let pool = pool(30);
        Round::run_on(&pool, terms(&pool, number), ledger_beacon(50 + number), None, fixed)
    }

    fn run_on(
        pool: &Images,
        terms: Terms,
        beacon: Beacon,
        chain: Option<&DrandChain>,
        fixed: Option<&[u8; 32]>,
    ) -> Round {
        let commitment = terms.commit(&secret()).unwrap();
        let value = terms.beacon.check(&beacon, chain).unwrap();
        let first = fixed_seed(&value, &secret(), COMPETITION, terms.round);
        let seed = seed(&value, &secret(), COMPETITION, terms.round);
        let drawn = draw(&seed, fixed.unwrap_or(&first), 30, &terms.spec).unwrap();
        let mut images = render(pool, &drawn).unwrap();
        relabel(&mut images.labels, &drawn, &[[0., 0., 0., 1., 0., 0., 0., 0., 0., 0.]; 12].concat(), 10).unwrap();
        assert!(drawn.items.iter().any(|item| item.partner().is_some()), "the round has a mixture");
        let (opened, public) = (terms.clone(), pool_commitment(pool));
        let history = (fixed, &Spent::default());
        let reveal = reveal_of((opened, secret(), beacon.clone()), chain, history, public, &images).unwrap();
        Round { rules: rules(), terms, commitment, beacon, images, reveal }
    }

    /// What somebody knows who watched the round.
    fn known(&self) -> Expected<'_> {
        Expected {
            competition: COMPETITION,
            round: self.terms.round,
            pool_root: &self.terms.pool_root,
            pool_count: 30,
            rules: &self.rules,
            hidden_pool: HiddenPool::Public,
            answer_classes: 0,
            spent: &NOTHING,
            commitment: &self.commitment,
            beacon: Some(&self.beacon),
            chain: None,
            fixed_seed: None,
        }
    }
}

/// Leaves as somebody who reveals might change them.
fn touched(leaves: &Leaves, touch: impl FnOnce(&mut Vec<Vec<u8>>)) -> Leaves {
    let mut leaves = leaves.iter().collect::<Result<Vec<_>, _>>().unwrap();
    touch(&mut leaves);
    Leaves::of(&leaves).unwrap()
}

#[test]
fn a_round_of_more_classes_than_a_byte_tells_apart_is_opened_by_the_same_steps() {
    let mut pool = pool(30);
    pool.labels.iter_mut().for_each(|label| *label += 300);
    let round = Round::run_on(&pool, terms(&pool, 1), ledger_beacon(51), None, None);
    let bytes = round.reveal.to_bytes().unwrap();
    assert!(
        bytes.starts_with(b"RTREV2\0\0") && Round::run(1, None).reveal.to_bytes().unwrap().starts_with(b"RTREV1\0\0")
    );
    let read = Reveal::from_bytes(&bytes).unwrap();
    let revealed = verify_reveal(&read, &round.known()).unwrap();
    let labels = &revealed.items.labels;
    assert!(labels.iter().any(|label| *label > 300) && labels.contains(&3), "mixtures");
    assert_eq!(revealed.items.held().unwrap(), round.images);
    // The same labels, each a byte longer than it need be, are another spelling.
    let wide = Reveal { labels: vec![0; 12], ..round.reveal.clone() }.to_bytes().unwrap();
    let wide = [b"RTREV2\0\0", &wide[8..]].concat();
    assert!(Reveal::from_bytes(&wide).is_err());
}

#[test]
fn honest_reveal_gives_back_the_items_with_the_labels_that_counted() {
    let round = Round::run(1, None);
    let read = Reveal::from_bytes(&round.reveal.to_bytes().unwrap()).unwrap();
    assert_eq!(read, round.reveal);
    let revealed = verify_reveal(&read, &round.known()).unwrap();
    assert_eq!((revealed.draw.items.len(), revealed.draw.fixed), (12, 3));
    assert_eq!(revealed.items.held().unwrap(), round.images);
}

#[test]
fn later_round_keeps_the_fixed_items_and_is_checked_with_their_seed() {
    let first = Round::run(1, None);
    let seed = verify_reveal(&first.reveal, &first.known()).unwrap().fixed_seed;
    let later = Round::run(2, Some(&seed));
    let revealed = verify_reveal(&later.reveal, &Expected { fixed_seed: Some(&seed), ..later.known() }).unwrap();
    let per_item = first.images.image_bytes();
    let images = revealed.items.held().unwrap();
    assert_eq!(images.pixels[..3 * per_item], first.images.pixels[..3 * per_item]);
    assert_ne!(images.pixels[3 * per_item..], first.images.pixels[3 * per_item..]);
    let error = verify_reveal(&later.reveal, &later.known()).unwrap_err();
    assert!(matches!(error, RevealError::FixedSeed { .. }), "{error}");
}

#[test]
fn reveal_of_a_drand_round_holds_for_whoever_trusts_the_chain() {
    let chain = DrandChain::quicknet();
    let published = DrandRound::from_json(QUICKNET_1000.as_bytes()).unwrap();
    let beacon = Beacon::Drand { chain: chain.hash(), published };
    let rule = BeaconRule::Drand { chain: chain.hash(), round: 1_000 };
    let terms = Terms { beacon: rule, ..terms(&pool(30), 1) };
    let round = Round::run_on(&pool(30), terms, beacon, Some(&chain), None);
    let read = Reveal::from_bytes(&round.reveal.to_bytes().unwrap()).unwrap();
    let known = Expected { beacon: None, chain: Some(&chain), ..round.known() };
    assert_eq!(verify_reveal(&read, &known).unwrap().items.held().unwrap(), round.images);
    let error = verify_reveal(&read, &Expected { chain: None, ..known }).unwrap_err();
    assert!(matches!(error, RevealError::Beacon(BeaconError::UnknownChain { .. })), "{error}");
}

#[test]
fn every_changed_byte_is_found() {
    let round = Round::run(1, None);
    let bytes = round.reveal.to_bytes().unwrap();
    for at in 0..bytes.len() {
        for flip in [1 << (at % 8), 0xff] {
            let mut changed = bytes.clone();
            changed[at] ^= flip;
            let held = Reveal::from_bytes(&changed).and_then(|reveal| verify_reveal(&reveal, &round.known()));
            assert!(held.is_err(), "byte {at} of {} ^ {flip}", bytes.len());
        }
    }
    for length in 0..bytes.len() {
        assert!(Reveal::from_bytes(&bytes[..length]).is_err(), "{length} bytes");
    }
    let error = Reveal::from_bytes(&[&bytes[..], &[0]].concat()).unwrap_err();
    assert_eq!(error, RevealError::Format(FormatError::Trailing { count: 1 }));
}

#[test]
fn reveal_is_refused_by_whoever_knows_otherwise() {
    let (round, other) = (Round::run(1, None), Round::run(2, None));
    let known = round.known();
    let reason = |known: Expected<'_>| verify_reveal(&round.reveal, &known).unwrap_err();
    let zeros = "0".repeat(64);
    for (what, known) in [
        ("competition", Expected { competition: "fingers", ..known }),
        ("round", Expected { round: 2, ..known }),
        ("pool_root", Expected { pool_root: &zeros, ..known }),
        ("pool_count", Expected { pool_count: 31, ..known }),
    ] {
        assert!(matches!(reason(known), RevealError::Other { what: found, .. } if found == what));
    }
    assert!(matches!(reason(Expected { commitment: &other.commitment, ..known }), RevealError::Commit(_)));
    let calmer = RoundRules::default();
    assert!(matches!(reason(Expected { rules: &calmer, ..known }), RevealError::OtherSpec { .. }));
    let another = Beacon::Ledger { height: 51, hash: [1; 32] };
    assert_eq!(reason(Expected { beacon: Some(&another), ..known }), RevealError::OtherBeacon { found: 51 });
}

#[test]
fn each_lie_of_a_validator_has_its_name() {
    let round = Round::run(1, None);
    let reason = |lie: &dyn Fn(&mut Reveal)| {
        let mut reveal = round.reveal.clone();
        lie(&mut reveal);
        verify_reveal(&reveal, &Expected { beacon: None, ..round.known() }).unwrap_err()
    };
    let other_secret = reason(&|reveal| reveal.secret = Secret::new([8; 32]));
    assert!(matches!(other_secret, RevealError::Commit(_)), "{other_secret}");
    let milder = reason(&|reveal| reveal.terms.spec.family.shift_px_max = 1);
    assert!(matches!(milder, RevealError::Commit(_)), "{milder}");
    let early = reason(&|reveal| reveal.beacon = ledger_beacon(50));
    assert_eq!(early, RevealError::Beacon(BeaconError::TooEarly { expected: 51, found: 50 }));
    let other_seed = reason(&|reveal| reveal.fixed_seed = [0; 32]);
    assert!(matches!(other_seed, RevealError::FixedSeed { .. }), "{other_seed}");
    let pixel = reason(&|reveal| reveal.leaves = touched(&reveal.leaves, |leaves| leaves[4][60] ^= 1));
    assert!(matches!(pixel, RevealError::Merkle(_)), "{pixel}");
    let fewer = reason(&|reveal| reveal.leaves = touched(&reveal.leaves, |leaves| drop(leaves.pop())));
    assert!(matches!(fewer, RevealError::Opened { .. }), "{fewer}");
    let drawn = verify_reveal(&round.reveal, &round.known()).unwrap().draw;
    let plain = drawn.items.iter().position(|item| item.partner().is_none()).unwrap();
    let mixed = drawn.items.iter().position(|item| item.partner().is_some()).unwrap();
    let label = reason(&|reveal| reveal.labels[plain] ^= 1);
    assert!(matches!(label, RevealError::Label { index, .. } if index == plain), "{label}");
    let mixture = reason(&|reveal| reveal.labels[mixed] ^= 1);
    assert!(matches!(mixture, RevealError::Items { .. }), "{mixture}");
    let unlabelled = reason(&|reveal| reveal.labels.clear());
    assert_eq!(unlabelled, RevealError::Labels { expected: 12, found: 0 });
}

#[test]
fn validator_can_not_open_a_round_with_items_or_a_pool_that_it_did_not_use() {
    let (round, pool) = (Round::run(1, None), pool(30));
    let open = |pool: &Images, images: &Images| {
        let (terms, beacon) = (round.terms.clone(), round.beacon.clone());
        reveal_of((terms, secret(), beacon), None, (None, &Spent::default()), pool_commitment(pool), images)
    };
    assert_eq!(open(&pool, &round.images).as_ref(), Ok(&round.reveal));
    let mut touched = round.images.clone();
    touched.pixels[5] ^= 1;
    assert!(matches!(open(&pool, &touched), Err(RevealError::Items { .. })));
    let shorter = pool.select(&(0..29).collect::<Vec<_>>());
    assert!(matches!(open(&shorter, &round.images), Err(RevealError::Other { what: "pool_root", .. })));
}

#[test]
fn enormous_claims_cost_nothing() {
    let round = Round::run(1, None);
    let mut claims = round.reveal.clone();
    claims.terms.pool_count = u32::MAX;
    claims.terms.spec.items = u32::MAX;
    let read = Reveal::from_bytes(&claims.to_bytes().unwrap()).unwrap();
    assert!(matches!(verify_reveal(&read, &round.known()), Err(RevealError::Other { what: "pool_count", .. })));
    let mut bytes = round.reveal.to_bytes().unwrap();
    bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(Reveal::from_bytes(&bytes), Err(RevealError::TooLong { what: "terms", .. })));
}

proptest! {
    #[test]
    fn hostile_bytes_never_panic(tail in prop::collection::vec(any::<u8>(), 0..300), keep in 0usize..2_000) {
        let round = Round::run(1, None);
        let honest = round.reveal.to_bytes().unwrap();
        let bytes = [&honest[..keep.min(honest.len())], &tail].concat();
        let held = Reveal::from_bytes(&bytes).and_then(|reveal| verify_reveal(&reveal, &round.known()));
        prop_assert!(held.is_err());
    }
}

#[test]
fn a_later_round_of_a_private_pool_holds_against_what_earlier_reveals_showed_and_nothing_else() {
    let pool = pool(30);
    let rules = RoundRules { items: 9, fixed_ppm: 200_000, ..rules() };
    let private = HiddenPool::Private;
    let play = |round: u64, secret: Secret, history: (Option<&[u8; 32]>, &Spent)| {
        let terms = Terms { spec: DrawSpec::of(&rules, 30, private), ..terms(&pool, round) };
        let (commitment, beacon) = (terms.commit(&secret).unwrap(), ledger_beacon(50 + round));
        let value = terms.beacon.check(&beacon, None).unwrap();
        let seed = seed(&value, &secret, COMPETITION, round);
        let fixed = history.0.copied().unwrap_or_else(|| fixed_seed(&value, &secret, COMPETITION, round));
        let images = render(&pool, &draw_unspent(&seed, &fixed, 30, &terms.spec, history.1).unwrap()).unwrap();
        let reveal = reveal_of((terms, secret, beacon), None, history, pool_commitment(&pool), &images).unwrap();
        (commitment, reveal)
    };
    let check = |(commitment, reveal): &(RoundCommitment, Reveal), fixed: Option<&[u8; 32]>, spent: &Spent| {
        let expected = Expected {
            competition: COMPETITION,
            round: reveal.terms.round,
            pool_root: &reveal.terms.pool_root,
            pool_count: 30,
            rules: &rules,
            hidden_pool: private,
            answer_classes: 0,
            spent,
            commitment,
            beacon: None,
            chain: None,
            fixed_seed: fixed,
        };
        verify_reveal(reveal, &expected)
    };
    let mut spent = Spent::default();
    let first = play(1, secret(), (None, &spent));
    let revealed = check(&first, None, &spent).unwrap();
    spent.add(&revealed.draw);
    let fixed = revealed.fixed_seed;
    let second = play(2, Secret::new([8; 32]), (Some(&fixed), &spent));
    let fresh = |revealed: Revealed| -> Vec<u32> { revealed.draw.items[1..].iter().map(|item| item.source).collect() };
    let again = fresh(check(&second, Some(&fixed), &spent).unwrap());
    assert!(fresh(revealed).iter().all(|source| !again.contains(source)), "an image was fresh twice");
    // A validator that showed known images again, or a checker who forgot the first round.
    assert!(check(&second, Some(&fixed), &Spent::default()).is_err());
    let cheat = play(2, Secret::new([8; 32]), (Some(&fixed), &Spent::default()));
    assert!(check(&cheat, Some(&fixed), &spent).is_err());
}
