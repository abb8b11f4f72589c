//! What a submission may cost, and who may send how many. It does not know who counts.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::Problem;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A limit in seconds beyond a week is a slip.
const SECONDS_MAX: u64 = 7 * 86_400;

/// What a submission may cost and who may send how many.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Bytes of `model.safetensors` or `model.onnx`.
    pub size_bytes_max: u64,
    /// Learned values.
    pub parameters_max: u64,
    /// Multiply-accumulates of one inference.
    pub macs_max: u64,
    /// Bytes of activations alive at once, one item.
    pub activation_bytes_max: u64,
    /// Submissions of one hotkey in 24 hours; failures of ours don't count.
    pub submissions_per_day: u32,
    /// Seconds from the creation of a submission until its files must have arrived.
    #[serde(default = "default_upload_seconds")]
    #[schema(required)]
    pub upload_seconds_max: u64,
    /// Wall-clock seconds of one evaluation.
    #[serde(default = "default_evaluation_seconds")]
    #[schema(required)]
    pub evaluation_seconds_max: u64,
}

impl Limits {
    /// Says which values nobody means: 0 where it would refuse everybody, and seconds beyond `SECONDS_MAX`.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let bounds = [
            ("limits.size_bytes_max", self.size_bytes_max, u64::MAX),
            ("limits.parameters_max", self.parameters_max, u64::MAX),
            ("limits.macs_max", self.macs_max, u64::MAX),
            ("limits.activation_bytes_max", self.activation_bytes_max, u64::MAX),
            ("limits.submissions_per_day", self.submissions_per_day.into(), u64::MAX),
            ("limits.upload_seconds_max", self.upload_seconds_max, SECONDS_MAX),
            ("limits.evaluation_seconds_max", self.evaluation_seconds_max, SECONDS_MAX),
        ];
        let told = |(field, value, most)| match value {
            0 => Some((field, "is 0, so nobody could enter".to_owned())),
            _ if value > most => Some((field, format!("is {value} s, more than a week: a slip?"))),
            _ => None,
        };
        bounds.into_iter().filter_map(told).collect()
    }
}

fn default_upload_seconds() -> u64 {
    3_600
}

fn default_evaluation_seconds() -> u64 {
    300
}
