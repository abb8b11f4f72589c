//! What surrounds a commit: what clients ask before they send anything.
//!
//! It does not receive files.

use crate::errors::{HubError, WARNING};
use crate::messages::Nothing;
use crate::messages::write::{
    Announced, Preupload, Remark, Remarks, Repository, RepositoryExists, RepositoryUrl, UploadMode, UploadModes, Who,
};
use crate::sender::{Bearer, Refused, Target, Where, address};
use crate::{beside, commit};
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use edge::auth::read_body;
use edge::error::ApiError;
use http::{HeaderMap, StatusCode};
use protocol::competition::Limits;
use protocol::package::{
    CONFIG_BYTES_MAX, CONFIG_FILE, EXPECTED_BYTES_MAX, EXPECTED_FILE, ONNX_FILE, README_BYTES_MAX, README_FILE,
    WEIGHTS_FILE, is_noise, is_numbers_beside_onnx,
};
use protocol::submission::Code;
use protocol::{CompetitionId, strict};
use serde::Deserialize;
use service::app::App;
use service::guard::AddressBlock;
use service::intake;

/// How each file of a package is to be sent: in the commit. What can't be taken is refused here.
#[utoipa::path(
    post,
    path = "/api/models/{namespace}/{name}/preupload/{revision}",
    tag = "hub",
    security(("token" = [])),
    params(Where),
    request_body = Preupload,
    responses(
        (status = 200, description = "`regular` for each.", body = UploadModes),
        (status = 422, description = "invalid_body, or the code of an admission check: file_unexpected, file_too_large, \
            config_too_large."),
        Refused,
    ),
)]
pub(crate) async fn preupload(
    State(app): State<App>,
    Extension(client): Extension<AddressBlock>,
    bearer: Bearer,
    target: Target,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let Preupload { files } = read_json(&app, &headers, body).await?;
    let _place = bearer.enter(&app, client).await?;
    let stored = target.open_to(&app, &bearer).await?;
    let limits = &stored.competition.manifest.limits;
    let (mut modes, mut sizes, mut left_out) = (Vec::new(), Vec::new(), Vec::new());
    for Announced { path, size } in files {
        let Some((code, bytes_max)) = bound(&app, &target.competition, limits, &path).await? else {
            left_out.push(path.clone());
            modes.push(UploadMode::ignored(path));
            continue;
        };
        if size > bytes_max {
            return Err(ApiError::from(code.because(format!("{path} has {size} bytes, limit {bytes_max}"))).into());
        }
        sizes.push(size);
        modes.push(UploadMode::regular(path));
    }
    let nested = left_out.iter().filter(|path| is_a_package_s(path)).min_by_key(|path| path.matches('/').count());
    if let Some(nested) = nested.filter(|_| sizes.is_empty()) {
        return Err(commit::nested(&target.competition, nested));
    }
    // A client that is told to send nothing says that all went well; and without its numbers a model is none.
    let numbers = left_out.iter().find(|path| is_numbers_beside_onnx(path));
    let alone = left_out.iter().find(|path| !path.contains('/') && !is_noise(path)).filter(|_| sizes.is_empty());
    if let Some(unexpected) = numbers.or(alone) {
        return Err(commit::unexpected(unexpected));
    }
    intake::has_room(&app, stored, (bearer.hotkey, client), sizes.into_iter()).await?;
    let mut response = Json(UploadModes { files: modes }).into_response();
    response.headers_mut().extend(beside::told(&left_out).map(|warning| (WARNING, warning)));
    Ok(response)
}

/// The largest size of a file of this name, and the code for a larger one; `None` for what need not be sent.
async fn bound(
    app: &App,
    competition: &CompetitionId,
    limits: &Limits,
    path: &str,
) -> Result<Option<(Code, u64)>, HubError> {
    Ok(Some(match path {
        CONFIG_FILE => (Code::ConfigTooLarge, CONFIG_BYTES_MAX),
        WEIGHTS_FILE | ONNX_FILE => (Code::FileTooLarge, limits.size_bytes_max),
        README_FILE => (Code::FileTooLarge, README_BYTES_MAX),
        EXPECTED_FILE => (Code::FileTooLarge, EXPECTED_BYTES_MAX),
        other if is_noise(other) => return Ok(None),
        // Which of them are ours their bytes tell, in the commit.
        other if beside::is_served(app, competition, other, None).await? => (Code::FileTooLarge, beside::BYTES_MAX),
        other if beside::is_beside(other) => return Ok(None),
        other => return Err(commit::unexpected(other)),
    }))
}

