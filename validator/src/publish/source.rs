//! What a manifest names on disk: read with limits, and admitted.
//!
//! It does not know data sets, stores or evaluation.

use super::PublishError;
use super::data::{DataSetError, Own, by_name};
use datasets::source::{Inputs, Part, Source as RowSource};
use datasets::{Images, Logits};
use protocol::Digest;
use protocol::architecture::Costs;
use protocol::competition::{InputSpec, Limits, Manifest, ManifestError};
use protocol::evaluation::PackageBytes;
use protocol::package::{Admission, CONFIG_BYTES_MAX, CONFIG_FILE, PackageConfig, WEIGHTS_FILE, admit};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use transparency::WitnessKey;

/// A manifest may have this many bytes; thousands of labels fit.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;
/// A teacher's weights may have this many bytes: they are held in memory.
pub(super) const TEACHER_BYTES_MAX: u64 = 8 << 30;
/// The teacher's logits on the training images may have this many bytes.
const LOGITS_BYTES_MAX: u64 = 1 << 30;

/// A file of images may have this many bytes: it is held in memory.
const IMAGES_BYTES_MAX: u64 = 4 << 30;
/// What a data source of the publisher's own begins with.
const OWN: &str = "file:";
/// The files in its folder, in the format `RTIMG1`.
const OWN_FILES: [&str; 2] = ["training.rtimg", "evaluation.rtimg"];

/// A manifest with the models that it names.
pub(super) struct Source {
    pub(super) manifest: Manifest,
    pub(super) teacher: Model,
    pub(super) reference: Model,
    /// What the manifest lists as known, in its order.
    pub(super) known: Vec<Model>,
    /// In the format `RTLOG1`.
    pub(super) training_teacher_logits: Option<Vec<u8>>,
    /// Images of the publisher's own.
    pub(super) own: Option<Own>,
    own_sha256: Option<Vec<Digest>>,
}

/// An admitted package.
pub(super) struct Model {
    pub(super) bytes: PackageBytes,
    pub(super) config: PackageConfig,
    pub(super) package_sha256: Digest,
    pub(super) costs: Costs,
}

/// A package that was fetched from elsewhere: `config.json` and the weights.
pub(super) type Fetched = [Vec<u8>; 2];

