//! Publishing: a manifest and what it names become a competition that nobody can change afterwards.
//!
//! 1. the manifest is read, a teacher that a Hub has is fetched (`remote`), teacher and reference are admitted by the very
//!    check that guards intake; its engine is named with the version and the library that are here;
//! 2. the data is split by a secret key into public and hidden items;
//! 3. the teacher, the reference and what is listed as known are measured on the public ones, and on the probes by which
//!    copies of them are recognised; a hidden round is rehearsed on them (`rehearsal`);
//! 4. models, public items and the teacher's answers are stored, the hidden pool committed to;
//! 5. one transaction makes the competition appear, and states so in the public log.
//!
//! Publishing the same again changes nothing. It measures nothing: it asks (`measure`), as rounds do.

mod data;
mod measure;
mod rehearsal;
mod remote;
mod source;

pub use rehearsal::{GateMissed, ScreeningTime};
pub use remote::RemoteProblem;

use crate::app::App;
use crate::copies::{self, EntryError, EntryPrints, EntryZero};
use crate::evaluator::{Evaluator, Progress, ProgressFn, silent};
use crate::open::OpenError;
use crate::relay::RelayError;
use crate::rounds::RoundError;
use data::{DataSetError, Own, Prepared};
use datasets::hidden::{DrandChain, DrawError, RenderError};
use datasets::published::{TableError, write};
use datasets::source::SourceError;
use datasets::{FormatError, Labelled, Logits, arg_max};
use measure::{Bench, Said};
use protocol::competition::{Manifest, ManifestError, ObjectRef, OfficialEngine};
use protocol::evaluation::EvaluationFailure;
use protocol::evaluation::little_endian;
use protocol::leaf::CompetitionPublished;
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::published::{PublishedAnswers, PublishedModel, PublishedTeacher, Tables};
use protocol::round::BeaconSource;
use protocol::score::{Ceiling, score};
use protocol::submission::Rejection;
use protocol::{Competition, CompetitionId, Digest, Report};
use source::{Model, Parts, Source};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::causes::Chain;
use store::config::{Config, Home};
use store::db::competitions::{self, PublicObject, Role, StoredCompetition, StoredModel};
use store::db::{self, Db, DbError, leaves};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use transparency::EntryKind;