/// Whether a path ends as a file without which there is no package.
fn is_a_package_s(path: &str) -> bool {
    path.rsplit('/').next().is_some_and(|name| [CONFIG_FILE, WEIGHTS_FILE, ONNX_FILE].contains(&name))
}

/// Whether a repository takes uploads (Hub: create_repo); clients ask before each. Nothing is made.
///
/// Once the hotkey has entered something in the competition, its repository is there: 409, of which clients make nothing where
/// they were told `exist_ok`.
#[utoipa::path(
    post,
    path = "/api/repos/create",
    tag = "hub",
    security(("token" = [])),
    request_body = Repository,
    responses(
        (status = 200, description = "Where it is.", body = RepositoryUrl),
        (status = 400, description = "models_only."),
        (status = 401, description = "token_missing, token_unknown or token_expired."),
        (status = 403, description = "token_of_another."),
        (status = 404, description = "unknown_competition."),
        (status = 409, description = "repository_exists; `url` is where."),
        (status = 422, description = "invalid_body."),
    ),
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(client): Extension<AddressBlock>,
    bearer: Bearer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, HubError> {
    let Repository { name, organization, kind } = read_json(&app, &headers, body).await?;
    let _place = bearer.enter(&app, client).await?;
    if kind.is_some_and(|kind| kind != "model") {
        let hint = "Upload models, to arena/<competition>.";
        let detail = "submissions are models";
        return Err(ApiError::new(StatusCode::BAD_REQUEST, "models_only", detail, hint).into());
    }
    let namespace = organization.unwrap_or_default();
    let target = Target::named(&namespace, &name)?;
    target.open_to(&app, &bearer).await?;
    let url = format!("{}/{namespace}/{name}", address(&app, &headers));
    let at = RepositoryUrl { url, name: format!("{namespace}/{name}") };
    match app.db.has_entered_in(&target.competition, &bearer.hotkey).await? {
        true => Ok(exists(at)),
        false => Ok(Json(at).into_response()),
    }
}

/// As the Hub answers to whoever makes a repository twice.
fn exists(at: RepositoryUrl) -> Response {
    let detail = format!("you already have {}: what you upload to it is entered", at.name);
    let problem =
        ApiError::conflict("repository_exists", detail, "Upload to it; in Python, create_repo(.., exist_ok=True).");
    let body = serde_json::to_vec(&RepositoryExists { problem: problem.problem(), at }).unwrap_or_default();
    let (parts, _) = problem.into_response().into_parts();
    Response::from_parts(parts, Body::from(body))
}

/// Whose token it is.
#[utoipa::path(
    get,
    path = "/api/whoami-v2",
    tag = "hub",
    security(("token" = [])),
    responses(
        (status = 200, description = "The hotkey, as a user.", body = Who),
        (status = 401, description = "token_missing, token_unknown or token_expired."),
    ),
)]
pub(crate) async fn whoami(bearer: Bearer) -> Response {
    Json(Who::new(bearer.hotkey, bearer.label)).into_response()
}

/// What clients ask when a README.md is among the files.
///
/// It may say what it likes, since the arena writes the card that is shown.
#[utoipa::path(
    post,
    path = "/api/validate-yaml",
    tag = "hub",
    request_body = Option<serde_json::Map<String, serde_json::Value>>,
    responses((status = 200, description = "One warning.", body = Remarks)),
)]
pub(crate) async fn validate_yaml() -> Response {
    let message = "The arena writes the card that people see; this README.md is kept with the submission.";
    Json(Remarks { errors: Nothing, warnings: vec![Remark { message }] }).into_response()
}

async fn read_json<T: for<'de> Deserialize<'de>>(app: &App, headers: &HeaderMap, body: Body) -> Result<T, HubError> {
    let body = read_body(headers, body, &app.config.limits).await?;
    let invalid = |error: serde_json::Error| {
        let hint = "Ask with huggingface_hub or hf-hub.";
        ApiError::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_body", error.to_string(), hint)
    };
    Ok(strict::from_slice(&body).map_err(invalid)?)
}
