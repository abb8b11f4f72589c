//! Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 grey, ten classes, MIT licence.
//!
//! The four files are part of every binary that asks for them (30 MB), so nothing is fetched or found. It does not split,
//! scale or augment.

use crate::idx::{self, IdxLimits};
use crate::{DataError, Images};

/// Class names by label.
pub const CLASS_NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Mean of the training pixels after division by 255, in parts per million.
pub const INPUT_MEAN_PPM: u32 = 286_040;
/// Standard deviation of the training pixels after division by 255, in parts per million.
pub const INPUT_STD_PPM: u32 = 353_020;

const LIMITS: IdxLimits = IdxLimits { items_max: 60_000, side_max: 28, classes: 10 };

/// Images and labels of a part, as they were published.
type Part = [&'static [u8]; 2];

const TRAIN: Part = [
    include_bytes!("../fashion-mnist/train-images-idx3-ubyte.gz"),
    include_bytes!("../fashion-mnist/train-labels-idx1-ubyte.gz"),
];

const TEST: Part = [
    include_bytes!("../fashion-mnist/t10k-images-idx3-ubyte.gz"),
    include_bytes!("../fashion-mnist/t10k-labels-idx1-ubyte.gz"),
];

/// Both parts as published.
#[derive(Debug, Clone)]
pub struct FashionMnist {
    /// 60,000 images, 6,000 a class.
    pub train: Images,
    /// 10,000 images, 1,000 a class.
    pub test: Images,
}

impl FashionMnist {
    /// Decodes both parts.
    ///
    /// # Errors
    /// None, while the repository's files are the published ones: a test holds their digests.
    pub fn load() -> Result<FashionMnist, DataError> {
        Ok(FashionMnist { train: Self::load_train()?, test: Self::load_test()? })
    }

    /// Decodes the training part only.
    ///
    /// # Errors
    /// As [`FashionMnist::load`].
    pub fn load_train() -> Result<Images, DataError> {
        decoded(TRAIN)
    }

    /// Decodes the test part only, a sixth of the work.
    ///
    /// # Errors
    /// As [`FashionMnist::load`].
    pub fn load_test() -> Result<Images, DataError> {
        decoded(TEST)
    }
}

fn decoded([images, labels]: Part) -> Result<Images, DataError> {
    idx::decode_images(images, labels, LIMITS).map_err(|error| DataError::of("Fashion-MNIST", &error))
}
