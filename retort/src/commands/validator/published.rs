//! `retort validator publish`: looks at a manifest, or publishes what it describes, and says what is odd about it.

use super::parts::evaluator;
use super::{runtime, serves};
use crate::commands::{built_in, market};
use crate::progress::Phases;
use crate::table::{count, in_room};
use crate::{leave, typed};
use anyhow::{Context, Result, bail};
use eval::Library;
use protocol::competition::Manifest;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use validator::db::Db;
use validator::publishing::{Published, Publisher};
use validator::{Config, Home};

/// Publishes a manifest's competition, and says where it is to be seen.
pub(super) async fn run_publish(manifest: &Path, dir: &Path) -> Result<()> {
    // Publishing needs no more than a part of the service, so that it works beside a serving process.
    let home = Home::new(dir);
    let config = home.load(std::env::vars())?;
    let evaluator = evaluator(&home, &config)?;
    let publisher = Publisher::open(&home, config, evaluator).await?;
    let named = built_in::named(manifest)?;
    leave::last_words("stopped; nothing is published".into());
    let published = publish(&publisher, &named.manifest).await;
    leave::last_words(String::new());
    let published = published.map_err(|error| built_in::where_from(manifest, error))?;
    let id = &published.competition.manifest.id;
    println!("{} {id} (sha256:{})", if published.created { "published" } else { "already there:" }, published.sha256);
    tell_caveats(&published.competition.manifest);
    published.screening.iter().for_each(|time| eprintln!("{time}"));
    match serves(&home) {
        Some(address) => println!("it is served at http://{address}/competitions/{id}"),
        None => println!("next: retort validator serve{}", typed::dir(home.path())),
    }
    Ok(())
}

/// Says what is wrong with a manifest before anything is measured, and then, if that is wanted, what attackers would earn by it.
pub(super) fn check(manifest: &Path, dir: &Path, plays: bool) -> Result<()> {
    let found = runtime()?.block_on(found(manifest, dir))?;
    let publish = format!("retort validator publish {}{}", typed::word(manifest), typed::dir(dir));
    println!("nothing is wrong with {} and what it names", manifest.display());
    tell_caveats(&found);
    if plays {
        leave::last_words(
            "ended: the manifest is fine, and what attackers would earn by it wasn't played to the end".into(),
        );
        let is_worth_it = market::attacked(&found)?;
        leave::last_words(String::new());
        if !is_worth_it {
            println!(
                "a better model earns nothing here: more fresh items are needed (`items` under [rounds], `hidden_items` under \
                 [data]); it can be published all the same"
            );
        }
    }
    println!("next: {publish}, which measures teacher and reference");
    Ok(())
}

/// The manifest, if nothing is wrong with it, with what it names, and with this machine.
async fn found(manifest: &Path, dir: &Path) -> Result<Manifest> {
    let home = Home::new(dir);
    // It may be written where no validator is.
    let is_home = home.config().exists();
    let config = if is_home { home.load(std::env::vars())? } else { Config::default() };
    let db = if home.database().exists() { Some(Db::open(&home.database()).await?) } else { None };
    let now = validator::Clock::System.now();
    let named = built_in::named(manifest)?;
    let checked = validator::publishing::check(&named.manifest, &config, now, db.as_ref()).await;
    let checked = checked.with_context(|| format!("publish {}", manifest.display()));
    let library = if is_home { Library::at(&config.onnxruntime) } else { Library::named() };
    let machine = machine_problem(&named.manifest, &library);
    match (checked.map_err(|error| built_in::where_from(manifest, error)), machine) {
        (Err(error), Some(problem)) => bail!("{error:#}\n{problem}"),
        (Ok(_), Some(problem)) => bail!("{problem}"),
        (found, None) => found,
    }
}

/// What is wrong with the hardware or the engine that a manifest names, if it can be read at all.
fn machine_problem(manifest: &Path, library: &Library) -> Option<String> {
    let read = Manifest::from_toml(&fs::read_to_string(manifest).ok()?).ok()?;
    let here = eval::hardware_class();
    if let Some(named) = read.hardware.filter(|named| !named.is_of(&here)) {
        return Some(format!("manifest field `hardware`: {named}, and this machine is {here}"));
    }
    library.official(read.engine).err().map(|problem| format!("manifest field `engine`: {problem}"))
}

/// Says what keeps a competition from deciding about money, and how long it lasts.
pub(crate) fn tell_caveats(manifest: &Manifest) {
    let caveats = manifest.caveats();
    if !caveats.is_empty() {
        eprintln!("{}", in_room(&format!("for trying out: {}", caveats.join("; ")), 0));
    }
    if let Some(rounds) = manifest.rounds_max() {
        eprintln!("its private pool lasts for {}", count(rounds, "round"));
    }
    if let Some(told) = loose_gate(manifest.score.gate_ppm, manifest.labels.len()) {
        eprintln!("{told}");
    }
}

/// What a gate says to nobody: a model that gives one class whatever it sees has as much of any teacher's accuracy.
fn loose_gate(gate_ppm: u32, classes: usize) -> Option<String> {
    let guessed = 1_000_000_u64.checked_div(classes as u64)?;
    (u64::from(gate_ppm) <= guessed).then(|| {
        format!(
            "`gate_ppm = {gate_ppm}` is {} % of the teacher's accuracy, which a model reaches that always says one of {classes} \
             classes: it is in parts per million, and 900000 are 90 %",
            f64::from(gate_ppm) / 1e4
        )
    })
}

/// Publishes with progress.
pub(crate) async fn publish(publisher: &Publisher, manifest: &Path) -> Result<Published> {
    let phases = Arc::new(Phases::new("publish"));
    let shown = Arc::clone(&phases);
    let tell = Arc::new(move |at: validator::Progress| shown.at(&at.phase, at.done, at.total));
    let published = publisher.publish(manifest, tell).await;
    phases.finish();
    published.with_context(|| format!("publish {}", manifest.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_guessing_passes_is_told_of() {
        let told = loose_gate(90, 10).unwrap();
        assert!(told.contains("0.009 % of the teacher's") && told.contains("900000 are 90 %"), "{told}");
        assert!(loose_gate(100_000, 10).is_some() && loose_gate(100_001, 10).is_none());
    }
}
