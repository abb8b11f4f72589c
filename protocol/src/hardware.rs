//! The machines within which latencies are compared: an architecture and, of x86-64, the level of its instructions. It looks at
//! no machine.

use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// A class of hardware, as its machines say it of themselves: `x86_64-v3`. Levels are those of the psABI: what one adds to the
/// one below changes how fast, and in whole numbers how, a model computes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, strum::Display, strum::EnumString, strum::IntoStaticStr,
)]
#[serde(try_from = "String", into = "String")]
pub enum HardwareClass {
    /// Any x86-64.
    #[strum(serialize = "x86_64-v1")]
    X86V1,
    /// SSE 4.2.
    #[strum(serialize = "x86_64-v2")]
    X86V2,
    /// AVX2 and FMA.
    #[strum(serialize = "x86_64-v3")]
    X86V3,
    /// AVX-512.
    #[strum(serialize = "x86_64-v4")]
    X86V4,
    /// 64-bit ARM.
    #[strum(serialize = "aarch64")]
    Aarch64,
}

/// Text that names no class.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no class of hardware: write x86_64-v1, -v2, -v3, -v4 or aarch64; `retort doctor` says which this machine is"
)]
pub struct NoHardwareClass(String);

impl HardwareClass {
    /// Whether a machine that says this of itself is of this class.
    pub fn is_of(self, said: &str) -> bool {
        HardwareClass::from_str(said) == Ok(self)
    }
}

impl TryFrom<String> for HardwareClass {
    type Error = NoHardwareClass;

    fn try_from(text: String) -> Result<Self, NoHardwareClass> {
        text.parse().map_err(|_| NoHardwareClass(text.chars().take(80).collect()))
    }
}

impl From<HardwareClass> for String {
    fn from(class: HardwareClass) -> Self {
        class.to_string()
    }
}

impl PartialSchema for HardwareClass {
    fn schema() -> RefOr<Schema> {
        let what = "The machines within which latencies are compared: an architecture and, of x86-64, its level.";
        crate::schema::text(what, "^(x86_64-v[1-4]|aarch64)$", "x86_64-v3")
    }
}

impl ToSchema for HardwareClass {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_has_one_spelling() {
        for text in ["x86_64-v1", "x86_64-v4", "aarch64"] {
            let class = HardwareClass::try_from(text.to_owned()).unwrap_or_else(|error| panic!("{error}"));
            assert!(class.to_string() == text && class.is_of(text) && !class.is_of("x86_64-v2"));
        }
        for text in ["x86_64", "X86_64-v3", "x86_64-v5", ""] {
            assert!(HardwareClass::try_from(text.to_owned()).is_err(), "{text}");
        }
    }
}
