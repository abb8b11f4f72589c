//! `GET /api/v1/ledger`: the validator's ledger, entry by entry as it signed them, so that anybody can see who was paid what
//! and which beacons there were. `chain::Replica` verifies it.

use super::query::Asked;
use crate::face::Face;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use edge::error::ApiError;
use http::header;
use serde::Deserialize;
use service::app::App;
use std::sync::Arc;
use store::causes::Chain;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Bytes of an answer, unless a single entry has more.
const ANSWER_BYTES_MAX: u64 = 512 << 10;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(entries))
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
struct Query {
    /// The height of the first entry that is asked for; ask again with the next one until nothing comes.
    #[serde(default)]
    from: u64,
}

/// Entries of the local ledger as the validator's hotkey signed them, a line of JSON each, chained by hashes.
#[utoipa::path(
    get,
    path = "/api/v1/ledger",
    tag = "log",
    params(Query),
    responses((
        status = 200,
        description = "As many entries as fit into an answer; none beyond the latest, or where the ledger isn't the \
                       validator's own.",
        content_type = "application/jsonl",
        body = String,
    )),
)]
async fn entries(State(app): State<App>, Asked(query): Asked<Query>) -> Result<Response, ApiError> {
    let ledger = Arc::clone(&app.ledger);
    let lines = tokio::task::spawn_blocking(move || ledger.lines(query.from, ANSWER_BYTES_MAX)).await;
    let unreadable = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error = %Chain(error), "the ledger can't be read");
        ApiError::busy("the ledger can't be read at the moment")
    };
    let lines = lines.map_err(|error| unreadable(&error))?.map_err(|error| unreadable(&error))?;
    let headers = [(header::CONTENT_TYPE, "application/jsonl"), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, lines).into_response())
}
