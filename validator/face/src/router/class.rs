//! Which class a request is of, by its method and path. It does not know how many there may be.

use http::{HeaderMap, Method};
use protocol::auth::HEADER_SIGNATURE;
use service::guard::budget::Class;

/// The class of a request.
pub(super) fn class_of(method: &Method, path: &str, headers: &HeaderMap) -> Class {
    match path {
        "/healthz" | "/readyz" | "/metrics" => Class::Watch,
        path if path.starts_with("/api/v1/uploads/") => Class::Upload,
        path if *method == Method::PUT && path.starts_with("/api/v1/fleet/files/") => Class::Upload,
        path if *method == Method::POST && is_commit(path) => Class::Upload,
        "/api/v1/events" => Class::Stream,
        _ if headers.contains_key(HEADER_SIGNATURE) => Class::Write,
        path if *method == Method::POST && asks_only(path) => Class::Read,
        _ if [Method::GET, Method::HEAD, Method::OPTIONS].contains(method) => Class::Read,
        _ => Class::Write,
    }
}

/// Whether a request brings a package by the Hub protocol: `/api/models/{namespace}/{name}/commit/{revision}`.
fn is_commit(path: &str) -> bool {
    is_about_a_repository(path, "commit")
}

/// Whether a POST is a question, as the Hub protocol has some: what they ask for is in their body.
fn asks_only(path: &str) -> bool {
    path == "/api/validate-yaml" || is_about_a_repository(path, "paths-info")
}

/// `/api/{models|datasets}/{namespace}/{name}/{what}/…`
fn is_about_a_repository(path: &str, what: &str) -> bool {
    let rest = path.strip_prefix("/api/models/").or_else(|| path.strip_prefix("/api/datasets/"));
    rest.is_some_and(|rest| rest.split('/').nth(2) == Some(what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn what_only_asks_is_a_read_and_what_is_signed_is_none() {
        let (mut signed, unsigned) = (HeaderMap::new(), HeaderMap::new());
        signed.insert(HEADER_SIGNATURE, HeaderValue::from_static("0x00"));
        for (method, path, headers, class) in [
            (Method::GET, "/healthz", &unsigned, Class::Watch),
            (Method::GET, "/", &unsigned, Class::Read),
            (Method::GET, "/api/v1/tokens", &signed, Class::Write),
            (Method::POST, "/api/v1/submissions", &unsigned, Class::Write),
            (Method::PUT, "/api/v1/uploads/x", &unsigned, Class::Upload),
            (Method::PUT, "/api/v1/fleet/files/x/y", &unsigned, Class::Upload),
            (Method::GET, "/api/v1/fleet/files/x/y", &unsigned, Class::Read),
            (Method::PUT, "/api/v1/uploads/x", &signed, Class::Upload),
            (Method::POST, "/api/models/arena/digits/commit/main", &unsigned, Class::Upload),
            (Method::POST, "/api/models/arena/digits/preupload/main", &unsigned, Class::Write),
            (Method::POST, "/api/models/arena/digits/paths-info/main", &unsigned, Class::Read),
            (Method::POST, "/api/datasets/arena/digits/paths-info/main", &unsigned, Class::Read),
            (Method::POST, "/api/validate-yaml", &unsigned, Class::Read),
            (Method::GET, "/api/v1/events", &unsigned, Class::Stream),
        ] {
            assert_eq!(class_of(&method, path, headers), class, "{method} {path}");
        }
    }
}
