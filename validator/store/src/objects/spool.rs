//! Receiving: bytes that come at their sender's pace are counted and hashed on their way into a file without a name.
//!
//! Until a spooled file is kept nobody can read it, and a process that dies leaves nothing of it. It does not know what
//! was announced, nor where objects lie.

use super::ObjectError;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use protocol::Digest;
use protocol::competition::ObjectRef;
use protocol::digest::Hasher;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::io::{self, BufWriter, Write};
use std::time::{Duration, Instant};
use tokio::fs::File;
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

/// How slow a sender may be before it is given up.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The longest silence.
    pub idle_max: Duration,
    /// The mean rate that must be held once that long has passed.
    pub bytes_per_second_min: u64,
}

/// A stream whose sender must keep a pace.
#[derive(Debug)]
pub struct Incoming<S> {
    stream: S,
    pace: Pace,
    /// Bytes that came.
    received: u64,
    /// Those of them that count.
    counted: u64,
    /// Whether all of them do.
    counts_all: bool,
    began: Instant,
}

impl<S, E> Incoming<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: fmt::Display,
{
    /// Begins to receive.
    pub fn new(stream: S, pace: Pace) -> Self {
        Self { stream, pace, received: 0, counted: 0, counts_all: true, began: Instant::now() }
    }

    /// Begins to receive what has more in it than what is wanted: only bytes that [`Incoming::count`] is told of keep the
    /// pace.
    pub fn with_padding(stream: S, pace: Pace) -> Self {
        Self { counts_all: false, ..Self::new(stream, pace) }
    }

    /// So many of the bytes that came were wanted.
    pub fn count(&mut self, bytes: u64) {
        self.counted += bytes;
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`ObjectError::BrokenOff`] when the sender is silent, too slow, or gone.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ObjectError> {
        let Self { pace: Pace { idle_max, bytes_per_second_min }, received, counted, .. } = *self;
        let broken_off = |problem: String| ObjectError::BrokenOff { received, problem };
        let elapsed = self.began.elapsed();
        if elapsed > idle_max && counted < elapsed.as_secs() * bytes_per_second_min {
            return Err(broken_off(format!("slower than {bytes_per_second_min} bytes/s")));
        }
        let chunk = match tokio::time::timeout(idle_max, self.stream.next()).await {
            Err(_) => return Err(broken_off(format!("silent for {} s", idle_max.as_secs()))),
            Ok(chunk) => chunk.transpose().map_err(|error| broken_off(error.to_string()))?,
        };
        let bytes = chunk.as_ref().map_or(0, |chunk| chunk.len() as u64);
        self.received += bytes;
        if self.counts_all {
            self.count(bytes);
        }
        Ok(chunk)
    }
}

/// A file that is being received.
pub struct Spool {
    file: File,
    hasher: Sha256,
    size_bytes: u64,
    size_bytes_max: u64,
}

impl Spool {
    pub(super) fn new(file: std::fs::File, size_bytes_max: u64) -> Self {
        Self { file: File::from_std(file), hasher: Sha256::new(), size_bytes: 0, size_bytes_max }
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// [`ObjectError::Size`] at the first byte too many, and what the file system says.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ObjectError> {
        self.size_bytes += bytes.len() as u64;
        if self.size_bytes > self.size_bytes_max {
            return Err(ObjectError::Size { expected: self.size_bytes_max, received: self.size_bytes });
        }
        self.hasher.update(bytes);
        Ok(self.file.write_all(bytes).await?)
    }

    /// All has come.
    ///
    /// # Errors
    /// What the file system says.
    pub async fn finish(mut self) -> Result<Spooled, ObjectError> {
        self.file.flush().await?;
        let sha256 = Digest::from(<[u8; 32]>::from(self.hasher.finalize()));
        Ok(Spooled { file: self.file, object: ObjectRef { sha256, size_bytes: self.size_bytes } })
    }
}

/// A file that was received and that nobody can read yet.
pub struct Spooled {
    file: File,
    object: ObjectRef,
}

/// A file that is written, and hashed meanwhile.
struct Written {
    file: BufWriter<std::fs::File>,
    hasher: Hasher,
    size_bytes: u64,
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hasher.update(bytes.get(..written).unwrap_or_default());
        self.size_bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Spooled {
    /// Whatever `write` writes into `file`.
    pub(super) fn written<E: From<ObjectError>>(
        file: std::fs::File,
        write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
    ) -> Result<Self, E> {
        let (object, file) = hashed(file, write)?;
        Ok(Self { file: File::from_std(file), object })
    }

    /// What it turned out to be.
    pub fn object(&self) -> ObjectRef {
        self.object
    }

    pub(super) async fn rewound(mut self) -> Result<(ObjectRef, File), ObjectError> {
        self.file.rewind().await?;
        Ok((self.object, self.file))
    }
}

/// A file with whatever `write` writes into it, and what that is.
pub(super) fn hashed<E: From<ObjectError>>(
    file: std::fs::File,
    write: impl FnOnce(&mut (dyn Write + Send)) -> Result<(), E>,
) -> Result<(ObjectRef, std::fs::File), E> {
    let mut written = Written { file: BufWriter::new(file), hasher: Hasher::default(), size_bytes: 0 };
    write(&mut written)?;
    let Written { file, hasher, size_bytes } = written;
    let file = file.into_inner().map_err(|error| ObjectError::from(error.into_error()))?;
    Ok((ObjectRef { sha256: hasher.finish(), size_bytes }, file))
}
