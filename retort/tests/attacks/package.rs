//! Packages to start from, and what strangers make of them.

use crate::support::repository;
use protocol::Digest;
use protocol::api::FileDeclaration;
use protocol::architecture::Plan;
use protocol::package::{CONFIG_FILE, PackageConfig, WEIGHTS_FILE};
use serde_json::Value;
use std::fs;
use std::path::Path;
use weights::Weights;

/// The files of a package.
#[derive(Clone)]
pub(super) struct Package {
    pub(super) config: Vec<u8>,
    pub(super) weights: Vec<u8>,
}

impl Package {
    /// A model of the repository.
    pub(super) fn fixture(name: &str) -> Self {
        let folder = repository("models/fixtures").join(name);
        let read = |file: &str| fs::read(folder.join(file)).unwrap();
        Self { config: read(CONFIG_FILE), weights: read(WEIGHTS_FILE) }
    }

    /// The same with another description.
    pub(super) fn described(mut self, change: impl FnOnce(&mut Value)) -> Self {
        let mut config = serde_json::from_slice(&self.config).unwrap();
        change(&mut config);
        self.config = config.to_string().into_bytes();
        self
    }

    /// The same with other bytes for weights.
    pub(super) fn holding(mut self, change: impl FnOnce(&mut Vec<u8>)) -> Self {
        change(&mut self.weights);
        self
    }

    /// The same description with these numbers for weights, whatever it held before.
    pub(super) fn made_of(mut self, value: impl Fn(usize) -> f32) -> Self {
        let plan = PackageConfig::from_json(&self.config).unwrap().plan().unwrap();
        let mut weights = Weights::random(&plan, &mut rand::rng());
        let names: Vec<String> = weights.iter().map(|(name, _)| name.to_owned()).collect();
        for name in names {
            let mut array = weights.take(&name).unwrap();
            array.values.iter_mut().enumerate().for_each(|(index, old)| *old = value(index));
            weights.insert(name, array);
        }
        self.weights = weights.to_safetensors().unwrap();
        self
    }

    /// The same model read, and written again by `write`.
    pub(super) fn rewritten(mut self, write: impl FnOnce(&Plan, Weights) -> Vec<u8>) -> Self {
        let plan = PackageConfig::from_json(&self.config).unwrap().plan().unwrap();
        let weights = Weights::from_safetensors(&self.weights, &plan).unwrap();
        self.weights = write(&plan, weights);
        self
    }

    pub(super) fn file(&self, path: &str) -> &[u8] {
        if path == CONFIG_FILE { &self.config } else { &self.weights }
    }

    pub(super) fn declarations(&self) -> Vec<FileDeclaration> {
        let declared = [(CONFIG_FILE, &self.config), (WEIGHTS_FILE, &self.weights)];
        declared.into_iter().map(|(path, bytes)| declaration(path, bytes)).collect()
    }

    pub(super) fn weights_sha256(&self) -> Digest {
        Digest::of(&self.weights)
    }

    pub(super) fn write(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(CONFIG_FILE), &self.config).unwrap();
        fs::write(folder.join(WEIGHTS_FILE), &self.weights).unwrap();
    }
}

/// What is announced of a file.
pub(super) fn declaration(path: &str, bytes: &[u8]) -> FileDeclaration {
    FileDeclaration { path: path.to_owned(), size: bytes.len() as u64, sha256: Digest::of(bytes) }
}
