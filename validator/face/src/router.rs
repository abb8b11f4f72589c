//! The routes, and what surrounds every one of them: limits, request ids, logs, security headers, problem documents.
//!
//! It does not know what a route answers.

mod class;
mod sender;

use crate::face::Face;
use crate::operator::Peer;
use crate::rooted::rooted;
use crate::routes::Routes;
use crate::serve::Oddity;
use crate::{api, pages, routes};
use axum::body::to_bytes;
use axum::extract::{FromRef, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Redirect, Response};
use axum::{Extension, Router};
use edge::error::{ApiError, PROBLEM_JSON, Refused};
use edge::{auth, conditional};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use protocol::api::Problem;
use sender::{Sender, sender};
use service::app::App;
use service::guard::AddressBlock;
use service::guard::budget::Class;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{Any, CorsLayer};
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::trace::{DefaultOnResponse, OnResponse, TraceLayer};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer request ids are nobody's.
const REQUEST_ID_BYTES_MAX: usize = 64;
/// Longer targets are no request of ours.
const TARGET_BYTES_MAX: usize = 2 * 1024;

/// What browsers are told about everything we send; a page may say more about itself.
const SECURITY_HEADERS: [(HeaderName, HeaderValue); 4] = [
    (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'self'; object-src 'none'; frame-ancestors 'none'; base-uri 'none'"),
    ),
    (header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
];

/// Whether pages of others may be given what we send.
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Whoever was here over TLS comes back over TLS.
const A_YEAR: HeaderValue = HeaderValue::from_static("max-age=31536000");
/// Far more than a problem document has.
const PROBLEM_BYTES_MAX: usize = 64 * 1024;
/// Who sends requests that came on no connection: nobody does.
const UNKNOWN: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);

/// All routes with everything around them.
pub fn router(face: Face) -> Router {
    let app = App::from_ref(&face);
    let timed = middleware::from_fn_with_state(app.clone(), time_limit);
    let Routes { timed: described, uploads } = Routes::all();
    Router::from(described)
        .merge(pages::routes())
        .layer(Extension(routes::description()))
        .fallback(nothing)
        .method_not_allowed_fallback(|| async { plain(StatusCode::METHOD_NOT_ALLOWED) })
        .layer(middleware::from_fn(conditional::conditional))
        .layer(middleware::from_fn_with_state(app.clone(), rooted))
        .layer(timed)
        // Uploads take their time: they have limits of their own.
        .merge(Router::from(uploads))
        .layer(middleware::from_fn_with_state(app.clone(), guarded))
        .layer(middleware::map_response(as_problem))
        .layer(middleware::from_fn_with_state(app.clone(), for_browsers))
        .layer(CatchPanicLayer::custom(|_| plain(StatusCode::INTERNAL_SERVER_ERROR).into_response()))
        .layer(middleware::from_fn_with_state(app.clone(), around))
        .layer(cross_origin())
        .layer(middleware::from_fn(for_the_operator_alone))
        // Failures are told where they happen, refusals once a minute.
        .layer(TraceLayer::new_for_http().make_span_with(span).on_response(respond).on_failure(()))
        .layer(PropagateRequestIdLayer::new(REQUEST_ID))
        .layer(SetRequestIdLayer::new(REQUEST_ID, RandomId))
        .layer(middleware::map_request(without_strange_id))
        .with_state(face)
}

/// What pages of others may do in a browser: read what is public, and submit with a token that they are given. A browser never
/// adds one by itself, since there are no cookies.
fn cross_origin() -> CorsLayer {
    // `Authorization` has to be named: a star leaves it out. Nothing of a request comes back.
    let headers = [header::AUTHORIZATION, header::ACCEPT, header::CONTENT_TYPE, header::IF_NONE_MATCH, header::RANGE];
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::HEAD, Method::POST])
        .allow_headers(headers)
        .expose_headers(Any)
        .max_age(Duration::from_secs(3_600))
}

/// Takes back what other pages were allowed where an operator alone may look.
async fn for_the_operator_alone(request: Request, next: Next) -> Response {
    let is_public = is_for_everybody(request.uri().path());
    let mut response = next.run(request).await;
    if !is_public {
        response.headers_mut().remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    }
    response
}

/// What an operator alone may see isn't.
fn is_for_everybody(path: &str) -> bool {
    !["/operator", "/api/v1/operator", "/metrics"].iter().any(|of_operator| path.starts_with(of_operator))
}

