//! Hostile gzip IDX bytes: every lie has its own error, and nothing panics.

use datasets::gzip::GzipError;
use datasets::idx::{self, IdxError, IdxLimits};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;
use std::io::{self, Read, Write};

const LIMITS: IdxLimits = IdxLimits { items_max: 60_000, side_max: 28, classes: 10 };

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory can't fail");
    encoder.finish().expect("writing to memory can't fail")
}

fn idx_bytes(magic: u32, dims: &[u32], payload: &[u8]) -> Vec<u8> {
    let header = [magic].into_iter().chain(dims.iter().copied());
    header.flat_map(u32::to_be_bytes).chain(payload.iter().copied()).collect()
}

fn images_gz(dims: [u32; 3], payload: &[u8]) -> Vec<u8> {
    gz(&idx_bytes(0x0803, &dims, payload))
}

fn labels_gz(labels: &[u8]) -> Vec<u8> {
    gz(&idx_bytes(0x0801, &[labels.len() as u32], labels))
}

fn error_of(images: &[u8], labels: &[u8]) -> IdxError {
    idx::decode_images(images, labels, LIMITS).expect_err("hostile bytes are refused")
}

#[test]
fn well_formed_pair_decodes() {
    let images = idx::decode_images(&images_gz([2, 2, 3], &[7; 12]), &labels_gz(&[9, 0]), LIMITS).unwrap();
    images.validate().unwrap();
    assert_eq!((images.count, images.height, images.width), (2, 2, 3));
    assert_eq!(images.labels, [9, 0]);
}

#[test]
fn lies_in_the_header_are_refused_with_the_offending_value() {
    let labels = labels_gz(&[0]);
    let cases = [
        (gz(&idx_bytes(0x0801, &[1, 1, 1], &[0])), "magic number is 0x00000801, expected 0x00000803"),
        (gz(&idx_bytes(0x0d03, &[1, 1, 1], &[0; 4])), "magic number is 0x00000d03, expected 0x00000803"),
        (images_gz([0, 28, 28], &[]), "dimension 0 is 0, outside 1..=60000"),
        (images_gz([60_001, 1, 1], &[]), "dimension 0 is 60001, outside 1..=60000"),
        (images_gz([1, u32::MAX, 1], &[]), "dimension 1 is 4294967295, outside 1..=28"),
        (images_gz([1, 1, 29], &[0; 29]), "dimension 2 is 29, outside 1..=28"),
        (images_gz([60_000, 28, 28], &[0; 100]), "gzip stream ends after 100 of 47040000 bytes"),
        (images_gz([1, 2, 2], &[0; 5]), "gzip stream holds more than the 20 bytes that its content declares"),
        (images_gz([2, 1, 1], &[0; 2]), "2 images but 1 labels"),
        (gz(&[0, 0, 8]), "gzip stream ends after 3 of 16 bytes"),
        (vec![], "gzip stream ends after 0 of 16 bytes"),
    ];
    let wrong: Vec<_> = cases
        .iter()
        .map(|(images, expected)| (error_of(images, &labels).to_string(), *expected))
        .filter(|(found, expected)| found != expected)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn label_without_a_class_is_refused() {
    let error = error_of(&images_gz([2, 1, 1], &[0; 2]), &labels_gz(&[9, 10]));
    assert!(matches!(error, IdxError::Label { index: 1, found: 10, classes: 10 }), "{error:?}");
}

#[test]
fn dimensions_that_are_allowed_one_by_one_may_still_be_too_large_together() {
    let error = idx::decode(&images_gz([u32::MAX; 3], &[]), [u32::MAX; 3]).unwrap_err();
    assert!(matches!(error, IdxError::TooLarge { .. }), "{error:?}");
}

#[test]
fn decompression_bomb_costs_one_byte_more_than_declared() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&idx_bytes(0x0803, &[1, 28, 28], &[])).unwrap();
    io::copy(&mut io::repeat(0).take(256 << 20), &mut encoder).unwrap();
    let bomb = encoder.finish().unwrap();
    let error = error_of(&bomb, &labels_gz(&[0]));
    assert!(matches!(error, IdxError::Gzip(GzipError::TooLong { expected: 800 })), "{error:?}");
}

#[test]
fn truncated_stream_is_refused_at_every_length() {
    let whole = images_gz([3, 4, 4], &[5; 48]);
    for len in 0..whole.len() {
        let error = idx::decode(&whole[..len], [60_000, 28, 28]).expect_err("a prefix is not a file");
        assert!(matches!(error, IdxError::Gzip(_)), "{len}: {error:?}");
    }
}

#[test]
fn wrong_checksum_is_refused() {
    let mut images = images_gz([1, 2, 2], &[1, 2, 3, 4]);
    let checksum = images.len() - 8;
    images[checksum] ^= 1;
    let error = error_of(&images, &labels_gz(&[0]));
    assert!(matches!(error, IdxError::Gzip(GzipError::Corrupt(_))), "{error:?}");
}

#[test]
fn second_member_or_garbage_after_the_stream_is_refused() {
    for stray in [gz(b"more"), vec![0]] {
        let images = [images_gz([1, 1, 1], &[0]), stray.clone()].concat();
        let error = error_of(&images, &labels_gz(&[0]));
        assert!(matches!(error, IdxError::Gzip(GzipError::Trailing { count }) if count == stray.len()), "{error:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = idx::decode_images(&bytes, &bytes, LIMITS);
        let _ = idx::decode_images(&gz(&bytes), &gz(&bytes), LIMITS);
    }

    #[test]
    fn arbitrary_headers_never_panic(dims in any::<[u32; 3]>(), payload in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = idx::decode(&images_gz(dims, &payload), [u32::MAX; 3]);
    }

    #[test]
    fn one_changed_byte_never_changes_the_pixels_unnoticed(at in any::<prop::sample::Index>(), xor in 1u8..) {
        let mut images = images_gz([2, 3, 3], &[1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
        let original = idx::decode(&images, [2, 3, 3]).unwrap();
        let at = at.index(images.len());
        images[at] ^= xor;
        if let Ok(array) = idx::decode(&images, [2, 3, 3]) {
            prop_assert_eq!(array, original);
        }
    }
}
