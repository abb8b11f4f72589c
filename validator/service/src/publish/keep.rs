//! What publishing stores: the pool and the public part before anything is measured, the rest after it, and then the transaction by
//! which a competition appears.
//!
//! Data is read from where a publisher has it to be divided and written once; from then on it is read where it is stored, so that what
//! is measured, committed to and published are the same bytes, whatever becomes of the publisher's files meanwhile.

use super::data::Prepared;
use super::measured::Measured;
use super::source::{Model, Source};
use super::{PublishError, Published, Publisher, prepare, say};
use crate::copies::{self, EntryPrints};
use crate::evaluator::ProgressFn;
use crate::state::materials;
use datasets::published::write;
use datasets::{Labelled, Logits};
use protocol::competition::{Manifest, ObjectRef, OfficialEngine};
use protocol::evaluation::little_endian;
use protocol::leaf::CompetitionPublished;
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::published::{PublishedAnswers, PublishedModel, PublishedTeacher, Tables};
use protocol::score::score;
use protocol::{Competition, Digest, Report};
use std::io::Write;
use store::db::competitions::{self, PublicObject, Role, StoredCompetition, StoredModel};
use store::db::{self, DbError, leaves};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use transparency::EntryKind;

/// What only the validator knows of a competition.
pub(super) struct Secrets {
    pub(super) split_key: [u8; 32],
    pub(super) salt: [u8; 32],
    pub(super) probe_seed: Digest,
}

/// A competition's data, divided, of which hidden and public items are stored.
pub(super) struct Divided {
    /// What miners train on, where its publisher has it.
    training: Labelled,
    /// The public items, where they are stored.
    pub(super) public: Labelled,
    /// Their object, with the teacher's answers where they are known beforehand.
    pub(super) asked: ObjectRef,
    /// The hidden pool's.
    pool: ObjectRef,
    /// The commitment to it.
    hidden_root: Digest,
    pub(super) secrets: Secrets,
}

impl Publisher {
    /// Divides the data of `source` and stores what models are evaluated on; `progress` hears which part.
    pub(super) async fn divided(&self, source: &mut Source, progress: &ProgressFn) -> Result<Divided, PublishError> {
        let (split_key, salt) = (rand::random(), rand::random());
        let (own, logits) = (source.own.take(), source.training_teacher_logits.as_ref());
        let Prepared { training, public, pool } = prepare(&source.manifest, own, logits, split_key).await?;
        let (objects, manifest) = (&self.0.objects, &source.manifest);
        let shared = copies::shared_probe_seed(&self.0.db, manifest, self.0.clock.now()).await?;
        let probe_seed = shared.unwrap_or_else(|| ::copies::own_probe_seed(&split_key));
        say(progress, "writing the hidden pool");
        let write = move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(pool.write_pool(to)?);
        let pool = objects.put_written(write).await?;
        let stored = materials::opened_pool(objects, &pool.sha256).await?;
        let commitment = tokio::task::spawn_blocking(move || stored.commitment(&salt)).await??;
        say(progress, "writing the public part");
        let answers = public.answers.clone();
        let asked = self.put_table(public, answers, manifest).await?;
        let (shape, classes) = (manifest.input.shape(), manifest.labels.len());
        Ok(Divided {
            training,
            public: materials::opened(objects, &asked.sha256, shape, classes).await?,
            asked,
            pool,
            hidden_root: commitment.root_hex().parse()?,
            secrets: Secrets { split_key, salt, probe_seed },
        })
    }

    /// Keeps the library of the engine that the manifest names, by the digest that it names it with: whoever measures for
    /// this competition on another machine finds it there.
    async fn keep_library(&self, engine: OfficialEngine) -> Result<(), PublishError> {
        if let Some(library) = self.0.evaluator.library(engine).await.map_err(PublishError::Engine)? {
            self.put(library).await?;
        }
        Ok(())
    }

    /// Stores what is left, then lets the competition appear in one transaction.
    pub(super) async fn store(
        &self,
        (mut source, source_sha256): (Source, Digest),
        divided: Divided,
        measured: Measured,
    ) -> Result<Published, PublishError> {
        let Divided { training, public, asked, pool, hidden_root, secrets } = divided;
        let Secrets { split_key, salt, probe_seed } = secrets;
        let tables = self.tables((training, public, asked), &mut source, &measured.answers).await?;
        self.keep_library(source.manifest.engine).await?;
        let probe_logits = self.put(little_endian(&measured.probe_logits)).await?.sha256;
        let models = models(&source, &measured);
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
            pool_sha256: pool.sha256,
            probe_seed,
        };
        failpoints::at(Moment::PublicationStored)?;
        self.appear(&stored, &models, &probe_logits, &measured.entries).await?;
        self.0.objects.know_by(stored.competition.reference.weights.sha256);
        let (competition, screening) = (stored.competition, Some(measured.screening));
        Ok(Published { competition, sha256, created: true, screening })
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

    pub(super) async fn put(&self, bytes: Vec<u8>) -> Result<ObjectRef, ObjectError> {
        self.0.objects.put(bytes.into()).await
    }

    /// Stores a part as others read it.
    async fn put_table(
        &self,
        items: Labelled,
        answers: Option<Logits>,
        manifest: &Manifest,
    ) -> Result<ObjectRef, PublishError> {
        let names = manifest.labels.clone();
        let write =
            move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(write(to, &items, &names, answers.as_ref())?);
        self.0.objects.put_written(write).await
    }

    /// Training and public part as they are published, with the teacher's answers; the public one was stored as it was `asked`
    /// about.
    async fn tables(
        &self,
        (training, public, asked): (Labelled, Labelled, ObjectRef),
        source: &mut Source,
        answers: &Logits,
    ) -> Result<Tables, PublishError> {
        let training_answers = source.training_teacher_logits.take().or_else(|| training.answers.clone());
        let training = self.put_table(training, training_answers, &source.manifest).await?;
        let evaluation = match public.answers.as_ref() == Some(answers) {
            true => asked,
            false => self.put_table(public, Some(answers.clone()), &source.manifest).await?,
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

/// Rows of the models that were measured.
fn models(source: &Source, measured: &Measured) -> Vec<StoredModel> {
    let scored = |role, model: &Model, report: &Report| StoredModel {
        role,
        package_sha256: model.package_sha256,
        report: report.clone(),
        score: score(report, measured.ceiling, &source.manifest.score),
    };
    let teacher = source.teacher.as_ref().zip(measured.teacher.as_ref());
    let teacher = teacher.map(|(model, report)| scored(Role::Teacher, model, report));
    teacher.into_iter().chain([scored(Role::Reference, &source.reference, &measured.reference)]).collect()
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
