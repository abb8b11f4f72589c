//! Whatever about a manifest can be told without measuring anything and without storing anything.

use crate::{PublishError, already, parts, prepare};
use protocol::competition::Manifest;
use protocol::round::BeaconSource;
use service::evaluator::silent;
use std::path::Path;
use store::config::Config;
use store::db::Db;

/// Whatever about a manifest can be told without measuring anything; `db` is the validator's that is to publish it, if there is
/// one. Nothing is stored.
///
/// # Errors
/// Everything that is wrong, once the manifest itself can be read.
pub async fn check(manifest: &Path, config: &Config, now: u64, db: Option<&Db>) -> Result<Manifest, PublishError> {
    let mut parts = parts(manifest, config, &silent()).await?;
    let named = parts.manifest.clone();
    let mut problems = Vec::new();
    if named.is_closed(now) {
        problems.push(PublishError::Over);
    }
    // Whether drand answers today says little about the day of publishing; what it would mean for the rules is the same.
    let beacon = named.rounds.beacon.unwrap_or(BeaconSource::Drand);
    problems.extend(named.clone().take_beacon(beacon).err().map(PublishError::from));
    if let Ok(own) = &mut parts.own {
        let logits = parts.training_teacher_logits.as_ref().ok().and_then(Option::as_ref).map(|(logits, _)| logits);
        let prepared = prepare(&named, own.take(), logits, rand::random()).await;
        problems.extend(prepared.err());
    }
    match parts.whole() {
        Err(PublishError::Several(more)) => problems.extend(more),
        Err(problem) => problems.push(problem),
        Ok(source) => {
            let before = match db {
                Some(db) => db.competition(&named.id).await?,
                None => None,
            };
            problems.extend(before.and_then(|before| already(before, &source).err()));
        }
    }
    if problems.is_empty() { Ok(named) } else { Err(PublishError::all(problems)) }
}
