//! The accept loop and what a connection is made of: places, counts, time limits.
//!
//! It is ours since axum's own has no time limit for the head of a request. It does not know what is served.

use super::stream::{PacedStream, Told};
use crate::operator::Peer;
use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use service::app::App;
use service::guard::AddressBlock;
use service::guard::connections::Counted;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

/// Headers of one request.
const HEADERS_MAX: usize = 64;
/// Bytes of the head of a request; hyper wants at least 8 KiB.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// How long the loop rests when the system has no descriptor for another connection.
const ACCEPT_REST: Duration = Duration::from_millis(200);
/// What an address with too many connections is told, if it listens.
const TOO_MANY: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/problem+json\r\nretry-after: 5\r\n\
connection: close\r\ncontent-length: 204\r\n\r\n{\"type\":\"/problems/too_many_connections\",\"title\":\
\"Too Many Requests\",\"status\":429,\"detail\":\"your address has too many connections\",\"code\":\
\"too_many_connections\",\"hint\":\"Reuse connections, or open fewer.\"}";

/// Accepts for `router` until it is dropped. Connections end by `graceful`, those that have said nothing yet by `closing`.
pub async fn accept(
    listener: &TcpListener,
    app: &App,
    router: axum::Router,
    graceful: &GracefulShutdown,
    closing: &CancellationToken,
) {
    let places = Arc::new(Semaphore::new(app.config.limits.connections_max as usize));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("a place, because nobody closes the semaphore");
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "can't accept a connection");
                tokio::time::sleep(ACCEPT_REST).await;
                continue;
            }
        };
        if is_blocked(app, peer) {
            continue;
        }
        match count(app, peer) {
            Some(counted) => {
                let held = Held::new(place, counted, app.clone());
                let connection = Connection { stream, peer, router: router.clone(), held };
                tokio::spawn(connection.serve(graceful.watcher(), closing.clone()));
            }
            None => {
                app.counters.refused_connections.fetch_add(1, Ordering::Relaxed);
                let client = AddressBlock::of(peer.ip());
                app.guard.refusals.note("too_many_connections", "its address has too many connections", client);
                // Whatever of it doesn't fit is nobody's loss.
                let _ = stream.try_write(TOO_MANY);
            }
        }
    }
}

/// Whether the operator blocked the network that a connection comes from: it is closed without a word. Behind a proxy the
/// requests are looked at.
fn is_blocked(app: &App, peer: SocketAddr) -> bool {
    let client = AddressBlock::of(peer.ip());
    if app.guard.is_proxy(peer.ip()) || !app.guard.blocks.has_address(client) {
        return false;
    }
    app.counters.blocked.fetch_add(1, Ordering::Relaxed);
    app.guard.refusals.note("blocked", "the operator has blocked its network", client);
    true
}

/// Counts a connection, unless its address has enough of them.
fn count(app: &App, peer: SocketAddr) -> Option<Counted> {
    let connections = &app.guard.connections;
    if app.guard.is_proxy(peer.ip()) {
        return Some(connections.enter_uncounted());
    }
    connections.enter(AddressBlock::of(peer.ip()))
}

/// What a connection holds until it ends.
struct Held {
    _place: OwnedSemaphorePermit,
    _counted: Counted,
    app: App,
}

impl Held {
    fn new(place: OwnedSemaphorePermit, counted: Counted, app: App) -> Self {
        app.counters.connections.fetch_add(1, Ordering::Relaxed);
        Self { _place: place, _counted: counted, app }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.app.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An accepted connection.
struct Connection {
    stream: TcpStream,
    peer: SocketAddr,
    router: axum::Router,
    held: Held,
}

impl Connection {
    async fn serve(self, watcher: Watcher, closing: CancellationToken) {
        let Self { stream, peer, router, held } = self;
        let limits = &held.app.config.limits;
        let header_read = Duration::from_secs(limits.header_read_seconds_max);
        // Until it says something it has no buffers.
        tokio::select! {
            said = tokio::time::timeout(header_read, stream.readable()) => if !matches!(said, Ok(Ok(()))) { return },
            () = closing.cancelled() => return,
        }
        // Small answers shouldn't wait for more to be sent with them; without this they are only slower.
        let _ = stream.set_nodelay(true);
        let told = Arc::new(Told::default());
        let routes = FromPeer { routes: TowerToHyperService::new(router), peer: Peer(peer), told: Arc::clone(&told) };
        let stream = PacedStream::new(stream, limits.response_pace(), told);
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            // It begins when it is the client's turn, so it ends connections that are kept alive and idle as well.
            .header_read_timeout(header_read)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), routes);
        // Clients go away in many ways; none of them is news.
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

/// The routes, told of each request whose connection it came on, and what was odd about it.
struct FromPeer {
    routes: TowerToHyperService<axum::Router>,
    peer: Peer,
    told: Arc<Told>,
}

impl Service<http::Request<Incoming>> for FromPeer {
    type Response = <TowerToHyperService<axum::Router> as Service<http::Request<Requested>>>::Response;
    type Error = <TowerToHyperService<axum::Router> as Service<http::Request<Requested>>>::Error;
    type Future = <TowerToHyperService<axum::Router> as Service<http::Request<Requested>>>::Future;

    fn call(&self, mut request: http::Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(self.peer);
        if let Some(oddity) = self.told.oddity.get() {
            request.extensions_mut().insert(*oddity);
        }
        let told = Arc::clone(&self.told);
        self.routes.call(request.map(|body| Requested { ended: body.is_end_stream(), body, told }))
    }
}

/// The body of a request, which tells when it is dropped before all of it was read.
struct Requested {
    body: Incoming,
    ended: bool,
    told: Arc<Told>,
}

impl Body for Requested {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        self.ended |= frame.is_none() || self.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Requested {
    fn drop(&mut self) {
        self.told.unread.store(!self.ended, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::TOO_MANY;
    use protocol::api::Problem;

    #[test]
    fn what_is_written_by_hand_is_a_problem_document_of_its_length() {
        let text = std::str::from_utf8(TOO_MANY).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        assert_eq!(length.parse(), Ok(body.len()));
        let problem: Problem = serde_json::from_str(body).unwrap();
        assert_eq!((problem.status, problem.kind), (429, format!("/problems/{}", problem.code)));
    }
}
