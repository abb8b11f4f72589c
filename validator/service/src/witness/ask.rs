//! Asks the witnesses of the settings to cosign whatever checkpoint is the latest, each at its own pace.
//!
//! Nothing waits for it: the log grows whether or not anybody witnesses it, and a checkpoint that a slow witness missed is in
//! the next one. What comes back is verified before it is kept. A witness that refuses what it should accept is told of in
//! the log, by the doctor and in the metrics: it is how an operator learns that his log was put back from an old copy.

use crate::app::App;
use futures::future::join_all;
use http::{StatusCode, header};
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use std::time::Duration;
use store::causes::Chain;
use store::config::WitnessSetting;
use store::db::DbError;
use store::db::witnesses::Cosignature;
use tokio_util::sync::CancellationToken;
use transparency::witness::SIZE_CONTENT_TYPE;
use transparency::{AddCheckpoint, LogError, LogView};

/// A witness answers within this time or not at all.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// Requests in a row: the second goes on from the size that the first was told.
const TRIES_MAX: u32 = 3;
/// The pause after the first failure; each further one doubles it.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(300);
/// How far a witness's clock may be from ours. One that is further off would make leaves older or younger than they are.
const SKEW_SECONDS_MAX: u64 = 300;

/// Why there is no cosignature.
#[derive(Debug, thiserror::Error)]
enum AskError {
    /// Nobody answers.
    #[error("it doesn't answer: {0}")]
    Silent(reqwest::Error),
    /// It says no.
    #[error("it answers {status}: {said}")]
    Refused { status: StatusCode, said: String },
    /// It knows a longer log.
    #[error("it has cosigned {theirs} entries of this log, which has {ours}: an old copy of the log was put back")]
    Ahead { theirs: u64, ours: u64 },
    /// It was shown another history.
    #[error(
        "it has cosigned another history of this log: the log was put back from an old copy and went another way, or \
         its key signs elsewhere, too"
    )]
    Contradicted,
    /// It says yes without its signature.
    #[error("its answer holds no cosignature of its key")]
    Unsigned,
    /// Its clock is wrong, or ours is.
    #[error("its clock is {seconds} seconds away from ours")]
    Clock { seconds: u64 },
    /// Our log can't be read.
    #[error(transparent)]
    Log(#[from] LogError),
    /// Our database fails.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Asks until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let client = Client::builder().redirect(Policy::none()).timeout(TIMEOUT);
    let client = client.user_agent(concat!("retort/", env!("CARGO_PKG_VERSION"))).build();
    match client {
        Ok(client) => {
            let asking = join_all(app.config.witnesses.iter().map(|witness| follow(&app, &client, witness)));
            tokio::select! {
                _ = asking, if !app.config.witnesses.is_empty() => {}
                () = stop.cancelled() => {}
            }
        }
        Err(error) => {
            tracing::error!(error = %Chain(&error), "can't ask witnesses");
            stop.cancelled().await;
        }
    }
}

/// Asks one witness for every checkpoint that comes, later and later while it fails.
async fn follow(app: &App, client: &Client, witness: &WitnessSetting) {
    let mut views = app.log.watch();
    let mut failures = 0u32;
    loop {
        let view = views.borrow_and_update().clone();
        let asked = match &view {
            Some(view) => ask(app, client, witness, view).await,
            None => Ok(()),
        };
        match asked {
            Ok(()) => {
                if failures > 0 {
                    tracing::info!(witness = witness.key.name(), "the witness cosigns again");
                }
                failures = 0;
                // The sender lives as long as the app.
                if views.changed().await.is_err() {
                    return;
                }
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                tell(app, witness, &error, failures).await;
                tokio::time::sleep(PAUSE.saturating_mul(1 << (failures - 1).min(16)).min(PAUSE_MAX)).await;
            }
        }
    }
}

