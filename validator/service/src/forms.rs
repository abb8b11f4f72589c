//! A champion's model in other forms: ONNX in float32, float16 and int8, each measured beside the original before anybody is told of it.
//!
//! Whatever has to be measured is asked like everything else (`store::db::work`), so that it takes its turn, and what comes of it is
//! looked at whenever an answer comes: first, between what values lie on the public items, of which the int8 form is made; then what
//! each form answers to those items. It runs on the engine that is part of every `retort`. It does not know who downloads a form.

use crate::app::App;
use crate::materials;
use crate::rounds::RoundError;
use crate::state::materials::MaterialError;
use crate::{board, heavy};
use datasets::{FormatError, Logits};
use program::package::{ANY, Classifier, LOGITS};
use program::{Graph, Range, Refusal, catalogue, onnx};
use protocol::api::{FormView, ModelForm};
use protocol::competition::{EngineName, ObjectRef, OfficialEngine};
use protocol::digest::canonical_json;
use protocol::evaluation::{EvaluationRequest, Items, Order, PackageBytes, Scope, Truth, arg_max, from_little_endian};
use protocol::package::{Format, OnnxConfig, PackageConfig};
use protocol::submission::Rejection;
use protocol::{CompetitionId, Digest, SubmissionId};
use std::sync::Arc;
use std::time::Duration;
use store::causes::Chain;
use store::db::DbError;
use store::db::competitions::{PublicObject, StoredCompetition, publish_object};
use store::db::forms::{self, FormRow};
use store::db::work::{self, Asked, Told};
use store::failpoints::{self, Change};
use store::objects::ObjectError;
use tokio_util::sync::CancellationToken;
use weights::Weights;

/// How often is looked for a new champion.
const LOOK: Duration = Duration::from_secs(2);

