//! `/api/v1/tokens`: tokens for clients that can't sign, such as `hf upload`. Who signs for one may do with it what it
//! says, and no more: it submits for that hotkey, at this validator, for a time.

use super::json;
use crate::face::Face;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use edge::auth::Signed;
use edge::error::ApiError;
use http::{StatusCode, header};
use protocol::Digest;
use protocol::api::{TokenCreated, TokenRequest, TokenScope, TokenView};
use service::app::App;
use store::db::tokens::{self, ApiToken};
use store::failpoints::{self, Change, Moment};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What tokens of ours begin with, so that people and scanners of leaked secrets know them; Hugging Face's JavaScript client
/// takes none that doesn't begin with `hf_`.
const PREFIX: &str = "hf_retort_";
/// The longest name of a token.
const LABEL_BYTES_MAX: usize = 64;
/// How long a token may be good.
const SECONDS_MAX: u64 = 365 * 24 * 3_600;
/// Tokens of a hotkey at once.
const TOKENS_MAX: u64 = 16;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(create, list)).routes(routes!(revoke))
}

/// Make a token that submits for the signer, for clients that can't sign (Hugging Face Hub). It is told once.
#[utoipa::path(
    post,
    path = "/api/v1/tokens",
    tag = "tokens",
    security(("btauth" = [])),
    request_body = TokenRequest,
    responses(
        (status = 201, description = "The token.", body = TokenCreated),
        (status = 409, description = "too_many_tokens: 16 are the limit of a hotkey."),
    ),
)]
async fn create(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let TokenRequest { label, expires_in_seconds } = signed.json()?;
    check(&label, expires_in_seconds)?;
    let secret = format!("{PREFIX}{}", hex::encode(rand::random::<[u8; 32]>()));
    let now = app.clock.now();
    let token = ApiToken {
        id: hex::encode(rand::random::<[u8; 8]>()),
        hotkey: signed.hotkey,
        label,
        created_at: now,
        expires_at: now.saturating_add(expires_in_seconds),
    };
    let mut tx = app.db.write().await?;
    if tokens::count(&mut tx, &signed.hotkey, now).await? >= TOKENS_MAX {
        let hint = "Revoke one: DELETE /api/v1/tokens/{id}.";
        let detail = format!("{TOKENS_MAX} tokens are the limit of a hotkey");
        return Err(ApiError::conflict("too_many_tokens", detail, hint));
    }
    tokens::insert(&mut tx, &Digest::of(secret.as_bytes()), &token).await?;
    failpoints::commit(tx, Change::Token).await?;
    tracing::info!(token.id = %token.id, hotkey = %token.hotkey, "made token {}", token.id);
    let created = TokenCreated { token: secret, view: view(token) };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], axum::Json(created)).into_response())
}

/// The signer's tokens that are good, without what opens anything.
#[utoipa::path(
    get,
    path = "/api/v1/tokens",
    tag = "tokens",
    security(("btauth" = [])),
    responses((status = 200, description = "The tokens, oldest first.", body = [TokenView])),
)]
async fn list(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let tokens = app.db.api_tokens(&signed.hotkey, app.clock.now()).await?;
    Ok(json(&tokens.into_iter().map(view).collect::<Vec<_>>()))
}

/// Revoke one of the signer's tokens.
#[utoipa::path(
    delete,
    path = "/api/v1/tokens/{id}",
    tag = "tokens",
    security(("btauth" = [])),
    params(("id" = String, Path, description = "The token's name, as the list has it; not the token itself.")),
    responses((status = 204, description = "It opens nothing any more.")),
)]
async fn revoke(State(app): State<App>, Path(id): Path<String>, signed: Signed) -> Result<StatusCode, ApiError> {
    // Somebody else's token looks like none.
    if app.db.revoke_api_token(&signed.hotkey, &id).await? {
        failpoints::at(Moment::TokenRevoked)?;
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(ApiError::not_found("you have no token of this name"))
}

fn check(label: &str, seconds: u64) -> Result<(), ApiError> {
    let invalid = |detail: String| {
        let hint = "Such as a label `laptop` for 2592000 seconds, which are 30 days.";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_token_request", detail, hint)
    };
    let printable = label.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if !printable || !(1..=LABEL_BYTES_MAX).contains(&label.len()) {
        return Err(invalid(format!("a label is 1 to {LABEL_BYTES_MAX} printable ASCII characters")));
    }
    if !(1..=SECONDS_MAX).contains(&seconds) {
        return Err(invalid(format!("{seconds} s; a token is good for 1 to {SECONDS_MAX} s")));
    }
    Ok(())
}

fn view(token: ApiToken) -> TokenView {
    let ApiToken { id, hotkey, label, created_at, expires_at } = token;
    TokenView { id, hotkey, label, scope: TokenScope::Submit, created_at, expires_at }
}
