//! The HTTP API: one file a resource. Handlers take a request apart and put an answer together; what happens in between
//! lies in the rooms above.

mod competitions;
mod copies;
mod events;
pub mod fleet;
mod leaderboard;
mod ledger;
mod log;
mod names;
mod objects;
mod openapi;
mod operator;
mod pages;
mod query;
mod rounds;
mod status;
mod submissions;
mod tokens;
pub mod uploads;
mod webhooks;

pub use openapi::{Description, document};
pub use status::numbers;

use crate::face::Face;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, header};
use serde::Serialize;
use utoipa_axum::router::OpenApiRouter;

/// Everything but uploads, which have time limits of their own.
pub fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default()
        .merge(competitions::routes())
        .merge(leaderboard::routes())
        .merge(rounds::routes())
        .merge(submissions::routes())
        .merge(tokens::routes())
        .merge(names::routes())
        .merge(events::routes())
        .merge(webhooks::routes())
        .merge(objects::routes())
        .merge(log::routes())
        .merge(ledger::routes())
        .merge(copies::routes())
        .merge(status::routes())
        .merge(operator::routes())
        .merge(openapi::routes())
}

/// JSON that must not be kept by anybody in between.
fn json(value: &impl Serialize) -> Response {
    let no_cache = (header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    ([no_cache], axum::Json(value)).into_response()
}
