//! What a validator is bound to: everything that could change a round changes the root.

use super::{pool, secret, terms};
use datasets::hidden::{
    BeaconRule, CommitError, DrawSpec, Family, RoundCommitment, Secret, SpecError, Terms, TermsPart,
};

#[test]
fn commitment_depends_on_every_term_and_on_the_secret() {
    let terms = terms(&pool(20), 3);
    let root = terms.commit(&secret()).unwrap().root;
    let calm = Family { noise_levels_max: 1, ..terms.spec.family };
    let others = [
        Terms { competition: "fingers".into(), ..terms.clone() },
        Terms { round: 4, ..terms.clone() },
        Terms { pool_root: "0".repeat(64), ..terms.clone() },
        Terms { pool_count: 21, ..terms.clone() },
        Terms { spec: DrawSpec { items: 11, ..terms.spec.clone() }, ..terms.clone() },
        Terms { spec: DrawSpec { family: calm, ..terms.spec.clone() }, ..terms.clone() },
        Terms { beacon: BeaconRule::LedgerFrom { height_min: 53 }, ..terms.clone() },
    ];
    for other in others {
        assert_ne!(other.commit(&secret()).unwrap().root, root, "{other:?}");
    }
    assert_ne!(terms.commit(&Secret::new([8; 32])).unwrap().root, root);
    assert_eq!(terms.commit(&secret()).unwrap().root, root);
}

#[test]
fn commitment_holds_for_its_terms_and_no_others() {
    let (terms, other) = (terms(&pool(20), 3), terms(&pool(20), 4));
    let commitment = terms.commit(&secret()).unwrap();
    commitment.check(&terms, &secret()).unwrap();
    assert!(matches!(commitment.check(&terms, &Secret::new([8; 32])), Err(CommitError::Root { .. })));
    let error = CommitError::Other { what: "round", expected: "4".into(), found: "3".into() };
    assert_eq!(commitment.check(&other, &secret()), Err(error));
    let later = RoundCommitment { format: "retort-round-commitment/2".into(), ..commitment };
    assert!(matches!(later.check(&terms, &secret()), Err(CommitError::Other { what: "format", .. })));
}

#[test]
fn family_can_be_opened_while_the_secret_stays_one() {
    let terms = terms(&pool(20), 3);
    let commitment = terms.commit(&secret()).unwrap();
    let opening = terms.open(&secret(), TermsPart::Spec).unwrap();
    let content = commitment.check_opening(TermsPart::Spec, &opening).unwrap();
    assert_eq!(serde_json::from_slice::<DrawSpec>(content).unwrap(), terms.spec);
    assert!(matches!(commitment.check_opening(TermsPart::Beacon, &opening), Err(CommitError::Merkle(_))));
    let mut changed = opening;
    changed.leaf[40] ^= 1;
    assert!(matches!(commitment.check_opening(TermsPart::Spec, &changed), Err(CommitError::Merkle(_))));
}

#[test]
fn published_commitment_is_read_back_and_shows_no_terms() {
    let commitment = terms(&pool(20), 3).commit(&secret()).unwrap();
    let json = serde_json::to_string(&commitment).unwrap();
    let expected = format!(
        r#"{{"format":"retort-round-commitment/1","competition":"digits","round":3,"root":"{}"}}"#,
        hex::encode(commitment.root)
    );
    assert_eq!(json, expected);
    assert_eq!(serde_json::from_str::<RoundCommitment>(&json).unwrap(), commitment);
    let upper = json.replace(&hex::encode(commitment.root), &hex::encode_upper(commitment.root));
    assert!(serde_json::from_str::<RoundCommitment>(&upper).is_err());
}

#[test]
fn impossible_terms_are_refused() {
    let terms = terms(&pool(20), 3);
    let refused = |terms: Terms| terms.commit(&secret()).unwrap_err();
    let error = refused(Terms { pool_root: "AB".repeat(32), ..terms.clone() });
    assert_eq!(error, CommitError::PoolRoot { found: "AB".repeat(32) });
    let error = refused(Terms { pool_count: 11, ..terms.clone() });
    assert_eq!(error, CommitError::PoolTooSmall { items: 12, pool_count: 11 });
    assert_eq!(refused(Terms { competition: String::new(), ..terms.clone() }), CommitError::Competition { bytes: 0 });
    let error = refused(Terms { round: 1 << 53, ..terms.clone() });
    assert_eq!(error, CommitError::Number { what: "round", found: 1 << 53 });
    let unchanged = DrawSpec { family: Family::identity(), ..terms.spec.clone() };
    assert_eq!(refused(Terms { spec: unchanged, ..terms }), CommitError::Spec(SpecError::Unchanged));
}