/// Why a competition was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A model that isn't admissible.
    #[error("the {role} in {} is not admissible: {rejection}", path.display())]
    Model {
        /// `teacher` or `reference`.
        role: &'static str,
        /// Its package.
        path: PathBuf,
        /// Why.
        rejection: Rejection,
    },
    /// A model that is to be fetched from a Hub and isn't, or is another one.
    #[error("the {role} {uri}: {problem}")]
    Remote {
        /// `teacher` or `reference`.
        role: &'static str,
        /// What the manifest says.
        uri: String,
        /// Why.
        problem: Box<RemoteProblem>,
    },
    /// The manifest names no beacon, and the one that it would get isn't to be had.
    #[error(
        "the manifest names no beacon for its rounds, and drand can't be its: {0}. Set `drand_url` to a relay that answers, \
         or write `beacon = \"ledger\"` under [rounds], which is for trying out: whoever writes the ledger can grind it"
    )]
    NoBeacon(RelayError),
    /// The data set doesn't fit the manifest.
    #[error(transparent)]
    Data(#[from] DataSetError),
    /// The publisher's own rows can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The teacher's answers to the training images are others'.
    #[error(
        "manifest field `training_teacher_logits`: {answers} answers of {classes} logits beside {images} training images and \
         {labels} labels; each image has an answer, in the same order"
    )]
    TrainingLogits {
        /// Rows of the file.
        answers: u32,
        /// Columns.
        classes: u32,
        /// Training images.
        images: u32,
        /// The manifest's labels.
        labels: usize,
    },
    /// The data can't be written for others to read.
    #[error("write the data as Parquet: {0}")]
    Table(#[from] TableError),
    /// A part of the data, or the teacher's answers, can't be read.
    #[error("read {}: {problem}", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: TableError,
    },
    /// Logits or images contradict themselves.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// This machine lacks the engine that the manifest names, or has another one.
    #[error("manifest field `engine`: {0}")]
    Engine(String),
    /// A model can't be measured.
    #[error("measure the {role}: {failure}")]
    Evaluation {
        /// `teacher` or `reference`.
        role: &'static str,
        /// Why.
        failure: EvaluationFailure,
    },
    /// What came of a measurement can't be recorded.
    #[error("measure: {0}")]
    Unrecorded(#[from] Box<RoundError>),
    /// The reference doesn't pass the gate on items as hidden rounds show them, so nobody is known to.
    #[error("manifest field `score.gate_ppm`: {0}")]
    Gate(GateMissed),
    /// Items of the rehearsal can't be drawn.
    #[error("rehearse a hidden round: {0}")]
    Draw(#[from] DrawError),
    /// Items of the rehearsal can't be made.
    #[error("rehearse a hidden round: {0}")]
    Render(#[from] RenderError),
    /// It would be over before anybody could enter.
    #[error("manifest field `closes_at`: it has passed, so nobody could enter")]
    Over,
    /// Something else is published under this name.
    #[error("another competition is published as {0}; what is published doesn't change, so choose another id")]
    Taken(CompetitionId),
    /// A model that submissions are to be compared with can't be.
    #[error("prepare comparisons: {0}")]
    Copies(#[from] EntryError),
    /// Items can't be read any more, or not be written for others to read.
    #[error("write the data: {0}")]
    Write(#[from] io::Error),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A thread failed.
    #[error("a thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// Several things are wrong: all of them, a line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

fn lines(problems: &[PublishError]) -> String {
    problems.iter().map(|problem| Chain(problem).to_string()).collect::<Vec<_>>().join("\n")
}

impl PublishError {
    /// One of several things that are wrong is told as itself; there is one at least.
    fn all(problems: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(problems) {
            Ok([problem]) => problem,
            Err(problems) => Self::Several(problems),
        }
    }
}

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

impl App {
    /// Publishes with this validator's parts.
    pub fn publisher(&self) -> Publisher {
        Publisher(self.clone())
    }
}

impl Publisher {
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
        source.manifest.engine =
            self.0.evaluator.official(source.manifest.engine).await.map_err(PublishError::Engine)?;
        let (split_key, salt) = (rand::random(), rand::random());
        let (own, logits) = (source.own.take(), source.training_teacher_logits.as_ref());
        let prepared = prepare(&source.manifest, own, logits, split_key, salt).await?;
        let shared = copies::shared_probe_seed(&self.0.db, &source.manifest, self.0.clock.now()).await?;
        let secrets =
            Secrets { split_key, salt, probe_seed: shared.unwrap_or_else(|| ::copies::own_probe_seed(&split_key)) };
        let manifest = &source.manifest;
        let said = |phase: &str| progress(Progress { phase: phase.into(), done: 0, total: 0 });
        said("writing the public part");
        // With the answers that it is published with, where they are known.
        let asked = self.put_table(&prepared.public, prepared.public.answers.clone(), manifest).await?;
        let on = Bench {
            manifest,
            reference: &source.reference.bytes,
            items: asked.sha256,
            public: manifest.data.public_items,
            probes: Some(self.put(copies::probes(&secrets.probe_seed, manifest.input.shape())).await?.sha256),
            progress: &progress,
        };
        let teacher = match &source.teacher {
            Some(model) => Some(self.ask("teacher", &model.bytes, None, true, &on).await?),
            None => None,
        };
        let logits = match (&teacher, &prepared.public.answers) {
            (Some(teacher), _) => teacher_logits(teacher, manifest.labels.len())?,
            (None, Some(answers)) => answers.clone(),
            (None, None) => return Err(DataSetError::unanswered(manifest, "evaluation").into()),
        };
        let answers = self.put(logits.to_bytes()?).await?.sha256;
        let reference = self.ask("reference", &source.reference.bytes, Some(answers), true, &on).await?;
        let screening = self.rehearse(&source, &prepared, &progress).await?;
        // What a teacher says that nobody can ask isn't known of probes: the reference stands for it there.
        let probe_logits = teacher.as_ref().unwrap_or(&reference).probe_logits.clone();
        let mut entries = Vec::new();
        if let (Some(model), Some(teacher)) = (&source.teacher, &teacher) {
            entries.push((EntryZero::Teacher, model.bytes.clone(), teacher.probe_logits.clone()));
        }
        entries.push((EntryZero::Reference, source.reference.bytes.clone(), reference.probe_logits));
        for (number, known) in (1..).zip(&source.known) {
            let said = self.ask("known package", &known.bytes, Some(answers), false, &on).await?;
            entries.push((EntryZero::Known(number), known.bytes.clone(), said.probe_logits));
        }
        let entries = EntryPrints::make(&self.0.objects, entries, &probe_logits).await?;
        let ceiling = ceiling(&logits, &prepared.public.labels);
        said("writing what is published");
        let tables = self.tables((&prepared, asked), &mut source, logits).await?;
        self.keep_library(source.manifest.engine).await?;
        let teacher = teacher.map(|teacher| teacher.report);
        let measured = Measured { teacher, ceiling, reference: reference.report, probe_logits, entries };
        let published = self.store((source, written_sha256), (prepared, tables), measured, secrets).await?;
        Ok(Published { screening: Some(screening), ..published })
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

    /// Keeps the library of the engine that the manifest names, by the digest that it names it with: whoever measures for
    /// this competition on another machine finds it there.
    async fn keep_library(&self, engine: OfficialEngine) -> Result<(), PublishError> {
        if let Some(library) = self.0.evaluator.library(engine).await.map_err(PublishError::Engine)? {
            self.put(library).await?;
        }
        Ok(())
    }

    /// Stores all objects, then lets the competition appear in one transaction.
    async fn store(
        &self,
        (source, source_sha256): (Source, Digest),
        (Prepared { pool, hidden_root, .. }, tables): (Prepared, Tables),
        measured: Measured,
        Secrets { split_key, salt, probe_seed }: Secrets,
    ) -> Result<Published, PublishError> {
        let write = move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(pool.write_pool(to)?);
        let pool_sha256 = self.0.objects.put_written(write).await?.sha256;
        let probe_logits = self.put(little_endian(&measured.probe_logits)).await?.sha256;
        let scored = |role, model: &Model, report: &Report| StoredModel {
            role,
            package_sha256: model.package_sha256,
            report: report.clone(),
            score: score(report, measured.ceiling, &source.manifest.score),
        };
        let teacher = source.teacher.as_ref().zip(measured.teacher.as_ref());
        let mut models: Vec<_> =
            teacher.map(|(model, report)| scored(Role::Teacher, model, report)).into_iter().collect();
        models.push(scored(Role::Reference, &source.reference, &measured.reference));
        let competition = Competition {
            teacher: match source.teacher.zip(measured.teacher.as_ref()) {
                Some((model, report)) => PublishedTeacher::Model(self.put_model(model, report).await?),
                None => PublishedTeacher::Answers(PublishedAnswers::of(measured.ceiling)),
            },
            reference: self.put_model(source.reference, &measured.reference).await?,
            tables,
            hidden_root,
            probes_sha256: Digest::of(probe_seed.as_bytes()),
            published_at: self.0.clock.now(),
            manifest: source.manifest,
        };
        let sha256 = Digest::of(store::db::to_json(&competition).as_bytes());
        let stored = StoredCompetition {
            source_sha256,
            sha256,
            published: competition.manifest.clone(),
            amendments: Vec::new(),
            competition,
            split_key,
            salt,
            pool_sha256,
            probe_seed,
        };
        failpoints::at(Moment::PublicationStored)?;
        self.appear(&stored, &models, &probe_logits, &measured.entries).await?;
        self.0.objects.know_by(stored.competition.reference.weights.sha256);
        Ok(Published { competition: stored.competition, sha256, created: true, screening: None })
    }

    async fn appear(
        &self,
        stored: &StoredCompetition,
        models: &[StoredModel],
        probe_logits: &Digest,
        entries: &EntryPrints,
    ) -> Result<(), DbError> {
        let id = &stored.competition.manifest.id;
        let mut tx = self.0.db.write().await?;
        competitions::insert_competition(&mut tx, stored).await?;
        for model in models {
            competitions::insert_model(&mut tx, id, model).await?;
        }
        db::copies::insert_probes(&mut tx, id, probe_logits).await?;
        copies::store_entries(&mut tx, id, entries).await?;
        for object in public_objects(&stored.competition) {
            competitions::publish_object(&mut tx, &object).await?;
        }
        let leaf = CompetitionPublished {
            competition: id.clone(),
            competition_sha256: stored.sha256,
            hidden_root: stored.competition.hidden_root,
            published_at: stored.competition.published_at,
        };
        leaves::enqueue(&mut tx, &leaf.key(), EntryKind::Competition, &leaf).await?;
        failpoints::commit(tx, Change::Publication).await?;
        tracing::info!(competition = %id, "published competition {id}");
        Ok(())
    }

    async fn put(&self, bytes: Vec<u8>) -> Result<ObjectRef, ObjectError> {
        self.0.objects.put(bytes.into()).await
    }

    /// Stores a part as others read it.
    async fn put_table(
        &self,
        items: &Labelled,
        answers: Option<Logits>,
        manifest: &Manifest,
    ) -> Result<ObjectRef, PublishError> {
        let (items, names) = (items.clone(), manifest.labels.clone());
        let write =
            move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(write(to, &items, &names, answers.as_ref())?);
        self.0.objects.put_written(write).await
    }

    /// Training and public part as they are published, with the teacher's answers; the public one was stored as it was `asked`
    /// about.
    async fn tables(
        &self,
        (prepared, asked): (&Prepared, ObjectRef),
        source: &mut Source,
        answers: Logits,
    ) -> Result<Tables, PublishError> {
        let (training, public) = (&prepared.training, &prepared.public);
        let training_answers = source.training_teacher_logits.take().or_else(|| training.answers.clone());
        let training = self.put_table(training, training_answers, &source.manifest).await?;
        let evaluation = match public.answers.as_ref() == Some(&answers) {
            true => asked,
            false => self.put_table(public, Some(answers), &source.manifest).await?,
        };
        Ok(Tables { training, evaluation })
    }

    async fn put_model(&self, model: Model, report: &Report) -> Result<PublishedModel, ObjectError> {
        Ok(PublishedModel {
            config_json: self.put(model.bytes.config_json.to_vec()).await?,
            weights: self.put(model.bytes.weights.to_vec()).await?,
            config: model.config,
            correct: report.quality.correct,
            items: report.data.items,
        })
    }
}

/// Whatever about a manifest can be told without measuring anything; `db` is the validator's that is to publish it, if there is
/// one. Nothing is stored.
///
/// # Errors
/// Everything that is wrong, once the manifest itself can be read.
pub async fn check(manifest: &Path, config: &Config, now: u64, db: Option<&Db>) -> Result<Manifest, PublishError> {
    let mut parts = parts(manifest, config, &silent()).await?;
    let named = parts.manifest.clone();
    let mut problems = Vec::new();
    if named.is_closed(now) {
        problems.push(PublishError::Over);
    }
    // Whether drand answers today says little about the day of publishing; what it would mean for the rules is the same.
    let beacon = named.rounds.beacon.unwrap_or(BeaconSource::Drand);
    problems.extend(named.clone().take_beacon(beacon).err().map(PublishError::from));
    if let Ok(own) = &mut parts.own {
        let logits = parts.training_teacher_logits.as_ref().ok().and_then(Option::as_ref).map(|(logits, _)| logits);
        let prepared = prepare(&named, own.take(), logits, rand::random(), rand::random()).await;
        problems.extend(prepared.err());
    }
    match parts.whole() {
        Err(PublishError::Several(more)) => problems.extend(more),
        Err(problem) => problems.push(problem),
        Ok(source) => {
            let before = match db {
                Some(db) => db.competition(&named.id).await?,
                None => None,
            };
            problems.extend(before.and_then(|before| already(before, &source).err()));
        }
    }
    if problems.is_empty() { Ok(named) } else { Err(PublishError::all(problems)) }
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
    salt: [u8; 32],
) -> Result<Prepared, PublishError> {
    let (spec, labels) = (manifest.clone(), manifest.labels.len());
    let prepared = tokio::task::spawn_blocking(move || Prepared::load(&spec, own, &split_key, &salt)).await??;
    if let Some(logits) = training_teacher_logits {
        fit(logits, &prepared.training, labels)?;
    }
    Ok(prepared)
}

/// What was measured before publishing.
struct Measured {
    /// Nothing of a teacher that is known by its answers only.
    teacher: Option<Report>,
    /// The teacher's right answers to public items.
    ceiling: Ceiling,
    reference: Report,
    /// What copies are compared beside on the probes: the teacher's logits, or else the reference's.
    probe_logits: Vec<f32>,
    entries: EntryPrints,
}

/// What only the validator knows of a competition.
struct Secrets {
    split_key: [u8; 32],
    salt: [u8; 32],
    probe_seed: Digest,
}

/// The very same competition, or one that differs.
fn already(before: StoredCompetition, source: &Source) -> Result<Published, PublishError> {
    if before.source_sha256 != source.sha256() {
        return Err(PublishError::Taken(source.manifest.id.clone()));
    }
    Ok(Published { competition: before.competition, sha256: before.sha256, created: false, screening: None })
}

fn teacher_logits(teacher: &Said, classes: usize) -> Result<Logits, FormatError> {
    let classes = u32::try_from(classes).unwrap_or(u32::MAX);
    let logits = Logits { count: teacher.report.data.items, classes, values: teacher.logits.clone() };
    logits.validate()?;
    Ok(logits)
}

/// How many of the items with these labels the answers are right about.
fn ceiling(answers: &Logits, labels: &[u16]) -> Ceiling {
    let right = |(item, label): &(usize, &u16)| arg_max(answers.row(*item)) == usize::from(**label);
    let number = |count| u32::try_from(count).unwrap_or(u32::MAX);
    Ceiling { correct: number(labels.iter().enumerate().filter(right).count()), items: number(labels.len()) }
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

/// Everything that a miner needs.
fn public_objects(competition: &Competition) -> Vec<PublicObject> {
    let object = |object: &ObjectRef, filename: &str| PublicObject {
        sha256: object.sha256,
        size_bytes: object.size_bytes,
        filename: filename.to_owned(),
    };
    let Tables { training, evaluation } = &competition.tables;
    let mut objects = vec![object(training, "train.parquet"), object(evaluation, "test.parquet")];
    for model in competition.teacher.model().into_iter().chain([&competition.reference]) {
        objects.push(object(&model.config_json, CONFIG_FILE));
        objects.push(object(&model.weights, WEIGHTS_FILE));
    }
    objects
}
