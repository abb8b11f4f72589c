//! Commands that are printed to be copied into a shell: what the shell would read otherwise is quoted, and what is the default
//! anyway is left out.

use miner_template::client::{Client, LOCAL};
use std::path::Path;
use validator::config::DIR_DEFAULT;

/// A path or another word as a shell reads it.
pub(crate) fn word(path: &Path) -> String {
    miner_template::paths::quoted(&path.display().to_string())
}

/// ` --dir DIR`; nothing for the folder that is taken anyway.
pub(crate) fn dir(dir: &Path) -> String {
    if dir == Path::new(DIR_DEFAULT) { String::new() } else { format!(" --dir {}", word(dir)) }
}

/// ` --validator URL`; nothing for the one that is asked anyway.
pub(crate) fn at(client: &Client) -> String {
    if client.base() == LOCAL {
        String::new()
    } else {
        format!(" --validator {}", miner_template::paths::quoted(client.base()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        assert_eq!(dir(Path::new(DIR_DEFAULT)), "");
        assert_eq!(dir(Path::new("my-validator")), " --dir my-validator");
        assert_eq!(dir(Path::new("my validator")), " --dir 'my validator'");
        assert_eq!(word(Path::new("it's")), "\"it's\"");
        assert_eq!(at(&Client::new("h:1")), " --validator http://h:1");
    }
}
