//! One claim from its files to its report: what the worker does while the validator waits. Whatever is measured ends as soon as the
//! validator says that the claim is over.

use super::cache::FilePixels;
use super::{END, REST, Worker, blocking};
use crate::engine::ProcessMeasurer;
use anyhow::{Result, bail};
use bytes::Bytes;
use miner_template::client::ClientError;
use protocol::Digest;
use protocol::competition::ObjectRef;
use protocol::evaluation::{Answer, EvaluationFailure, Order, little_endian};
use protocol::fleet::{AnswerSheet, Claimed, RenewRequest, Renewed, WorkerReport, Worth, WorthRequest};
use protocol::pixels::Pixels;
use protocol::submission::Rejection;
use std::io::{Read, Seek};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use validator::evaluator::{Home, Measurer, Progress};

/// Tries to report before what was measured is given up: longer than a validator takes to be started again.
const REPORT_TRIES: u32 = 60;
/// What lies between two of them.
const AGAIN: Duration = Duration::from_secs(1);

/// A claim and who has it.
pub(super) struct Work {
    pub(super) worker: Worker,
    pub(super) claimed: Claimed,
    pub(super) measurer: Arc<ProcessMeasurer>,
}

/// Where a measurement is, as the next renewal says it.
type Place = Arc<Mutex<RenewRequest>>;

/// What came of a claim.
#[derive(Clone)]
enum Came {
    Answer(Arc<Answer>),
    Rejected(Rejection),
    Failed(String),
    GivenBack,
}

impl Work {
    /// Measures and reports; whether this process was told to end meanwhile.
    pub(super) async fn through(self, interrupted: &mut Pin<&mut impl Future<Output = ()>>) -> bool {
        let claim = self.claimed.claim.clone();
        tracing::info!(claim, "measuring");
        let place = Place::default();
        let mut told_to_end = false;
        let end = async {
            interrupted.as_mut().await;
            told_to_end = true;
            tracing::warn!("told to end: {} s are left for what is measured", END.as_secs());
            tokio::time::sleep(END).await;
        };
        let reported = tokio::select! {
            reported = self.reported(&place) => reported,
            () = self.until_over(&place) => Err(anyhow::anyhow!("the validator wants it no more; what ran for it is ended")),
            () = end => self.report(&Came::GivenBack).await,
        };
        match reported {
            Ok(()) => tracing::info!(claim, "reported"),
            Err(error) => tracing::warn!(claim, "it isn't reported: {error:#}"),
        }
        told_to_end
    }

    /// Measures and reports.
    async fn reported(&self, place: &Place) -> Result<()> {
        let came = match self.answer(place).await {
            Ok(answer) => Came::Answer(Arc::new(answer)),
            Err(EvaluationFailure::Package(rejection)) => Came::Rejected(rejection),
            Err(EvaluationFailure::Infrastructure(problem)) => Came::Failed(problem),
        };
        tell(place, "report", 0, 0);
        self.report(&came).await
    }

    async fn answer(&self, place: &Place) -> Result<Answer, EvaluationFailure> {
        tell(place, "files", 0, 0);
        let (worker, claimed) = (self.worker.clone(), self.claimed.clone());
        let fetched = blocking(move || fetched(&worker, &claimed)).await;
        let order = fetched.map_err(|error| EvaluationFailure::Infrastructure(format!("{error:#}")))?;
        tell(place, "the machine", 0, 0);
        let machine = self.measurer.machine().await?;
        self.measurer.measure(machine, order, self.home(place)).await
    }

    /// What the engine asks while it measures.
    fn home(&self, place: &Place) -> Home {
        let (place, worker) = (Arc::clone(place), self.worker.clone());
        let (files, claim) = (self.claimed.files.clone(), self.claimed.claim.clone());
        let is_worth_timing = move |outputs: &[f32]| {
            worth(&worker, (&files, &claim), outputs).unwrap_or_else(|error| {
                tracing::warn!("it is timed, since nobody says whether it is worth it: {error}");
                true
            })
        };
        let progress = move |at: Progress| tell(&place, &at.phase, at.done, at.total);
        Home { progress: Arc::new(progress), is_worth_timing: Arc::new(is_worth_timing) }
    }

