//! The stored form of an evaluation's outcomes: what is written is read, and nothing else is.

use proptest::prelude::*;
use protocol::Digest;
use protocol::outcomes::{JS_MICRONATS_MAX, LOG_RATIO_NANOS_MAX, OutcomeValues, Outcomes, OutcomesError};

fn values() -> OutcomeValues {
    OutcomeValues {
        images_sha256: Digest::of(b"images"),
        size_bytes: 98_496,
        public_items: 2,
        right: vec![true, false, true],
        js_micronats: vec![0, 693_147, 5],
        log_ratio_nanos: vec![-693_147_181, 12],
    }
}

fn after(change: impl FnOnce(&mut OutcomeValues)) -> Result<Outcomes, OutcomesError> {
    let mut values = values();
    change(&mut values);
    Outcomes::new(values)
}

#[test]
fn the_binary_form_is_the_written_one() {
    let bytes = after(|_| ()).unwrap().to_bytes();
    assert_eq!(bytes.len(), 58 + 1 + 12 + 16);
    assert_eq!(bytes[..6], *b"RTOUT1");
    assert_eq!(hex::encode(&bytes[38..59]), "c080010000000000030000000200000002000000".to_owned() + "05");
    assert_eq!(Outcomes::from_bytes(&bytes), after(|_| ()));
}

#[test]
fn values_out_of_range_are_named() {
    use OutcomesError::{Divergence, Items, Launches, LogRatio, Public, Uneven};
    let too_high = JS_MICRONATS_MAX + 1;
    assert_eq!(after(|v| v.js_micronats[1] = too_high), Err(Divergence { item: 1, micronats: too_high }));
    let nanos = -LOG_RATIO_NANOS_MAX - 1;
    assert_eq!(after(|v| v.log_ratio_nanos[0] = nanos), Err(LogRatio { launch: 0, nanos }));
    assert_eq!(after(|v| v.log_ratio_nanos[0] = i64::MIN), Err(LogRatio { launch: 0, nanos: i64::MIN }));
    assert_eq!(after(|v| v.public_items = 4), Err(Public { public: 4, items: 3 }));
    assert_eq!(after(|v| v.right.push(true)), Err(Uneven { right: 4, js: 3 }));
    assert_eq!(after(|v| v.log_ratio_nanos = vec![0; 321]), Err(Launches(321)));
    assert_eq!(after(|v| v.right.clear()), Err(Items(0)));
}

#[test]
fn bytes_that_are_not_exactly_one_value_are_refused() {
    let good = after(|_| ()).unwrap().to_bytes();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        Outcomes::from_bytes(&bytes)
    };
    assert_eq!(with(5, b'2'), Err(OutcomesError::Magic));
    assert_eq!(with(58, 0b1101), Err(OutcomesError::Padding));
    assert_eq!(with(49, 0xff), Err(OutcomesError::Items((0xff << 24) + 3)), "no allocation for what can't be");
    let longer = [good.as_slice(), &[0]].concat();
    assert_eq!(Outcomes::from_bytes(&longer), Err(OutcomesError::Length { expected: 87, found: 88 }));
    for length in 0..good.len() {
        assert!(Outcomes::from_bytes(&good[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn json_is_checked_as_well() {
    let json = serde_json::to_string(&after(|_| ()).unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Outcomes>(&json).unwrap(), after(|_| ()).unwrap());
    assert!(serde_json::from_str::<Outcomes>(&json.replace("\"public_items\":2", "\"public_items\":9")).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(
        items in prop::collection::vec((any::<bool>(), 0..=JS_MICRONATS_MAX), 1..70),
        log_ratio_nanos in prop::collection::vec(-LOG_RATIO_NANOS_MAX..=LOG_RATIO_NANOS_MAX, 0..32),
        size_bytes in any::<u64>(),
    ) {
        let (right, js_micronats): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let public_items = right.len() as u32 / 2;
        let images_sha256 = Digest::of(&size_bytes.to_le_bytes());
        let values = OutcomeValues { images_sha256, size_bytes, public_items, right, js_micronats, log_ratio_nanos };
        let outcomes = Outcomes::new(values).unwrap();
        prop_assert_eq!(Outcomes::from_bytes(&outcomes.to_bytes()), Ok(outcomes));
    }

    #[test]
    fn no_bytes_panic_and_what_is_read_is_written_the_same(flips in prop::collection::vec((6usize..87, any::<u8>()), 0..6)) {
        let mut bytes = after(|_| ()).unwrap().to_bytes();
        for (at, byte) in flips {
            bytes[at] = byte;
        }
        if let Ok(outcomes) = Outcomes::from_bytes(&bytes) {
            prop_assert_eq!(outcomes.to_bytes(), bytes);
        }
    }
}
