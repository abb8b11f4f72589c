//! The feed as it goes on: one task reads what is new, writes it down once for streams, and hands it to all who listen.
//!
//! A listener begins with what the database has after its last number and goes on with what comes, so it misses nothing
//! and hears nothing twice, whatever was restarted in between. What waits for slow listeners is one ring for all of them;
//! whoever falls behind it reads the database again. It knows no HTTP.

use crate::face::Face;
use crate::face::feed::Told;
use bytes::Bytes;
use service::guard::places::Place;
use std::sync::Arc;
use std::time::Duration;
use store::causes::Chain;
use store::db::DbError;
use store::db::feed::{FeedEvent, FeedFilter};
use tokio::sync::broadcast::{self, error::RecvError};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the database is asked what is new, if nobody says that there is something.
const TICK: Duration = Duration::from_millis(200);
/// Events that one question takes up.
const BATCH_MAX: u32 = 256;
/// After so long a silence a listener is told that we are still there.
const BEAT: Duration = Duration::from_secs(15);

/// Tells until `stop`.
pub async fn run(face: Face, stop: CancellationToken) {
    let mut last = None;
    while !stop.is_cancelled() {
        match news(&face, last).await {
            Ok((end, whole)) => {
                last = Some(end);
                if whole {
                    continue;
                }
            }
            Err(error) => tracing::error!(error = %Chain(&error), "can't see what is new"),
        }
        tokio::select! {
            () = tokio::time::sleep(TICK) => {}
            () = face.signals.feed.notified() => {}
            () = stop.cancelled() => {}
        }
    }
    face.feed.closing.cancel();
}

/// Tells what came after `last`; the new last number, and whether there may be more already.
async fn news(face: &Face, last: Option<u64>) -> Result<(u64, bool), DbError> {
    // What happened before the start is for those who ask for it.
    let Some(mut last) = last else { return Ok((face.db.feed_end().await?, false)) };
    let events = face.db.feed(last, &FeedFilter::default(), BATCH_MAX).await?;
    let whole = events.len() == BATCH_MAX as usize;
    for event in events {
        last = event.id;
        let words = words(&event);
        // Nobody listens, or all do.
        let _ = face.feed.ring.send(Arc::new(Told { event, words }));
    }
    Ok((last, whole))
}

/// An event in the words of `text/event-stream`.
fn words(event: &FeedEvent) -> Bytes {
    let json = store::db::to_json(event);
    Bytes::from(format!("id: {}\nevent: {}\ndata: {json}\n\n", event.id, event.what.kind()))
}

/// Somebody who listens.
pub struct Listener {
    face: Face,
    filter: FeedFilter,
    /// The number of the last event that was passed on or passed over.
    last: u64,
    live: broadcast::Receiver<Arc<Told>>,
    /// Whether the database has nothing more than what comes.
    up_to_date: bool,
    beat_at: Instant,
    /// What is said first.
    greeting: Option<Bytes>,
    _place: Place,
}

impl Listener {
    /// Listens from after the event `last` on, or from now; `place` is held as long as it listens.
    pub async fn new(face: &Face, filter: FeedFilter, last: Option<u64>, place: Place) -> Result<Self, DbError> {
        // First the ring, then the database: what comes in between is in both.
        let live = face.feed.ring.subscribe();
        let end = face.db.feed_end().await?;
        // A number from the future is another database's: it can only mean now.
        let from = last.unwrap_or(end).min(end);
        let greeting = format!("retry: 2000\nid: {from}\nevent: hello\ndata: {{\"id\":{from}}}\n\n");
        Ok(Self {
            face: face.clone(),
            filter,
            last: from,
            live,
            up_to_date: false,
            beat_at: Instant::now() + BEAT,
            greeting: Some(Bytes::from(greeting)),
            _place: place,
        })
    }

    /// The next words of the stream; `None` at its end, after which whoever listens comes again.
    pub async fn next(&mut self) -> Option<Bytes> {
        if let Some(greeting) = self.greeting.take() {
            return Some(greeting);
        }
        loop {
            if !self.up_to_date {
                match self.catch_up().await {
                    Ok(None) => self.up_to_date = true,
                    Ok(words) => return words,
                    Err(error) => {
                        tracing::error!(error = %Chain(&error), "can't read the feed for a listener");
                        return None;
                    }
                }
            }
            tokio::select! {
                told = self.live.recv() => match told {
                    Ok(told) if told.event.id > self.last => {
                        self.last = told.event.id;
                        if self.filter.admits(&told.event) {
                            return Some(self.say(told.words.clone()));
                        }
                    }
                    Ok(_) => {}
                    Err(RecvError::Lagged(_)) => self.up_to_date = false,
                    Err(RecvError::Closed) => return None,
                },
                () = tokio::time::sleep_until(self.beat_at) => return Some(self.say(Bytes::from_static(b": beat\n\n"))),
                () = self.face.feed.closing.cancelled() => return None,
            }
        }
    }

    /// What the database has beyond the last event, if anything.
    async fn catch_up(&mut self) -> Result<Option<Bytes>, DbError> {
        let events = self.face.db.feed(self.last, &self.filter, BATCH_MAX).await?;
        let Some(newest) = events.last() else { return Ok(None) };
        self.last = newest.id;
        let all: Vec<Bytes> = events.iter().map(words).collect();
        Ok(Some(self.say(Bytes::from(all.concat()))))
    }

    fn say(&mut self, words: Bytes) -> Bytes {
        self.beat_at = Instant::now() + BEAT;
        words
    }
}
