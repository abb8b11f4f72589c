//! Bytes that nobody can change any more: what is hashed is what a worker reads.
//!
//! A memory file (memfd_create(2)) under every seal. It doesn't know what the bytes mean.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

/// Sealed bytes that workers may be given to read.
#[derive(Debug)]
pub struct Sealed {
    file: File,
    bytes: u64,
}

impl Sealed {
    /// Copies `parts`, one after the other, and seals them. `name` shows in `/proc` only.
    ///
    /// # Errors
    /// When the system has no memory files or no memory.
    pub fn new(name: &str, parts: &[&[u8]]) -> io::Result<Self> {
        let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        parts.iter().try_for_each(|part| file.write_all(part))?;
        fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        let bytes = parts.iter().map(|part| part.len() as u64).sum();
        Ok(Self { file, bytes })
    }

    /// How many bytes there are.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Reads exactly `into.len()` bytes from `offset`, through the descriptor that workers get.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }
}

impl AsFd for Sealed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_can_be_read_and_never_be_changed() {
        let sealed = Sealed::new("test", &[b"one ", b"two"]).unwrap();
        let mut read = [0; 7];
        sealed.read_at(&mut read, 0).unwrap();
        assert_eq!((&read, sealed.len()), (b"one two", 7));
        assert!(sealed.file.write_at(b"x", 0).is_err());
        assert!(sealed.file.set_len(3).is_err());
        assert!(sealed.file.set_len(300).is_err());
        assert!(sealed.read_at(&mut read, 1).is_err(), "no bytes are made up");
    }
}
