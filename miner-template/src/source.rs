//! Where a competition comes from: a validator's API, or the repository's own files when offline. Every byte that is
//! fetched is checked against its digest before it is used.

use crate::client::{Client, ClientError};
use crate::files::PackageFiles;
use datasets::{FashionMnist, Images, Logits};
use protocol::CompetitionId;
use protocol::competition::{InputSpec, Limits, Manifest, ObjectRef};
use protocol::package::PackageConfig;
use protocol::score::ScoreRules;
use protocol::submission::Rejection;
use protocol::transforms::Family;
use std::path::{Path, PathBuf};

/// What a miner needs of a competition.
pub struct Assets {
    /// Its name.
    pub id: CompetitionId,
    /// What goes into a model.
    pub input: InputSpec,
    /// What comes out.
    pub labels: Vec<String>,
    /// What a student may cost.
    pub limits: Limits,
    /// How reports become scores.
    pub rules: ScoreRules,
    /// What hidden rounds do to their items.
    pub family: Family,
    /// The teacher; absent only while it is being made.
    pub teacher: Option<Teacher>,
    /// Training images with labels.
    pub training: Images,
    /// The teacher's logits on the training images as they are, if published.
    pub training_logits: Option<Logits>,
    /// Evaluation images with labels: the public part, or all test images when offline.
    pub evaluation: Images,
}

/// The model to distil.
pub struct Teacher {
    /// Its configuration.
    pub config: PackageConfig,
    /// Its `model.safetensors`.
    pub weights: Vec<u8>,
}

/// Why a competition can't be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The validator didn't answer, or not well.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// A manifest can't be read.
    #[error("read the competition {path}: {problem}")]
    Manifest {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The teacher's package can't be read.
    #[error("read the teacher: {0}")]
    Teacher(#[from] Rejection),
    /// A data file can't be used.
    #[error("read the data: {0}")]
    Data(String),
}

impl Assets {
    /// Fetches from `http://HOST/competitions/ID` (or `.../api/v1/competitions/ID`), or reads a `competition.toml`.
    ///
    /// # Errors
    /// When something is missing or doesn't match its digest.
    pub fn open(competition: &str) -> Result<Self, SourceError> {
        if competition.starts_with("http://") || competition.starts_with("https://") {
            let (client, id) = Client::for_competition(competition)?;
            Self::fetch(&client, &id)
        } else {
            Self::offline(Path::new(competition))
        }
    }

    /// Fetches everything from a validator.
    ///
    /// # Errors
    /// When the validator doesn't answer, or an object doesn't match its digest.
    pub fn fetch(client: &Client, id: &CompetitionId) -> Result<Self, SourceError> {
        let competition = client.competition(id)?.competition;
        let images = |object: &ObjectRef| -> Result<Images, SourceError> {
            Images::from_bytes(&client.object(object)?).map_err(|error| SourceError::Data(error.to_string()))
        };
        let training_logits =
            competition.training_teacher_logits.as_ref().map(|object| logits(&client.object(object)?));
        Ok(Self {
            id: id.clone(),
            teacher: Some(Teacher {
                config: PackageConfig::from_json(&client.object(&competition.teacher.config_json)?)?,
                weights: client.object(&competition.teacher.weights)?,
            }),
            training: images(&competition.training_images)?,
            training_logits: training_logits.transpose()?,
            evaluation: images(&competition.public_images)?,
            input: competition.manifest.input,
            labels: competition.manifest.labels,
            limits: competition.manifest.limits,
            rules: competition.manifest.score,
            family: competition.manifest.rounds.transforms,
        })
    }

    /// Reads a manifest and the files that it names from this machine.
    ///
    /// # Errors
    /// When a file is missing or corrupt.
    pub fn offline(manifest: &Path) -> Result<Self, SourceError> {
        let problem = |problem: String| SourceError::Manifest { path: manifest.into(), problem };
        let text = std::fs::read_to_string(manifest).map_err(|error| problem(error.to_string()))?;
        let parsed = Manifest::from_toml(&text).map_err(|error| problem(error.to_string()))?;
        if parsed.data.source != "fashion-mnist" {
            return Err(SourceError::Data(format!("there is no data set `{}` on this machine", parsed.data.source)));
        }
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let teacher_folder = folder.join(&parsed.teacher.package);
        let teacher = teacher_folder.exists().then(|| teacher(&teacher_folder)).transpose()?;
        let data = FashionMnist::load().map_err(|error| SourceError::Data(error.to_string()))?;
        // While a teacher is being made, its outputs aren't there either.
        let published = parsed.training_teacher_logits.as_ref().map(|path| folder.join(path));
        let training_logits = published.filter(|path| path.exists()).map(|path| {
            let bytes =
                std::fs::read(&path).map_err(|error| SourceError::Data(format!("{}: {error}", path.display())))?;
            logits(&bytes)
        });
        Ok(Self {
            teacher,
            training: data.train,
            training_logits: training_logits.transpose()?,
            evaluation: data.test,
            id: parsed.id,
            input: parsed.input,
            labels: parsed.labels,
            limits: parsed.limits,
            rules: parsed.score,
            family: parsed.rounds.transforms,
        })
    }
}

fn teacher(folder: &Path) -> Result<Teacher, SourceError> {
    let files = PackageFiles::read(folder)?;
    Ok(Teacher { config: PackageConfig::from_json(&files.config_json)?, weights: files.weights })
}

fn logits(bytes: &[u8]) -> Result<Logits, SourceError> {
    Logits::from_bytes(bytes).map_err(|error| SourceError::Data(error.to_string()))
}
