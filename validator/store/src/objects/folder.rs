//! Reading objects that lie in a folder of this machine, as fast as the disk and the socket allow.
//!
//! The store's own stream hands out 8 KiB at a time and goes to a thread for each. Here it is a quarter of a megabyte;
//! what the page cache has is copied at once, and only where the disk must be waited for does a thread wait. What was
//! sent gives its memory back: a download uses the same buffer or two from its first byte to its last, so that they stay
//! in the processor's cache and a slow reader holds no more. It does not know who reads.

use super::mounted::Place;
use super::{FOLDER, ObjectBytes, ObjectError};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use protocol::Digest;
use protocol::digest::Hasher;
use rustix::io::{ReadWriteFlags, preadv2};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 256 * 1024;

/// An object or a part of it as a stream.
pub(super) async fn stream(
    place: &Place,
    sha256: &Digest,
    range: Option<Range<u64>>,
) -> Result<ObjectBytes, ObjectError> {
    let (file, size_bytes) = opened(place, sha256).await?;
    let range = range.unwrap_or(0..size_bytes);
    let range = range.start.min(size_bytes)..range.end.min(size_bytes);
    let (file, buffers) = (Arc::new(file), Buffers::default());
    let chunks = stream::iter(chunks(range.clone())).then(move |chunk| read(Arc::clone(&file), buffers.clone(), chunk));
    Ok(ObjectBytes { stream: chunks.boxed(), range })
}

/// An object's file, whose bytes are what they were when it was stored.
pub(super) async fn file(place: &Place, sha256: &Digest) -> Result<File, ObjectError> {
    let (mut file, _) = opened(place, sha256).await?;
    let hashed = tokio::task::spawn_blocking(move || {
        let mut hasher = Hasher::default();
        io::copy(&mut file, &mut hasher)?;
        io::Result::Ok((file, hasher.finish()))
    });
    match hashed.await.map_err(io::Error::other)?? {
        (file, received) if received == *sha256 => Ok(file),
        (_, received) => Err(ObjectError::Digest { expected: *sha256, received }),
    }
}

/// An object's file, and its size.
async fn opened(place: &Place, sha256: &Digest) -> Result<(File, u64), ObjectError> {
    let path = place.folder().join(FOLDER).join(sha256.to_string());
    let opened = tokio::task::spawn_blocking(move || {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        io::Result::Ok((file, size_bytes))
    });
    match opened.await.map_err(io::Error::other)? {
        Ok(opened) => Ok(opened),
        Err(error) => {
            place.check().await?;
            Err(missing(error, sha256))
        }
    }
}

fn missing(error: io::Error, sha256: &Digest) -> ObjectError {
    if error.kind() == io::ErrorKind::NotFound { ObjectError::Missing(*sha256) } else { error.into() }
}

/// A range in pieces.
fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> + Send {
    let mut start = range.start;
    std::iter::from_fn(move || {
        let chunk = start..range.end.min(start.saturating_add(CHUNK_BYTES));
        start = chunk.end;
        (!chunk.is_empty()).then_some(chunk)
    })
}

/// Reads a chunk: at once where the page cache has it, which is no more than a copy, and in a thread where the disk must
/// be waited for.
async fn read(file: Arc<File>, buffers: Buffers, chunk: Range<u64>) -> object_store::Result<Bytes> {
    let read = async {
        let mut buffer = buffers.take(usize::try_from(chunk.end - chunk.start).map_err(io::Error::other)?);
        let cached = read_cached(&file, buffer.bytes_mut(), chunk.start);
        if cached < buffer.bytes_mut().len() {
            let rest = chunk.start + cached as u64;
            let reading = tokio::task::spawn_blocking(move || {
                file.read_exact_at(&mut buffer.bytes_mut()[cached..], rest)?;
                io::Result::Ok(buffer)
            });
            buffer = reading.await.map_err(io::Error::other)??;
        }
        io::Result::Ok(Bytes::from_owner(buffer))
    };
    read.await.map_err(|error| object_store::Error::Generic { store: "folder", source: Box::new(error) })
}

