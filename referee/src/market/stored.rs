//! The answers of real packages, measured once: `fixtures/market`, whose README says how they were made.
//!
//! It does NOT know who enters what.

use crate::evidence::Sheet;
use protocol::outcomes::{Outcomes, OutcomesError};
use std::collections::BTreeMap;

/// A package's answers to all stored items.
#[derive(Clone, Debug)]
pub struct Package(Outcomes);

/// All packages, by name; each answered the same items.
#[derive(Clone, Debug)]
pub struct Shelf {
    packages: BTreeMap<&'static str, Package>,
    teacher: Package,
    reference: Package,
}

/// The files in the repository.
macro_rules! stored {
    ($($name:literal),* $(,)?) => {
        [$(($name, include_bytes!(concat!("../../fixtures/market/", $name, ".rtout")).as_slice())),*]
    };
}

/// The packages in the repository.
///
/// # Errors
/// When a file is no outcomes: a bug.
pub fn shelf() -> Result<Shelf, OutcomesError> {
    let files = stored![
        "teacher",
        "teacher-f16",
        "reference",
        "mlp-51k-train-1",
        "mlp-51k-both-1",
        "memoriser",
        "ensemble",
        "near-copy",
        "depthwise-8k-train-1",
        "depthwise-32k-train-1",
        "mobilenet-36k-train-1",
        "resnet-31k-train-1",
        "resnet-88k-train-1",
    ];
    let packages = files.into_iter().map(|(name, bytes)| Ok((name, Package(Outcomes::from_bytes(bytes)?))));
    let packages: BTreeMap<&'static str, Package> = packages.collect::<Result<_, OutcomesError>>()?;
    let named = |name: &str| packages.get(name).cloned().ok_or(OutcomesError::Items(0));
    Ok(Shelf { teacher: named("teacher")?, reference: named("reference")?, packages })
}

impl Shelf {
    /// Who labels mixtures, and what students are held against.
    pub fn teacher(&self) -> &Package {
        &self.teacher
    }

    /// The model whose latency is 1.
    pub fn reference(&self) -> &Package {
        &self.reference
    }

    /// A package by its name; an unknown one answers as the reference does.
    pub fn package(&self, name: &str) -> &Package {
        self.packages.get(name).unwrap_or(&self.reference)
    }

    /// The packages' names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.packages.keys().copied()
    }

    /// Stored items.
    pub fn items(&self) -> usize {
        self.teacher.0.values().right.len()
    }

    /// A package's answers to some items.
    pub fn answers(&self, name: &str, items: &[usize]) -> Sheet {
        self.package(name).answers(items)
    }
}

impl Package {
    /// Its answers to some items.
    pub fn answers(&self, items: &[usize]) -> Sheet {
        let values = self.0.values();
        let right = |item: &usize| values.right.get(*item).copied().unwrap_or(false);
        let js = |item: &usize| values.js_micronats.get(*item).copied().unwrap_or(0);
        Sheet { right: items.iter().map(right).collect(), js_micronats: items.iter().map(js).collect() }
    }

    /// ln(latency / reference's) of each launch, billionths.
    pub fn launches(&self) -> &[i64] {
        &self.0.values().log_ratio_nanos
    }

    /// The bytes that are scored.
    pub fn size_bytes(&self) -> u64 {
        self.0.values().size_bytes
    }
}
