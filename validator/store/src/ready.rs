//! An answer that is sent again and again: tagged and compressed once. It does not know how it is sent.

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use protocol::Digest;
use std::io::Write;

/// An answer that is sent again and again: tagged and compressed once.
#[derive(Clone, Debug)]
pub struct Ready {
    /// The content.
    pub plain: Bytes,
    /// The same in gzip's format.
    pub squeezed: Bytes,
    /// Its tag.
    pub etag: String,
}

impl Ready {
    /// Compresses and tags. A megabyte takes some ten milliseconds.
    pub fn new(content: impl Into<Bytes>) -> Self {
        let plain = content.into();
        Self { squeezed: gzip(&plain), etag: etag(&plain), plain }
    }

    /// Bytes that it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.plain.len() + self.squeezed.len()
    }
}

/// A tag made of the content.
pub fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", Digest::of(bytes))
}

/// The bytes in gzip's format.
pub fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::new(6));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from).expect("no failure, because it is memory")
}
