//! `retort keys`: hotkey files, made and shown.

use super::print_json;
use crate::cli::KeysCommand;
use anyhow::{Context, Result};
use chain::keyfile;

pub(crate) fn run(command: KeysCommand) -> Result<()> {
    match command {
        KeysCommand::New { path } => {
            let keypair = keyfile::generate().context("gather randomness")?;
            keyfile::create(&path, &keypair).with_context(|| format!("write {}", path.display()))?;
            println!("{}", keypair.hotkey());
            eprintln!("kept in {}, readable by you alone; there is no copy", path.display());
        }
        KeysCommand::Show { path, json } => {
            let hotkey = keyfile::load(&path)?.hotkey();
            if json {
                print_json(&serde_json::json!({ "hotkey": hotkey }))?;
            } else {
                println!("{hotkey}");
            }
        }
    }
    Ok(())
}
