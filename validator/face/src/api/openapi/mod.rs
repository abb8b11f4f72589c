//! `GET /openapi.json`: the description of this API. It comes with the code: each route brings the description of its
//! handler, each description the types that are sent, and [`finish`] adds what holds for all of them.
//!
//! It does NOT know what any route does; [`head`] says what the whole is.

pub(super) mod examples;
mod finish;
mod head;
mod required;
mod types;

use crate::face::Face;
use axum::Extension;
use axum::response::Response;
use edge::conditional::answer;
use http::{HeaderMap, header};
use std::sync::LazyLock;
use store::ready::Ready;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The description, as whoever shows it is given it.
#[derive(Clone, Copy)]
pub struct Description(pub &'static LazyLock<Ready>);

/// The description of these routes, OpenAPI 3.1 in JSON.
pub fn document(routes: OpenApi) -> String {
    let mut document = head::document();
    document.merge(routes);
    finish::finish(&mut document);
    serde_json::to_string(&document).expect("JSON, because its maps have text for keys")
}

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(openapi))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Map<String, serde_json::Value>)),
)]
async fn openapi(Extension(Description(document)): Extension<Description>, headers: HeaderMap) -> Response {
    answer(document, [(header::CONTENT_TYPE, "application/json")], &headers)
}
