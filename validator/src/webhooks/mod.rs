//! Webhooks: events are sent to whoever registered an address for them, in order, at least once, signed.
//!
//! Signatures are those of Standard Webhooks (standardwebhooks.com): `webhook-signature: v1,` and the base64 of an
//! HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, so that libraries of every language check them. An address
//! is taken only if it answers a challenge, so that nobody can have us write to a stranger; [`outside`] keeps us from
//! writing to ourselves. What can't be delivered is tried again, later and later; after [`FAILURES_MAX`] tries the webhook
//! ends and says why. It knows events and addresses, no submissions.

mod outside;
mod signature;

pub(crate) use outside::Outside;

use crate::app::App;
use crate::db::feed::{FeedEvent, FeedFilter};
use crate::db::webhooks::{self, Webhook};
use crate::db::{DbError, to_json};
use crate::error::{ApiError, Chain};
use crate::failpoints::{self, Change, Moment};
use crate::secret::Secret;
use futures::StreamExt;
use http::StatusCode;
use protocol::{CompetitionId, Hotkey};
use serde::Serialize;
use serde_json::json;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// How often it is looked whether there is something to tell.
const TICK: Duration = Duration::from_millis(500);
/// Webhooks that are told at once.
const DELIVERIES_MAX: usize = 4;
/// Webhooks that one look takes up.
const BATCH_MAX: u32 = 32;
/// Events that a webhook is told in one go.
const EVENTS_MAX: u32 = 32;
/// The pause after the first failure; each further one doubles it.
const PAUSE_SECONDS: u64 = 5;
/// The longest pause.
const PAUSE_SECONDS_MAX: u64 = 3_600;
/// Failures in a row after which a webhook ends: about half a day.
const FAILURES_MAX: u32 = 20;
/// Webhooks of a hotkey.
const PER_HOTKEY_MAX: u64 = 4;
/// Webhooks of all hotkeys.
const TOTAL_MAX: u64 = 1_000;

/// Tells until `stop`.
pub(crate) async fn run(app: App, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = round(&app, &stop).await {
            tracing::error!(error = %Chain(&error), "can't see who is to be told what");
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = stop.cancelled() => {}
        }
    }
}

