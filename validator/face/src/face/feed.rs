//! Where listeners are told what happens: one ring for all of them. It does not know what is told, nor to whom.

use bytes::Bytes;
use std::sync::Arc;
use store::db::feed::FeedEvent;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

/// Events that wait for slow listeners, once for all of them.
const RING: usize = 512;

/// An event with its words in a stream.
#[derive(Debug)]
pub struct Told {
    pub event: FeedEvent,
    pub words: Bytes,
}

/// Where listeners are told what happens.
pub struct Feed {
    pub ring: broadcast::Sender<Arc<Told>>,
    /// The process ends: so do all streams.
    pub closing: CancellationToken,
}

impl Default for Feed {
    fn default() -> Self {
        Self { ring: broadcast::Sender::new(RING), closing: CancellationToken::new() }
    }
}