/// What is at the address of the settings where the metrics are for everybody: nothing else.
pub fn metrics(app: App) -> Router {
    Router::new()
        .fallback(numbers_or_nothing)
        .layer(middleware::from_fn_with_state(app.clone(), time_limit))
        .layer(CatchPanicLayer::custom(|_| plain(StatusCode::INTERNAL_SERVER_ERROR).into_response()))
        .with_state(app)
}

async fn numbers_or_nothing(app: State<App>, method: Method, uri: Uri) -> Response {
    if method == Method::GET && uri.path() == "/metrics" {
        return api::numbers(app).await.into_response();
    }
    nothing(method, uri).await
}

async fn nothing(method: Method, uri: Uri) -> Response {
    if let Some(target) = without_slash(&uri).filter(|_| matches!(method, Method::GET | Method::HEAD)) {
        return Redirect::permanent(&target).into_response();
    }
    let nothing = || ApiError::not_found("there is nothing at this address").into_response();
    hub::missing(uri.path()).unwrap_or_else(nothing)
}

/// Where an address leads that ends with a slash: ours have none. What browsers take for another host's leads nowhere, and the
/// public log's files have one spelling.
fn without_slash(uri: &Uri) -> Option<String> {
    let path = uri.path().strip_suffix('/')?.trim_end_matches('/');
    let is_ours = path.len() > 1 && !path.starts_with("//") && !path.starts_with("/log/") && !path.contains('\\');
    is_ours.then(|| uri.query().map_or(path.to_owned(), |query| format!("{path}?{query}")))
}

/// A proxy's request id is kept, so that its log and ours can be read side by side. Anybody may send one, and it goes to
/// the log and into the answer: what is long or has other characters isn't taken.
async fn without_strange_id(mut request: Request) -> Request {
    let is_plain = |id: &HeaderValue| {
        (1..=REQUEST_ID_BYTES_MAX).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte))
    };
    if !request.headers().get(&REQUEST_ID).is_some_and(is_plain) {
        request.headers_mut().remove(&REQUEST_ID);
    }
    request
}

/// A request id that nobody can guess or repeat, for requests that bring none.
#[derive(Clone)]
struct RandomId;

impl MakeRequestId for RandomId {
    fn make_request_id<B>(&mut self, _: &http::Request<B>) -> Option<RequestId> {
        let id = format!("{:016x}", rand::random::<u64>());
        HeaderValue::from_str(&id).ok().map(RequestId::new)
    }
}

/// The target is logged without its query, and without what opens uploads and workers' files.
fn span<B>(request: &http::Request<B>) -> tracing::Span {
    let path = request.uri().path();
    let secret = ["/api/v1/uploads/", "/api/v1/fleet/files/"].into_iter().find(|secret| path.starts_with(secret));
    let path = if secret.is_some() { format!("{}…", secret.unwrap_or_default()) } else { path.to_owned() };
    let id = request.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
    tracing::info_span!("request", method = %request.method(), path, id, status = tracing::field::Empty)
}

/// The span knows how it ended.
fn respond<B>(response: &http::Response<B>, latency: Duration, span: &tracing::Span) {
    span.record("status", response.status().as_u16());
    DefaultOnResponse::default().on_response(response, latency, span);
}

/// Refuses odd heads and targets that are too long, counts responses and adds the security headers.
async fn around(State(app): State<App>, request: Request, next: Next) -> Response {
    let policy = if is_for_everybody(request.uri().path()) { "cross-origin" } else { "same-origin" };
    let target = request.uri().path_and_query().map_or(0, |target| target.as_str().len());
    let oddity = request.extensions().get::<Oddity>().copied();
    // What comes after a body of chunks isn't looked for in the bytes of the connection.
    let is_last = oddity.is_some() || request.headers().contains_key(header::TRANSFER_ENCODING);
    let mut response = match oddity {
        Some(oddity) => odd(oddity).into_response(),
        None if target > TARGET_BYTES_MAX => plain(StatusCode::URI_TOO_LONG).into_response(),
        None => next.run(request).await,
    };
    if is_last {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    app.counters.count(response.status().as_u16());
    for (name, value) in SECURITY_HEADERS {
        response.headers_mut().entry(name).or_insert(value);
    }
    response.headers_mut().entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static(policy));
    if app.config.public_url.starts_with("https://") {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, A_YEAR);
    }
    response
}

/// What is told to whoever sends a head that others may read otherwise.
fn odd(oddity: Oddity) -> ApiError {
    let hint = "Send requests as RFC 9112 has them; clients of HTTP do.";
    ApiError::new(StatusCode::BAD_REQUEST, "odd_request", oddity.detail(), hint)
}

