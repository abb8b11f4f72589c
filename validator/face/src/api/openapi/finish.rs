//! What holds for every route, written once: problems, tags of versions, pages, names of operations, examples, and which
//! fields are always there.
//!
//! It does NOT know any route: it goes by what their descriptions say already.

use super::examples::{self, Examples};
use super::head::{OPERATOR, SIGNED};
use super::{required, types};
use crate::api::pages::LIMIT_DEFAULT;
use edge::conditional::TEXTS;
use edge::error::PROBLEM_JSON;
use http::StatusCode;
use protocol::api::Problem;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{
    Content, OpenApi, PathItem, Ref, RefOr, Required, Response, ResponseBuilder, security::SecurityRequirement,
};
use utoipa::{PartialSchema, ToSchema};

/// What any address answers where nothing else is said.
const PROBLEM_RESPONSE: &str = "Problem";
/// What a read answers to whoever has its answer already.
const UNCHANGED_RESPONSE: &str = "Unchanged";
/// Where our own addresses begin.
const PREFIX: &str = "/api/v1";

/// Completes the descriptions that came with the routes.
pub(super) fn finish(document: &mut OpenApi) {
    let examples = Examples::all();
    let paths = std::mem::take(&mut document.paths.paths);
    for (path, mut item) in paths {
        // What the router writes `{*path}` is a parameter like others to clients.
        let path = path.replace("{*", "{");
        for (method, operation) in operations(&mut item) {
            operation.description = operation.description.as_deref().map(types::prose);
            parameters(operation);
            operation.operation_id = Some(operation_id(method, &path));
            pages(operation);
            if method == "get" {
                versions(operation);
            }
            guards(operation);
            problems(operation);
            examples.put(operation);
        }
        document.paths.paths.insert(path, item);
    }
    let components = document.components.get_or_insert_default();
    components.schemas.insert(Problem::name().into_owned(), Problem::schema());
    components.responses.insert(PROBLEM_RESPONSE.to_owned(), problem().into());
    components.responses.insert(UNCHANGED_RESPONSE.to_owned(), unchanged().into());
    required::mark(document);
    types::tidy(document);
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = (&'static str, &mut Operation)> {
    let methods =
        [("get", &mut item.get), ("post", &mut item.post), ("put", &mut item.put), ("delete", &mut item.delete)];
    methods.into_iter().filter_map(|(method, operation)| operation.as_mut().map(|operation| (method, operation)))
}

/// `get_competitions_id` for `GET /api/v1/competitions/{id}`: what generated clients call it.
fn operation_id(method: &str, path: &str) -> String {
    let path = path.strip_prefix(PREFIX).unwrap_or(path);
    let words = path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_")
}

/// Nobody can send null in an address or a header.
fn parameters(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        if let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema
            && let SchemaType::Array(kinds) = &mut object.schema_type
        {
            kinds.retain(|kind| *kind != Type::Null);
            if let [kind] = kinds.as_slice() {
                object.schema_type = SchemaType::Type(kind.clone());
            }
        }
    }
}

/// Whoever is asked for a number of items says where the next ones are.
fn pages(operation: &mut Operation) {
    let limit = operation.parameters.iter_mut().flatten().find(|parameter| parameter.name == "limit");
    let Some(limit) = limit else { return };
    limit.description = Some(format!("How many at most; {LIMIT_DEFAULT} for those who don't say."));
    if let Some(page) = answer(operation, StatusCode::OK) {
        page.headers.insert("Link".to_owned(), header("The next page, `rel=\"next\"`; absent on the last."));
    }
}

/// Texts are tagged on their way out ([`edge::conditional`]), and so are files; whoever names a tag is spared the rest.
fn versions(operation: &mut Operation) {
    let is_spared = operation.responses.responses.contains_key(StatusCode::NOT_MODIFIED.as_str());
    let Some(whole) = answer(operation, StatusCode::OK) else { return };
    if !is_spared && !whole.content.keys().any(|kind| TEXTS.contains(&kind.as_str())) {
        return;
    }
    whole.headers.insert("ETag".to_owned(), header("The version."));
    let unchanged = Ref::from_response_name(UNCHANGED_RESPONSE).into();
    operation.responses.responses.insert(StatusCode::NOT_MODIFIED.as_str().to_owned(), unchanged);
    let known = ParameterBuilder::new()
        .name("If-None-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("Tags of the versions that you have: one of them, still right, is 304."))
        .schema(Some(text()));
    operation.parameters.get_or_insert_default().push(known.build());
}

/// Who may not, is told so.
fn guards(operation: &mut Operation) {
    let guards = operation.security.clone().unwrap_or_default();
    let is_guarded = |scheme: &str| guards.contains(&SecurityRequirement::new::<_, _, String>(scheme, []));
    let mut refuse = |status: StatusCode, description: &str| {
        let refused = ResponseBuilder::new().description(description).build().into();
        operation.responses.responses.entry(status.as_str().to_owned()).or_insert(refused);
    };
    if is_guarded(SIGNED) {
        let codes = "malformed_auth, wrong_receiver, stale_request, bad_signature or replayed_request.";
        refuse(StatusCode::UNAUTHORIZED, codes);
    }
    if is_guarded(OPERATOR) {
        refuse(StatusCode::FORBIDDEN, "Somebody else asked: operator_only.");
    }
}

/// Errors are problem documents, those that have words of their own and all others.
fn problems(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else { continue };
        if status.starts_with(['4', '5']) && response.content.is_empty() {
            response.content.insert(PROBLEM_JSON.to_owned(), problem_content());
        }
    }
    let default = Ref::from_response_name(PROBLEM_RESPONSE).into();
    operation.responses.responses.entry("default".to_owned()).or_insert(default);
}

fn answer(operation: &mut Operation, status: StatusCode) -> Option<&mut Response> {
    match operation.responses.responses.get_mut(status.as_str()) {
        Some(RefOr::T(response)) => Some(response),
        _ => None,
    }
}

fn problem() -> Response {
    let description = "A problem document (RFC 9457) with a stable `code` and a `hint`.";
    let wait = "After how many seconds the same request may do better, where that is known.";
    let mut content = problem_content();
    content.example = Some(examples::problem());
    let response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content);
    response.header("Retry-After", header(wait)).build()
}

fn problem_content() -> Content {
    Content::new(Some(Ref::from_schema_name(Problem::name())))
}

fn unchanged() -> Response {
    let description = "The version that If-None-Match names is still right.";
    ResponseBuilder::new().description(description).header("ETag", header("The version.")).build()
}

fn header(description: &str) -> Header {
    HeaderBuilder::new().schema(text()).description(Some(description)).build()
}

fn text() -> Schema {
    ObjectBuilder::new().schema_type(Type::String).into()
}
