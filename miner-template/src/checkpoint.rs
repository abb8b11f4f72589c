//! Where a training run can go on after an interruption: weights, the optimizer's state and the epochs done, in one
//! folder that is replaced whole.

use burn::optim::ModuleOptimizer;
use models::Weights;
use protocol::architecture::Plan;
use serde::{Deserialize, Serialize};
use std::{fs, io, path::PathBuf};

/// Weights after the last epoch.
const WEIGHTS_FILE: &str = "model.safetensors";
/// The optimizer's moments.
const OPTIMIZER_FILE: &str = "optimizer.bpk";
/// The [`History`].
const HISTORY_FILE: &str = "history.json";

/// A folder for checkpoints; without one nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    folder: Option<PathBuf>,
}

/// What has happened in a run so far.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// The run's seed.
    pub seed: u64,
    /// Mean loss and training accuracy of each finished epoch.
    pub curve: Vec<(f32, f32)>,
}

/// What a checkpoint held.
pub struct Saved {
    /// What has happened.
    pub history: History,
    /// Weights after the last epoch.
    pub weights: Weights,
    optimizer: PathBuf,
}

/// A checkpoint that can't be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file can't be read or written.
    #[error("keep the checkpoint in {path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The weights are another model's.
    #[error("the checkpoint is of another model, delete it or choose another folder: {0}")]
    Weights(#[from] models::WeightsError),
    /// The optimizer's state can't be read or written.
    #[error("the optimizer's state: {0}")]
    Optimizer(String),
}

impl Checkpoint {
    /// Checkpoints are kept in `folder`.
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Self { folder: Some(folder.into()) }
    }

    /// The last checkpoint, if there is one.
    ///
    /// # Errors
    /// When it can't be read or belongs to another model.
    pub fn load(&self, plan: &Plan) -> Result<Option<Saved>, CheckpointError> {
        let Some(history) = self.history()? else { return Ok(None) };
        let Some(folder) = self.current() else { return Ok(None) };
        let bytes = fs::read(folder.join(WEIGHTS_FILE)).map_err(self.io())?;
        let weights = Weights::from_safetensors(&bytes, plan)?;
        Ok(Some(Saved { history, weights, optimizer: folder.join(OPTIMIZER_FILE) }))
    }

    /// What the last checkpoint says of its run, if there is one.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn history(&self) -> Result<Option<History>, CheckpointError> {
        let Some(folder) = self.current().filter(|folder| folder.exists()) else { return Ok(None) };
        let bytes = fs::read(folder.join(HISTORY_FILE)).map_err(self.io())?;
        serde_json::from_slice(&bytes).map(Some).map_err(|error| self.io()(error.into()))
    }

    /// Replaces the checkpoint. A crash in between leaves the old one or the new one.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(
        &self,
        history: &History,
        weights: &Weights,
        optimizer: &ModuleOptimizer,
    ) -> Result<(), CheckpointError> {
        let (Some(parent), Some(current)) = (&self.folder, self.current()) else { return Ok(()) };
        let (next, old) = (parent.join("checkpoint.next"), parent.join("checkpoint.old"));
        let json = serde_json::to_vec(history).map_err(|error| self.io()(error.into()))?;
        fs::create_dir_all(&next).map_err(self.io())?;
        fs::write(next.join(WEIGHTS_FILE), weights.to_safetensors()?).map_err(self.io())?;
        optimizer.save(next.join(OPTIMIZER_FILE)).map_err(|error| CheckpointError::Optimizer(error.to_string()))?;
        fs::write(next.join(HISTORY_FILE), json).map_err(self.io())?;
        // Between the two renames only `old` is whole; `current` finds it there.
        if current != old && current.exists() {
            fs::rename(&current, &old).map_err(self.io())?;
        }
        fs::rename(&next, parent.join("checkpoint")).map_err(self.io())?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(self.io())?;
        }
        Ok(())
    }

    /// The whole checkpoint: the usual folder, or the old one if a crash hit in the middle of a replacement.
    fn current(&self) -> Option<PathBuf> {
        let parent = self.folder.as_ref()?;
        let [usual, old] = ["checkpoint", "checkpoint.old"].map(|name| parent.join(name));
        Some(if !usual.exists() && old.exists() { old } else { usual })
    }

    fn io(&self) -> impl Fn(io::Error) -> CheckpointError {
        let path = self.folder.clone().unwrap_or_default();
        move |source| CheckpointError::Io { path: path.clone(), source }
    }

    /// Deletes the checkpoint: the run is over.
    pub fn clear(&self) {
        if let Some(folder) = &self.folder {
            // A left-over checkpoint only costs disk.
            let _ = fs::remove_dir_all(folder.join("checkpoint"));
        }
    }
}

impl Saved {
    /// Puts the saved state into a fresh optimizer.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn restore(&self, optimizer: ModuleOptimizer) -> Result<ModuleOptimizer, CheckpointError> {
        optimizer.load(&self.optimizer).map_err(|error| CheckpointError::Optimizer(error.to_string()))
    }
}
