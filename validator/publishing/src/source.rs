//! What a manifest names on disk: read with limits, and admitted; each part by itself, so that all that is wrong can be told.
//!
//! It does not know data sets, stores or evaluation.

use crate::PublishError;
use crate::data::Own;
use datasets::published::{TableError, read_answers};
use datasets::source::{self, Opened, Source as RowSource, Wanted};
use datasets::{Labelled, Logits};
use protocol::Digest;
use protocol::architecture::Costs;
use protocol::competition::{Limits, Manifest, ManifestError};
use protocol::digest::Hasher;
use protocol::evaluation::PackageBytes;
use protocol::package::{Admission, CONFIG_BYTES_MAX, CONFIG_FILE, PackageConfig, WEIGHTS_FILE, admit};
use service::evaluator::{Progress, ProgressFn};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use transparency::WitnessKey;

/// A manifest may have this many bytes; thousands of labels fit.
const MANIFEST_BYTES_MAX: u64 = 2 << 20;
/// A teacher's weights may have this many bytes: they are held in memory.
pub(crate) const TEACHER_BYTES_MAX: u64 = 8 << 30;
/// The teacher's logits on the training images may have this many bytes: they are held in memory.
const DATA_BYTES_MAX: u64 = 4 << 30;
/// What a data source of the publisher's own begins with.
const OWN: &str = "file:";
/// The files in its folder, as a validator publishes them.
const OWN_FILES: [&str; 2] = ["train.parquet", "test.parquet"];

/// A manifest with the models that it names.
pub(crate) struct Source {
    pub(crate) manifest: Manifest,
    /// None where its answers are all that is known.
    pub(crate) teacher: Option<Model>,
    pub(crate) reference: Model,
    /// What the manifest lists as known, in its order.
    pub(crate) known: Vec<Model>,
    pub(crate) training_teacher_logits: Option<Logits>,
    training_teacher_logits_sha256: Option<Digest>,
    /// Images of the publisher's own.
    pub(crate) own: Option<Own>,
    own_sha256: Option<Vec<Digest>>,
}

/// A part of what a manifest names, or what is wrong with it.
type Had<T> = Result<T, PublishError>;

/// What a manifest names, each part as far as it can be had.
pub(crate) struct Parts {
    pub(crate) manifest: Manifest,
    teacher: Had<Option<Model>>,
    reference: Had<Model>,
    known: Vec<Had<Model>>,
    pub(crate) training_teacher_logits: Had<Option<(Logits, Digest)>>,
    pub(crate) own: Had<Option<Own>>,
    own_sha256: Option<Vec<Digest>>,
}

/// An admitted package.
pub(crate) struct Model {
    pub(crate) bytes: PackageBytes,
    pub(crate) config: PackageConfig,
    pub(crate) package_sha256: Digest,
    pub(crate) costs: Costs,
}

/// A package that was fetched from elsewhere: `config.json` and the weights.
pub(crate) type Fetched = [Vec<u8>; 2];

/// Reads a manifest.
pub(crate) fn read_manifest(path: &Path) -> Result<Manifest, PublishError> {
    let text = read(path, MANIFEST_BYTES_MAX)?;
    let text = String::from_utf8(text).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        PublishError::Read { path: path.to_owned(), source }
    })?;
    let manifest = Manifest::from_toml(&text)?;
    check_witnesses(&manifest)?;
    Ok(manifest)
}

/// Rounds are held against these keys long after, so each must be one.
fn check_witnesses(manifest: &Manifest) -> Result<(), ManifestError> {
    for (number, text) in manifest.log.witnesses.iter().enumerate() {
        let problem = match text.parse::<WitnessKey>() {
            Ok(_) if !manifest.log.witnesses[..number].contains(text) => continue,
            Ok(_) => format!("{text} is named twice"),
            Err(error) => format!("{text}: {error}"),
        };
        return Err(ManifestError::Field { field: "log.witnesses", problem });
    }
    Ok(())
}

