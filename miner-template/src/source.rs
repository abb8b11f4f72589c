//! Where a competition comes from: a validator's API, or the repository's own files when offline. Every byte that is
//! fetched is checked against its digest before it is used.

use crate::client::{Client, ClientError};
use crate::files::PackageFiles;
use crate::paths::at_home;
use datasets::published::{self, Part, TableError};
use datasets::source::{Items, Source as RowSource, Wanted};
use datasets::{FashionMnist, Images, Labelled, Logits};
use protocol::CompetitionId;
use protocol::competition::{InputSpec, Limits, Manifest, ObjectRef};
use protocol::package::PackageConfig;
use protocol::published::Competition;
use protocol::score::ScoreRules;
use protocol::submission::Rejection;
use protocol::transforms::Family;
use std::path::{Path, PathBuf};

/// Images are held in memory.
const IMAGES_BYTES_MAX: u64 = 4 << 30;

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
    /// The teacher; absent while it is being made, and where it is known by its answers only.
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
    /// There is no such data here.
    #[error("read the data: {0}")]
    Data(String),
    /// A published part can't be read.
    #[error("read the published data: {0}")]
    Table(#[from] TableError),
}

impl Assets {
    /// Fetches from `http://HOST/competitions/ID` (or `.../api/v1/competitions/ID`), or reads a `competition.toml`.
    ///
    /// # Errors
    /// When something is missing or doesn't match its digest.
    pub fn open(competition: &str) -> Result<Self, SourceError> {
        match Place::of(competition)? {
            Place::Validator(client, id) => Self::fetch(&client, &id),
            Place::File(path) => Self::offline(&path),
        }
    }

