//! The small fixture loads and is what scikit-learn says it is.

use crate::sha256_of;
use datasets::load_digits;

#[test]
fn digits_are_1797_images_of_8x8_with_values_up_to_16() {
    assert_eq!(sha256_of("digits/digits.csv.gz"), "09f66e6debdee2cd2b5ae59e0d6abbb73fc2b0e0185d2e1957e9ebb51e23aa22");
    let digits = load_digits().unwrap();
    digits.validate().unwrap();
    assert_eq!((digits.count, digits.channels, digits.height, digits.width), (1_797, 1, 8, 8));
    assert_eq!(digits.pixels.iter().max(), Some(&16));
    assert_eq!(digits.labels[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    assert_eq!(digits.image(0)[..8], [0, 0, 5, 13, 9, 1, 0, 0]);
    let per_class: Vec<usize> =
        (0..10).map(|class| digits.labels.iter().filter(|&&label| label == class).count()).collect();
    assert_eq!(per_class, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
}
