//! `/api/v1/fleet/…`: what workers on other machines are told and bring, each request signed by the worker's own key; files by addresses
//! that are good for one claim. A request that waits for work holds no place among those that write.

use super::json;
use crate::face::Face;
use crate::operator;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use edge::Binary;
use edge::auth::Signed;
use edge::error::ApiError;
use futures::{StreamExt, stream};
use http::{HeaderMap, StatusCode, header};
use protocol::Digest;
use protocol::fleet::{
    ClaimRequest, Claimed, EnrolRequest, Enrolled, OrderFile, RenewRequest, Renewed, WorkerReport, Worth, WorthRequest,
};
use protocol::pixels::Pixels;
use service::app::App;
use service::fleet;
use service::refusal::Refusal;
use std::io;
use std::time::Duration;
use store::db::workers::Worker;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// How long a worker may take to bring one file.
const BRING: Duration = Duration::from_secs(300);

/// They wait, and bring what is large, so they have limits of their own.
pub fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .routes(routes!(enrol))
        .routes(routes!(claim))
        .routes(routes!(renew))
        .routes(routes!(worth))
        .routes(routes!(report))
        .routes(routes!(fetch, bring))
        .routes(routes!(workers))
        .layer(DefaultBodyLimit::disable())
}

/// Let a worker in.
///
/// The signer's key becomes a worker's, by a token that `retort fleet enrol` made.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/enrol",
    tag = "fleet",
    security(("btauth" = [])),
    request_body = EnrolRequest,
    responses(
        (status = 200, description = "It is a worker from here on.", body = Enrolled),
        (status = 403, description = "The token is good no more."),
        (status = 426, description = "The worker is of another build."),
    ),
)]
async fn enrol(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    Ok(json(&fleet::enrol(&app, signed.hotkey, signed.json()?).await?))
}

/// Ask for something to measure.
///
/// It is answered when there is something, or after some seconds.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/claims",
    tag = "fleet",
    security(("btauth" = [])),
    request_body = ClaimRequest,
    responses(
        (status = 200, description = "An order, and for how long it is this worker's.", body = Claimed),
        (status = 204, description = "There is nothing to measure: ask again."),
        (status = 403, description = "The worker is unknown, of another class, or given no work."),
        (status = 409, description = "Another worker of this machine asks, too."),
        (status = 426, description = "The worker is of another build."),
    ),
)]
async fn claim(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let (key, request): (_, ClaimRequest) = (signed.hotkey, signed.json()?);
    drop(signed);
    Ok(match fleet::claim(&app, key, request.facts).await? {
        Some(claimed) => json(&claimed),
        None => StatusCode::NO_CONTENT.into_response(),
    })
}

/// Say that a claim is still being worked on.
///
/// It is answered after some seconds, or at once when the claim is over.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/claims/{claim}/renew",
    tag = "fleet",
    security(("btauth" = [])),
    params(("claim" = String, Path, description = "The claim's name.")),
    request_body = RenewRequest,
    responses(
        (status = 200, description = "It is good for longer.", body = Renewed),
        (status = 409, description = "It is over: whatever runs for it is for nobody."),
    ),
)]
async fn renew(State(app): State<App>, Path(claim): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let (key, request) = (signed.hotkey, signed.json()?);
    drop(signed);
    Ok(json(&fleet::renew(&app, key, &claim, request).await?))
}

/// Ask whether outputs that were brought are worth timing.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/claims/{claim}/worth",
    tag = "fleet",
    security(("btauth" = [])),
    params(("claim" = String, Path, description = "The claim's name.")),
    request_body = WorthRequest,
    responses((status = 200, description = "Whether they are.", body = Worth), (status = 409, description = "It is over.")),
)]
async fn worth(State(app): State<App>, Path(claim): Path<String>, signed: Signed) -> Result<Response, ApiError> {
    let WorthRequest { outputs } = signed.json()?;
    Ok(json(&fleet::worth(&app, signed.hotkey, &claim, &outputs).await?))
}

