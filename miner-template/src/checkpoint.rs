//! Where a training run can go on after an interruption: weights, the optimizer's state and the epochs done, in one
//! folder that is replaced whole.

use burn::optim::ModuleOptimizer;
use models::Weights;
use protocol::architecture::Plan;
use std::{fs, io, path::PathBuf};

/// A folder for checkpoints; without one nothing is kept.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    folder: Option<PathBuf>,
}

/// What a checkpoint held.
pub struct Saved {
    /// Epochs finished.
    pub epochs_done: u32,
    /// Weights after them.
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
        let Some(folder) = self.folder.as_ref().map(|folder| folder.join("checkpoint")) else { return Ok(None) };
        let io = |source| CheckpointError::Io { path: folder.clone(), source };
        if !folder.exists() {
            return Ok(None);
        }
        let epochs = fs::read_to_string(folder.join("epochs_done")).map_err(io)?;
        let epochs_done =
            epochs.trim().parse().map_err(|error| io(io::Error::new(io::ErrorKind::InvalidData, error)))?;
        let weights = Weights::from_safetensors(&fs::read(folder.join("model.safetensors")).map_err(io)?, plan)?;
        Ok(Some(Saved { epochs_done, weights, optimizer: folder.join("optimizer.bpk") }))
    }

    /// Replaces the checkpoint. A crash in between leaves the old one.
    ///
    /// # Errors
    /// When a file can't be written.
    pub fn save(
        &self,
        epochs_done: u32,
        weights: &Weights,
        optimizer: &ModuleOptimizer,
    ) -> Result<(), CheckpointError> {
        let Some(parent) = &self.folder else { return Ok(()) };
        let io = |source| CheckpointError::Io { path: parent.clone(), source };
        let (next, current) = (parent.join("checkpoint.next"), parent.join("checkpoint"));
        fs::create_dir_all(&next).map_err(io)?;
        fs::write(next.join("model.safetensors"), weights.to_safetensors()?).map_err(io)?;
        optimizer.save(next.join("optimizer.bpk")).map_err(|error| CheckpointError::Optimizer(error.to_string()))?;
        fs::write(next.join("epochs_done"), epochs_done.to_string()).map_err(io)?;
        let old = parent.join("checkpoint.old");
        if current.exists() {
            fs::rename(&current, &old).map_err(io)?;
        }
        fs::rename(&next, &current).map_err(io)?;
        if old.exists() {
            fs::remove_dir_all(&old).map_err(io)?;
        }
        Ok(())
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
