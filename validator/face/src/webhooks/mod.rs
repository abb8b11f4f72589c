//! Webhooks: events are sent to whoever registered an address for them, in order, at least once, signed.
//!
//! Signatures are those of Standard Webhooks (standardwebhooks.com): `webhook-signature: v1,` and the base64 of an
//! HMAC-SHA256 over `{webhook-id}.{webhook-timestamp}.{body}`, so that libraries of every language check them. An address
//! is told only once it has answered a challenge, so that nobody can have us write to a stranger; nobody waits for that, and
//! [`crate::outside`] keeps us from writing to ourselves. What can't be delivered is tried again, later and later; after
//! `FAILURES_MAX` tries the webhook ends and says why. Whose turn it is says `lanes`. It knows events and addresses, no
//! submissions.

mod lanes;
mod signature;

use crate::face::Face;
use crate::outside::PostError;
use edge::error::ApiError;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::StatusCode;
use lanes::{Lane, Lanes, Turn};
use protocol::{CompetitionId, Hotkey};
use serde::Serialize;
use serde_json::json;
use service::app::App;
use service::guard::AddressBlock;
use service::shares;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use store::causes::Chain;
use store::db::feed::{FeedEvent, FeedFilter};
use store::db::origins::Counted;
use store::db::webhooks::{self, Webhook};
use store::db::{DbError, Tx, to_json};
use store::failpoints::{self, Change, Moment};
use store::secret::Secret;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

/// How often it is looked whether there is something to tell.
const TICK: Duration = Duration::from_millis(500);
/// The pause after the first failure; each further one doubles it.
const PAUSE_SECONDS: u64 = 5;
/// The longest pause.
const PAUSE_SECONDS_MAX: u64 = 3_600;
/// Failures in a row after which a webhook ends: about half a day.
const FAILURES_MAX: u32 = 20;
/// Challenges that an address may leave unanswered before its webhook ends.
const CHALLENGES_MAX: u32 = 3;
/// Webhooks of a hotkey.
const PER_HOTKEY_MAX: u64 = 4;
/// Webhooks of hotkeys that aren't registered, those of others counted in; beyond the half an address has a share.
pub const TOTAL_MAX: u64 = 1_000;
/// Webhooks of a hotkey that isn't registered, once more than half of the total are taken.
const PER_STRANGER_MAX: u64 = 1;
/// Of those webhooks, how many may not have answered their challenge.
pub const UNCONFIRMED_MAX: u64 = 64;
/// Failures in a row, after some twenty minutes, by which a stranger's webhook gives its place to others once more than half
/// are taken.
const FAILURES_GIVE_WAY: u32 = 8;

/// Tells until `stop`. What was sent and not written down by then is sent again: at least once.
pub async fn run(face: Face, stop: CancellationToken) {
    let (mut lanes, mut turns) = (Lanes::default(), FuturesUnordered::new());
    let mut look = tokio::time::interval(TICK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = look.tick() => find_due(&face, &mut lanes).await,
            Some(ended) = turns.next() => end(&mut lanes, ended),
        }
        while let Some(turn) = lanes.next() {
            turns.push(take(&face, turn));
        }
    }
}

/// Lets everybody wait who has something to hear.
async fn find_due(face: &Face, lanes: &mut Lanes) {
    let found = async { face.db.webhooks_due(face.db.feed_end().await?, face.clock.now()).await };
    match found.await {
        Ok(due) => due.into_iter().for_each(|(id, confirmed)| lanes.add(id, confirmed, Instant::now())),
        Err(error) => tracing::error!(error = %Chain(&error), "can't see who is to be told what"),
    }
}

/// What came of a turn.
#[derive(Clone, Copy, Debug, Default)]
struct Outcome {
    /// Whether there may be more to tell at once.
    again: bool,
    /// Whether it took too long for the lane of the quick ones.
    took_long: bool,
}

fn end(lanes: &mut Lanes, (turn, Outcome { again, took_long }): (Turn, Outcome)) {
    lanes.ended(&turn, took_long, Instant::now());
    if again {
        lanes.add(turn.id, true, Instant::now());
    }
}

async fn take(face: &Face, turn: Turn) -> (Turn, Outcome) {
    let taken = async {
        // It may have been removed while it waited.
        match face.db.webhook(&turn.id).await? {
            Some(webhook) if webhook.confirmed_at.is_none() => challenge(face, &webhook).await,
            Some(webhook) => tell(face, &webhook, turn.lane).await,
            None => Ok(Outcome::default()),
        }
    };
    let outcome = taken.await.unwrap_or_else(|error| {
        tracing::error!(webhook = turn.id, error = %Chain(&error), "can't tell a webhook");
        Outcome::default()
    });
    (turn, outcome)
}

