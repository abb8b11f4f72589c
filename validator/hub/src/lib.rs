//! The Hugging Face Hub protocol, so that the tools people have already work with nothing but `HF_ENDPOINT` set.
//!
//! Reading: `repository` says which repositories there are; `revisions` finds the revision that a name means and
//! makes it when nobody asked for it before, out of what `contents` puts together with a `card`; `describe` lists
//! it, `resolve` hands out its files, and `listing` lists names. What doesn't work says so in the words of `errors`.
//!
//! Writing: `sender` says who sends and where to, `upload` whether it would be taken, `commit` receives a package and enters
//! it, and `drafts` keeps what came of one so far.
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
mod sender;
mod upload;

pub use drafts::Drafts;

use axum::extract::{DefaultBodyLimit, FromRef, Path};
use axum::response::{IntoResponse, Redirect, Response};
use errors::HubError;
use http::Uri;
use protocol::{CompetitionId, SubmissionId};
use service::app::App;
use std::collections::BTreeMap;
use utoipa::openapi::Required;
use utoipa::openapi::path::{ParameterBuilder, ParameterIn, Paths};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

/// Examples of what is sent and received here, by the names of their types in the API's description.
pub const EXAMPLES: &str = include_str!("examples.json");

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
pub fn routes<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S>
where
    App: FromRef<S>,
{
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
            .routes(below(files, &named, routes!(resolve::page)))
            .routes(below(files, &named, routes!(resolve::raw)));
    }
    let of_competition = [("name", "The competition.")];
    let of_submission = [("name", "The submission's id.")];
    for (repository, named) in [
        ("/arena/{name}", &of_competition),
        ("/teachers/{name}", &of_competition),
        ("/datasets/arena/{name}", &of_competition),
        ("/submissions/{name}", &of_submission),
    ] {
        // A submission's page is at its repository's address.
        if named != &of_submission {
            router = router.routes(below(repository, named, routes!(page)));
        }
        router = router.routes(below(repository, named, routes!(page_of_folder))).routes(below(
            repository,
            named,
            routes!(page_of_history),
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
fn below<S: Clone + Send + Sync + 'static>(
    prefix: &str,
    named: &[(&str, &str)],
    routes: UtoipaMethodRouter<S>,
) -> UtoipaMethodRouter<S> {
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
pub fn uploads<S: Clone + Send + Sync + 'static>() -> OpenApiRouter<S>
where
    App: FromRef<S>,
    Drafts: FromRef<S>,
{
    OpenApiRouter::default().routes(routes!(commit::commit)).layer(DefaultBodyLimit::disable())
}

/// The address that clients print of a repository, and people open: leads to its page.
#[utoipa::path(
    get,
    path = "",
    tag = "hub",
    responses((status = 303, description = "Its page.")),
)]
async fn page(uri: Uri, Path(named): Path<BTreeMap<String, String>>) -> Redirect {
    let name = named.get("name").map(String::as_str).unwrap_or_default();
    // Whatever is no name has no page, and the page says so.
    match (uri.path().starts_with("/submissions/"), name.parse::<SubmissionId>(), name.parse::<CompetitionId>()) {
        (true, Ok(id), _) => Redirect::to(&format!("/submissions/{id}")),
        (false, _, Ok(id)) => Redirect::to(&format!("/competitions/{id}")),
        _ => Redirect::to("/"),
    }
}

/// The same for a folder of it.
#[utoipa::path(
    get,
    path = "/tree/{*rest}",
    tag = "hub",
    params(("rest" = String, Path, description = "Anything.")),
    responses((status = 303, description = "Its page.")),
)]
async fn page_of_folder(uri: Uri, named: Path<BTreeMap<String, String>>) -> Redirect {
    page(uri, named).await
}

/// The same for its history.
#[utoipa::path(
    get,
    path = "/commits/{*rest}",
    tag = "hub",
    params(("rest" = String, Path, description = "Anything.")),
    responses((status = 303, description = "Its page.")),
)]
async fn page_of_history(uri: Uri, named: Path<BTreeMap<String, String>>) -> Redirect {
    page(uri, named).await
}

/// The answer to what the Hub has and we don't, such as a repository without a namespace; `None` for what is no address
/// of a Hub.
pub fn missing(path: &str) -> Option<Response> {
    let of_hub = path.starts_with("/api/models/") || path.starts_with("/api/datasets/") || path.contains("/resolve/");
    let problem = || HubError::no_repository("this validator has no such repository or address of the Hub's");
    of_hub.then(|| problem().into_response())
}
