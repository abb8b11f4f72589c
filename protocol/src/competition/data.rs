//! What goes into a model, and how the rows of a source become items. It does not know where files lie, nor what is in them.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::HiddenPool;
use crate::architecture::ImageShape;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What goes into a model: images scaled to x = (pixel / 255 - mean) / deviation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InputSpec {
    /// Colour planes.
    pub channels: u32,
    /// Rows.
    pub height: u32,
    /// Columns.
    pub width: u32,
    /// Mean of each plane in parts per million.
    pub mean_ppm: Vec<u32>,
    /// Standard deviation of each plane in parts per million; at least 1.
    pub deviation_ppm: Vec<u32>,
}

impl InputSpec {
    /// The shape alone.
    pub fn shape(&self) -> ImageShape {
        ImageShape { channels: self.channels, height: self.height, width: self.width }
    }

    /// What each of the 256 pixel values becomes, for each plane.
    pub fn normalisation(&self) -> Vec<[f32; 256]> {
        let table = |(mean_ppm, deviation_ppm): (&u32, &u32)| {
            let (mean, deviation) = (f64::from(*mean_ppm) / 1e6, f64::from(*deviation_ppm) / 1e6);
            std::array::from_fn(|pixel| ((pixel as f64 / 255.0 - mean) / deviation) as f32)
        };
        self.mean_ppm.iter().zip(&self.deviation_ppm).map(table).collect()
    }
}

/// The data set and how it is split.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataSpec {
    /// A data set that the `datasets` crate knows, such as `fashion-mnist`; or the publisher's own, relative to the manifest's
    /// file: `folder:` and a folder of class folders; `parquet:` and a file or folder of Parquet with embedded pictures, as
    /// Hugging Face's `datasets` writes it; `file:` and a folder with `train.parquet` and `test.parquet`, as a validator
    /// publishes them.
    pub source: String,
    /// How the rows of `folder:` and `parquet:` become items.
    #[serde(default, skip_serializing_if = "RowSpec::is_default")]
    pub rows: RowSpec,
    /// How many evaluation items are published with the teacher's outputs; the others stay hidden.
    pub public_items: u32,
    /// How many items are hidden.
    pub hidden_items: u32,
    /// Who knows the hidden images and their labels.
    #[serde(default)]
    #[schema(required)]
    pub hidden_pool: HiddenPool,
}

/// How the rows of a source become items: which are for training, which column is what, how a picture gets its size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RowSpec {
    /// The part that miners train on; `train` unless said. A source with one part alone is split by the secret key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub training: Option<String>,
    /// The part that items are taken from; `test`, else `validation`, unless said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluation: Option<String>,
    /// The column of pictures, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// The column of labels, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// So many rows that can't be read are left out of each part; one more ends it.
    #[serde(skip_serializing_if = "is_zero")]
    pub unreadable_max: u32,
    /// What becomes of pictures of another size than the model's.
    #[serde(skip_serializing_if = "PictureSpec::is_default")]
    pub pictures: PictureSpec,
}

/// How a picture gets the model's size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct PictureSpec {
    /// Without it pictures of another size are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fit: Option<Fit>,
    /// With `crop`: what the shorter side is resized to first, in pixels, as in torchvision's `Resize(256)` before
    /// `CenterCrop(224)`; without it the middle is as large as the picture allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shorter_side: Option<u32>,
}

/// What becomes of a picture of another size. All of them resize by Pillow's `BILINEAR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Fit {
    /// Its middle is taken.
    Crop,
    /// Black is put beside it.
    Pad,
    /// Its sides become those of the model, whatever their proportions.
    Stretch,
}

impl RowSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl PictureSpec {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

fn is_zero(value: &u32) -> bool {
    *value == 0
}
