//! `retort keys`: hotkey files, made and shown.

use super::print_json;
use crate::cli::KeysCommand;
use crate::typed;
use anyhow::{Context, Result, anyhow};
use chain::keyfile::{self, KeyfileError};
use protocol::auth::Keypair;
use std::io::ErrorKind;
use std::path::Path;

pub(crate) fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::New { path } => {
            println!("{}", made(&path)?.hotkey());
            eprintln!("kept in {}, readable by you alone; there is no copy", path.display());
        }
        KeysCommand::Show { path, json } => {
            let hotkey = loaded(&path)?.hotkey();
            if json {
                print_json(&serde_json::json!({ "hotkey": hotkey }))?;
            } else {
                println!("{hotkey}");
            }
        }
    }
    Ok(())
}

/// A new key, in a file that only its owner can read.
pub(super) fn made(path: &Path) -> Result<Keypair> {
    let keypair = keyfile::generate().context("gather randomness")?;
    keyfile::create(path, &keypair).with_context(|| format!("write {}", path.display()))?;
    Ok(keypair)
}

/// The key in a file, or how to come by one where no file is.
pub(super) fn loaded(path: &Path) -> Result<Keypair> {
    let is_missing =
        |error: &KeyfileError| matches!(error, KeyfileError::Io { source, .. } if source.kind() == ErrorKind::NotFound);
    keyfile::load(path).map_err(|error| match is_missing(&error) {
        true => anyhow!("key file {} isn't there; `retort keys new {}` makes one", path.display(), typed::word(path)),
        false => error.into(),
    })
}