/// Tells a webhook the next event that it hasn't heard.
async fn tell(face: &Face, webhook: &Webhook, lane: Lane) -> Result<Outcome, DbError> {
    let filter = match &webhook.competition {
        Some(competition) => FeedFilter { competition: Some(competition.clone()), ..FeedFilter::default() },
        None => FeedFilter { hotkey: Some(webhook.hotkey), ..FeedFilter::default() },
    };
    let end = face.db.feed_end().await?;
    let Some(event) = face.db.feed(webhook.cursor, &filter, 1).await?.into_iter().next() else {
        // Whatever else happened until then wasn't for it.
        face.db.webhook_told(&webhook.id, end).await?;
        failpoints::at(Moment::WebhookTold)?;
        return Ok(Outcome::default());
    };
    let began = Instant::now();
    let delivered = deliver(face, webhook, &event, lane.budget()).await;
    let took_long = began.elapsed() >= Lane::Quick.budget();
    match delivered {
        Ok(()) => {
            failpoints::at(Moment::WebhookDelivered)?;
            face.db.webhook_told(&webhook.id, event.id).await?;
            failpoints::at(Moment::WebhookTold)?;
            Ok(Outcome { again: true, took_long })
        }
        // No failure yet: among the slow ones it has more time.
        Err(PostError::Late) if lane == Lane::Quick => Ok(Outcome { again: true, took_long: true }),
        Err(problem) => {
            face.counters.events_undelivered.fetch_add(1, Ordering::Relaxed);
            failed(face, webhook, FAILURES_MAX, &problem).await?;
            failpoints::at(Moment::WebhookMissed)?;
            Ok(Outcome { again: false, took_long })
        }
    }
}

/// Notes that an address didn't answer as it should: when it is tried again, or that it never is.
async fn failed(app: &App, webhook: &Webhook, failures_max: u32, problem: &PostError) -> Result<(), DbError> {
    let failures = webhook.failures.saturating_add(1);
    tracing::info!(webhook = webhook.id, failures, %problem, "a webhook wasn't told");
    let pause = PAUSE_SECONDS.saturating_mul(1 << (failures - 1).min(20)).min(PAUSE_SECONDS_MAX);
    let ended = (failures >= failures_max).then(|| format!("it failed {failures} times in a row: {problem}"));
    app.db.webhook_failed(&webhook.id, app.clock.now() + pause, ended.as_deref()).await
}

/// Sends an event; an answer in the two hundreds means that it was heard.
async fn deliver(face: &Face, webhook: &Webhook, event: &FeedEvent, budget: Duration) -> Result<(), PostError> {
    let body =
        to_json(&json!({ "type": format!("retort.{}", event.what.kind()), "timestamp": event.at, "data": event }));
    let id = format!("{}-{}", webhook.id, event.id);
    let headers = signature::headers(&id, face.clock.now(), &body, key(face, webhook).expose());
    let (status, _) = face.outside.post(&webhook.url, &headers, body, budget).await?;
    if status.is_success() { Ok(()) } else { Err(PostError::Failed(format!("the answer was {status}"))) }
}

/// The key of a webhook's signatures.
fn key(app: &App, webhook: &Webhook) -> Secret {
    signature::secret(&app.keypair, &webhook.id, &webhook.salt)
}

/// A webhook as its owner sees it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Webhook)]
pub struct WebhookView {
    /// Its name: `DELETE /api/v1/webhooks/{id}`.
    id: String,
    /// Everything of this competition; without it the hotkey's own submissions, wherever they are.
    competition: Option<CompetitionId>,
    /// Where it is told.
    url: String,
    /// When it was registered, in Unix seconds.
    created_at: u64,
    /// When its address answered the challenge, in Unix seconds; it is told nothing before.
    confirmed_at: Option<u64>,
    /// Deliveries, or challenges, that failed since the last one that didn't.
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
        let Webhook { id, competition, url, created_at, confirmed_at, failures, ended, .. } = webhook;
        Self { id, competition, url, created_at, confirmed_at, failures, ended, secret }
    }
}

