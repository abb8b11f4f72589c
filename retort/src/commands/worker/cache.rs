//! Files of orders by their digests, kept so that each comes once: in a folder of this user's, verified whenever one is used, the least
//! recently used ones removed beyond a bound. It does not know where they come from, nor what they are.

use anyhow::{Context, Result};
use protocol::Digest;
use protocol::competition::ObjectRef;
use protocol::pixels::ReadPixels;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tempfile::NamedTempFile;

/// A folder of files.
#[derive(Clone, Debug)]
pub(super) struct Cache {
    dir: PathBuf,
    bytes_max: u64,
}

impl Cache {
    /// In this folder, which is made.
    pub(super) fn open(dir: PathBuf, bytes_max: u64) -> Result<Self> {
        fs::create_dir_all(&dir)
            .with_context(|| format!("make {}: choose another folder with --cache", dir.display()))?;
        Ok(Self { dir, bytes_max })
    }

    /// The file of this digest, which `fetch` writes where it isn't here or isn't what it was.
    ///
    /// # Errors
    /// As `fetch`, and when the folder can't be written.
    pub(super) fn file(&self, object: &ObjectRef, fetch: impl FnOnce(&mut File) -> Result<()>) -> Result<File> {
        let path = self.dir.join(object.sha256.to_string());
        if let Some(file) = kept(&path, object) {
            // It stays longer than what nobody asks for.
            let _ = file.set_modified(SystemTime::now());
            return Ok(file);
        }
        let mut file = NamedTempFile::new_in(&self.dir).with_context(|| format!("write to {}", self.dir.display()))?;
        fetch(file.as_file_mut())?;
        file.persist(&path).with_context(|| format!("write {}", path.display()))?;
        self.prune(&object.sha256);
        File::open(&path).with_context(|| format!("read {}", path.display()))
    }

    /// Removes what was used least recently, beyond the bound; what a worker reads it has open.
    fn prune(&self, but: &Digest) {
        let Ok(entries) = fs::read_dir(&self.dir) else { return };
        let used = |entry: fs::DirEntry| {
            let about = entry.metadata().ok()?;
            Some((about.modified().ok()?, about.len(), entry.path()))
        };
        let mut files: Vec<_> = entries.filter_map(|entry| used(entry.ok()?)).collect();
        files.sort_unstable();
        let mut all: u64 = files.iter().map(|(_, bytes, _)| bytes).sum();
        let stays = self.dir.join(but.to_string());
        for (_, bytes, path) in files.into_iter().filter(|(_, _, path)| *path != stays) {
            if all <= self.bytes_max {
                return;
            }
            if fs::remove_file(&path).is_ok() {
                all = all.saturating_sub(bytes);
            }
        }
    }
}

/// The file as it should be; what is damaged is fetched again.
fn kept(path: &Path, object: &ObjectRef) -> Option<File> {
    let file = File::open(path).ok().filter(|file| file.metadata().is_ok_and(|is| is.len() == object.size_bytes))?;
    let there = FilePixels { file, bytes: object.size_bytes };
    (there.hashed().ok()?.finish() == object.sha256).then_some(there.file)
}

/// Items in a file.
#[derive(Debug)]
pub(super) struct FilePixels {
    pub(super) file: File,
    pub(super) bytes: u64,
}

impl ReadPixels for FilePixels {
    fn bytes(&self) -> u64 {
        self.bytes
    }

    fn read(&self, range: Range<u64>) -> io::Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).map_err(io::Error::other)?;
        let mut read = vec![0; length];
        self.file.read_exact_at(&mut read, range.start)?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};

    fn object(bytes: &[u8]) -> ObjectRef {
        ObjectRef { sha256: Digest::of(bytes), size_bytes: bytes.len() as u64 }
    }

    fn contents(mut file: File) -> Vec<u8> {
        let mut bytes = Vec::new();
        // Whoever verified it has read it to its end.
        io::Seek::rewind(&mut file).unwrap();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_file_comes_once_and_again_when_it_was_damaged() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().to_owned(), 1_000).unwrap();
        let bytes = [7; 100];
        let fetch = |file: &mut File| Ok(file.write_all(&bytes)?);
        assert_eq!(contents(cache.file(&object(&bytes), fetch).unwrap()), bytes);
        let kept = cache.file(&object(&bytes), |_| panic!("it is there")).unwrap();
        assert_eq!(contents(kept), bytes);
        fs::write(dir.path().join(object(&bytes).sha256.to_string()), [8; 100]).unwrap();
        assert_eq!(contents(cache.file(&object(&bytes), fetch).unwrap()), bytes);
    }

    #[test]
    fn what_was_used_least_recently_goes_beyond_the_bound() {
        let dir = tempfile::tempdir().unwrap();
        let cache = Cache::open(dir.path().to_owned(), 250).unwrap();
        for value in 0..3u8 {
            let bytes = [value; 100];
            let file = cache.file(&object(&bytes), |file| Ok(file.write_all(&bytes)?)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(value))).unwrap();
        }
        let there = |value: u8| dir.path().join(object(&[value; 100]).sha256.to_string()).exists();
        assert_eq!([0, 1, 2].map(there), [false, true, true]);
    }
}
