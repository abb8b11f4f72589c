//! Served below a path of somebody's host: `public_url` names it, the proxy in front takes it off each request, and what we
//! send has to lead there again.
//!
//! Links begin at the root everywhere else, so this is the one place that knows of such a path.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderValue, header};
use service::app::App;

/// Far more than any page of ours has.
const PAGE_BYTES_MAX: usize = 64 << 20;

/// Puts the path of `public_url`, if it has one, before the links of pages and pictures and before `Location`.
pub async fn rooted(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let Some(root) = app.config.root() else { return next.run(request).await };
    // Kept pages are compressed already; this one has to be read. The proxy may compress it.
    request.headers_mut().remove(header::ACCEPT_ENCODING);
    let mut response = next.run(request).await;
    let target = response.headers().get(header::LOCATION).and_then(|target| target.to_str().ok());
    if let Some(Ok(below)) = target.filter(|target| is_of_root(target)).map(|t| HeaderValue::try_from(root.clone() + t))
    {
        response.headers_mut().insert(header::LOCATION, below);
    }
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    if kind.starts_with(b"text/html") || kind.starts_with(b"image/svg+xml") {
        relinked(response, &root).await
    } else {
        response
    }
}

fn is_of_root(target: &str) -> bool {
    target.starts_with('/') && !target.starts_with("//")
}

/// A page's text with its links below `root`.
pub fn below(page: &str, root: &str) -> String {
    page.replace("=\"/", &format!("=\"{root}/"))
}

/// A page whose links lead below `root`. What strangers wrote is escaped in pages, so that a quoted path is a link of ours.
async fn relinked(response: Response, root: &str) -> Response {
    let (mut parts, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body, PAGE_BYTES_MAX).await else { return Response::from_parts(parts, Body::empty()) };
    let text = below(&String::from_utf8_lossy(&bytes), root);
    parts.headers.remove(header::CONTENT_LENGTH);
    Response::from_parts(parts, Body::from(text))
}
