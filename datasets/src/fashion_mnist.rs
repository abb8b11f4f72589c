//! Fashion-MNIST: 60,000 training and 10,000 test images of clothes, 28x28 grey, ten classes, MIT licence.
//!
//! It knows where the four files lie and what their bytes must be. It does not split, scale or augment.

use crate::files::PinnedFile;
use crate::idx::{self, IdxLimits};
use crate::{DataError, Images, data_dir};
use std::path::{Path, PathBuf};

/// Class names by label.
pub const CLASS_NAMES: [&str; 10] =
    ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"];

/// Mean of the training pixels after division by 255, in parts per million.
pub const INPUT_MEAN_PPM: u32 = 286_040;
/// Standard deviation of the training pixels after division by 255, in parts per million.
pub const INPUT_STD_PPM: u32 = 353_020;

const LIMITS: IdxLimits = IdxLimits { items_max: 60_000, side_max: 28, classes: 10 };

const REMEDY: &str = "restore it with `git checkout -- datasets/fashion-mnist`, or copy it from the Debian package \
                      dataset-fashion-mnist";

const TRAIN: [PinnedFile; 2] = [
    PinnedFile {
        name: "train-images-idx3-ubyte.gz",
        size_bytes: 26_421_856,
        sha256: "b0564c3eedabfbf835052cff8503ea422014ce006caf5b757f851416ee8300c7",
        remedy: REMEDY,
    },
    PinnedFile {
        name: "train-labels-idx1-ubyte.gz",
        size_bytes: 29_491,
        sha256: "0ae29f65d86684f32d1b9c85147786c547b9c6aebcaf235f0400a0cce308b056",
        remedy: REMEDY,
    },
];

const TEST: [PinnedFile; 2] = [
    PinnedFile {
        name: "t10k-images-idx3-ubyte.gz",
        size_bytes: 4_422_079,
        sha256: "cc1d090a38ace84dfa1aa66e3ada7c336ef481a96936906477e6dd344da56eaa",
        remedy: REMEDY,
    },
    PinnedFile {
        name: "t10k-labels-idx1-ubyte.gz",
        size_bytes: 5_125,
        sha256: "8d3605d196f4be44669e46906da9733c8131fef761fdbfec72c424d5222f1a05",
        remedy: REMEDY,
    },
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
    /// Reads and verifies all four files in `dir`.
    pub fn load(dir: &Path) -> Result<FashionMnist, DataError> {
        Ok(FashionMnist { train: Self::load_train(dir)?, test: Self::load_test(dir)? })
    }

    /// Reads and verifies the training part only.
    pub fn load_train(dir: &Path) -> Result<Images, DataError> {
        load_part(dir, &TRAIN)
    }

    /// Reads and verifies the test part only, a sixth of the work.
    pub fn load_test(dir: &Path) -> Result<Images, DataError> {
        load_part(dir, &TEST)
    }

    /// The folder with the repository's own files, or `$RETORT_DATA_DIR/fashion-mnist` when that is set.
    pub fn embedded_dir() -> PathBuf {
        data_dir().join("fashion-mnist")
    }
}

fn load_part(dir: &Path, [images, labels]: &[PinnedFile; 2]) -> Result<Images, DataError> {
    // Labels first: a missing or damaged small file is reported before the large one is read.
    let labels_gz = labels.read(dir)?;
    let images_gz = images.read(dir)?;
    idx::decode_images(&images_gz, &labels_gz, LIMITS)
        .map_err(|source| DataError::Decode { path: dir.join(images.name), source })
}
