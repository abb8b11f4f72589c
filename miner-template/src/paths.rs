//! Paths as people write them on a command line, in a unit file or in a container's settings. It opens none of them.

use std::borrow::Cow;
use std::path::{Component, PathBuf};

/// A path; where no shell did it, as in a unit file or a container's settings, `~` is the home folder. Every option and
/// argument that names a file or a folder is read by this.
///
/// # Errors
/// A sentence, when it is in the home folder of somebody else or nothing says where ours is.
pub fn at_home(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() {
        return Err("a path is missing".into());
    }
    let Some(rest) = text.strip_prefix('~') else { return without_parents(text.into()) };
    let home = std::env::home_dir().filter(|_| rest.is_empty() || rest.starts_with('/'));
    let home =
        home.ok_or_else(|| format!("{text}: write the whole path, or ./{text}; only ~ and ~/ are known here"))?;
    without_parents(home.join(rest.trim_start_matches('/')))
}

/// A path or another word as a shell reads it, for commands that are printed to be copied.
pub fn quoted(word: &str) -> String {
    // What no shell can be told, a zero byte, is no part of a path.
    shlex::try_quote(word).map_or_else(|_| word.to_owned(), Cow::into_owned)
}

/// The same path without `..`, which addresses of stores can't have.
fn without_parents(path: PathBuf) -> Result<PathBuf, String> {
    if !path.components().any(|part| part == Component::ParentDir) {
        return Ok(path);
    }
    let whole = std::path::absolute(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    let mut walked = PathBuf::new();
    for part in whole.components() {
        if part == Component::ParentDir {
            // The parent of what a link leads to isn't the link's.
            walked = walked.canonicalize().unwrap_or(walked);
            walked.pop();
        } else {
            walked.push(part);
        }
    }
    Ok(walked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parents_are_those_of_what_links_lead_to() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::os::unix::fs::symlink(root.join("a/b"), root.join("link")).unwrap();
        let read = |text: &str| at_home(&format!("{}/{text}", root.display())).unwrap();
        assert_eq!(read("new/../w1/./x"), root.join("w1/x"));
        assert_eq!(read("link/../c"), root.join("a/c"));
        assert_eq!(at_home("../../../../../../../../../../../../../../../x").unwrap(), PathBuf::from("/x"));
        assert_eq!(at_home("w1").unwrap(), PathBuf::from("w1"), "what has no .. is printed as it was written");
    }
}
