//! Who sends a package and where it goes: the token that proves the one, the repository that names the other, and why either is
//! refused before anything is looked at.
//!
//! It does not receive files.

use crate::errors::HubError;
use crate::repository::{ARENA, MAIN, named};
use axum::extract::{FromRef, FromRequestParts};
use edge::error::ApiError;
use http::request::Parts;
use http::{HeaderMap, StatusCode, header};
use protocol::{CompetitionId, Digest, Hotkey};
use service::app::App;
use service::guard::AddressBlock;
use service::guard::places::Place;
use service::intake;
use std::collections::BTreeMap;
use store::db::competitions::StoredCompetition;
use utoipa::openapi::{self, RefOr, ResponseBuilder};
use utoipa::{IntoParams, IntoResponses};

/// Who sends a request, as a token proves it.
#[derive(Clone, Debug)]
pub(crate) struct Bearer {
    /// Whose token it is.
    pub(crate) hotkey: Hotkey,
    pub(crate) label: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Bearer
where
    App: FromRef<S>,
{
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HubError> {
        let app = App::from_ref(state);
        let given = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(edge::auth::bearer);
        // Clients show the reason of a 403 as it is; a 401 they take for a repository that isn't there.
        let status = match parts.uri.path().starts_with("/api/models/") {
            true => StatusCode::FORBIDDEN,
            false => StatusCode::UNAUTHORIZED,
        };
        let refused = |code, detail: &str, hint| HubError::from(ApiError::new(status, code, detail, hint));
        let hint =
            "Make one with `retort miner token`, or POST /api/v1/tokens signed by your hotkey, and set HF_TOKEN.";
        let token = token.ok_or_else(|| refused("token_missing", "submitting needs a token of your hotkey", hint))?;
        let found = app.db.api_token(&Digest::of(token.as_bytes())).await?;
        let found = found.ok_or_else(|| refused("token_unknown", "this validator knows no such token", hint))?;
        if app.clock.now() >= found.expires_at {
            return Err(refused("token_expired", "the token's time is over", hint));
        }
        Ok(Self { hotkey: found.hotkey, label: found.label })
    }
}

impl Bearer {
    /// A place among the requests that change something, for whoever shows this token and has sent its whole request.
    pub(crate) async fn enter(&self, app: &App, client: AddressBlock) -> Result<Place, ApiError> {
        app.guard.admit_hotkey(&self.hotkey)?;
        Ok(app.guard.place(&app.guard.budgets.writes, client, &self.hotkey).await?)
    }
}

/// Where an upload goes.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) competition: CompetitionId,
    /// Whom the repository's name says it is from, if it does.
    from: Option<Hotkey>,
}

impl Target {
    pub(crate) fn named(namespace: &str, name: &str) -> Result<Self, HubError> {
        let unknown = || {
            let shown: String = format!("{namespace}/{name}").chars().take(128).collect();
            no_target(format!("nothing can be uploaded to {shown}"))
        };
        let from = if namespace == ARENA { None } else { Some(namespace.parse().map_err(|_| unknown())?) };
        Ok(Self { competition: name.parse().map_err(|_| unknown())?, from })
    }

    /// The competition, if it takes submissions of this sender.
    pub(crate) async fn open_to(&self, app: &App, bearer: &Bearer) -> Result<StoredCompetition, HubError> {
        if let Some(from) = self.from.filter(|from| *from != bearer.hotkey) {
            let detail = format!("the token belongs to {}, not to {from}", bearer.hotkey);
            let hint = "Use a token of that hotkey, or upload to arena/<competition>.";
            return Err(ApiError::new(StatusCode::FORBIDDEN, "token_of_another", detail, hint).into());
        }
        let missing = || no_target(format!("there is no competition {}", self.competition));
        let stored = app.db.competition(&self.competition).await?.ok_or_else(missing)?;
        intake::check_open(&stored.competition.manifest, app.clock.now())?;
        Ok(stored)
    }
}

/// The address of an upload, in words of the API's description.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "requests are read by `Target`, which knows more errors")]
pub(crate) struct Where {
    /// `arena`, or the hotkey that the token belongs to.
    namespace: String,
    /// The competition.
    name: String,
    /// `main`.
    revision: String,
}

/// Why an upload is refused before it is looked at.
pub(crate) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let said = |status: StatusCode, description: &str| {
            (status.as_str().to_owned(), ResponseBuilder::new().description(description).into())
        };
        BTreeMap::from([
            said(
                StatusCode::FORBIDDEN,
                "token_missing, token_unknown or token_expired; token_of_another: the repository names another hotkey.",
            ),
            said(StatusCode::NOT_FOUND, "unknown_competition; unknown_revision: submissions are entered at `main`."),
        ])
    }
}

/// Said without the code of a missing repository, of which `hf` would say that it can be created.
fn no_target(detail: String) -> HubError {
    let hint = "Upload to arena/<competition>; `retort competitions` lists the competitions, as GET /api/v1/competitions does.";
    ApiError::new(StatusCode::NOT_FOUND, "unknown_competition", detail, hint).into()
}

impl<S: Send + Sync> FromRequestParts<S> for Target {
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HubError> {
        let named = named(parts, state).await?;
        let take = |name: &str| named.get(name).map(String::as_str).unwrap_or_default();
        if take("revision") != MAIN {
            let hint = "Upload to main; a submission gets a repository of its own, submissions/<id>.";
            return Err(HubError::no_revision("submissions are entered at main", hint));
        }
        if parts.uri.query().is_some_and(|query| query.contains("create_pr=1")) {
            let hint = "Upload without a pull request.";
            let detail = "a submission is no pull request";
            return Err(ApiError::new(StatusCode::BAD_REQUEST, "no_pull_requests", detail, hint).into());
        }
        Self::named(take("namespace"), take("name"))
    }
}

/// How the client reached us: as the settings say, else as it says. Clients refuse an address of another host.
pub(crate) fn address(app: &App, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    app.config.public_base().map_or_else(|| format!("http://{host}"), str::to_owned)
}