/// Tells everybody who is due what they haven't heard.
async fn round(app: &App, stop: &CancellationToken) -> Result<(), DbError> {
    let end = app.db.feed_end().await?;
    let due = app.db.webhooks_due(end, app.clock.now(), BATCH_MAX).await?;
    let told = futures::stream::iter(due).for_each_concurrent(DELIVERIES_MAX, |webhook| async move {
        if let Err(error) = tell(app, &webhook, end).await {
            tracing::error!(webhook = webhook.id, error = %Chain(&error), "can't tell a webhook");
        }
    });
    tokio::select! {
        () = told => {}
        // What was sent and not written down is sent again: at least once.
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// Tells one webhook what it hasn't heard up to event `end`, in order, until one delivery fails.
async fn tell(app: &App, webhook: &Webhook, end: u64) -> Result<(), DbError> {
    let filter = match &webhook.competition {
        Some(competition) => FeedFilter { competition: Some(competition.clone()), ..FeedFilter::default() },
        None => FeedFilter { hotkey: Some(webhook.hotkey), ..FeedFilter::default() },
    };
    let events = app.db.feed(webhook.cursor, &filter, EVENTS_MAX).await?;
    let whole = events.len() == EVENTS_MAX as usize;
    let mut failures = webhook.failures;
    for event in &events {
        if let Err(problem) = deliver(app, webhook, event).await {
            failures = failures.saturating_add(1);
            tracing::info!(webhook = webhook.id, failures, problem, "a webhook wasn't told");
            let pause = PAUSE_SECONDS.saturating_mul(1 << (failures - 1).min(20)).min(PAUSE_SECONDS_MAX);
            let ended = (failures >= FAILURES_MAX).then(|| format!("it failed {failures} times in a row: {problem}"));
            app.db.webhook_failed(&webhook.id, app.clock.now() + pause, ended.as_deref()).await?;
            return failpoints::at(Moment::WebhookMissed);
        }
        failpoints::at(Moment::WebhookDelivered)?;
        app.db.webhook_told(&webhook.id, event.id).await?;
        failpoints::at(Moment::WebhookTold)?;
        failures = 0;
    }
    if !whole && webhook.cursor < end && events.last().is_none_or(|last| last.id < end) {
        // Whatever else happened until then wasn't for it.
        app.db.webhook_told(&webhook.id, end).await?;
        failpoints::at(Moment::WebhookTold)?;
    }
    Ok(())
}

/// Sends an event; an answer in the two hundreds means that it was heard.
async fn deliver(app: &App, webhook: &Webhook, event: &FeedEvent) -> Result<(), String> {
    let body =
        to_json(&json!({ "type": format!("retort.{}", event.what.kind()), "timestamp": event.at, "data": event }));
    let id = format!("{}-{}", webhook.id, event.id);
    let headers = signature::headers(&id, app.clock.now(), &body, key(app, webhook).expose());
    let (status, _) = app.outside.post(&webhook.url, &headers, body).await?;
    if status.is_success() { Ok(()) } else { Err(format!("the answer was {status}")) }
}

/// The key of a webhook's signatures.
fn key(app: &App, webhook: &Webhook) -> Secret {
    signature::secret(&app.keypair, &webhook.id, &webhook.salt)
}

/// A webhook as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub(crate) struct WebhookView {
    /// Its name: `DELETE /api/v1/webhooks/{id}`.
    id: String,
    /// Everything of this competition; without it the hotkey's own submissions, wherever they are.
    competition: Option<CompetitionId>,
    /// Where it is told.
    url: String,
    /// When it was registered, in Unix seconds.
    created_at: u64,
    /// Deliveries that failed since the last one that didn't.
    failures: u32,
    /// Why it is told nothing any more.
    ended: Option<String>,
    /// The key of its signatures: shown once, to whoever registers it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    secret: Option<String>,
}

impl WebhookView {
    fn new(webhook: Webhook, secret: Option<String>) -> Self {
        let Webhook { id, competition, url, created_at, failures, ended, .. } = webhook;
        Self { id, competition, url, created_at, failures, ended, secret }
    }
}

/// Registers an address, once it has answered the challenge.
pub(crate) async fn register(
    app: &App,
    hotkey: Hotkey,
    competition: Option<CompetitionId>,
    url: &str,
) -> Result<WebhookView, ApiError> {
    if !app.db.has_entered(&hotkey).await? {
        let hint = "Enter a submission first: only those who take part are told.";
        let detail = "this hotkey has entered nothing here";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_taking_part", detail, hint));
    }
    let url = app.outside.check(url).map_err(|problem| unusable(&problem))?;
    let webhook = Webhook {
        id: format!("wh_{}", hex::encode(rand::random::<[u8; 12]>())),
        hotkey,
        competition,
        url,
        salt: signature::new_salt(),
        cursor: app.db.feed_end().await?,
        failures: 0,
        retry_at: 0,
        created_at: app.clock.now(),
        ended: None,
    };
    // Places are looked at before and after: nobody may have us knock at many doors.
    let mut tx = app.db.write().await?;
    check_places(webhooks::count(&mut tx, &hotkey).await?)?;
    tx.rollback().await.map_err(DbError::from)?;
    challenge(app, &webhook).await?;
    let mut tx = app.db.write().await?;
    check_places(webhooks::count(&mut tx, &hotkey).await?)?;
    webhooks::insert(&mut tx, &webhook).await?;
    failpoints::commit(tx, Change::Webhook).await?;
    let secret = key(app, &webhook);
    Ok(WebhookView::new(webhook, Some(secret.expose().to_owned())))
}

fn check_places((total, own): (u64, u64)) -> Result<(), ApiError> {
    if own >= PER_HOTKEY_MAX {
        let detail = format!("a hotkey may have {PER_HOTKEY_MAX} webhooks");
        return Err(ApiError::conflict("webhooks_exhausted", detail, "Remove one first."));
    }
    if total >= TOTAL_MAX { Err(ApiError::busy("there are as many webhooks as there may be")) } else { Ok(()) }
}

/// Asks the address whether it wants to be told: it must answer with the challenge in its body.
async fn challenge(app: &App, webhook: &Webhook) -> Result<(), ApiError> {
    let challenge = hex::encode(rand::random::<[u8; 16]>());
    let now = app.clock.now();
    let body = to_json(&json!({ "type": "retort.challenge", "timestamp": now, "data": { "challenge": challenge } }));
    let headers = signature::headers(&format!("{}-0", webhook.id), now, &body, key(app, webhook).expose());
    let (status, answer) =
        app.outside.post(&webhook.url, &headers, body).await.map_err(|problem| unusable(&problem))?;
    if status.is_success() && answer.contains(&challenge) {
        return Ok(());
    }
    Err(unusable(&format!("it answered {status} and not with the challenge")))
}

fn unusable(problem: &str) -> ApiError {
    let hint = "Give a public https address that answers a retort.challenge with 200 and data.challenge in its body.";
    ApiError::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "webhook_unusable",
        format!("the address can't be used: {problem}"),
        hint,
    )
}

/// A hotkey's webhooks.
pub(crate) async fn list(app: &App, hotkey: &Hotkey) -> Result<Vec<WebhookView>, ApiError> {
    let webhooks = app.db.webhooks_of(hotkey).await?;
    Ok(webhooks.into_iter().map(|webhook| WebhookView::new(webhook, None)).collect())
}

/// Forgets a hotkey's webhook.
pub(crate) async fn remove(app: &App, hotkey: &Hotkey, id: &str) -> Result<(), ApiError> {
    if !app.db.remove_webhook(hotkey, id).await? {
        return Err(ApiError::not_found("you have no such webhook"));
    }
    Ok(failpoints::at(Moment::WebhookRemoved)?)
}
