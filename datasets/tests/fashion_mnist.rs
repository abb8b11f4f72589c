//! The repository's own files load and are the published ones; damaged copies are refused with a way out.

use datasets::fashion_mnist::{CLASS_NAMES, INPUT_MEAN_PPM, INPUT_STD_PPM};
use datasets::{DataError, FashionMnist, Images};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const IMAGES: &str = "t10k-images-idx3-ubyte.gz";
const LABELS: &str = "t10k-labels-idx1-ubyte.gz";

fn per_class(images: &Images) -> Vec<usize> {
    (0..10).map(|class| images.labels.iter().filter(|&&label| label == class).count()).collect()
}

/// A folder with copies of the test part's files, to be damaged.
fn copied_test_part() -> TempDir {
    let dir = tempfile::tempdir().expect("a temporary folder can be made");
    for name in [IMAGES, LABELS] {
        fs::copy(FashionMnist::embedded_dir().join(name), dir.path().join(name)).expect("the data set can be copied");
    }
    dir
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).expect("the copy can be read");
    change(&mut bytes);
    fs::write(path, bytes).expect("the copy can be written");
}

#[test]
fn both_parts_have_the_published_shape_and_balance_and_statistics() {
    let FashionMnist { train, test } = FashionMnist::load(&FashionMnist::embedded_dir()).unwrap();
    for (part, count) in [(&train, 60_000), (&test, 10_000)] {
        part.validate().unwrap();
        assert_eq!((part.len(), part.channels, part.height, part.width), (count, 1, 28, 28));
        assert_eq!(per_class(part), [count / 10; 10]);
    }
    assert_eq!(CLASS_NAMES[train.labels[0] as usize], "Ankle boot");

    let sum: u64 = train.pixels.iter().map(|&pixel| u64::from(pixel)).sum();
    let squares: u64 = train.pixels.iter().map(|&pixel| u64::from(pixel).pow(2)).sum();
    let mean = sum as f64 / train.pixels.len() as f64 / 255.0;
    let std = (squares as f64 / train.pixels.len() as f64 / 255.0f64.powi(2) - mean * mean).sqrt();
    assert!((mean * 1e6 - f64::from(INPUT_MEAN_PPM)).abs() < 5.0, "mean is {mean}");
    assert!((std * 1e6 - f64::from(INPUT_STD_PPM)).abs() < 15.0, "standard deviation is {std}");
}

#[test]
fn selection_keeps_order_pixels_and_labels() {
    let test = FashionMnist::load_test(&FashionMnist::embedded_dir()).unwrap();
    let some = test.select(&[9_999, 0, 0]);
    some.validate().unwrap();
    assert_eq!(some.len(), 3);
    assert_eq!(some.image(0), test.image(9_999));
    assert_eq!(some.image(2), test.image(0));
    assert_eq!(some.labels, [test.labels[9_999], test.labels[0], test.labels[0]]);
    assert!(!some.without_labels().has_labels());
}

#[test]
fn one_flipped_bit_names_the_file_both_digests_and_the_way_out() {
    let dir = copied_test_part();
    change(&dir.path().join(LABELS), |bytes| bytes[2_000] ^= 1);
    let error = FashionMnist::load_test(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::WrongDigest { .. }), "{error:?}");
    let message = error.to_string();
    for part in [LABELS, "expected 8d3605d1", "git checkout -- datasets/fashion-mnist", "dataset-fashion-mnist"] {
        assert!(message.contains(part), "{part:?} is not in {message:?}");
    }
}

#[test]
fn truncated_file_is_refused_by_its_size() {
    let dir = copied_test_part();
    change(&dir.path().join(IMAGES), |bytes| bytes.truncate(1_000_000));
    let error = FashionMnist::load_test(dir.path()).unwrap_err();
    assert!(
        matches!(error, DataError::WrongSize { expected_bytes: 4_422_079, found_bytes: 1_000_000, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains(IMAGES));
}

#[test]
fn missing_file_says_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let error = FashionMnist::load(dir.path()).unwrap_err();
    assert!(matches!(error, DataError::Missing { .. }), "{error:?}");
    assert!(error.to_string().contains("RETORT_DATA_DIR"), "{error}");
}

#[test]
fn folder_in_place_of_a_file_is_refused() {
    let dir = copied_test_part();
    fs::remove_file(dir.path().join(LABELS)).unwrap();
    fs::create_dir(dir.path().join(LABELS)).unwrap();
    assert!(FashionMnist::load_test(dir.path()).is_err());
}
