//! A connection whose other end must take what it asked for, may send what nobody wants, and is looked at as it comes.
//!
//! hyper waits for ever for a client that reads nothing, and meanwhile holds its answer. Here a write that waits is given
//! up after a window in which too few bytes went out. How fast a client must send is watched where its bytes are used.
//!
//! A client that was refused early may still be sending. Closing on it would reset the connection, and it would never read
//! why; so what it sends is read and dropped for a while.

use super::head::{Heads, Oddity};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use store::objects::Pace;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// How long a client that was answered may go on sending.
const LINGER: Duration = Duration::from_secs(120);
/// How long it may be silent meanwhile.
const LINGER_SILENT: Duration = Duration::from_secs(2);
/// Bytes that are dropped at a time.
const DROPPED_BYTES: usize = 16 * 1024;

/// What a connection's stream and its routes tell each other.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// What the stream found odd.
    pub(super) oddity: OnceLock<Oddity>,
    /// Whether the routes left a part of the last request unread.
    pub(super) unread: AtomicBool,
}

/// A stream that gives up on a reader that is slower than its pace.
pub(super) struct PacedStream<S> {
    inner: S,
    pace: Pace,
    heads: Heads,
    told: Arc<Told>,
    /// Since it is only read to be dropped.
    lingers: Option<Linger>,
    /// Watched while writes have to wait.
    window: Option<Window>,
    /// Whether the last write had to wait.
    waits: bool,
}

/// Until when what comes is dropped.
struct Linger {
    ends: Pin<Box<Sleep>>,
    silent: Pin<Box<Sleep>>,
}

/// Since when writes wait, until when they must have got on, and how far they got.
struct Window {
    ends: Pin<Box<Sleep>>,
    written: u64,
}

impl<S> PacedStream<S> {
    pub(super) fn new(inner: S, pace: Pace, told: Arc<Told>) -> Self {
        Self { inner, pace, heads: Heads::default(), told, lingers: None, window: None, waits: false }
    }

    /// Takes note of what a write came to; an error once the reader is too slow.
    fn judge(&mut self, wrote: Poll<io::Result<usize>>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        match wrote {
            Poll::Ready(Ok(count)) => {
                if !self.waits {
                    // Twice in a row without waiting: the reader keeps up.
                    self.window = None;
                } else if let Some(window) = &mut self.window {
                    window.written = window.written.saturating_add(count as u64);
                }
                self.waits = false;
                Poll::Ready(Ok(count))
            }
            Poll::Pending => {
                self.waits = true;
                ready!(self.poll_window(cx));
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client doesn't take its answer")))
            }
            failed => failed,
        }
    }

    /// Ready once a window ended with too little written in it.
    fn poll_window(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let (length, pace) = (self.pace.idle_max, self.pace);
        let new = || Window { ends: Box::pin(tokio::time::sleep(length)), written: 0 };
        let window = self.window.get_or_insert_with(new);
        loop {
            ready!(window.ends.as_mut().poll(cx));
            if window.written < pace.bytes_per_second_min.saturating_mul(length.as_secs()).max(1) {
                return Poll::Ready(());
            }
            window.written = 0;
            window.ends.as_mut().reset(Instant::now() + length);
        }
    }
}

impl<S: AsyncRead + Unpin> PacedStream<S> {
    /// Ready once nothing more comes, or enough was dropped.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let new = || Linger {
            ends: Box::pin(tokio::time::sleep(LINGER)),
            silent: Box::pin(tokio::time::sleep(LINGER_SILENT)),
        };
        let linger = self.lingers.get_or_insert_with(new);
        let mut dropped = [0; DROPPED_BYTES];
        loop {
            let mut dropped = ReadBuf::new(&mut dropped);
            match Pin::new(&mut self.inner).poll_read(cx, &mut dropped) {
                Poll::Ready(Ok(())) if !dropped.filled().is_empty() => {
                    linger.silent.as_mut().reset(Instant::now() + LINGER_SILENT);
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => break,
            }
        }
        if linger.silent.as_mut().poll(cx).is_ready() { Poll::Ready(()) } else { linger.ends.as_mut().poll(cx) }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for PacedStream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        let seen = buf.filled().get(before..).unwrap_or_default();
        if self.told.oddity.get().is_none()
            && let Err(oddity) = self.heads.see(seen)
        {
            let _ = self.told.oddity.set(oddity);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for PacedStream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.judge(wrote, cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let wrote = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.judge(wrote, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.inner).poll_shutdown(cx))?;
        if self.told.unread.load(Ordering::Relaxed) {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const PACE: Pace = Pace { idle_max: Duration::from_secs(10), bytes_per_second_min: 1_000 };

    /// Writes 100,000 bytes to a reader that takes `bytes` every `seconds`; how many it got, and how the writer ended.
    async fn written(bytes: usize, seconds: u64) -> (usize, io::Result<()>) {
        let (near, mut far) = duplex(4_096);
        let mut near = PacedStream::new(near, PACE, Arc::default());
        let writer = tokio::spawn(async move { near.write_all(&[0; 100_000]).await });
        let (mut taken, mut buffer) = (0, vec![0; bytes]);
        loop {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            match far.read(&mut buffer).await.unwrap() {
                0 => return (taken, writer.await.unwrap()),
                count => taken += count,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_keeps_the_pace_gets_everything() {
        for (bytes, seconds) in [(1_100, 1), (100_000, 1), (4_096, 3)] {
            let (taken, ended) = written(bytes, seconds).await;
            assert!(ended.is_ok(), "{bytes} bytes every {seconds} s: {ended:?} after {taken}");
            assert_eq!(taken, 100_000);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_or_drops_is_given_up() {
        for (bytes, seconds) in [(1, 1), (900, 1), (4_096, 5), (4_096, 60)] {
            let (taken, ended) = written(bytes, seconds).await;
            assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut, "{bytes} bytes every {seconds} s");
            assert!(taken < 60_000, "{taken}");
        }
    }
    /// How many of `bytes` a client that sends a thousand every `pause` gets rid of after the end of its answer.
    async fn sent_after_the_end(bytes: usize, pause: Duration, unread: bool) -> usize {
        let (near, mut far) = duplex(1_000);
        let told = Arc::new(Told::default());
        told.unread.store(unread, Ordering::Relaxed);
        let mut near = PacedStream::new(near, PACE, told);
        let closing = tokio::spawn(async move { near.shutdown().await });
        let mut sent = 0;
        while sent < bytes && far.write_all(&[0; 1_000]).await.is_ok() {
            sent += 1_000;
            tokio::time::sleep(pause).await;
        }
        drop(far);
        closing.await.unwrap().unwrap();
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_was_answered_early_may_finish_for_a_while() {
        assert_eq!(sent_after_the_end(100_000, Duration::from_secs(1), true).await, 100_000);
        assert!(sent_after_the_end(100_000, Duration::from_secs(3), true).await < 10_000, "it was silent");
        assert!(sent_after_the_end(1_000_000, Duration::from_secs(1), true).await < 200_000, "it has no end");
        assert!(sent_after_the_end(100_000, Duration::from_secs(1), false).await < 10_000, "nothing was left");
    }
}