/// Turns away whoever comes too often before anything is looked at closely, and reads that there is no place for. Whatever
/// else takes a place takes it where it is known whose request it is.
async fn guarded(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let class = class::class_of(request.method(), request.uri().path(), request.headers());
    let peer = request.extensions().get::<Peer>().map_or(UNKNOWN, |Peer(peer)| peer.ip());
    let client = client(&app, peer, request.headers());
    request.extensions_mut().insert(client);
    let _counted = app.guard.holders.enter(client, class);
    let response = admitted(&app, class, client, request, next).await;
    if let Some(Refused { code, detail }) = response.extensions().get() {
        app.guard.refusals.note(code, detail, client);
    }
    response
}

/// The block of addresses that answers for a request.
fn client(app: &App, peer: IpAddr, headers: &HeaderMap) -> AddressBlock {
    let Sender { address, unread } = sender(peer, headers, |address| app.guard.is_proxy(address));
    if let Some(unread) = unread {
        app.guard.tell_unread(address, unread);
    }
    AddressBlock::of(address)
}

async fn admitted(app: &App, class: Class, client: AddressBlock, mut request: Request, next: Next) -> Response {
    if let Err(error) = app.guard.admit(client, class) {
        if error.is_blocked() {
            app.counters.blocked.fetch_add(1, Ordering::Relaxed);
        }
        return ApiError::from(error).into_response();
    }
    if class == Class::Read {
        // What only asks may have a body; nobody holds a place while it is on its way.
        request = match auth::with_body_read(request, &app.config.limits).await {
            Ok(request) => request,
            Err(error) => return error.into_response(),
        };
    }
    match app.guard.enter(class, client) {
        Ok(_place) => next.run(request).await,
        Err(error) => ApiError::from(error).into_response(),
    }
}

async fn time_limit(State(app): State<App>, request: Request, next: Next) -> Response {
    let limit = Duration::from_secs(app.config.limits.request_seconds_max);
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => ApiError::busy("the answer took too long").into_response(),
    }
}

/// Whatever fails outside our handlers, such as a path that isn't UTF-8, fails with a problem document too.
async fn as_problem(response: Response) -> Response {
    let status = response.status();
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let described = kind == PROBLEM_JSON.as_bytes() || kind.starts_with(b"text/html");
    if described || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let mut problem = plain(status).into_response();
    if let Some(allow) = response.headers().get(header::ALLOW) {
        problem.headers_mut().insert(header::ALLOW, allow.clone());
    }
    problem
}

/// A problem as a page, for whoever looks with a browser at what isn't the API. Clients of the Hub and of the API don't ask for
/// HTML; what they get stays as it is.
async fn for_browsers(State(app): State<App>, request: Request, next: Next) -> Response {
    let accepted = request.headers().get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let asks_for_page = accepted.flat_map(|value| value.split(',')).any(|kind| kind.trim().starts_with("text/html"));
    let is_page = !request.uri().path().starts_with("/api/") && matches!(*request.method(), Method::GET | Method::HEAD);
    let response = next.run(request).await;
    let kind = response.headers().get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
    if !(asks_for_page && is_page) || kind != Some(PROBLEM_JSON.as_bytes()) {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, PROBLEM_BYTES_MAX).await.unwrap_or_default();
    let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
    let page = pages::of_problem(parts.status, problem.as_ref(), app.config.root().as_deref());
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(page.headers().clone());
    parts.headers.append(header::VARY, HeaderValue::from_static("accept"));
    Response::from_parts(parts, page.into_body())
}

/// A problem of which nothing but the status is known.
fn plain(status: StatusCode) -> ApiError {
    let (code, hint) = match status {
        StatusCode::NOT_FOUND => ("not_found", "Check the address."),
        StatusCode::METHOD_NOT_ALLOWED => ("method_not_allowed", "See /openapi.json for what each address takes."),
        StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "Send less."),
        StatusCode::REQUEST_TIMEOUT => ("too_slow", "Send faster."),
        StatusCode::URI_TOO_LONG => ("target_too_long", "Addresses have at most 2048 bytes."),
        status if status.is_server_error() => ("internal", "Try again later."),
        _ => ("bad_request", "See /openapi.json for what each address takes."),
    };
    let detail = status.canonical_reason().unwrap_or("the request failed").to_lowercase();
    ApiError::new(status, code, detail, hint)
}
