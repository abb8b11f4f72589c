//! Bytes that nobody can change any more: what is hashed is what a worker reads.
//!
//! A memory file (memfd_create(2)) under every seal. It doesn't know what the bytes mean.

use rustix::fs::{MemfdFlags, Mode, OFlags, SealFlags, fcntl_add_seals, memfd_create};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

/// Sealed bytes that workers may be given to read.
#[derive(Debug)]
pub struct Sealed {
    file: File,
}

impl Sealed {
    /// Copies `parts`, one after the other, and seals them. `name` shows in `/proc` only.
    ///
    /// # Errors
    /// When the system has no memory files or no memory.
    pub fn new(name: &str, parts: impl IntoIterator<Item: AsRef<[u8]>>) -> io::Result<Self> {
        let mut file = File::from(memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?);
        parts.into_iter().try_for_each(|part| file.write_all(part.as_ref()))?;
        fcntl_add_seals(&file, SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE)?;
        Ok(Self { file })
    }

    /// The same bytes for one worker, to read and nothing else. Opened anew, because copies of a descriptor share their
    /// place in the file, and a worker would learn where the one before it stood; and without a trace of when it was read,
    /// which anybody who has the file can see.
    ///
    /// # Errors
    /// When the system has no `/proc`, or no descriptor left.
    pub(crate) fn for_worker(&self) -> io::Result<OwnedFd> {
        opened(&self.file, OFlags::NOATIME)
    }

    /// The bytes from `offset`.
    ///
    /// # Errors
    /// When they are not all there.
    pub fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, offset)?;
        Ok(bytes)
    }
}

/// The file of a descriptor, to read, with a place of its own: copies of a descriptor share theirs.
///
/// # Errors
/// When the system has no `/proc`, or no descriptor left.
pub(crate) fn opened_anew(file: &File) -> io::Result<OwnedFd> {
    opened(file, OFlags::empty())
}

fn opened(file: &File, how: OFlags) -> io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC | how, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sealed_bytes_can_be_read_and_never_be_changed() {
        let sealed = Sealed::new("test", ["one ", "two"]).unwrap();
        assert_eq!(sealed.read(0, 7).unwrap(), b"one two");
        assert!(sealed.file.write_at(b"x", 0).is_err());
        assert!(sealed.file.set_len(3).is_err());
        assert!(sealed.file.set_len(300).is_err());
        assert!(sealed.read(1, 7).is_err(), "no bytes are made up");
    }
}
