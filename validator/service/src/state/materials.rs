//! What every evaluation of a competition is made of: its items with labels, the teacher's logits, the reference.
//!
//! All of it is read from the object store once and kept, since competitions don't change; of the items, which may be many, pixels
//! are read where they lie. It does not know what is done with it.

use copies::PROBES_DEFAULT;
use datasets::Labelled;
use datasets::published::TableError;
use protocol::architecture::ImageShape;
use protocol::evaluation::{Items, PackageBytes};
use protocol::{CompetitionId, Digest};
use std::collections::HashMap;
use std::sync::Arc;
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::objects::{ObjectError, Objects};
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
    /// Items can't be read where they are stored.
    #[error("stored data: {0}")]
    Table(#[from] TableError),
    /// A thread failed.
    #[error("a thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
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
pub struct MaterialsCache(Mutex<HashMap<CompetitionId, Arc<Materials>>>);

impl MaterialsCache {
    /// A competition's materials, read on first use.
    pub async fn of(&self, objects: &Objects, stored: &StoredCompetition) -> Result<Arc<Materials>, MaterialError> {
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
    let (shape, classes) = (competition.manifest.input.shape(), competition.manifest.labels.len());
    let (items, logits) = opened(objects, &competition.tables.evaluation.sha256, shape, classes).await?.answered()?;
    let reference = &competition.reference;
    let probes = copies::probes(stored.probe_seed.as_bytes(), shape, PROBES_DEFAULT);
    Ok(Materials {
        items: items.asked(&competition.manifest.input, competition.manifest.data.public_items, Some(logits.values)),
        reference: package(objects, &reference.config_json.sha256, &reference.weights.sha256).await?,
        probes: probes.into(),
    })
}

/// Items in an object, of a competition with such inputs and so many classes.
pub async fn opened(
    objects: &Objects,
    items: &Digest,
    input: ImageShape,
    classes: usize,
) -> Result<Labelled, MaterialError> {
    let file = objects.file(items).await?;
    Ok(tokio::task::spawn_blocking(move || Labelled::open(file, input, classes)).await??)
}

/// A competition's hidden pool.
pub async fn opened_pool(objects: &Objects, pool: &Digest) -> Result<Labelled, MaterialError> {
    let file = objects.file(pool).await?;
    Ok(tokio::task::spawn_blocking(move || Labelled::open_pool(file)).await??)
}

/// A package's two files, checked against their digests.
pub async fn package(objects: &Objects, config_json: &Digest, weights: &Digest) -> Result<PackageBytes, ObjectError> {
    Ok(PackageBytes {
        config_json: Arc::from(objects.get(config_json).await?.as_ref()),
        weights: Arc::from(objects.get(weights).await?.as_ref()),
    })
}
