//! What an address asks for after its `?`, parsed strictly: an unknown or misspelt name is an error, not a silent default.

use axum::extract::{FromRequestParts, Query};
use edge::error::ApiError;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

/// A query as `T` has it; derive `Deserialize` with `deny_unknown_fields`.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        Query::<T>::try_from_uri(&parts.uri)
            .map(|Query(asked)| Self(asked))
            .map_err(|error| bad_query(error.body_text()))
    }
}

/// A query that can't be answered.
pub(super) fn bad_query(detail: impl Into<String>) -> ApiError {
    let hint = "See /api for what each address takes after its `?`.";
    ApiError::new(StatusCode::BAD_REQUEST, "bad_query", detail, hint)
}