/// Say what came of a claim.
#[utoipa::path(
    post,
    path = "/api/v1/fleet/claims/{claim}/report",
    tag = "fleet",
    security(("btauth" = [])),
    params(("claim" = String, Path, description = "The claim's name.")),
    request_body = WorkerReport,
    responses(
        (status = 204, description = "It is taken."),
        (status = 409, description = "The claim is over."),
        (status = 422, description = "It is about another package or other items, or a file of it wasn't brought."),
    ),
)]
async fn report(State(app): State<App>, Path(claim): Path<String>, signed: Signed) -> Result<StatusCode, ApiError> {
    fleet::report(&app, signed.hotkey, &claim, signed.json()?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A file of a claim's order.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/files/{secret}/{sha256}",
    tag = "fleet",
    params(
        ("secret" = String, Path, description = "Part of the address that the claim names."),
        ("sha256" = Digest, Path, description = "The file's digest."),
    ),
    responses((status = 200, description = "The bytes.", body = inline(Binary), content_type = "application/octet-stream")),
)]
async fn fetch(State(app): State<App>, Path((secret, sha256)): Path<(String, String)>) -> Result<Response, ApiError> {
    let file = fleet::file(&app, &secret, &digest(&sha256)?).await?;
    let bytes = match &file {
        OrderFile::Bytes(bytes) => bytes.len() as u64,
        OrderFile::Pixels(pixels) => pixels.bytes(),
    };
    let body = match file {
        OrderFile::Bytes(bytes) => Body::from(Bytes::from_owner(bytes)),
        OrderFile::Pixels(pixels) => Body::from_stream(blocks(pixels)),
    };
    let headers = [(header::CONTENT_LENGTH, bytes.to_string()), (header::CACHE_CONTROL, "no-store".to_owned())];
    Ok((headers, body).into_response())
}

/// Items, a block at a time.
fn blocks(pixels: Pixels) -> impl futures::Stream<Item = io::Result<Vec<u8>>> {
    const BLOCK: u64 = 1 << 20;
    let starts = (0..pixels.bytes()).step_by(BLOCK as usize);
    stream::iter(starts).then(move |start| {
        let pixels = pixels.clone();
        async move {
            let read = move || pixels.read(start..pixels.bytes().min(start + BLOCK));
            tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
        }
    })
}

/// Bring a file of an answer.
#[utoipa::path(
    put,
    path = "/api/v1/fleet/files/{secret}/{sha256}",
    tag = "fleet",
    params(
        ("secret" = String, Path, description = "Part of the address that the claim names."),
        ("sha256" = Digest, Path, description = "The file's digest."),
    ),
    request_body(content = inline(Binary), content_type = "application/octet-stream", description = "The file."),
    responses(
        (status = 204, description = "It is kept until the claim is over."),
        (status = 409, description = "The claim is over."),
        (status = 422, description = "It is larger than any answer, or has another digest."),
    ),
)]
async fn bring(
    State(app): State<App>,
    Path((secret, sha256)): Path<(String, String)>,
    body: Body,
) -> Result<StatusCode, ApiError> {
    let sha256 = digest(&sha256)?;
    let room = fleet::room(&app, &secret).await?;
    let bytes_max = usize::try_from(room.bytes).unwrap_or(usize::MAX);
    let read = tokio::time::timeout(BRING, axum::body::to_bytes(body, bytes_max)).await;
    let Ok(Ok(bytes)) = read else {
        let hint = "Send it again.";
        return Err(ApiError::new(
            StatusCode::BAD_REQUEST,
            "body_broken_off",
            "the file broke off or is too large",
            hint,
        ));
    };
    let found = Digest::of(&bytes);
    if found != sha256 {
        let hint = "Send the bytes that the address names.";
        let detail = format!("the file is {found}");
        return Err(ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "other_bytes", detail, hint));
    }
    room.held.bring(sha256, bytes);
    Ok(StatusCode::NO_CONTENT)
}

/// All workers, and what each is at.
///
/// For whoever shows the operator's token.
#[utoipa::path(
    get,
    path = "/api/v1/operator/fleet",
    tag = "operator",
    security(("operator" = [])),
    responses((status = 200, description = "The workers, by name.", body = [Worker])),
)]
async fn workers(State(app): State<App>, headers: HeaderMap) -> Result<Response, ApiError> {
    operator::admit(&app, &headers)?;
    Ok(json(&app.db.fleet(app.clock.now()).await?))
}

fn digest(text: &str) -> Result<Digest, ApiError> {
    text.parse().map_err(|_| Refusal::not_found("no file has such a name").into())
}
