//! Lists page by page: how many at once, and a `Link` to the next ones (RFC 8288). Bodies stay plain arrays.

use super::json;
use super::query::bad_query;
use axum::response::Response;
use edge::error::ApiError;
use http::{HeaderValue, Uri, header};
use serde::Serialize;
use std::fmt::Display;
use url::form_urlencoded;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// Items of a page for those who don't say.
pub(super) const LIMIT_DEFAULT: u32 = 100;

/// What `limit` may be in an address whose pages have at most `MAX` items.
pub(super) fn limit<const MAX: u32>() -> Schema {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(1)).maximum(Some(MAX)).into()
}

/// How much of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    /// At least 1.
    pub(super) limit: u32,
}

impl Slice {
    /// Reads `limit`, of which `max` is the most.
    pub(super) fn of(limit: Option<u32>, max: u32) -> Result<Self, ApiError> {
        match limit {
            None => Ok(Self { limit: LIMIT_DEFAULT.min(max) }),
            Some(limit) if (1..=max).contains(&limit) => Ok(Self { limit }),
            Some(limit) => Err(bad_query(format!("limit is {limit}; it must be between 1 and {max}"))),
        }
    }

    /// Cuts a whole list down to its first page; whether there is more.
    pub(super) fn cut<T>(self, all: &mut Vec<T>) -> bool {
        let limit = self.limit as usize;
        let is_more = all.len() > limit;
        all.truncate(limit);
        is_more
    }
}

/// A page; `next` is where the following one begins, named `cursor` in the query.
pub(super) fn linked(items: &[impl Serialize], uri: &Uri, cursor: &str, next: Option<impl Display>) -> Response {
    let mut response = json(&items);
    let link = next.map(|next| format!("<{}>; rel=\"next\"", continued(uri, cursor, &next.to_string())));
    if let Some(link) = link.and_then(|link| HeaderValue::from_str(&link).ok()) {
        response.headers_mut().insert(header::LINK, link);
    }
    response
}

/// The same address with another cursor.
fn continued(uri: &Uri, cursor: &str, next: &str) -> String {
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(asked.filter(|(name, _)| name != cursor))
        .append_pair(cursor, next)
        .finish();
    format!("{}?{query}", uri.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_takes_the_place_of_the_one_before() {
        let uri: Uri = "/api/v1/submissions?state=scored&after=7&hotkey=a%20b".parse().unwrap();
        assert_eq!(continued(&uri, "after", "9"), "/api/v1/submissions?state=scored&hotkey=a+b&after=9");
    }

    #[test]
    fn limits_have_limits() {
        assert_eq!(Slice::of(None, 500).unwrap().limit, 100);
        assert_eq!(Slice::of(Some(500), 500).unwrap().limit, 500);
        assert!(Slice::of(Some(0), 500).is_err() && Slice::of(Some(501), 500).is_err());
    }
}
