//! `GET /openapi.json`: the description of this API. It comes with the code: each route brings the description of its
//! handler, each description the types that are sent, and [`finish`] adds what holds for all of them.
//!
//! It does NOT know what any route does; [`head`] says what the whole is.

pub(crate) mod examples;
mod finish;
mod head;
mod required;
mod types;

use crate::app::App;
use crate::conditional::Ready;
use crate::routes::Routes;
use axum::response::Response;
use http::{HeaderMap, header};
use std::sync::LazyLock;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The document, put together and written down once.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let mut document = head::document();
    document.merge(Routes::all().description());
    finish::finish(&mut document);
    serde_json::to_string(&document).expect("JSON, because its maps have text for keys")
});

/// The description of the API as `/openapi.json` serves it: OpenAPI 3.1 in JSON.
pub fn document() -> &'static str {
    &DOCUMENT
}

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::default().routes(routes!(openapi))
}

/// This document.
#[utoipa::path(
    get,
    path = "/openapi.json",
    tag = "health",
    responses((status = 200, description = "OpenAPI 3.1.", body = serde_json::Map<String, serde_json::Value>)),
)]
async fn openapi(headers: HeaderMap) -> Response {
    static READY: LazyLock<Ready> = LazyLock::new(|| Ready::new(document()));
    READY.answer([(header::CONTENT_TYPE, "application/json")], &headers)
}
