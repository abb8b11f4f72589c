//! Publishing: a manifest and what it names become a competition that nobody can change afterwards.
//!
//! 1. the manifest is read, a teacher that a Hub has is fetched (`remote`), teacher and reference are admitted by the very
//!    check that guards intake; its engine is named with the version and the library that are here;
//! 2. the data is split by a secret key into public and hidden items, which are stored (`divide`), and the hidden ones committed to;
//! 3. the teacher, the reference and what is listed as known are measured on the public ones, and on the probes by which
//!    copies of them are recognised (`measured`); a hidden round is rehearsed on them (`rehearsal`);
//! 4. models, training items and the teacher's answers are stored;
//! 5. one transaction makes the competition appear, and states so in the public log (`keep`).
//!
//! Publishing the same again changes nothing. It measures nothing: it asks (`measure`), as rounds do.

mod check;
mod data;
mod divide;
mod error;
mod keep;
mod measure;
mod measured;
mod rehearsal;
mod remote;
mod source;

pub use check::check;
pub use error::{DataSetError, GateMissed, PublishError, RemoteProblem};
pub use rehearsal::ScreeningTime;

use data::{Own, Prepared};
use datasets::hidden::DrandChain;
use datasets::{Labelled, Logits};
use protocol::competition::Manifest;
use protocol::round::BeaconSource;
use protocol::{Competition, Digest};
use service::app::App;
use service::engines;
use service::evaluator::{Evaluator, Progress, ProgressFn};
use service::open::OpenError;
use source::{Parts, Source};
use std::path::Path;
use std::sync::Arc;
use store::config::{Config, Home};
use store::db::competitions::StoredCompetition;

/// A competition that is published now.
#[derive(Clone, Debug)]
pub struct Published {
    /// What everybody sees.
    pub competition: Competition,
    /// The digest of its canonical JSON.
    pub sha256: Digest,
    /// Whether it is new; `false` when the very same was published before.
    pub created: bool,
    /// How long its rounds screen a model on this machine, if it is new.
    pub screening: Option<ScreeningTime>,
}

/// What publishes. It works beside a serving process, and without one.
#[derive(Clone)]
pub struct Publisher(App);

impl Publisher {
    /// Publishes with this validator's parts.
    pub fn of(app: &App) -> Self {
        Self(app.clone())
    }

    /// Opens what publishing needs in the directory `home`, whether or not a process is serving it.
    ///
    /// # Errors
    /// When a part can't be opened.
    pub async fn open(home: &Home, config: Config, evaluator: Arc<dyn Evaluator>) -> Result<Self, OpenError> {
        Ok(Self(App::open_worker(home, config, evaluator).await?))
    }

    /// Publishes the competition of a manifest; `progress` hears of the measurements.
    ///
    /// # Errors
    /// When anything about it is wrong. Nothing appears then.
    pub async fn publish(&self, manifest: &Path, progress: ProgressFn) -> Result<Published, PublishError> {
        let mut source = parts(manifest, &self.0.config, &progress).await?.whole()?;
        let written_sha256 = source.sha256();
        if let Some(before) = self.0.db.competition(&source.manifest.id).await? {
            return already(before, &source);
        }
        if source.manifest.is_closed(self.0.clock.now()) {
            return Err(PublishError::Over);
        }
        let beacon = self.beacon(source.manifest.rounds.beacon).await?;
        source.manifest.take_beacon(beacon)?;
        if let Some((named, here)) = engines::other_hardware(&*self.0.evaluator, &source.manifest) {
            return Err(PublishError::OtherHardware { named, here });
        }
        source.manifest.engine =
            self.0.evaluator.official(source.manifest.engine).await.map_err(PublishError::Engine)?;
        let divided = self.divided(&mut source, &progress).await?;
        let measured = self.measured(&source, &divided, &progress).await?;
        say(&progress, "writing what is published");
        self.store((source, written_sha256), divided, measured).await
    }

    /// The beacon that the manifest names, or drand if that can be had.
    async fn beacon(&self, named: Option<BeaconSource>) -> Result<BeaconSource, PublishError> {
        match named {
            Some(named) => Ok(named),
            None => {
                let checked = self.0.relay.check(&DrandChain::quicknet(), self.0.clock.now()).await;
                checked.map(|()| BeaconSource::Drand).map_err(PublishError::NoBeacon)
            }
        }
    }
}

/// Says what is done now.
fn say(progress: &ProgressFn, phase: &str) {
    progress(Progress { phase: phase.into(), done: 0, total: 0 });
}

/// A manifest with all that it names, from here and from elsewhere, as far as it can be had.
async fn parts(manifest: &Path, config: &Config, progress: &ProgressFn) -> Result<Parts, PublishError> {
    let (path, progress) = (manifest.to_owned(), Arc::clone(progress));
    let named = path.clone();
    let manifest = tokio::task::spawn_blocking(move || source::read_manifest(&named)).await??;
    let fetched = [
        match manifest.teacher.model() {
            Some(source) => remote::fetched("teacher", source, config).await,
            None => Ok(None),
        },
        remote::fetched("reference", &manifest.reference, config).await,
    ];
    let mut known = Vec::with_capacity(manifest.known.len());
    for source in &manifest.known {
        known.push(remote::fetched("known package", source, config).await);
    }
    Ok(tokio::task::spawn_blocking(move || Parts::read(&path, manifest, fetched, known, &progress)).await?)
}

/// The data of a manifest, split by a key; the teacher's answers beside it are to as many images.
async fn prepare(
    manifest: &Manifest,
    own: Option<Own>,
    training_teacher_logits: Option<&Logits>,
    split_key: [u8; 32],
) -> Result<Prepared, PublishError> {
    let (spec, labels) = (manifest.clone(), manifest.labels.len());
    let prepared = tokio::task::spawn_blocking(move || Prepared::load(&spec, own, &split_key)).await??;
    if let Some(logits) = training_teacher_logits {
        fit(logits, &prepared.training, labels)?;
    }
    Ok(prepared)
}

/// The very same competition, or one that differs.
fn already(before: StoredCompetition, source: &Source) -> Result<Published, PublishError> {
    if before.source_sha256 != source.sha256() {
        return Err(PublishError::Taken(source.manifest.id.clone()));
    }
    Ok(Published { competition: before.competition, sha256: before.sha256, created: false, screening: None })
}

/// Whether the teacher's answers are to the training images, as far as their number shows.
fn fit(answers: &Logits, training: &Labelled, labels: usize) -> Result<(), PublishError> {
    if (answers.count, answers.classes as usize) == (training.count(), labels) {
        return Ok(());
    }
    Err(PublishError::TrainingLogits {
        answers: answers.count,
        classes: answers.classes,
        images: training.count(),
        labels,
    })
}