    /// Renews the claim until the validator says that it is over.
    async fn until_over(&self, place: &Place) {
        let path = format!("/api/v1/fleet/claims/{}/renew", self.claimed.claim);
        loop {
            let at = place.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let (worker, path) = (self.worker.clone(), path.clone());
            let renewed = blocking(move || Ok(worker.signed::<Renewed>(&path, &at))).await;
            match renewed {
                Ok(Ok(_)) => {}
                Ok(Err(ClientError::Problem(problem))) if (400..500).contains(&problem.status) => return,
                // It may be started again.
                _ => tokio::time::sleep(REST).await,
            }
        }
    }

    /// Brings what came of it, and says so; again where the validator was started again meanwhile, which forgets what was brought.
    async fn report(&self, came: &Came) -> Result<()> {
        let path = format!("/api/v1/fleet/claims/{}/report", self.claimed.claim);
        for _ in 1..REPORT_TRIES {
            let (worker, files) = (self.worker.clone(), self.claimed.files.clone());
            let (path, came) = (path.clone(), came.clone());
            match blocking(move || Ok(sent(&worker, &files, &path, came))).await? {
                Ok(()) => return Ok(()),
                Err(error) if error.is_passing() || is_forgotten(&error) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(error.into()),
            }
        }
        bail!("the validator can't be reached")
    }
}

/// Whether a validator doesn't have any more what was brought.
fn is_forgotten(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == "not_brought")
}

fn sent(worker: &Worker, files: &str, path: &str, came: Came) -> Result<(), ClientError> {
    let report = match came {
        Came::Answer(answer) => WorkerReport::Answer(Box::new(brought(worker, files, &answer)?)),
        Came::Rejected(rejection) => WorkerReport::Rejected(rejection),
        Came::Failed(problem) => WorkerReport::Failed { problem },
        Came::GivenBack => WorkerReport::GivenBack,
    };
    worker.signed::<serde_json::Value>(path, &report).map(drop)
}

fn tell(place: &Place, phase: &str, done: u64, total: u64) {
    *place.lock().unwrap_or_else(PoisonError::into_inner) = RenewRequest { phase: phase.into(), done, total };
}

/// The order with its files, which come once.
fn fetched(worker: &Worker, claimed: &Claimed) -> Result<Order> {
    let at = |object: &ObjectRef| {
        worker.cache.file(object, |file| {
            worker.client.download(&format!("{}/{}", claimed.files, object.sha256), object, file)?;
            Ok(())
        })
    };
    let bytes = |object: &ObjectRef| -> Result<Arc<[u8]>> {
        let (mut file, mut bytes) = (at(object)?, Vec::new());
        file.rewind()?;
        file.read_to_end(&mut bytes)?;
        Ok(bytes.into())
    };
    let pixels = |object: &ObjectRef| Ok(Pixels::of(FilePixels { file: at(object)?, bytes: object.size_bytes }));
    claimed.order.clone().order(bytes, pixels)
}

/// Brings the large parts of an answer, and names them.
fn brought(worker: &Worker, files: &str, answer: &Answer) -> Result<AnswerSheet, ClientError> {
    Ok(AnswerSheet {
        measured: answer.measured.clone(),
        outputs: bring(worker, files, little_endian(&answer.outputs))?,
        probe_outputs: bring(worker, files, little_endian(&answer.probe_outputs))?,
        latency_samples: bring(worker, files, answer.latency_samples.clone())?,
        log_ratio_nanos: answer.log_ratio_nanos.clone(),
    })
}

fn bring(worker: &Worker, files: &str, bytes: Vec<u8>) -> Result<Digest, ClientError> {
    let sha256 = Digest::of(&bytes);
    worker.client.bring(&format!("{files}/{sha256}"), &Bytes::from(bytes))?;
    Ok(sha256)
}

fn worth(worker: &Worker, (files, claim): (&str, &str), outputs: &[f32]) -> Result<bool, ClientError> {
    let outputs = bring(worker, files, little_endian(outputs))?;
    let asked = worker.signed::<Worth>(&format!("/api/v1/fleet/claims/{claim}/worth"), &WorthRequest { outputs })?;
    Ok(asked.is_none_or(|worth| worth.timed))
}
