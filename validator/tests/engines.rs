//! The engine that a competition names: published with its version and library, and what was measured on another counts for
//! nothing.

use super::door::Scripted;
use super::support::{NOW, Setup, TestApp, competition, competition_toml};
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::Digest;
use protocol::competition::OfficialEngine;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest, Order};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use validator::Publisher;
use validator::evaluator::conformance::Subject;
use validator::evaluator::{measured, silent};
use validator::{Evaluator, Machine, ProgressFn, ScriptedEvaluator, doctor, engines, sweep};

const LIBRARY: &[u8] = b"a library";

/// A machine that has this onnxruntime and no other engine, or for now none at all.
#[derive(Clone, Default)]
struct Host {
    script: ScriptedEvaluator,
    has: Arc<Mutex<Option<OfficialEngine>>>,
    /// What hardware it says that it is, if any.
    class: Arc<Mutex<Option<&'static str>>>,
}

impl Host {
    fn having(text: &str) -> Self {
        let host = Self::default();
        host.gets(text);
        host
    }

    fn gets(&self, text: &str) {
        *self.has.lock().unwrap() = Some(text.parse().unwrap());
    }
}

impl Evaluator for Host {
    fn machine(&self) -> BoxFuture<'_, Result<Machine, EvaluationFailure>> {
        self.script.machine()
    }

    fn evaluate(
        &self,
        machine: Machine,
        request: EvaluationRequest,
        progress: ProgressFn,
    ) -> BoxFuture<'_, Result<Evaluation, EvaluationFailure>> {
        let ran = self.has.lock().unwrap().map(|engine| format!("script/1 {engine}"));
        let measured = self.script.evaluate(machine, request, progress);
        async move {
            let mut evaluation = measured.await?;
            evaluation.report.engine = ran.ok_or_else(|| EvaluationFailure::Infrastructure("no engine".into()))?;
            Ok(evaluation)
        }
        .boxed()
    }

    fn class(&self) -> Option<String> {
        self.class.lock().unwrap().map(str::to_owned)
    }

    fn official(&self, asked: OfficialEngine) -> BoxFuture<'_, Result<OfficialEngine, String>> {
        let here = self.has.lock().unwrap().filter(|here| asked.is_met_by(here));
        std::future::ready(here.ok_or_else(|| format!("{asked} isn't here: fetch it"))).boxed()
    }

    fn try_out(&self, order: Order) -> BoxFuture<'_, Result<(), EvaluationFailure>> {
        self.script.try_out(order)
    }

    fn library(&self, _: OfficialEngine) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        std::future::ready(Ok(Some(LIBRARY.to_vec()))).boxed()
    }
}

fn onnxruntime(version: &str) -> String {
    format!("onnxruntime {version} sha256:{}", Digest::of(LIBRARY))
}

async fn engines_of(app: &TestApp) -> doctor::Finding {
    let findings = doctor::examine(&app.app).await;
    findings.into_iter().find(|finding| finding.name == "engines").unwrap()
}

#[tokio::test]
async fn what_is_published_names_its_engine_with_version_and_library_and_keeps_the_library() {
    let host = Host::having(&onnxruntime("1.32.0"));
    let app = TestApp::start(Setup { evaluator: Arc::new(host.clone()), ..Setup::default() }).await;
    let named = competition_toml("digits", "engine = \"onnxruntime\"");
    let published = app.publish(&named).await;
    assert_eq!(published.competition.manifest.engine.to_string(), onnxruntime("1.32.0"));
    let kept = app.app.objects.get(&Digest::of(LIBRARY)).await.unwrap();
    assert_eq!(kept, LIBRARY);
    // What names it keeps it, whoever sweeps.
    sweep::prune_until(&app.app.db, &app.app.objects, Duration::ZERO, NOW, Duration::ZERO, sweep::Really::Remove)
        .await
        .unwrap();
    assert_eq!(app.app.objects.get(&Digest::of(LIBRARY)).await.unwrap(), LIBRARY);
    // The manifest as its author wrote it is the same competition.
    assert!(!app.publish(&named).await.created);
    let finding = engines_of(&app).await;
    assert!(finding.healthy && finding.detail.starts_with(&onnxruntime("1.32.0")), "{finding:?}");
    assert!(finding.detail.contains("rten isn't here: fetch it"), "{finding:?}");
}