impl Parts {
    /// Reads whatever `manifest` names, relative to the folder of its file at `path`; of `fetched`, teacher and
    /// reference are there already, and what is known of `known`.
    pub(crate) fn read(
        path: &Path,
        manifest: Manifest,
        [teacher, reference]: [Had<Option<Fetched>>; 2],
        known: Vec<Had<Option<Fetched>>>,
        progress: &ProgressFn,
    ) -> Self {
        let folder = path.parent().unwrap_or(Path::new("."));
        let unlimited = Limits {
            size_bytes_max: TEACHER_BYTES_MAX,
            parameters_max: u64::MAX,
            macs_max: u64::MAX,
            activation_bytes_max: u64::MAX,
            ..manifest.limits.clone()
        };
        let model = |role, named: &str, fetched: Had<Option<Fetched>>, limits| {
            Model::read(role, &folder.join(named), fetched?, &manifest, limits)
        };
        let (own, own_sha256) = match own(&manifest, folder, progress) {
            Ok(Some((own, sha256))) => (Ok(Some(own)), Some(sha256)),
            Ok(None) => (Ok(None), None),
            Err(problem) => (Err(problem), None),
        };
        let logits = manifest.training_teacher_logits.as_ref().map(|logits| read_logits(&folder.join(logits)));
        Self {
            teacher: (manifest.teacher.model())
                .map(|source| model("teacher", &source.package, teacher, &unlimited))
                .transpose(),
            reference: model("reference", &manifest.reference.package, reference, &manifest.limits),
            // A checkpoint may be larger than what is distilled from it.
            known: (manifest.known.iter().zip(known))
                .map(|(source, fetched)| model("known package", &source.package, fetched, &unlimited))
                .collect(),
            training_teacher_logits: logits.transpose(),
            own,
            own_sha256,
            manifest,
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(crate) fn whole(self) -> Result<Source, PublishError> {
        let Self { manifest, teacher, reference, known, training_teacher_logits, own, own_sha256 } = self;
        let mut problems = Vec::new();
        let asked = teacher.as_ref().ok().and_then(Option::as_ref);
        let near = asked.and_then(|teacher| manifest.check_teacher_distance(&teacher.costs).err());
        let teacher = kept(teacher, &mut problems);
        problems.extend(near.map(PublishError::from));
        let reference = kept(reference, &mut problems);
        let known: Vec<Model> = known.into_iter().filter_map(|known| kept(known, &mut problems)).collect();
        let training_teacher_logits = kept(training_teacher_logits, &mut problems);
        let own = kept(own, &mut problems);
        match (teacher, reference, training_teacher_logits, own) {
            (Some(teacher), Some(reference), Some(training_teacher_logits), Some(own)) if problems.is_empty() => {
                let (training_teacher_logits, training_teacher_logits_sha256) = training_teacher_logits.unzip();
                Ok(Source {
                    manifest,
                    teacher,
                    reference,
                    known,
                    training_teacher_logits,
                    training_teacher_logits_sha256,
                    own,
                    own_sha256,
                })
            }
            _ => Err(PublishError::all(problems)),
        }
    }
}

/// A part that is there; otherwise it is remembered what is wrong.
fn kept<T>(part: Had<T>, problems: &mut Vec<PublishError>) -> Option<T> {
    part.map_err(|problem| problems.push(problem)).ok()
}

impl Source {
    /// The digest over everything that was read: what is published under one id never changes.
    pub(crate) fn sha256(&self) -> Digest {
        let logits = self.training_teacher_logits_sha256;
        let known: Vec<Digest> = self.known.iter().map(|model| model.package_sha256).collect();
        // Answers are part of the data.
        let teacher = self.teacher.as_ref().map(|teacher| teacher.package_sha256);
        let models = (teacher, self.reference.package_sha256, known);
        Digest::of(store::db::to_json(&(&self.manifest, models, logits, &self.own_sha256)).as_bytes())
    }
}

impl Model {
    /// Admits the package in `folder`, or the one that was fetched.
    fn read(
        role: &'static str,
        folder: &Path,
        fetched: Option<Fetched>,
        manifest: &Manifest,
        limits: &Limits,
    ) -> Result<Self, PublishError> {
        let [config_json, weights] = match fetched {
            Some(fetched) => fetched,
            None => {
                let config_json = read(&folder.join(CONFIG_FILE), CONFIG_BYTES_MAX)?;
                [config_json, read(&folder.join(WEIGHTS_FILE), TEACHER_BYTES_MAX)?]
            }
        };
        let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits };
        let admitted = admit(&config_json, &weights, &rules).map_err(|rejection| PublishError::Model {
            role,
            path: folder.to_owned(),
            rejection,
        })?;
        Ok(Self {
            package_sha256: admitted.package_sha256(),
            costs: admitted.costs,
            config: admitted.config,
            bytes: PackageBytes { config_json: config_json.into(), weights: weights.into() },
        })
    }
}

/// Reads the teacher's answers, with the digest of their file.
fn read_logits(path: &Path) -> Result<(Logits, Digest), PublishError> {
    let bytes = read(path, DATA_BYTES_MAX)?;
    let sha256 = Digest::of(&bytes);
    let logits = read_answers(bytes).map_err(|problem| PublishError::Part { path: path.to_owned(), problem })?;
    Ok((logits, sha256))
}

/// Reads the publisher's own data, if the manifest names such, with the digests of what was read.
fn own(manifest: &Manifest, folder: &Path, progress: &ProgressFn) -> Result<Option<(Own, Vec<Digest>)>, PublishError> {
    if let Some(own) = manifest.data.source.strip_prefix(OWN) {
        return read_own(manifest, &folder.join(own)).map(Some);
    }
    match RowSource::of(&manifest.data.source, folder) {
        Some(source) => Ok(Some(read_rows(&source, manifest, folder, progress)?)),
        None => Ok(None),
    }
}

/// Opens parts as a validator publishes them.
fn read_own(manifest: &Manifest, folder: &Path) -> Result<(Own, Vec<Digest>), PublishError> {
    let part = |name: &str| {
        let path = folder.join(name);
        let failed = |source| PublishError::Read { path: path.clone(), source };
        let mut file = File::open(&path).map_err(failed)?;
        let mut hasher = Hasher::default();
        io::copy(&mut file, &mut hasher).map_err(failed)?;
        let sha256 = hasher.finish();
        let part = Labelled::open(file, manifest.input.shape(), manifest.labels.len());
        // Whatever is damaged is said before anything is measured.
        let part = part.and_then(|part| part.pixels.sha256().map(|_| part).map_err(TableError::from));
        let mut part = part.map_err(|problem| PublishError::Part { path, problem })?;
        if manifest.teacher.answers().is_none() {
            part.answers = None;
        }
        Ok::<_, PublishError>((part, sha256))
    };
    let [training, evaluation] = OWN_FILES.map(part);
    let ((training, first), (evaluation, second)) = (training?, evaluation?);
    Ok((Own::Parts { training, evaluation }, vec![first, second]))
}

/// Reads pictures and makes inputs of them, with the answers to them where those are all that is known of the teacher.
fn read_rows(
    source: &RowSource,
    manifest: &Manifest,
    folder: &Path,
    progress: &ProgressFn,
) -> Result<(Own, Vec<Digest>), PublishError> {
    let rows = &manifest.data.rows;
    let mut table = source.open(rows)?;
    if let Some(answers) = manifest.teacher.answers() {
        let used = table.training_and_evaluation(rows)?.map(|part| part.name.clone());
        table = table.answered(answers, folder, manifest.labels.len(), &used)?;
    }
    let wanted = Wanted { input: &manifest.input, labels: &manifest.labels, rows, bytes_max: u64::MAX };
    let read = |part: &source::Part| {
        let phase = format!("reading the pictures of part `{}`", part.name);
        let heard = |done, total| progress(Progress { phase: phase.clone(), done, total });
        let Opened { items, left_out, sha256 } = table.opened(part, &wanted, &heard)?;
        for row in &left_out {
            tracing::warn!(part = %part.name, row = row.number, "left out {}: {}", row.origin, row.problem);
        }
        Ok::<_, PublishError>((items, sha256))
    };
    let [training, evaluation] = table.training_and_evaluation(rows)?;
    if training.name == evaluation.name {
        let (all, sha256) = read(evaluation)?;
        return Ok((Own::Whole(all), vec![sha256]));
    }
    let ((training, first), (evaluation, second)) = (read(training)?, read(evaluation)?);
    Ok((Own::Parts { training, evaluation }, vec![first, second]))
}

fn read(path: &Path, bytes_max: u64) -> Result<Vec<u8>, PublishError> {
    let failed = |source| PublishError::Read { path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(failed)?;
    file.take(bytes_max + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > bytes_max {
        let problem = format!("more than {bytes_max} bytes");
        return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, problem)));
    }
    Ok(bytes)
}
