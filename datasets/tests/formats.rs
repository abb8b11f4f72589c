//! The two file formats of hidden rounds: golden bytes, round trips, and refusals.

use datasets::{FormatError, Images, Logits};
use proptest::prelude::*;

fn two_images() -> Images {
    Images { count: 2, channels: 1, height: 1, width: 3, pixels: vec![1, 2, 3, 4, 5, 6], labels: vec![7, 8] }
}

fn arbitrary_images() -> impl Strategy<Value = Images> {
    let largest = prop::sample::select(vec![255u16, 256, u16::MAX]);
    let shape = (1u32..5, 1u32..4, 1u32..6, 1u32..6, any::<bool>(), largest);
    shape.prop_flat_map(|(count, channels, height, width, labelled, largest)| {
        let pixels = prop::collection::vec(any::<u8>(), (count * channels * height * width) as usize);
        let labels = prop::collection::vec(0..=largest, if labelled { count as usize } else { 0 });
        (pixels, labels).prop_map(move |(pixels, labels)| Images { count, channels, height, width, pixels, labels })
    })
}

#[test]
fn image_file_has_the_documented_bytes() {
    let expected = "5254494d47310000 02000000 01000000 01000000 03000000 01 010203040506 0708".replace(' ', "");
    assert_eq!(hex::encode(two_images().to_bytes().unwrap()), expected);
}

#[test]
fn labels_above_255_have_two_bytes_and_others_never_do() {
    let many = Images { labels: vec![7, 300], ..two_images() };
    let expected = "5254494d47310000 02000000 01000000 01000000 03000000 02 010203040506 07002c01".replace(' ', "");
    assert_eq!(hex::encode(many.to_bytes().unwrap()), expected);
    let mut few = many.to_bytes().unwrap();
    *few.last_mut().unwrap() = 0;
    assert_eq!(Images::from_bytes(&few), Err(FormatError::WideLabels));
}

#[test]
fn logits_file_has_the_documented_bytes() {
    let logits = Logits { count: 1, classes: 2, values: vec![1.0, -0.5] };
    let expected = "52544c4f47310000 01000000 02000000 0000803f 000000bf".replace(' ', "");
    assert_eq!(hex::encode(logits.to_bytes().unwrap()), expected);
}

#[test]
fn every_lie_in_an_image_file_is_refused_with_its_value() {
    let good = two_images().to_bytes().unwrap();
    let with = |at: usize, new: &[u8]| {
        let mut bytes = good.clone();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    };
    let cases = [
        (with(5, b"2"), "magic is [52, 54, 49, 4d, 47, 32, 00, 00], expected [52, 54, 49, 4d, 47, 31, 00, 00]"),
        (with(8, &[0; 4]), "count is zero"),
        (with(16, &[0; 4]), "height is zero"),
        (with(8, &[3]), "pixels needs 9 bytes, only 8 are left"),
        (with(8, &[1]), "4 stray bytes at the end"),
        (with(8, &[0xff; 16]), "dimensions [4294967295, 4294967295, 4294967295, 4294967295] overflow"),
        (with(24, &[2]), "labels needs 4 bytes, only 2 are left"),
        (with(24, &[3]), "a label has 3 bytes, expected 0, 1 or 2"),
        (with(24, &[0]), "2 stray bytes at the end"),
        (good[..good.len() - 1].to_vec(), "labels needs 2 bytes, only 1 are left"),
        (good[..10].to_vec(), "count needs 4 bytes, only 2 are left"),
        (vec![], "magic needs 8 bytes, only 0 are left"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(bytes, expected)| (Images::from_bytes(bytes).map_err(|error| error.to_string()), *expected))
        .filter(|(found, expected)| found.as_ref().err().map(String::as_str) != Some(*expected))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn images_whose_fields_disagree_are_not_written() {
    let short = Images { pixels: vec![0; 5], ..two_images() };
    assert_eq!(short.to_bytes(), Err(FormatError::Length { what: "pixels", expected: 6, found: 5 }));
    let odd = Images { labels: vec![0], ..two_images() };
    assert_eq!(odd.to_bytes(), Err(FormatError::Length { what: "labels", expected: 2, found: 1 }));
    assert_eq!(two_images().select(&[]).to_bytes(), Err(FormatError::Zero { what: "count" }));
}

#[test]
fn logits_that_are_not_finite_are_neither_written_nor_read() {
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let logits = Logits { count: 1, classes: 2, values: vec![0.0, bad] };
        assert!(matches!(logits.to_bytes(), Err(FormatError::NotFinite { index: 1, .. })));
        let mut bytes = Logits { count: 1, classes: 2, values: vec![0.0; 2] }.to_bytes().unwrap();
        bytes.splice(20.., bad.to_le_bytes());
        assert!(matches!(Logits::from_bytes(&bytes), Err(FormatError::NotFinite { index: 1, .. })));
    }
}

#[test]
fn logits_file_of_the_wrong_length_is_refused() {
    let good = Logits { count: 2, classes: 2, values: vec![0.0; 4] }.to_bytes().unwrap();
    assert!(matches!(Logits::from_bytes(&good[..good.len() - 1]), Err(FormatError::Truncated { .. })));
    assert_eq!(Logits::from_bytes(&[&good[..], &[0]].concat()), Err(FormatError::Trailing { count: 1 }));
    let mut huge = good;
    huge[8..16].fill(0xff);
    assert!(Logits::from_bytes(&huge).is_err());
}

proptest! {
    #[test]
    fn images_survive_the_round_trip(images in arbitrary_images()) {
        prop_assert_eq!(Images::from_bytes(&images.to_bytes().unwrap()), Ok(images));
    }

    #[test]
    fn logits_survive_the_round_trip(values in prop::collection::vec(-1e30f32..1e30, 1..40)) {
        let logits = Logits { count: values.len() as u32, classes: 1, values };
        prop_assert_eq!(Logits::from_bytes(&logits.to_bytes().unwrap()), Ok(logits));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(images in arbitrary_images(), at in any::<prop::sample::Index>(), new: u8) {
        let mut bytes = images.to_bytes().unwrap();
        let at = at.index(bytes.len());
        bytes[at] = new;
        if let Ok(images) = Images::from_bytes(&bytes) {
            prop_assert_eq!(images.to_bytes().unwrap(), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(magic in prop::sample::select(vec![*b"RTIMG1\0\0", *b"RTLOG1\0\0"]), rest in prop::collection::vec(any::<u8>(), 0..200)) {
        let bytes = [&magic[..], &rest].concat();
        let _ = (Images::from_bytes(&bytes), Logits::from_bytes(&bytes));
        let _ = (Images::from_bytes(&rest), Logits::from_bytes(&rest));
    }
}
