//! `retort completions` and `retort man`: what a shell and `man` know of this program, made from the command line itself.

use crate::cli::Cli;
use crate::output;
use anyhow::{Context, Result};
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;
use std::path::Path;

/// Prints the completions of one shell.
pub(crate) fn completions(shell: Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "retort", &mut script);
    output::print_bytes(&script);
    Ok(())
}

/// Writes a page for the program and one for each of its commands.
pub(crate) fn pages(dir: &Path) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    clap_mangen::generate_to(Cli::command(), dir).with_context(|| format!("write pages into {}", dir.display()))?;
    let parent = dir.parent().unwrap_or(dir);
    println!("the manual is in {}: man -M {} retort", dir.display(), parent.display());
    Ok(())
}
