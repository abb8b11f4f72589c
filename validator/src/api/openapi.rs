//! `GET /openapi.json`: the description of this API, written by hand and tested against the router and its answers.

use crate::app::App;
use crate::conditional::Ready;
use axum::Router;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderMap, header};
use std::sync::LazyLock;

/// The document.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<App> {
    Router::new().route("/openapi.json", get(document))
}

async fn document(headers: HeaderMap) -> Response {
    static DOCUMENT: LazyLock<Ready> = LazyLock::new(|| Ready::new(OPENAPI));
    DOCUMENT.answer([(header::CONTENT_TYPE, "application/json")], &headers)
}
