//! What is measured before a competition appears: asked as whatever else is, so that it takes its turn beside submissions and rounds,
//! is seen there, and makes nothing else fail. Where nobody serves the folder, this process measures its own questions, on the same
//! way.
//!
//! It does not know what follows from the answers.

use crate::{PublishError, Publisher};
use datasets::{Labelled, Logits};
use protocol::competition::{Manifest, ObjectRef};
use protocol::evaluation::{EvaluationFailure, PackageBytes, from_little_endian};
use protocol::{CompetitionId, Digest, Report};
use service::evaluator::{Progress, ProgressFn};
use service::jobs;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;
use store::clock::Clock;
use store::db::DbError;
use store::db::work::{self, Asked, Files, Piece, Question, Told};
use store::failpoints::{self, Change};
use store::objects::ObjectError;

/// How often is looked whether it is measured.
const LOOK: Duration = Duration::from_millis(100);
/// How long a question is wanted after the last look: whoever publishes may have been ended.
const WANTED_SECONDS: u64 = 15;
/// A worker says twice a minute that it is alive.
const WORKER_SILENT_SECONDS: u64 = 45;

/// What a model said.
pub(crate) struct Said {
    pub(crate) report: Report,
    /// Logits `[items, classes]`.
    pub(crate) logits: Vec<f32>,
    /// Those on the probes.
    pub(crate) probe_logits: Vec<f32>,
    /// For how long the machine worked for it.
    pub(crate) took_ms: u64,
}

/// What models are asked, and what their answers are held against.
pub(crate) struct Bench<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) reference: &'a PackageBytes,
    /// The items with their labels, an object.
    pub(crate) items: Digest,
    /// How many of the first are public.
    pub(crate) public: u32,
    /// Pixels beside the items, an object.
    pub(crate) probes: Option<Digest>,
    pub(crate) progress: &'a ProgressFn,
}

/// A number that JSON keeps as it is.
fn some_number() -> u64 {
    rand::random::<u64>() >> 11
}

impl Publisher {
    /// Stores items to ask about.
    pub(crate) async fn put_items(&self, items: Labelled) -> Result<Digest, PublishError> {
        let write = move |to: &mut (dyn Write + Send)| Ok::<_, PublishError>(items.write_images(to)?);
        Ok(self.0.objects.put_written(write).await?.sha256)
    }

    /// What a model says; `teacher_logits` are an object, unless the teacher is asked.
    pub(crate) async fn ask(
        &self,
        role: &'static str,
        candidate: &PackageBytes,
        teacher_logits: Option<Digest>,
        is_timed: bool,
        on: &Bench<'_>,
    ) -> Result<Said, PublishError> {
        let question = Question {
            candidate: self.put_package(candidate).await?,
            reference: self.put_package(on.reference).await?,
            input: on.manifest.input.clone(),
            engine: on.manifest.engine,
            items: on.items,
            public: on.public,
            teacher_logits,
            probes: on.probes,
            is_timed,
            seed: some_number(),
        };
        let asked = Asked::Publication { role: role.to_owned(), question, number: some_number() };
        let heard = Arc::clone(on.progress);
        let progress: ProgressFn = Arc::new(move |Progress { phase, done, total }| {
            heard(Progress { phase: format!("{role}: {phase}"), done, total });
        });
        match self.told(&on.manifest.id, &asked, &progress).await? {
            Told::Said { report, logits, probe_logits, took_ms, .. } => {
                self.said([report, logits, probe_logits], took_ms).await
            }
            Told::Rejected(rejection) => Err(PublishError::Evaluation { role, failure: rejection.into() }),
            Told::Failed { problem } => {
                Err(PublishError::Evaluation { role, failure: EvaluationFailure::Infrastructure(problem) })
            }
        }
    }