/// Reads a manifest.
pub(super) fn read_manifest(path: &Path) -> Result<Manifest, PublishError> {
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

impl Source {
    /// Reads whatever `manifest` names, relative to the folder of its file at `path`; of `fetched`, teacher and
    /// reference are there already, and what is known of `known`.
    pub(super) fn read(
        path: &Path,
        manifest: Manifest,
        [teacher, reference]: [Option<Fetched>; 2],
        known: Vec<Option<Fetched>>,
    ) -> Result<Self, PublishError> {
        let folder = path.parent().unwrap_or(Path::new("."));
        let unlimited = Limits {
            size_bytes_max: TEACHER_BYTES_MAX,
            parameters_max: u64::MAX,
            macs_max: u64::MAX,
            activation_bytes_max: u64::MAX,
            ..manifest.limits.clone()
        };
        let logits = manifest.training_teacher_logits.as_ref().map(|logits| folder.join(logits));
        let (own, own_sha256) = own(&manifest, folder)?.unzip();
        let model =
            |role, named: &str, fetched, limits| Model::read(role, &folder.join(named), fetched, &manifest, limits);
        let teacher = model("teacher", &manifest.teacher.package, teacher, &unlimited)?;
        manifest.check_teacher_distance(&teacher.costs)?;
        Ok(Self {
            teacher,
            reference: model("reference", &manifest.reference.package, reference, &manifest.limits)?,
            // A checkpoint may be larger than what is distilled from it.
            known: (manifest.known.iter().zip(known))
                .map(|(source, fetched)| model("known package", &source.package, fetched, &unlimited))
                .collect::<Result<_, _>>()?,
            training_teacher_logits: logits.map(|path| read_logits(&path)).transpose()?,
            own,
            own_sha256,
            manifest,
        })
    }

    /// The digest over everything that was read: what is published under one id never changes.
    pub(super) fn sha256(&self) -> Digest {
        let logits = self.training_teacher_logits.as_deref().map(Digest::of);
        let known: Vec<Digest> = self.known.iter().map(|model| model.package_sha256).collect();
        let models = (self.teacher.package_sha256, self.reference.package_sha256, known);
        Digest::of(crate::db::to_json(&(&self.manifest, models, logits, &self.own_sha256)).as_bytes())
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

/// Reads logits and makes sure that they are in their format.
fn read_logits(path: &Path) -> Result<Vec<u8>, PublishError> {
    let bytes = read(path, LOGITS_BYTES_MAX)?;
    Logits::from_bytes(&bytes)?;
    Ok(bytes)
}

/// Reads the publisher's own data, if the manifest names such, with the digests of what was read.
fn own(manifest: &Manifest, folder: &Path) -> Result<Option<(Own, Vec<Digest>)>, PublishError> {
    if let Some(own) = manifest.data.source.strip_prefix(OWN) {
        return read_own(&folder.join(own)).map(Some);
    }
    match RowSource::of(&manifest.data.source, folder) {
        Some(source) => Ok(Some(read_rows(&source, manifest)?)),
        None => Ok(None),
    }
}

/// Reads the images in a folder of files in our own format.
fn read_own(folder: &Path) -> Result<(Own, Vec<Digest>), PublishError> {
    let [training, evaluation] = OWN_FILES.map(|name| read(&folder.join(name), IMAGES_BYTES_MAX));
    let (training, evaluation) = (training?, evaluation?);
    let digests = vec![Digest::of(&training), Digest::of(&evaluation)];
    let (training, evaluation) = (Images::from_bytes(&training)?, Images::from_bytes(&evaluation)?);
    Ok((Own::Parts { training, evaluation }, digests))
}

/// Reads pictures and makes inputs of them. Where the source names its classes, they are the manifest's labels by name.
fn read_rows(source: &RowSource, manifest: &Manifest) -> Result<(Own, Vec<Digest>), PublishError> {
    let spec = &manifest.data.rows;
    let table = source.open(spec)?;
    let label_of = match &table.classes {
        Some(classes) => by_name(classes, &manifest.labels)?,
        None => (0..=u16::MAX).collect(),
    };
    let images = |part: &Part| {
        let inputs = part.inputs(manifest.input.shape(), spec, IMAGES_BYTES_MAX, &|_, _| {})?;
        for row in &inputs.left_out {
            tracing::warn!(part = %part.name, row = row.number, "left out {}: {}", row.origin, row.problem);
        }
        images(&manifest.input, inputs, &label_of)
    };
    let [training, evaluation] = table.training_and_evaluation(spec)?;
    let own = if training.name == evaluation.name {
        Own::Whole(images(evaluation)?)
    } else {
        Own::Parts { training: images(training)?, evaluation: images(evaluation)? }
    };
    let digests = match &own {
        Own::Parts { training, evaluation } => {
            vec![Digest::of(&training.to_bytes()?), Digest::of(&evaluation.to_bytes()?)]
        }
        Own::Whole(all) => vec![Digest::of(&all.to_bytes()?)],
    };
    Ok((own, digests))
}

fn images(shape: &InputSpec, inputs: Inputs, label_of: &[u16]) -> Result<Images, PublishError> {
    let label = |class: &u16| label_of.get(usize::from(*class)).and_then(|label| u8::try_from(*label).ok());
    let labels: Option<Vec<u8>> = inputs.labels.iter().map(label).collect();
    let labels = labels.ok_or(DataSetError::TooManyClasses)?;
    let count = u32::try_from(labels.len()).unwrap_or(u32::MAX);
    let InputSpec { channels, height, width, .. } = *shape;
    Ok(Images { count, channels, height, width, pixels: inputs.pixels, labels })
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
