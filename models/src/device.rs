//! Names for the devices that burn can run on, as the command line and reports spell them.

use burn::tensor::Device;
use std::{fmt, str::FromStr};

/// A kind of device. All are always nameable, so that a build without one can say so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Burn's pure-Rust CPU backend; always there.
    Flex,
    /// A GPU through WGSL (feature `wgpu`).
    Wgpu,
    /// LibTorch on the CPU (feature `tch`).
    Tch,
}

/// A device that can't be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// No such name.
    #[error("there is no device `{0}`; choose flex, wgpu or tch")]
    Unknown(String),
    /// Known, but not compiled in.
    #[error("this build has no `{0}` device; build with `--features {0}`")]
    NotBuilt(DeviceKind),
}

impl DeviceKind {
    /// The devices that this build can open.
    pub fn available() -> Vec<Self> {
        [Self::Flex, Self::Wgpu, Self::Tch].into_iter().filter(|kind| kind.open().is_ok()).collect()
    }

    /// The kind of device on which this build trains fastest on a CPU.
    pub fn fastest_for_training() -> Self {
        if cfg!(feature = "tch") { Self::Tch } else { Self::Flex }
    }

    /// Opens the device.
    ///
    /// # Errors
    /// When this build lacks it.
    pub fn open(self) -> Result<Device, DeviceError> {
        match self {
            Self::Flex => Ok(Device::flex()),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Ok(Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(feature = "tch")]
            #[expect(deprecated, reason = "still the fastest way to train on a CPU; see docs/BENCHMARKS.md")]
            Self::Tch => Ok(Device::libtorch()),
            #[cfg(not(all(feature = "wgpu", feature = "tch")))]
            missing => Err(DeviceError::NotBuilt(missing)),
        }
    }
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flex => "flex",
            Self::Wgpu => "wgpu",
            Self::Tch => "tch",
        })
    }
}

impl FromStr for DeviceKind {
    type Err = DeviceError;

    fn from_str(name: &str) -> Result<Self, DeviceError> {
        match name {
            "flex" => Ok(Self::Flex),
            "wgpu" => Ok(Self::Wgpu),
            "tch" => Ok(Self::Tch),
            _ => Err(DeviceError::Unknown(name.into())),
        }
    }
}
