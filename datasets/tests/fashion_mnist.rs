//! The files that are compiled in load and are the published ones.

use crate::sha256_of;
use datasets::fashion_mnist::{CLASS_NAMES, INPUT_MEAN_PPM, INPUT_STD_PPM};
use datasets::{FashionMnist, Images};

fn per_class(images: &Images) -> Vec<usize> {
    (0..10).map(|class| images.labels.iter().filter(|&&label| label == class).count()).collect()
}

#[test]
fn every_file_is_the_published_one() {
    for (name, sha256) in [
        ("train-images-idx3-ubyte.gz", "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7"),
        ("train-labels-idx1-ubyte.gz", "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056"),
        ("t10k-images-idx3-ubyte.gz", "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa"),
        ("t10k-labels-idx1-ubyte.gz", "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05"),
    ] {
        assert_eq!(sha256_of(&format!("fashion-mnist/{name}")), sha256, "{name}: see fashion-mnist/NOTICE.md");
    }
}

#[test]
fn both_parts_have_the_published_shape_and_balance_and_statistics() {
    let FashionMnist { train, test } = FashionMnist::load().unwrap();
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
    let test = FashionMnist::load_test().unwrap();
    let some = test.select(&[9_999, 0, 0]);
    some.validate().unwrap();
    assert_eq!(some.len(), 3);
    assert_eq!(some.image(0), test.image(9_999));
    assert_eq!(some.image(2), test.image(0));
    assert_eq!(some.labels, [test.labels[9_999], test.labels[0], test.labels[0]]);
    assert!(!some.without_labels().has_labels());
}
