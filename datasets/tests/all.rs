//! The crate through its public door, on real files; one module per room. It knows no private item.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod answers;
mod commitment;
mod digits;
mod fashion_mnist;
mod formats;
mod hidden;
mod idx;
mod pictures;
mod published;
mod sources;
mod split;

/// Of a file of this crate's folder, as hexadecimal digits.
fn sha256_of(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    protocol::Digest::of(&std::fs::read(path).expect("the file of the clone")).to_string()
}
