//! The real binary, as its users run it. One test binary; each module is a user's day.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod journey;
mod terminal;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The binary under test, with nothing of the caller's settings.
fn retort() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_retort"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("RETORT_")) {
        command.env_remove(name);
    }
    command
}

/// A folder of the repository.
fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
