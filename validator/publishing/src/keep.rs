//! What publishing stores once all is measured, and then the transaction by which a competition appears.
//!
//! What was stored before ([`crate::divide`]) isn't written again.

use crate::divide::{Divided, Secrets};
use crate::measured::Measured;
use crate::source::{Model, Source};
use crate::{PublishError, Published, Publisher};
use datasets::published::write;
use datasets::{Labelled, Logits};
use protocol::competition::{Manifest, ObjectRef, OfficialEngine};
use protocol::evaluation::little_endian;
use protocol::leaf::CompetitionPublished;
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::published::{PublishedAnswers, PublishedModel, PublishedTeacher, Tables};
use protocol::score::score;
use protocol::{Competition, Digest, Report};
use service::copies::{self, EntryPrints};
use std::io::Write;
use std::time::Duration;
use store::causes::Chain;
use store::db::competitions::{self, PublicObject, Role, StoredCompetition, StoredModel};
use store::db::{self, DbError, leaves};
use store::failpoints::{self, Change, Moment};
use store::objects::ObjectError;
use transparency::EntryKind;

impl Publisher {
    /// Keeps the library of the engine that the manifest names, by the digest that it names it with: whoever measures for
    /// this competition on another machine finds it there.
    async fn keep_library(&self, engine: OfficialEngine) -> Result<(), PublishError> {
        if let Some(library) = self.0.evaluator.library(engine).await.map_err(PublishError::Engine)? {
            self.put(library).await?;
        }
        Ok(())
    }

    /// Stores what is left, then lets the competition appear in one transaction.
    pub(crate) async fn store(
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
        if let Err(error) = self.drop_asked(&asked.sha256).await {
            tracing::warn!(error = %Chain(&error), "the public part is stored twice until it is swept");
        }
        self.0.objects.know_by(stored.competition.reference.weights.sha256);
        let (competition, screening) = (stored.competition, Some(measured.screening));
        Ok(Published { competition, sha256, created: true, screening })
    }

    /// Removes the public part as it was asked about, unless it is published as it is: with the teacher's answers it is there once more,
    /// and by itself it would go a day later.
    async fn drop_asked(&self, asked: &Digest) -> Result<(), PublishError> {
        if !self.0.db.named_objects().await?.contains(asked) {
            self.0.objects.remove_if_older(asked, Duration::ZERO).await?;
        }
        Ok(())
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

    pub(crate) async fn put(&self, bytes: Vec<u8>) -> Result<ObjectRef, ObjectError> {
        self.0.objects.put(bytes.into()).await
    }

    /// Stores a part as others read it.
    pub(crate) async fn put_table(
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
