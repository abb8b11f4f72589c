//! `/api/v1/names`: what a hotkey calls itself, signed by it.

use super::json;
use crate::face::Face;
use axum::extract::State;
use axum::response::Response;
use edge::auth::Signed;
use edge::error::ApiError;
use protocol::api::NameRequest;
use service::app::App;
use service::intake::not_reserved;
use service::views;
use store::db::lists::ListFilter;
use store::db::names::{self, Named};
use store::failpoints::{self, Change};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Names that a hotkey may have had.
const NAMES_MAX: u64 = 5;

pub(super) fn routes() -> OpenApiRouter<Face> {
    OpenApiRouter::default().routes(routes!(give))
}

/// Say what the signer is called. Boards show it beside the short key.
///
/// A name stays its owner's for good; names that look alike are one.
#[utoipa::path(
    post,
    path = "/api/v1/names",
    tag = "miners",
    security(("btauth" = [])),
    request_body = NameRequest,
    responses(
        (status = 200, description = "It is called that.", body = NameRequest),
        (status = 409, description = "name_reserved: boards have the word for something else; name_taken; too_many_names: five are \
            the limit of a hotkey; nothing_entered: the signer has entered nothing here yet."),
    ),
)]
async fn give(State(app): State<App>, signed: Signed) -> Result<Response, ApiError> {
    let request: NameRequest = signed.json()?;
    let filter = ListFilter { hotkey: Some(signed.hotkey), ..ListFilter::default() };
    if views::submissions(&app, &filter, None, 1).await?.is_empty() {
        // So that names can't be taken without end by keys that do nothing else.
        let hint = "Enter a model first.";
        return Err(ApiError::conflict("nothing_entered", "this hotkey has entered nothing here", hint));
    }
    not_reserved(&request.name)?;
    let mut tx = app.db.write().await?;
    match names::give(&mut tx, &signed.hotkey, &request.name, NAMES_MAX, app.clock.now()).await? {
        Named::Given => failpoints::commit(tx, Change::Name).await?,
        Named::Taken => {
            let hint = "Choose one that doesn't look like another's.";
            return Err(ApiError::conflict("name_taken", format!("{} is another hotkey's", request.name), hint));
        }
        Named::TooMany => {
            let hint = "Take one that it had before.";
            let detail = format!("{NAMES_MAX} names are the limit of a hotkey");
            return Err(ApiError::conflict("too_many_names", detail, hint));
        }
    }
    app.board.changed_by_hand();
    Ok(json(&request))
}
