//! Reading objects that lie in a folder of this machine, as fast as the disk and the socket allow.
//!
//! The store's own stream hands out 8 KiB at a time and goes to a thread for each; here it is half a megabyte, and the
//! next one is read while the last one is sent. It does not know who reads.

use super::{FOLDER, ObjectBytes, ObjectError};
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use protocol::Digest;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Bytes that are read at once.
const CHUNK_BYTES: u64 = 512 * 1024;
/// Chunks that are read ahead of the one that is being sent.
const AHEAD: usize = 2;

/// An object or a part of it as a stream.
pub(super) async fn stream(
    folder: &Path,
    sha256: &Digest,
    range: Option<Range<u64>>,
) -> Result<ObjectBytes, ObjectError> {
    let path = folder.join(FOLDER).join(sha256.to_string());
    let opened = tokio::task::spawn_blocking(move || {
        let file = File::open(path)?;
        let size_bytes = file.metadata()?.len();
        io::Result::Ok((file, size_bytes))
    });
    let (file, size_bytes) = opened.await.map_err(io::Error::other)?.map_err(|error| missing(error, sha256))?;
    let range = range.unwrap_or(0..size_bytes);
    let range = range.start.min(size_bytes)..range.end.min(size_bytes);
    let file = Arc::new(file);
    let chunks = stream::iter(chunks(range.clone())).map(move |chunk| read(Arc::clone(&file), chunk));
    Ok(ObjectBytes { stream: chunks.buffered(AHEAD).boxed(), range })
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

async fn read(file: Arc<File>, chunk: Range<u64>) -> object_store::Result<Bytes> {
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = vec![0; usize::try_from(chunk.end - chunk.start).map_err(io::Error::other)?];
        file.read_exact_at(&mut bytes, chunk.start)?;
        io::Result::Ok(Bytes::from(bytes))
    });
    let read = read.await.map_err(io::Error::other).and_then(|read| read);
    read.map_err(|error| object_store::Error::Generic { store: "folder", source: Box::new(error) })
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
}