/// How many bytes could be read without waiting. A system or file system that doesn't know how reads none so.
fn read_cached(file: &File, into: &mut [u8], offset: u64) -> usize {
    let mut parts = [io::IoSliceMut::new(into)];
    preadv2(file, &mut parts, offset, ReadWriteFlags::NOWAIT).unwrap_or(0)
}

/// The buffers of one download that hold nothing at the moment.
#[derive(Clone, Default)]
struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// A buffer for so many bytes, at most a chunk's.
    fn take(&self, length: usize) -> Buffer {
        let free = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop();
        // All of them are as long, so that none is filled with zeros twice.
        let bytes = free.unwrap_or_else(|| vec![0; CHUNK_BYTES as usize]);
        Buffer { bytes, length, home: self.clone() }
    }
}

/// A buffer that goes home when it has been sent.
struct Buffer {
    bytes: Vec<u8>,
    length: usize,
    home: Buffers,
}

impl Buffer {
    fn bytes_mut(&mut self) -> &mut [u8] {
        let length = self.length.min(self.bytes.len());
        &mut self.bytes[..length]
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length.min(self.bytes.len())]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.0.lock().unwrap_or_else(PoisonError::into_inner).push(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_cover_a_range_and_nothing_else() {
        assert_eq!(chunks(3..3).count(), 0);
        assert_eq!(chunks(3..4).next(), Some(3..4));
        let all: Vec<_> = chunks(1..2 * CHUNK_BYTES + 2).collect();
        assert_eq!(
            all,
            [1..CHUNK_BYTES + 1, CHUNK_BYTES + 1..2 * CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 1..2 * CHUNK_BYTES + 2]
        );
    }

    #[tokio::test]
    async fn a_stream_has_the_bytes_of_its_range_and_uses_its_buffers_again() {
        let folder = tempfile::tempdir().unwrap_or_else(|error| panic!("{error}"));
        let place = Place::new(folder.path().into());
        let bytes: Vec<u8> = (0..3 * CHUNK_BYTES + 7).map(|index| (index % 251) as u8).collect();
        let sha256 = Digest::of(&bytes);
        let written = std::fs::create_dir(folder.path().join(FOLDER))
            .and_then(|()| std::fs::write(folder.path().join(FOLDER).join(sha256.to_string()), &bytes));
        written.unwrap_or_else(|error| panic!("{error}"));
        let end = bytes.len() as u64;
        for range in [None, Some(0..0), Some(5..6), Some(CHUNK_BYTES - 1..2 * CHUNK_BYTES + 1), Some(end - 3..end + 9)]
        {
            let opened = stream(&place, &sha256, range.clone()).await;
            let ObjectBytes { mut stream, range } = opened.unwrap_or_else(|error| panic!("{range:?}: {error}"));
            let (mut read, mut places) = (Vec::new(), std::collections::BTreeSet::new());
            while let Some(chunk) = stream.next().await {
                let chunk = chunk.unwrap_or_else(|error| panic!("{range:?}: {error}"));
                places.insert(chunk.as_ptr() as usize);
                read.extend_from_slice(&chunk);
            }
            assert!(read == bytes[range.start as usize..range.end as usize], "{range:?}");
            assert!(places.len() <= 1, "{} buffers for {range:?}", places.len());
        }
        let none = Digest::of(b"none");
        assert!(matches!(stream(&place, &none, None).await, Err(ObjectError::Missing(_))));
        assert!(matches!(file(&place, &none).await, Err(ObjectError::Missing(_))));
        let whole = file(&place, &sha256).await.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(whole.metadata().map(|found| found.len()).ok(), Some(end));
        std::fs::write(folder.path().join(FOLDER).join(none.to_string()), b"other")
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(matches!(file(&place, &none).await, Err(ObjectError::Digest { .. })));
    }
}
