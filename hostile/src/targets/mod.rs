//! The fuzz targets: each takes bytes, runs one parser through its public door, and panics when something doesn't hold
//! that must. What runs them is `src/bin/fuzz.rs` with coverage, and `tests/targets.rs` with mutated seeds.

mod auth;
mod data;
mod frames;
mod graphs;
mod ledger;
mod log;
mod packages;
mod papers;

use crate::mutate::edit_json;
use std::path::Path;
use std::{fs, io};

/// Changes an input; the number is a seed.
pub type Mutate = fn(&[u8], u64) -> Option<Vec<u8>>;

/// One target.
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it reads.
    pub about: &'static str,
    /// Runs it.
    ///
    /// # Panics
    /// When an invariant is broken: a finding.
    pub run: fn(&[u8]),
    /// Good inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// Changes an input by somebody who knows the format; `None` when the input is none of it. The number is a seed.
    pub mutate: Option<Mutate>,
}

/// All targets.
pub const TARGETS: [Target; 13] = [
    Target {
        name: "package",
        about: "config.json and model.safetensors through admission, the library and canonical bytes",
        run: packages::package,
        seeds: packages::package_seeds,
        mutate: Some(packages::package_mutate),
    },
    Target {
        name: "header",
        about: "model.safetensors through the front check and the library",
        run: packages::header,
        seeds: packages::header_seeds,
        mutate: Some(packages::header_mutate),
    },
    Target {
        name: "config",
        about: "config.json to plan and costs",
        run: packages::config,
        seeds: packages::config_seeds,
        mutate: Some(edit_json),
    },
    Target {
        name: "onnx",
        about: "model.onnx through the strict reader, the canonical writer and admission",
        run: graphs::onnx,
        seeds: graphs::seeds,
        mutate: None,
    },
    Target {
        name: "frames",
        about: "what a worker is sent and says",
        run: frames::frames,
        seeds: frames::seeds,
        mutate: None,
    },
    Target {
        name: "receipt",
        about: "signed receipts",
        run: papers::receipt,
        seeds: papers::receipt_seeds,
        mutate: Some(edit_json),
    },
    Target {
        name: "manifest",
        about: "competition.toml",
        run: papers::manifest,
        seeds: papers::manifest_seeds,
        mutate: Some(papers::manifest_mutate),
    },
    Target {
        name: "note",
        about: "log keys, signed notes, checkpoints, and what witnesses are asked",
        run: log::note,
        seeds: log::note_seeds,
        mutate: None,
    },
    Target {
        name: "proof",
        about: "inclusion and consistency proofs",
        run: log::proof,
        seeds: log::proof_seeds,
        mutate: None,
    },
    Target {
        name: "tile",
        about: "tile paths, tiles, bundles and entries",
        run: log::tile,
        seeds: log::tile_seeds,
        mutate: Some(edit_json),
    },
    Target {
        name: "ledger",
        about: "lines of the local ledger",
        run: ledger::ledger,
        seeds: ledger::seeds,
        mutate: Some(ledger::mutate),
    },
    Target { name: "btauth", about: "headers of signed requests", run: auth::btauth, seeds: auth::seeds, mutate: None },
    Target {
        name: "data",
        about: "IDX, images, logits, outcomes, reveals and drand answers",
        run: data::data,
        seeds: data::seeds,
        mutate: None,
    },
];

/// Writes a target's seeds, one a file, and says how many there are.
///
/// # Errors
/// When the folder can't be written to.
pub fn write_seeds(target: &Target, folder: &Path) -> io::Result<usize> {
    fs::create_dir_all(folder)?;
    let seeds = (target.seeds)();
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), seed)?;
    }
    Ok(seeds.len())
}

/// The target of this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