    /// Fetches everything from a validator.
    ///
    /// # Errors
    /// When the validator doesn't answer, or an object doesn't match its digest.
    pub fn fetch(client: &Client, id: &CompetitionId) -> Result<Self, SourceError> {
        let competition = client.competition(id)?.competition;
        let training = part(client, &competition, &competition.tables.training)?;
        let evaluation = part(client, &competition, &competition.tables.evaluation)?.images;
        let teacher = competition.teacher.model().map(|model| {
            Ok::<_, SourceError>(Teacher {
                config: PackageConfig::from_json(&client.object(&model.config_json)?)?,
                weights: client.object(&model.weights)?,
            })
        });
        Ok(Self {
            id: id.clone(),
            teacher: teacher.transpose()?,
            training: training.images,
            training_logits: training.answers,
            evaluation,
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
        let parsed = read_manifest(manifest)?;
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let teacher_folder = parsed.teacher.model().map(|source| folder.join(&source.package));
        let teacher = teacher_folder.filter(|it| it.exists()).map(|it| teacher(&it)).transpose()?;
        let (Part { images: training, answers }, Part { images: evaluation, .. }) = parts(&parsed, folder)?;
        // While a teacher is being made, its outputs aren't there either.
        let published = parsed.training_teacher_logits.as_ref().map(|path| folder.join(path));
        let training_logits = published.filter(|path| path.exists()).map(|path| {
            let problem = |error: String| SourceError::Data(format!("{}: {error}", path.display()));
            let bytes = std::fs::read(&path).map_err(|error| problem(error.to_string()))?;
            published::read_answers(bytes).map_err(|error| problem(error.to_string()))
        });
        Ok(Self {
            teacher,
            training,
            training_logits: training_logits.transpose()?.or(answers),
            evaluation,
            id: parsed.id,
            input: parsed.input,
            labels: parsed.labels,
            limits: parsed.limits,
            rules: parsed.score,
            family: parsed.rounds.transforms,
        })
    }
}

/// Where a competition is.
enum Place {
    Validator(Client, CompetitionId),
    File(PathBuf),
}

impl Place {
    /// An address that begins with http(s)://, or else a file.
    fn of(competition: &str) -> Result<Self, SourceError> {
        if competition.starts_with("http://") || competition.starts_with("https://") {
            let (client, id) = Client::for_competition(competition)?;
            return Ok(Self::Validator(client, id));
        }
        let problem = |problem| SourceError::Manifest { path: competition.into(), problem };
        at_home(competition).map(Self::File).map_err(problem)
    }
}

/// A competition's manifest, from `http://HOST/competitions/ID` or a `competition.toml`.
///
/// # Errors
/// When it can't be had or read.
pub fn manifest(competition: &str) -> Result<Manifest, SourceError> {
    match Place::of(competition)? {
        Place::Validator(client, id) => Ok(client.competition(&id)?.competition.manifest),
        Place::File(path) => read_manifest(&path),
    }
}

fn read_manifest(path: &Path) -> Result<Manifest, SourceError> {
    let problem = |problem: String| SourceError::Manifest { path: path.into(), problem };
    let text = std::fs::read_to_string(path).map_err(|error| problem(error.to_string()))?;
    Manifest::from_toml(&text).map_err(|error| problem(error.to_string()))
}

/// Training and evaluation images: all that a validator would split into public and hidden ones, with the teacher's answers where
/// they are all that is known of it. Of a source in one part every third is for evaluation, since which ones a validator takes is
/// its secret.
fn parts(manifest: &Manifest, folder: &Path) -> Result<(Part, Part), SourceError> {
    let unusable = |error: &dyn std::fmt::Display| SourceError::Data(error.to_string());
    let source = &manifest.data.source;
    if source == "fashion-mnist" {
        let data = FashionMnist::load().map_err(|error| unusable(&error))?;
        let unanswered = |images| Part { images, answers: None };
        return Ok((unanswered(data.train), unanswered(data.test)));
    }
    let none = format!("there is no data set `{source}` on this machine");
    let table = RowSource::of(source, folder).ok_or(SourceError::Data(none))?;
    let rows = &manifest.data.rows;
    let mut table = table.open(rows).map_err(|error| unusable(&error))?;
    if let Some(answers) = manifest.teacher.answers() {
        let used = table.training_and_evaluation(rows).map_err(|error| unusable(&error))?.map(|part| part.name.clone());
        table = table.answered(answers, folder, manifest.labels.len(), &used).map_err(|error| unusable(&error))?;
    }
    let wanted = Wanted { input: &manifest.input, labels: &manifest.labels, rows, bytes_max: IMAGES_BYTES_MAX };
    let read = |part| {
        let Items { images, answers, .. } = table.items(part, &wanted, &|_, _| {}).map_err(|error| unusable(&error))?;
        Ok::<_, SourceError>(Part { images, answers })
    };
    let [training, evaluation] = table.training_and_evaluation(rows).map_err(|error| unusable(&error))?;
    if training.name != evaluation.name {
        return Ok((read(training)?, read(evaluation)?));
    }
    let all = read(training)?;
    let (evaluation, training): (Vec<u32>, Vec<u32>) = (0..all.images.count).partition(|row| row % 3 == 0);
    Ok((all.select(&training), all.select(&evaluation)))
}

fn teacher(folder: &Path) -> Result<Teacher, SourceError> {
    let files = PackageFiles::read(folder)?;
    Ok(Teacher { config: PackageConfig::from_json(&files.config_json)?, weights: files.weights })
}

/// A competition's public items with labels, and the teacher's answers to them.
///
/// # Errors
/// When they can't be had, or aren't what a validator publishes.
pub fn public_part(client: &Client, competition: &Competition) -> Result<(Labelled, Logits), SourceError> {
    let (file, manifest) = (client.object_file(&competition.tables.evaluation)?, &competition.manifest);
    Ok(Labelled::open(file, manifest.input.shape(), manifest.labels.len())?.answered()?)
}

fn part(client: &Client, competition: &Competition, table: &ObjectRef) -> Result<Part, SourceError> {
    let manifest = &competition.manifest;
    Ok(published::read(client.object(table)?, manifest.input.shape(), manifest.labels.len())?)
}
