//! What witnesses say about a log: how far they saw it, and by when an entry was in it.
//!
//! The validator only brings the notes. Each must be signed by the log's key and be a beginning of the log that is checked: a
//! witness that saw another history vouches for nothing here, and its note is evidence against the signer.

use super::checks::Checks;
use super::{HttpLog, line};
use crate::cli::TrustedWitnesses;
use crate::commands::when;
use anyhow::{Context, Result};
use futures::executor::block_on;
use miner_template::client::Client;
use protocol::api::CosignedCheckpoints;
use protocol::competition::LogTerms;
use std::time::{SystemTime, UNIX_EPOCH};
use transparency::witnessed::quorum;
use transparency::{
    CosignedCheckpoint, LogKey, SignedCheckpoint, VerifyError, WitnessKey, Witnessed, verify_beginning, witnessed,
};

/// Notes that the validator's answer may hold: one a witness that it ever had.
const NOTES_MAX: usize = 64;

/// What a log's witnesses say, as far as it is sound.
pub(super) struct Witnesses {
    trusted: Vec<WitnessKey>,
    notes: Vec<CosignedCheckpoint>,
}

impl Witnesses {
    /// By when entry `index` of the log with this checkpoint was seen by more than half of the trusted witnesses; `None` if
    /// that isn't shown. `Err` in the inner result is a finding: a history that contradicts this one, or a forged line.
    ///
    /// # Errors
    /// When the validator can't be asked.
    pub(super) fn of_entry(
        client: &Client,
        (key, checkpoint): (&LogKey, &SignedCheckpoint),
        trusted: Vec<WitnessKey>,
        index: u64,
    ) -> Result<Result<Option<Witnessed>, Contradiction>> {
        let asked = Self::read(client, &format!("/api/v1/log/cosigned/{index}"), key, trusted)?;
        Ok(asked.and_then(|read| read.of_log(client, checkpoint)).map(|witnesses| witnesses.by(index)))
    }

    /// How far each of the trusted witnesses saw the log.
    pub(super) fn latest(
        client: &Client,
        key: &LogKey,
        trusted: Vec<WitnessKey>,
    ) -> Result<Result<Self, Contradiction>> {
        Self::read(client, "/api/v1/log/cosigned", key, trusted)
    }

    fn read(
        client: &Client,
        path: &str,
        key: &LogKey,
        trusted: Vec<WitnessKey>,
    ) -> Result<Result<Self, Contradiction>> {
        let answer: CosignedCheckpoints = client.get_json(path).context("ask what witnesses cosigned")?;
        let mut notes = Vec::new();
        for note in answer.notes.into_iter().take(NOTES_MAX) {
            match CosignedCheckpoint::open(note.as_bytes(), key, &trusted) {
                Ok(read) => notes.push(read),
                Err(error) => return Ok(Err(Contradiction { problem: line(&error), evidence: vec![note] })),
            }
        }
        Ok(Ok(Self { trusted, notes }))
    }

    /// The same, if each note is of the history that `checkpoint` ends.
    pub(super) fn of_log(self, client: &Client, checkpoint: &SignedCheckpoint) -> Result<Self, Contradiction> {
        for note in self.notes.iter().filter(|note| note.times.iter().any(Option::is_some)) {
            block_on(verify_beginning(&HttpLog(client), &note.checkpoint, checkpoint))?;
        }
        Ok(self)
    }

    fn by(&self, index: u64) -> Option<Witnessed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs());
        witnessed(index, &self.notes, now)
    }

    /// Says how far the log is witnessed.
    pub(super) fn report(&self, checkpoint: &SignedCheckpoint, checks: &mut Checks) {
        let last = |place: usize| {
            let cosigned =
                self.notes.iter().filter_map(|note| Some((note.checkpoint.size(), (*note.times.get(place)?)?)));
            cosigned.max()
        };
        let mut sizes = Vec::new();
        let mut said = Vec::new();
        for (place, witness) in self.trusted.iter().enumerate() {
            said.push(match last(place) {
                Some((size, time)) => {
                    sizes.push(size);
                    format!("{} saw {size} at {}", witness.name(), when(time))
                }
                None => format!("{} saw nothing", witness.name()),
            });
        }
        let detail = format!("of {} entries {}", checkpoint.size(), said.join(", "));
        match sizes.len() >= quorum(self.trusted.len()) {
            true => checks.ok("witnesses", detail),
            false => checks.unclear("witnesses", format!("not seen by more than half of them: {detail}")),
        }
    }
}

/// Whether each of these leaves, by name and place in the log, was seen before the beacon's time, in Unix seconds: only then
/// did nobody know the beacon who wrote it. `None` for a beacon that has no time of its own.
///
/// # Errors
/// When the validator can't be asked.
pub(super) fn before_beacon(
    checks: &mut Checks,
    client: &Client,
    log: (&LogKey, &SignedCheckpoint),
    trusted: &[WitnessKey],
    leaves: &[(&str, u64)],
    beacon_at: Option<u64>,
) -> Result<()> {
    let mut shown = Vec::new();
    for (name, index) in leaves {
        let seen = match Witnesses::of_entry(client, log, trusted.to_vec(), *index)? {
            Ok(seen) => seen,
            Err(contradiction) => {
                contradiction.report(checks);
                return Ok(());
            }
        };
        let problem = match (seen, beacon_at) {
            (Some(seen), Some(beacon_at)) if seen.by < beacon_at => {
                let before = beacon_at.saturating_sub(seen.by);
                shown.push(format!("{name} {before} s before it by {} of {}", seen.witnesses, trusted.len()));
                continue;
            }
            (Some(seen), Some(beacon_at)) => {
                format!("{name} was seen {} s after it", seen.by.saturating_sub(beacon_at))
            }
            (Some(_), None) => "it is the ledger's, which comes when it is written".to_owned(),
            (None, _) => format!("{name} was not seen by more than half of {} witnesses", trusted.len()),
        };
        checks.unclear("witnesses", format!("not shown to be before the beacon: {problem}"));
        return Ok(());
    }
    checks.ok("witnesses", format!("the beacon came later: {}", shown.join(", ")));
    Ok(())
}

/// What is wrong with what witnesses are said to have seen.
pub(super) struct Contradiction {
    problem: String,
    /// Notes that show it to anyone.
    evidence: Vec<String>,
}

impl Contradiction {
    /// Says so.
    pub(super) fn report(self, checks: &mut Checks) {
        checks.bad("witnesses", self.problem);
        checks.evidence(self.evidence);
    }
}

impl From<VerifyError> for Contradiction {
    fn from(error: VerifyError) -> Self {
        let problem = line(&error);
        let evidence = match error {
            VerifyError::SplitView { notes, .. } | VerifyError::Rewritten { notes, .. } => notes.to_vec(),
            _ => Vec::new(),
        };
        Self { problem, evidence }
    }
}

/// Whom to believe: those that the command line names, or else those of the manifest.
///
/// # Errors
/// When the manifest names what is no key.
pub(super) fn trusted(named: &TrustedWitnesses, terms: &LogTerms) -> Result<Vec<WitnessKey>> {
    if !named.witnesses.is_empty() {
        return Ok(named.witnesses.clone());
    }
    let keys = terms.witnesses.iter().map(|key| key.parse().with_context(|| format!("read {key} as a witness's key")));
    keys.collect()
}
