//! What every evaluation of a competition is made of: its items with labels, the teacher's logits, the reference.
//!
//! All of it is read from the object store once and kept: competitions don't change. A submission's own files are read each
//! time, in a turn at heavy work. It does not know what is done with them.

use crate::app::App;
use crate::db::DbError;
use crate::db::competitions::StoredCompetition;
use crate::heavy::Turn;
use crate::objects::{ObjectError, Objects};
use bytes::Bytes;
use datasets::{FormatError, Images, Logits};
use protocol::competition::InputSpec;
use protocol::evaluation::{Items, PackageBytes};
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::{CompetitionId, Digest, SubmissionId};
use std::collections::HashMap;
use std::sync::Arc;
use tokio::sync::Mutex;

/// Competitions whose materials are kept.
const KEPT_MAX: usize = 16;

/// Why an evaluation can't be put together.
#[derive(Debug, thiserror::Error)]
pub enum MaterialError {
    /// An object is missing or damaged.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// A row is missing or damaged.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A stored file isn't in its format.
    #[error("a stored data file: {0}")]
    Format(#[from] FormatError),
    /// A submission without a file that every submission has.
    #[error("the submission has no {0}; this is a bug")]
    File(&'static str),
}

/// The parts of an evaluation that all submissions share.
#[derive(Clone, Debug)]
pub struct Materials {
    /// The public items with labels and the teacher's logits.
    pub items: Items,
    /// The reference student.
    pub reference: PackageBytes,
    /// Inputs that copies are recognised by.
    pub probes: Arc<[u8]>,
}

/// Materials by competition.
#[derive(Debug, Default)]
pub(crate) struct MaterialsCache(Mutex<HashMap<CompetitionId, Arc<Materials>>>);

impl MaterialsCache {
    /// A competition's materials, read on first use.
    pub(crate) async fn of(
        &self,
        objects: &Objects,
        stored: &StoredCompetition,
    ) -> Result<Arc<Materials>, MaterialError> {
        let id = &stored.competition.manifest.id;
        if let Some(materials) = self.0.lock().await.get(id) {
            return Ok(Arc::clone(materials));
        }
        let materials = Arc::new(load(objects, stored).await?);
        let mut kept = self.0.lock().await;
        if kept.len() >= KEPT_MAX {
            // Old competitions are asked for seldom, and then it is read again.
            kept.clear();
        }
        kept.insert(id.clone(), Arc::clone(&materials));
        Ok(materials)
    }
}

async fn load(objects: &Objects, stored: &StoredCompetition) -> Result<Materials, MaterialError> {
    let competition = &stored.competition;
    let images = Images::from_bytes(&objects.get(&competition.public_images.sha256).await?)?;
    let logits = Logits::from_bytes(&objects.get(&competition.public_teacher_logits.sha256).await?)?;
    let reference = &competition.reference;
    Ok(Materials {
        items: items(&competition.manifest.input, competition.manifest.data.public_items, images, Some(logits.values)),
        reference: package(objects, &reference.config_json.sha256, &reference.weights.sha256).await?,
        probes: crate::copies::probes_of(stored).into(),
    })
}

/// Evaluation items from images whose first `public` are public.
pub fn items(input: &InputSpec, public: u32, images: Images, teacher_logits: Option<Vec<f32>>) -> Items {
    Items {
        input: input.clone(),
        pixels: images.pixels.into(),
        labels: images.labels.into(),
        public,
        teacher_logits: teacher_logits.map(Into::into),
    }
}

/// A submission's package, as it was uploaded.
pub(crate) async fn submitted(app: &App, id: &SubmissionId) -> Result<PackageBytes, MaterialError> {
    // It is in memory twice while it is made.
    let _turn = turn(app, id).await?;
    let [config_json, weights] = files_of(app, id).await?;
    Ok(PackageBytes { config_json: Arc::from(config_json.as_ref()), weights: Arc::from(weights.as_ref()) })
}

/// A turn at work that holds a submission's model, or something as large.
pub(crate) async fn turn(app: &App, id: &SubmissionId) -> Result<Turn, DbError> {
    let bytes = app.db.files(id).await?.iter().map(|file| file.declared.size).fold(0, u64::saturating_add);
    Ok(app.heavy.turn(bytes).await)
}

/// The bytes of a submission's `config.json` and `model.safetensors`, as they were uploaded.
pub(crate) async fn files_of(app: &App, id: &SubmissionId) -> Result<[Bytes; 2], MaterialError> {
    let files = app.db.files(id).await?;
    let digest = |path: &'static str| {
        let file = files.iter().find(|file| file.declared.path == path);
        file.map(|file| file.declared.sha256).ok_or(MaterialError::File(path))
    };
    let (config_json, weights) = (digest(CONFIG_FILE)?, digest(WEIGHTS_FILE)?);
    Ok([app.objects.get(&config_json).await?, app.objects.get(&weights).await?])
}

/// A package's two files, checked against their digests.
pub(crate) async fn package(
    objects: &Objects,
    config_json: &Digest,
    weights: &Digest,
) -> Result<PackageBytes, ObjectError> {
    Ok(PackageBytes {
        config_json: Arc::from(objects.get(config_json).await?.as_ref()),
        weights: Arc::from(objects.get(weights).await?.as_ref()),
    })
}
