//! The Hugging Face Hub protocol, so that the tools people have already work with nothing but `HF_ENDPOINT` set.
//!
//! Reading: [`repository`] says which repositories there are; [`revisions`] finds the revision that a name means and
//! makes it when nobody asked for it before, out of what [`contents`] puts together with a [`card`]; [`describe`] lists
//! it, [`resolve`] hands out its files, and [`listing`] lists names. What doesn't work says so in the words of [`errors`].
//!
//! Writing: [`upload`] says who sends and whether it would be taken, [`commit`] receives a package and enters it.
//!
//! A revision never changes: its commit id follows from its files, and both are written down when they are first asked
//! for. `main` of `arena/<competition>` is whoever holds the seat; `round-N` is whoever held it after that round.
//!
//! It does not know how a model is measured or who should hold the seat.

mod beside;
mod card;
mod commit;
mod contents;
mod describe;
mod drafts;
mod errors;
mod listing;
mod messages;
mod repository;
mod resolve;
mod revisions;
mod upload;

pub(crate) use drafts::Drafts;

use crate::app::App;
use axum::extract::{DefaultBodyLimit, Path};
use axum::response::{IntoResponse, Redirect, Response};
use errors::HubError;
use protocol::CompetitionId;
use std::collections::BTreeMap;
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// A kind of repository: where clients ask for it, and what they name.
struct Kind {
    /// What its addresses in the API begin with.
    api: &'static str,
    /// What the addresses of its files begin with.
    files: &'static str,
    /// What `namespace` may be.
    namespace: &'static str,
    /// What `name` may be.
    name: &'static str,
}

const KINDS: [Kind; 2] = [
    Kind {
        api: "/api/models/{namespace}/{name}",
        files: "/{namespace}/{name}",
        namespace: "`arena` for a competition's champion, `teachers` for its teacher, `submissions` for what is scored.",
        name: "The competition, or the submission's id.",
    },
    Kind {
        api: "/api/datasets/{namespace}/{name}",
        files: "/datasets/{namespace}/{name}",
        namespace: "`arena`: there is public data of competitions.",
        name: "The competition.",
    },
];

/// Everything but commits.
pub(crate) fn routes() -> OpenApiRouter<App> {
    let mut router = OpenApiRouter::default();
    for Kind { api, files, namespace, name } in &KINDS {
        let named = [("namespace", *namespace), ("name", *name)];
        router = router
            .routes(below(api, &named, routes!(describe::info)))
            .routes(below(api, &named, routes!(describe::info_at)))
            .routes(below(api, &named, routes!(describe::tree)))
            .routes(below(api, &named, routes!(describe::folder)))
            .routes(below(api, &named, routes!(describe::paths_info)))
            .routes(below(api, &named, routes!(describe::refs)))
            .routes(below(api, &named, routes!(describe::commits)))
            .routes(below(api, &named, routes!(describe::auth_check)))
            .routes(below(files, &named, routes!(resolve::file)))
            .routes(below(files, &named, routes!(resolve::raw)));
    }
    let named = [("name", "The competition.")];
    for repository in ["/arena/{name}", "/teachers/{name}", "/datasets/arena/{name}"] {
        router = router.routes(below(repository, &named, routes!(page))).routes(below(
            repository,
            &named,
            routes!(page_of_folder),
        ));
    }
    router
        .routes(routes!(listing::models))
        .routes(routes!(listing::datasets))
        .routes(routes!(upload::preupload))
        .routes(routes!(upload::create))
        .routes(routes!(upload::whoami))
        .routes(routes!(upload::validate_yaml))
}

/// The same routes below an address that names a repository, described with what its names may be.
fn below(prefix: &str, named: &[(&str, &str)], routes: UtoipaMethodRouter<App>) -> UtoipaMethodRouter<App> {
    let (schemas, described, handlers) = routes;
    let parameter = |(name, description): &(&str, &str)| {
        let parameter = ParameterBuilder::new().name(*name).parameter_in(ParameterIn::Path);
        let text = ObjectBuilder::new().schema_type(Type::String);
        parameter.required(Required::True).description(Some(*description)).schema(Some(text)).build()
    };
    let mut paths = Paths::new();
    for (path, mut item) in described.paths {
        for operation in [&mut item.get, &mut item.post].into_iter().flatten() {
            let own = operation.parameters.take().unwrap_or_default();
            operation.parameters = Some(named.iter().map(parameter).chain(own).collect());
        }
        paths.paths.insert(format!("{prefix}{path}"), item);
    }
    (schemas, paths, handlers)
}

/// What brings whole models: it counts its own bytes and watches its own clock.
pub(crate) fn uploads() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(commit::commit)).layer(DefaultBodyLimit::disable())
}

/// The address that clients print of a repository, and people open: leads to the competition's page.
#[utoipa::path(
    get,
    path = "",
    tag = "hub",
    responses((status = 303, description = "The competition's page.")),
)]
async fn page(named: Path<BTreeMap<String, String>>) -> Redirect {
    page_of_folder(named).await
}

/// The same for a folder of it.
#[utoipa::path(
    get,
    path = "/tree/{*rest}",
    tag = "hub",
    params(("rest" = String, Path, description = "Anything.")),
    responses((status = 303, description = "The competition's page.")),
)]
async fn page_of_folder(Path(named): Path<BTreeMap<String, String>>) -> Redirect {
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