/// Why a form isn't made now.
#[derive(Debug, thiserror::Error)]
pub enum FormError {
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// What a measurement is made of is missing.
    #[error(transparent)]
    Material(#[from] MaterialError),
    /// A champion that can't be written as a graph.
    #[error("as a graph: {0}")]
    Graph(#[from] Refusal),
    /// A champion whose package isn't admitted any more.
    #[error("its package: {0}")]
    Package(#[from] Rejection),
    /// Weights that don't fit their configuration.
    #[error("its weights: {0}")]
    Weights(#[from] weights::WeightsError),
    /// Stored answers that can't be read.
    #[error("stored answers: {0}")]
    Format(#[from] FormatError),
    /// No thread could be had.
    #[error(transparent)]
    Heavy(#[from] heavy::HeavyError),
    /// A configuration that is no JSON.
    #[error("a configuration: {0}")]
    Json(#[from] serde_json::Error),
}

impl FormError {
    /// Whether it says something of the model, and will say so again however often it is tried.
    fn is_the_models(&self) -> bool {
        matches!(self, Self::Graph(_) | Self::Package(_) | Self::Weights(_))
    }
}

/// Until `stop`, makes what is missing of every champion.
pub async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        // From before the look, so that no answer is missed.
        let mut answered = std::pin::pin!(app.signals.answered.notified());
        answered.as_mut().enable();
        match app.db.competitions().await {
            Ok(stored) => {
                for stored in &stored {
                    look(&app, stored).await;
                }
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't see which competitions there are"),
        }
        tokio::select! {
            () = answered => {}
            () = stop.cancelled() => {}
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

async fn look(app: &App, stored: &StoredCompetition) {
    let id = &stored.competition.manifest.id;
    if let Err(error) = Box::pin(advance(app, stored)).await {
        tracing::error!(competition = %id, error = %Chain(&error), "the forms of {id}'s champion can't be made");
    }
}

/// Does what can be done now for a competition's champion.
///
/// # Errors
/// As [`FormError`]; it is done again later. What can't be made of this model ends with its problem instead.
pub async fn advance(app: &App, stored: &StoredCompetition) -> Result<(), FormError> {
    let competition = &stored.competition.manifest.id;
    let Some(champion) = champion(app, competition).await? else { return Ok(()) };
    let made = app.db.forms(&champion).await?;
    for form in ModelForm::ALL.into_iter().filter(|form| made.iter().all(|row| row.form != *form)) {
        let turn = Turn { app, stored, champion: &champion, form };
        match turn.go_on().await {
            Err(error) if error.is_the_models() => turn.end(Err(error.to_string())).await?,
            done => done?,
        }
    }
    Ok(())
}

/// Who sits, if everybody may have the model.
async fn champion(app: &App, competition: &CompetitionId) -> Result<Option<SubmissionId>, FormError> {
    let Some(champion) = board::champion(app, competition).await? else { return Ok(None) };
    let is_public = app.db.withheld(&champion).await?.is_none();
    Ok(is_public.then_some(champion))
}

/// One form of one champion.
struct Turn<'a> {
    app: &'a App,
    stored: &'a StoredCompetition,
    champion: &'a SubmissionId,
    form: ModelForm,
}

impl Turn<'_> {
    async fn go_on(&self) -> Result<(), FormError> {
        if let Some((model, told)) = self.told(Some(self.form)).await? {
            return match told {
                Some(told) => self.ended(model, told).await,
                None => Ok(()),
            };
        }
        let ranges = match self.form {
            ModelForm::OnnxInt8 => match self.ranges().await? {
                Some(ranges) => ranges,
                None => return Ok(()),
            },
            ModelForm::Onnx | ModelForm::OnnxF16 => Vec::new(),
        };
        let form = self.form;
        let file = self.written(move |graph| match form {
            ModelForm::Onnx => Ok(Some(onnx::write(&graph.with_norms_folded()?))),
            ModelForm::OnnxF16 => Ok(Some(onnx::write(&graph.with_norms_folded()?.in_half()?))),
            ModelForm::OnnxInt8 => Ok(Some(onnx::write(&graph.with_norms_folded()?.quantised(&ranges)?))),
        });
        match file.await? {
            Some(file) => self.ask(Some(self.form), file).await,
            None => Ok(()),
        }
    }

    /// Between what values lie, once that is known; before, it is asked. Where there is nothing to round the form ends here.
    async fn ranges(&self) -> Result<Option<Vec<Range>>, FormError> {
        match self.told(None).await? {
            Some((_, Some(Told::Said { logits, .. }))) => {
                let told = Logits::from_bytes(&self.app.objects.get(&logits.sha256).await?)?;
                Ok(Some(Range::over(&told.values, told.classes as usize)))
            }
            Some((_, Some(Told::Rejected(why)))) => self.end(Err(why.to_string())).await.map(|()| None),
            Some((_, Some(Told::Failed { problem }))) => self.end(Err(problem)).await.map(|()| None),
            Some((_, None)) => Ok(None),
            None => {
                let told = |graph: &Graph<'_>| {
                    let folded = graph.with_norms_folded()?;
                    Ok(folded.with_ranges_told(LOGITS)?.map(|graph| onnx::write(&graph)))
                };
                match self.written(told).await? {
                    Some(file) => self.ask(None, file).await,
                    None => self.end(Err("it has nothing that could be in whole numbers, or is already".into())).await,
                }
                .map(|()| None)
            }
        }
    }

    /// What was asked of a form, or of its ranges, and what was said if anything was.
    async fn told(&self, form: Option<ModelForm>) -> Result<Option<(ObjectRef, Option<Told>)>, FormError> {
        let name = self.name(form);
        let piece = self.app.db.piece(&self.stored.competition.manifest.id, &name).await?;
        Ok(piece.and_then(|piece| match piece.asked {
            Asked::Form { model, .. } => Some((model, piece.answer)),
            _ => None,
        }))
    }

    /// What was asked goes by this, whatever the file is.
    fn name(&self, form: Option<ModelForm>) -> Asked {
        self.asked(form, ObjectRef { sha256: Digest::from([0; 32]), size_bytes: 0 })
    }

    fn asked(&self, form: Option<ModelForm>, model: ObjectRef) -> Asked {
        Asked::Form { submission: self.champion.clone(), form, model }
    }

    async fn ask(&self, form: Option<ModelForm>, file: Vec<u8>) -> Result<(), FormError> {
        let app = self.app;
        let model = app.objects.put(file.into()).await?;
        let mut tx = app.db.write().await?;
        let asked = self.asked(form, model);
        work::ask(&mut tx, &self.stored.competition.manifest.id, &asked, None, app.clock.now()).await?;
        failpoints::commit(tx, Change::Asked).await?;
        app.signals.queue.notify_one();
        Ok(())
    }

    /// A file that is made of the champion's graph, away from the threads that serve.
    async fn written(
        &self,
        make: impl FnOnce(&Graph<'_>) -> Result<Option<Vec<u8>>, Refusal> + Send + 'static,
    ) -> Result<Option<Vec<u8>>, FormError> {
        let turn = materials::turn(self.app, self.champion).await?;
        let (format, [config_json, model]) = materials::files_of(self.app, self.champion).await?;
        let manifest = &self.stored.competition.manifest;
        let (shape, classes) = (manifest.input.shape(), manifest.labels.len());
        turn.run(move || {
            let file = match format {
                Format::Onnx => Classifier::read(&model, shape, classes)?.canonical,
                Format::Catalogue => {
                    let plan = PackageConfig::of_package(&config_json, &model)?.plan()?;
                    onnx::write(&catalogue::lower(&plan, Weights::from_safetensors(&model, &plan)?)?)
                }
            };
            Ok(make(&onnx::read_as_stated(&file, &ANY)?.graph)?)
        })
        .await?
    }

    /// Compares what a form answers with what the original did.
    async fn ended(&self, model: ObjectRef, told: Told) -> Result<(), FormError> {
        let (logits, report) = match told {
            Told::Said { logits, report, .. } => (logits, report),
            Told::Rejected(why) => return self.end(Err(why.to_string())).await,
            Told::Failed { problem } => return self.end(Err(problem)).await,
        };
        let app = self.app;
        let said = Logits::from_bytes(&app.objects.get(&logits.sha256).await?)?;
        let report: protocol::Report = serde_json::from_slice(&app.objects.get(&report.sha256).await?)?;
        let Some(original) = app.db.evaluation(self.champion).await? else { return Ok(()) };
        let original = from_little_endian(&app.objects.get(&original.logits_sha256).await?);
        let classes = (said.classes as usize).max(1);
        let rows = said.values.chunks(classes).zip(original.chunks(classes));
        let agreed = rows.filter(|(form, original)| arg_max(form) == arg_max(original)).count();
        self.end(Ok(FormView {
            form: self.form,
            object: model,
            items: report.data.items,
            correct: report.quality.correct,
            agreed: u32::try_from(agreed).unwrap_or(u32::MAX),
            engine: report.engine,
        }))
        .await
    }

    /// Writes down what became of the form, and lets everybody have it.
    async fn end(&self, made: Result<FormView, String>) -> Result<(), FormError> {
        let (app, form) = (self.app, self.form);
        let mut tx = app.db.write().await?;
        if let Ok(FormView { object, .. }) = &made {
            let filename = form.path().rsplit('/').next().unwrap_or_default().to_owned();
            let public = PublicObject { sha256: object.sha256, size_bytes: object.size_bytes, filename };
            publish_object(&mut tx, &public).await?;
        }
        if let Err(why) = &made {
            tracing::warn!(submission.id = %self.champion, %form, "a champion has no such form: {why}");
        }
        let (made, problem) = match made {
            Ok(made) => (Some(made), None),
            Err(why) => (None, Some(why)),
        };
        let row = FormRow { submission: self.champion.clone(), form, made, problem, at: app.clock.now() };
        forms::insert(&mut tx, &row).await?;
        let competition = &self.stored.competition.manifest.id;
        work::forget(&mut tx, competition, &self.name(Some(form))).await?;
        if form == ModelForm::OnnxInt8 {
            work::forget(&mut tx, competition, &self.name(None)).await?;
        }
        failpoints::commit(tx, Change::Result).await?;
        // Its pages show it.
        app.board.changed(competition);
        Ok(())
    }
}

/// What is ordered of a form, or of a graph that tells ranges, and what the answer is held against.
///
/// # Errors
/// When what it is made of can't be had.
pub async fn request(
    app: &App,
    competition: &CompetitionId,
    form: Option<ModelForm>,
    model: &Digest,
) -> Result<EvaluationRequest, RoundError> {
    let unknown = || RoundError::UnknownCompetition(competition.clone());
    let stored = app.db.competition(competition).await?.ok_or_else(unknown)?;
    let materials = app.materials.of(&app.objects, &stored).await?;
    let Items { inputs, truth } = materials.items.clone();
    let manifest = &stored.competition.manifest;
    let config_json = canonical_json(&OnnxConfig::new(&manifest.labels))?;
    let weights = Arc::from(app.objects.get(model).await?.as_ref());
    let candidate = PackageBytes { config_json: config_json.into(), weights };
    let (reference, truth) = match form {
        Some(_) => (materials.reference.clone(), truth),
        // Ranges are nobody's classes.
        None => {
            let labels = truth.labels.iter().map(|_| 0).collect();
            (candidate.clone(), Truth { labels, public: truth.public, teacher_logits: None })
        }
    };
    let order = Order {
        candidate,
        reference,
        inputs,
        probes: Arc::from([]),
        expected: None,
        engine: OfficialEngine::any(EngineName::Rten),
        backends: Vec::new(),
        scope: Scope::OutputsOnly,
        seed: 0,
        wall_seconds_max: app.config.limits.publish_seconds_max,
        memory_bytes_max: app.config.limits.evaluation_memory_bytes_max,
    };
    Ok(EvaluationRequest::new(order, truth))
}
