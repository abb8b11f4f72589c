//! A folder of pictures by class, as torchvision's and `datasets`' ImageFolder read it: `train/cat/1.png`, or `cat/1.png`.
//!
//! The name of a class is that of the folder below a part; labels are in the order of the names, over all parts together.
//! Folders within class folders belong to the class. It does NOT open a picture before its row is read.

use super::{CLASSES_MAX, PICTURE_BYTES_MAX, Part, Row, RowError, Rows, RowsIn, SourceError, Table, part_named};
use crate::picture;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// A picture and its class.
#[derive(Clone, Debug)]
pub(super) struct PictureFile {
    path: PathBuf,
    /// Relative to the source's folder.
    origin: String,
    label: u16,
}

/// Pictures by part and class.
#[derive(Default)]
struct Found {
    pictures: BTreeMap<String, BTreeMap<String, Vec<PathBuf>>>,
    ignored: u64,
}

pub(super) fn open(folder: &Path) -> Result<Table, SourceError> {
    let root = folder.canonicalize().map_err(|source| SourceError::Read { path: folder.to_owned(), source })?;
    let found = found(&root)?;
    let classes: BTreeSet<&String> = found.pictures.values().flat_map(BTreeMap::keys).collect();
    if classes.is_empty() {
        return Err(SourceError::NoClasses(folder.to_owned()));
    }
    if classes.len() > CLASSES_MAX {
        return Err(SourceError::TooManyClasses { found: classes.len() });
    }
    let label: BTreeMap<&String, u16> = classes.iter().copied().zip(0..).collect();
    let parts = found.pictures.iter().map(|(name, by_class)| {
        let files: Vec<PictureFile> = (by_class.iter())
            .flat_map(|(class, paths)| paths.iter().map(|path| (label[class], path)))
            .map(|(label, path)| PictureFile { origin: relative(path, &root), path: path.clone(), label })
            .collect();
        Part { name: name.clone(), rows: files.len() as u64, rows_in: RowsIn::Files(files.into()), answers: None }
    });
    Ok(Table {
        parts: parts.collect(),
        classes: Some(classes.into_iter().cloned().collect()),
        columns: vec![("image".into(), "picture files".into()), ("label".into(), "folder names".into())],
        ignored: found.ignored,
    })
}

/// All pictures below `root`. Hidden files and what isn't named as a picture are left aside, as ImageFolder does.
fn found(root: &Path) -> Result<Found, SourceError> {
    let parts = parts(root)?;
    let mut found = Found::default();
    // Links are followed, and must lead to somewhere in the folder.
    for entry in WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter().filter_entry(is_visible) {
        let entry = entry.map_err(|error| walking(&error, root))?;
        if entry.path_is_symlink() && !leads_into(entry.path(), root) {
            return Err(SourceError::Leaves { link: entry.path().to_owned(), folder: root.to_owned() });
        }
        if !entry.file_type().is_file() {
            continue;
        }
        if !picture::is_named_as_one(entry.path()) {
            found.ignored += 1;
            continue;
        }
        let names: Vec<String> = names(entry.path(), root);
        let (part, names) = match (parts, names.as_slice()) {
            (true, [part, rest @ ..]) => (part_named(part).unwrap_or(part.as_str()).to_owned(), rest),
            (_, names) => ("all".to_owned(), names),
        };
        match names {
            [class, _, ..] => {
                found.pictures.entry(part).or_default().entry(class.clone()).or_default().push(entry.into_path());
            }
            _ => return Err(SourceError::NoClass(entry.into_path())),
        }
    }
    Ok(found)
}

/// Whether the folders below `root` are parts: one of them is named as one, and holds folders.
fn parts(root: &Path) -> Result<bool, SourceError> {
    for entry in WalkDir::new(root).min_depth(2).max_depth(2).follow_links(true).into_iter().filter_entry(is_visible) {
        let entry = entry.map_err(|error| walking(&error, root))?;
        if entry.file_type().is_dir()
            && names(entry.path(), root).first().is_some_and(|name| part_named(name).is_some())
        {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_visible(entry: &DirEntry) -> bool {
    entry.depth() == 0 || !entry.file_name().to_string_lossy().starts_with('.')
}

fn leads_into(link: &Path, root: &Path) -> bool {
    link.canonicalize().is_ok_and(|target| target.starts_with(root))
}

fn walking(error: &walkdir::Error, root: &Path) -> SourceError {
    let path = error.path().unwrap_or(root).to_owned();
    SourceError::Read { path, source: io::Error::other(error.to_string()) }
}

fn names(path: &Path, root: &Path) -> Vec<String> {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.components().map(|name| name.as_os_str().to_string_lossy().into_owned()).collect()
}

fn relative(path: &Path, root: &Path) -> String {
    names(path, root).join("/")
}

/// The files of these numbers, in that order.
pub(super) fn rows<'a>(files: &'a [PictureFile], numbers: impl Iterator<Item = u64> + 'a) -> Rows<'a> {
    let numbered = |number: u64| Some((number, files.get(usize::try_from(number).ok()?)?));
    Box::new(numbers.filter_map(numbered).map(|(number, file)| {
        let failed = |problem: String| RowError { number, origin: file.origin.clone(), problem };
        Ok(read(&file.path).map_err(|error| failed(error.to_string())).map(|picture| Row {
            number,
            origin: file.origin.clone(),
            label: file.label,
            picture,
            answer: None,
        }))
    }))
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PICTURE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > PICTURE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("more than {PICTURE_BYTES_MAX} bytes")));
    }
    Ok(bytes)
}
