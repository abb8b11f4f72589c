//! The Hugging Face Hub protocol, so that the tools people have already work with nothing but `HF_ENDPOINT` set.
//!
//! Reading: [`repository`] says which repositories there are; [`revisions`] finds the revision that a name means and
//! makes it when nobody asked for it before, out of what [`contents`] puts together with a [`card`]; [`describe`] lists
//! it and [`resolve`] hands out its files. What doesn't work says so in the words of [`errors`].
//!
//! Writing: [`upload`] says who sends and whether it would be taken, [`commit`] receives a package and enters it.
//!
//! A revision never changes: its commit id follows from its files, and both are written down when they are first asked
//! for. `main` of `arena/<competition>` is whoever holds the seat; `round-N` is whoever held it after that round.
//!
//! It does not know how a model is measured or who should hold the seat.

mod card;
mod commit;
mod contents;
mod describe;
mod drafts;
mod errors;
mod repository;
mod resolve;
mod revisions;
mod upload;

pub(crate) use drafts::Drafts;

use crate::app::App;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Path};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use errors::HubError;
use protocol::CompetitionId;
use std::collections::BTreeMap;

/// Everything but commits.
pub(crate) fn routes() -> Router<App> {
    let mut router = Router::new();
    for kind in ["models", "datasets"] {
        let repository = format!("/api/{kind}/{{namespace}}/{{name}}");
        router = router
            .route(&repository, get(describe::info))
            .route(&format!("{repository}/revision/{{revision}}"), get(describe::info))
            .route(&format!("{repository}/tree/{{revision}}"), get(describe::tree))
            .route(&format!("{repository}/tree/{{revision}}/{{*path}}"), get(describe::tree))
            .route(&format!("{repository}/paths-info/{{revision}}"), post(describe::paths_info))
            .route(&format!("{repository}/refs"), get(describe::refs))
            .route(&format!("{repository}/commits/{{revision}}"), get(describe::commits));
    }
    // Addresses that clients print and people open.
    for repository in ["/arena/{name}", "/teachers/{name}", "/datasets/arena/{name}"] {
        router = router.route(repository, get(page)).route(&format!("{repository}/tree/{{*rest}}"), get(page));
    }
    router
        .route("/api/models/{namespace}/{name}/preupload/{revision}", post(upload::preupload))
        .route("/api/repos/create", post(upload::create))
        .route("/api/whoami-v2", get(upload::whoami))
        .route("/api/validate-yaml", post(upload::validate_yaml))
        .route("/{namespace}/{name}/resolve/{revision}/{*path}", get(resolve::file))
        .route("/datasets/{namespace}/{name}/resolve/{revision}/{*path}", get(resolve::file))
}

/// What brings whole models: it counts its own bytes and watches its own clock.
pub(crate) fn uploads() -> Router<App> {
    let route = "/api/models/{namespace}/{name}/commit/{revision}";
    Router::new().route(route, post(commit::commit)).layer(DefaultBodyLimit::disable())
}

/// The page of the competition that a repository belongs to.
async fn page(Path(named): Path<BTreeMap<String, String>>) -> Redirect {
    // Whatever is no competition's name has no page, and the page says so.
    let id = named.get("name").and_then(|name| name.parse::<CompetitionId>().ok());
    Redirect::to(&id.map_or_else(|| "/".to_owned(), |id| format!("/competitions/{id}")))
}

/// The answer to what the Hub has and we don't, such as a repository without a namespace; `None` for what is no address
/// of a Hub.
pub(crate) fn missing(path: &str) -> Option<Response> {
    let of_hub = path.starts_with("/api/models/") || path.starts_with("/api/datasets/") || path.contains("/resolve/");
    let problem = || HubError::no_repository("this validator has no such repository or address of the Hub's");
    of_hub.then(|| problem().into_response())
}
