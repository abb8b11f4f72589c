//! `GET /openapi.json`: the description of this API, written by hand and tested against the router and its answers.

use crate::app::App;
use axum::Router;
use axum::routing::get;
use http::header;

/// The document.
pub(crate) const OPENAPI: &str = include_str!("openapi.json");

pub(super) fn routes() -> Router<App> {
    Router::new().route("/openapi.json", get(|| async { ([(header::CONTENT_TYPE, "application/json")], OPENAPI) }))
}