/// Says what is wrong, in the log once for each row of failures.
async fn tell(app: &App, witness: &WitnessSetting, error: &AskError, failures: u32) {
    let (name, problem) = (witness.key.name(), Chain(error).to_string());
    match error {
        AskError::Ahead { .. } | AskError::Contradicted => {
            tracing::error!(witness = name, problem, "a witness refuses the public log");
        }
        _ if failures == 1 => tracing::warn!(witness = name, problem, "a witness didn't cosign the public log"),
        _ => tracing::debug!(witness = name, problem, failures, "a witness still doesn't cosign the public log"),
    }
    if let Err(error) = app.db.witness_failed(&witness.key.to_string(), &problem, app.clock.now()).await {
        tracing::error!(error = %Chain(&error), "can't write down that a witness failed");
    }
}

/// Has the checkpoint of `view` cosigned, unless it is.
async fn ask(app: &App, client: &Client, witness: &WitnessSetting, view: &LogView) -> Result<(), AskError> {
    let (key, checkpoint) = (witness.key.to_string(), view.checkpoint());
    let last = app.db.witness_state(&key).await?.last.map_or(0, |(size, _)| size);
    if last >= checkpoint.size() {
        // After a restart the log is where it was; an empty one has nothing to witness.
        return Ok(());
    }
    let asked_at = app.clock.now();
    let lines = cosignature_lines(client, witness, view, last).await?;
    let (line, time) = witness.key.find(checkpoint.text(), &lines).ok_or(AskError::Unsigned)?;
    let seconds = time.abs_diff(app.clock.now()).min(time.abs_diff(asked_at));
    if seconds > SKEW_SECONDS_MAX {
        return Err(AskError::Clock { seconds });
    }
    let (size, checkpoint, line) = (checkpoint.size(), checkpoint.note().to_owned(), line.to_owned());
    Ok(app.db.add_cosignature(&Cosignature { witness: key, size, time, checkpoint, line }).await?)
}

/// What the witness answers to the checkpoint of `view`. It may remember another size than we do.
async fn cosignature_lines(
    client: &Client,
    witness: &WitnessSetting,
    view: &LogView,
    last: u64,
) -> Result<String, AskError> {
    let (ours, mut old_size) = (view.checkpoint().size(), last);
    let mut refused = AskError::Unsigned;
    for _ in 0..TRIES_MAX {
        let proof = if old_size < ours { view.prove_consistency(old_size).await?.hashes } else { Vec::new() };
        let request = AddCheckpoint { old_size, proof, note: view.checkpoint().note().to_owned() };
        let (status, theirs, body) = post(client, witness, request.to_string()).await?;
        match (status, theirs) {
            (StatusCode::OK, _) => return Ok(body),
            (StatusCode::CONFLICT, Some(theirs)) if theirs > ours => return Err(AskError::Ahead { theirs, ours }),
            (StatusCode::CONFLICT, Some(theirs)) => old_size = theirs,
            (StatusCode::UNPROCESSABLE_ENTITY, _) if old_size > 0 => return Err(AskError::Contradicted),
            _ => {}
        }
        refused = AskError::Refused { status, said: body.trim().chars().take(200).collect() };
        if status != StatusCode::CONFLICT {
            break;
        }
    }
    Err(refused)
}

/// Posts a request: the status, the size that a conflict names, and the body.
async fn post(
    client: &Client,
    witness: &WitnessSetting,
    body: String,
) -> Result<(StatusCode, Option<u64>, String), AskError> {
    let url = format!("{}/add-checkpoint", witness.url.as_str().trim_end_matches('/'));
    let answer = client.post(url).body(body).send().await.map_err(|error| AskError::Silent(error.without_url()))?;
    let status = answer.status();
    let names_size = answer.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind == SIZE_CONTENT_TYPE);
    let body = read(answer).await.map_err(|error| AskError::Silent(error.without_url()))?;
    let size = body.strip_suffix('\n').and_then(|size| size.parse().ok()).filter(|_| names_size);
    Ok((status, size, body))
}

/// The beginning of an answer.
async fn read(mut answer: Response) -> Result<String, reqwest::Error> {
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - bytes.len())]);
        if bytes.len() == ANSWER_BYTES_MAX {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
