//! `retort completions` and `retort man`: what a shell and `man` know of this program, made from the command line itself.

use crate::cli::command;
use crate::{output, typed};
use anyhow::{Context, Result};
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// What `man` calls the folder of commands.
const SECTION: &str = "man1";

/// Prints the completions of one shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "retort", &mut script);
    output::print_bytes(&script);
    Ok(())
}

/// Writes a page for the program and one for each of its commands.
pub(crate) fn pages(dir: &Path) -> Result<()> {
    // `man` looks for folders of its own; a whole path it opens.
    let dir = std::path::absolute(dir).with_context(|| format!("find {}", dir.display()))?;
    fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
    clap_mangen::generate_to(command(), &dir).with_context(|| format!("write pages into {}", dir.display()))?;
    println!("the manual is in {}\nnext: {}", dir.display(), read_by(&dir));
    Ok(())
}

/// The command that shows the first page: by name from a folder that is called as `man` calls them.
fn read_by(dir: &Path) -> String {
    match dir.parent().filter(|_| dir.ends_with(SECTION)) {
        Some(manual) => format!("man -M {} retort", typed::word(manual)),
        None => format!("man {}", typed::word(&dir.join("retort.1"))),
    }
}