/// Registers an address. It is challenged when it is its turn, and told from then on.
pub async fn register(
    face: &Face,
    (hotkey, client): (Hotkey, AddressBlock),
    competition: Option<CompetitionId>,
    url: &str,
) -> Result<WebhookView, ApiError> {
    if !face.db.has_entered(&hotkey).await? {
        let hint = "Enter a submission first: only those who take part are told.";
        let detail = "this hotkey has entered nothing here";
        return Err(ApiError::new(StatusCode::FORBIDDEN, "not_taking_part", detail, hint));
    }
    let url = face.outside.check(url).map_err(|problem| unusable(&problem))?;
    let webhook = Webhook {
        id: format!("wh_{}", hex::encode(rand::random::<[u8; 12]>())),
        hotkey,
        origin: shares::origin(face, client),
        competition,
        url,
        salt: signature::new_salt(),
        cursor: face.db.feed_end().await?,
        failures: 0,
        retry_at: 0,
        created_at: face.clock.now(),
        confirmed_at: None,
        ended: None,
    };
    let is_registered = face.guard.is_registered(&hotkey).await;
    let mut tx = face.db.write().await?;
    let own = webhooks::count_of(&mut tx, &hotkey).await?;
    check_own(own, PER_HOTKEY_MAX)?;
    if !is_registered {
        admit_stranger(face, &mut tx, &webhook, own).await?;
    }
    // Nobody may have us knock at many doors.
    face.guard.admit_challenge(&hotkey)?;
    webhooks::insert(&mut tx, &webhook).await?;
    failpoints::commit(tx, Change::Webhook).await?;
    let secret = key(face, &webhook);
    Ok(WebhookView::new(webhook, Some(secret.expose().to_owned())))
}

/// Whether a hotkey that isn't registered and has so many webhooks may have this one, too. Those that fail for long make
/// room first.
async fn admit_stranger(app: &App, tx: &mut Tx, new: &Webhook, own: u64) -> Result<(), ApiError> {
    if shares::are_scarce(tx, Counted::Webhooks, TOTAL_MAX).await? {
        for (id, hotkey) in webhooks::failing(tx, FAILURES_GIVE_WAY).await? {
            if !app.guard.is_registered(&hotkey).await {
                webhooks::end(tx, &id, "it failed for long, and others waited for its place").await?;
            }
        }
        if shares::are_scarce(tx, Counted::Webhooks, TOTAL_MAX).await? {
            check_own(own, PER_STRANGER_MAX)?;
        }
    }
    shares::admit(app, tx, Counted::Webhooks, TOTAL_MAX, &new.origin).await?;
    Ok(shares::admit(app, tx, Counted::Challenges, UNCONFIRMED_MAX, &new.origin).await?)
}

fn check_own(own: u64, own_max: u64) -> Result<(), ApiError> {
    if own >= own_max {
        let detail = format!("a hotkey may have so many webhooks at the moment: {own_max}");
        return Err(ApiError::conflict("webhooks_exhausted", detail, "Remove one first."));
    }
    Ok(())
}

/// Asks an address whether it wants to be told: it must answer with the challenge in its body.
async fn challenge(face: &Face, webhook: &Webhook) -> Result<Outcome, DbError> {
    let Err(problem) = ask(face, webhook).await else {
        face.db.webhook_confirmed(&webhook.id, face.clock.now()).await?;
        return Ok(Outcome { again: true, took_long: false });
    };
    face.counters.challenges_unanswered.fetch_add(1, Ordering::Relaxed);
    failed(face, webhook, CHALLENGES_MAX, &problem).await?;
    Ok(Outcome::default())
}

async fn ask(face: &Face, webhook: &Webhook) -> Result<(), PostError> {
    let challenge = hex::encode(rand::random::<[u8; 16]>());
    let now = face.clock.now();
    let body = to_json(&json!({ "type": "retort.challenge", "timestamp": now, "data": { "challenge": challenge } }));
    let headers = signature::headers(&format!("{}-0", webhook.id), now, &body, key(face, webhook).expose());
    let (status, answer) = face.outside.post(&webhook.url, &headers, body, Lane::Challenge.budget()).await?;
    if status.is_success() && answer.contains(&challenge) {
        return Ok(());
    }
    Err(PostError::Failed(format!("it answered {status} and not with the challenge")))
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
pub async fn list(app: &App, hotkey: &Hotkey) -> Result<Vec<WebhookView>, ApiError> {
    let webhooks = app.db.webhooks_of(hotkey).await?;
    Ok(webhooks.into_iter().map(|webhook| WebhookView::new(webhook, None)).collect())
}

/// Forgets a hotkey's webhook.
pub async fn remove(app: &App, hotkey: &Hotkey, id: &str) -> Result<(), ApiError> {
    if !app.db.remove_webhook(hotkey, id).await? {
        return Err(ApiError::not_found("you have no such webhook"));
    }
    Ok(failpoints::at(Moment::WebhookRemoved)?)
}