#[tokio::test]
async fn a_competition_on_an_engine_that_is_not_here_is_refused_by_name() {
    let host = Host::having(&onnxruntime("1.32.0"));
    let app = TestApp::start(Setup { evaluator: Arc::new(host.clone()), ..Setup::default() }).await;
    for engine in ["rten", "onnxruntime 1.31.0"] {
        let manifest = app.write_competition(&competition_toml("digits", &format!("engine = \"{engine}\"")));
        let error = Publisher::of(&app.app).publish(&manifest, silent()).await.unwrap_err().to_string();
        assert_eq!(error, format!("manifest field `engine`: {engine} isn't here: fetch it"));
    }
    app.publish(&competition_toml("digits", "engine = \"onnxruntime 1.32.0\"\ncloses_at = 1800001000")).await;
    engines::check(&app.app).await.unwrap();
    host.gets(&onnxruntime("1.33.0"));
    let told = engines::check(&app.app).await.unwrap_err().to_string();
    let words = format!("digits is measured on {0}: {0} isn't here: fetch it", onnxruntime("1.32.0"));
    assert_eq!(told, words);
    let finding = engines_of(&app).await;
    assert!(!finding.healthy && finding.detail == words, "{finding:?}");
    // Nothing is measured any more for what is over.
    app.app.clock.advance(2_000);
    engines::check(&app.app).await.unwrap();
    assert!(app.app.db.competition(&competition("digits")).await.unwrap().is_some());
}

#[tokio::test]
async fn a_competition_is_published_and_served_on_the_hardware_that_it_names_alone() {
    let host = Host::having("burn 0.22.1");
    *host.class.lock().unwrap() = Some("x86_64-v4");
    let app = TestApp::start(Setup { evaluator: Arc::new(host.clone()), ..Setup::default() }).await;
    let named = competition_toml("digits", "hardware = \"x86_64-v3\"");
    let manifest = app.write_competition(&named);
    let error = Publisher::of(&app.app).publish(&manifest, silent()).await.unwrap_err().to_string();
    assert!(error.starts_with("manifest field `hardware`: x86_64-v3, and this machine is x86_64-v4"), "{error}");
    *host.class.lock().unwrap() = Some("x86_64-v3");
    let published = app.publish(&named).await;
    assert_eq!(published.competition.manifest.hardware.unwrap().to_string(), "x86_64-v3");
    engines::check(&app.app).await.unwrap();
    assert!(engines_of(&app).await.detail.contains("hardware of the class x86_64-v3"));
    // Its folder was brought to another machine.
    *host.class.lock().unwrap() = Some("x86_64-v4");
    let told = engines::check(&app.app).await.unwrap_err().to_string();
    assert!(
        told.starts_with("digits is measured on machines of the class x86_64-v3, and this one is x86_64-v4"),
        "{told}"
    );
    let unknown = competition_toml("others", "hardware = \"x86-64-v3\"");
    let error = Publisher::of(&app.app).publish(&app.write_competition(&unknown), silent()).await.unwrap_err();
    let told = store_causes(&error);
    assert!(told.contains("is no class of hardware: write x86_64-v1"), "{told}");
}

/// An error with all its causes.
fn store_causes(error: &dyn std::error::Error) -> String {
    let mut told = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}

#[tokio::test]
async fn a_report_from_another_engine_is_no_answer_and_nobody_elses_fault() {
    let host = Host::having(&onnxruntime("1.33.0"));
    let mut request = Scripted::new().order(1);
    let sha256 = request.order.package_sha256();
    measured(&host, request.clone(), sha256).await.unwrap();
    request.order.engine = onnxruntime("1.32.0").parse().unwrap();
    let failure = measured(&host, request, sha256).await.unwrap_err();
    let EvaluationFailure::Infrastructure(told) = &failure else { panic!("{failure}") };
    assert!(told.contains("1.33.0") && told.contains("asked for on onnxruntime 1.32.0"), "{told}");
}
