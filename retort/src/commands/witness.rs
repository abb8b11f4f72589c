//! `retort witness`: cosigns public logs. What it checks lies in `transparency`, how it is asked in `validator`.

use super::validator::{bind, run_service, until_interrupted};
use crate::cli::WitnessArgs;
use anyhow::{Context, Result};
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::time::Duration;
use transparency::{Witness, WitnessSigner, WitnessStore, keyfile};
use validator::Clock;

/// The private key in the witness's folder.
const KEY_FILE: &str = "witness.key";
/// How long it may take to end once it is told to.
const TIME_TO_END: Duration = Duration::from_secs(20);
/// What it cosigned.
const MEMORY: &str = "logs";

pub(crate) fn run(args: &WitnessArgs) -> Result<()> {
    run_service(async {
        let listener = bind(args.listen).await?;
        let address = listener.local_addr()?;
        let signer = key(&args.dir, args.name.as_deref().unwrap_or(&address.to_string()))?;
        let witness = Witness::new(signer, args.logs.iter().cloned());
        let folder = std::path::absolute(&args.dir).unwrap_or_else(|_| args.dir.clone());
        eprintln!("its key and its memory are in {}: keep both", folder.display());
        println!("witness: {}", witness.key());
        println!("for validator.toml: witnesses = [\"http://{address} {}\"]", witness.key());
        for origin in witness.origins() {
            println!("log: {origin}");
        }
        let store = WitnessStore::open(witness, &args.dir.join(MEMORY))?;
        validator::serve_witness(listener, store, Clock::System, until_interrupted(TIME_TO_END)).await;
        Ok(())
    })?
}

/// The key in `dir`, or a new one of this name.
fn key(dir: &Path, name: &str) -> Result<WitnessSigner> {
    let path = dir.join(KEY_FILE);
    if !path.exists() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir).with_context(|| format!("make {}", dir.display()))?;
        let signer: WitnessSigner = keyfile::generate(name).with_context(|| format!("make a key called {name:?}"))?;
        keyfile::create(&path, &signer)?;
    }
    Ok(keyfile::load(&path)?)
}