    /// Asks, and waits for the answer however long that takes.
    async fn told(&self, id: &CompetitionId, asked: &Asked, progress: &ProgressFn) -> Result<Told, PublishError> {
        let app = &self.0;
        loop {
            // From before the look, so that no answer of this process is missed.
            let mut answered = std::pin::pin!(app.signals.answered.notified());
            answered.as_mut().enable();
            let Some(piece) = app.db.piece(id, asked).await? else {
                self.put_question(id, asked).await?;
                continue;
            };
            if let Some(told) = piece.answer.clone() {
                app.db.forget_piece(&piece).await?;
                return Ok(told);
            }
            app.db.want_until(&piece, app.clock.now().saturating_add(WANTED_SECONDS)).await?;
            if self.is_worked_for().await? {
                let phase = if piece.is_running { "being measured" } else { "waiting for the machine" };
                progress(Progress { phase: phase.into(), done: 0, total: 0 });
                tokio::select! {
                    () = answered => {}
                    () = tokio::time::sleep(LOOK) => {}
                }
            } else {
                progress(Progress { phase: "waiting for the machine".into(), done: 0, total: 0 });
                self.measure_self(&piece, progress).await?;
            }
        }
    }

    async fn put_question(&self, id: &CompetitionId, asked: &Asked) -> Result<(), DbError> {
        let (app, now) = (&self.0, self.0.clock.now());
        let mut tx = app.db.write().await?;
        work::ask(&mut tx, id, asked, Some(now.saturating_add(WANTED_SECONDS)), now).await?;
        failpoints::commit(tx, Change::Asked).await?;
        app.signals.queue.notify_one();
        Ok(())
    }

    /// Whether somebody works for this folder.
    async fn is_worked_for(&self) -> Result<bool, DbError> {
        let since = Clock::System.now().saturating_sub(WORKER_SILENT_SECONDS);
        Ok(!self.0.db.workers(since, 1).await?.is_empty())
    }

    /// Measures it here, and says meanwhile that it is wanted. Whoever had it is gone.
    async fn measure_self(&self, piece: &Piece, progress: &ProgressFn) -> Result<(), PublishError> {
        let (app, now) = (&self.0, self.0.clock.now());
        if piece.is_running {
            let mut tx = app.db.write().await?;
            work::give_back(&mut tx, piece, false, None, (now, now)).await?;
            return Ok(failpoints::commit(tx, Change::Recovery).await?);
        }
        let measuring = jobs::measure_for(app, &piece.competition, Arc::clone(progress));
        let wanting = async {
            loop {
                tokio::time::sleep(Duration::from_secs(WANTED_SECONDS / 5)).await;
                let until = app.clock.now().saturating_add(WANTED_SECONDS);
                if let Err(error) = app.db.want_until(piece, until).await {
                    tracing::warn!(%error, "can't say that it is wanted");
                }
            }
        };
        tokio::select! {
            measured = measuring => measured.map(drop).map_err(|error| Box::new(error).into()),
            () = wanting => Ok(()),
        }
    }

    async fn said(&self, [report, logits, probe_logits]: [ObjectRef; 3], took_ms: u64) -> Result<Said, PublishError> {
        let objects = &self.0.objects;
        let report = objects.get(&report.sha256).await?;
        let corrupt =
            |error: serde_json::Error| DbError::Corrupt { column: "report".to_owned(), problem: error.to_string() };
        let report: Report = serde_json::from_slice(&report).map_err(corrupt)?;
        let logits = Logits::from_bytes(&objects.get(&logits.sha256).await?)?.values;
        let probe_logits = from_little_endian(&objects.get(&probe_logits.sha256).await?);
        Ok(Said { report, logits, probe_logits, took_ms })
    }

    async fn put_package(&self, package: &PackageBytes) -> Result<Files, ObjectError> {
        let config_json = self.put(package.config_json.to_vec()).await?.sha256;
        Ok(Files { config_json, weights: self.put(package.weights.to_vec()).await?.sha256 })
    }

    /// Stores a teacher's answers to items.
    pub(crate) async fn put_answers(&self, classes: usize, values: &[f32]) -> Result<Digest, PublishError> {
        let count = u32::try_from(values.len().checked_div(classes).unwrap_or(0)).unwrap_or(u32::MAX);
        Ok(self.put(Logits::of_items(count, values.to_vec()).to_bytes()?).await?.sha256)
    }
}
