//! `retort verify log`: reads all of a validator's public log and says what doesn't fit, where, and whose fault it is.

use super::attempts::Attempts;
use super::checks::Checks;
use super::witnesses::Witnesses;
use super::{HttpLog, line, log_key};
use crate::cli::LogOptions;
use crate::table::count;
use anyhow::{Context, Result};
use futures::executor::block_on;
use miner_template::client::Client;
use miner_template::outputs;
use protocol::leaf::{Act, Administration};
use protocol::{Hotkey, Receipt, SignedReceipt};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use transparency::{Blame, EntryKind, Envelope, LogKey, SignedCheckpoint, VerifyError, verify_entries};

/// Wrong statements that are shown; the others are counted.
const SHOWN_MAX: usize = 5;

pub(super) fn run(options: &LogOptions) -> Result<()> {
    let client = Client::new(&options.validator.validator);
    let key = log_key(&client, options.key.as_ref())?;
    let mut checks = Checks::new(options.json);
    let previous = options.previous.as_deref().map(|path| remembered(path, &key)).transpose()?;
    let mut statements = Statements::default();
    // Before the log is read: what was cosigned then is in what is read now.
    let trusted = options.trusted.witnesses.clone();
    let witnesses = if trusted.is_empty() { None } else { Some(Witnesses::latest(&client, &key, trusted)?) };
    if let Some(path) = &options.save {
        outputs::try_file(path).with_context(|| format!("{} can't be written", path.display()))?;
    }
    let files = HttpLog(&client);
    let read = verify_entries(&files, &key, previous.as_ref(), |index, entry| statements.take(index, entry));
    match block_on(read) {
        Ok(verified) => {
            let (size, files, bytes) = (verified.checkpoint.size(), verified.files, verified.bytes);
            checks.ok("log", format!("{size} entries of {}, {}, {bytes} bytes", key.name(), count(files, "file")));
            if let Some(previous) = &previous {
                checks.ok("history", format!("begins with the {} entries seen before", previous.size()));
            }
            statements.judge(&key, &mut checks);
            match witnesses.map(|read| read.and_then(|witnesses| witnesses.of_log(&client, &verified.checkpoint))) {
                Some(Ok(witnesses)) => witnesses.report(&verified.checkpoint, &mut checks),
                Some(Err(contradiction)) => contradiction.report(&mut checks),
                None => {}
            }
            if let (Some(path), super::checks::Verdict::Ok) = (&options.save, checks.verdict()) {
                let note = verified.checkpoint.note();
                fs::write(path, note).with_context(|| format!("write {}", path.display()))?;
            }
        }
        Err(error) if error.blame() == Blame::Connection => {
            checks.unclear("log", format!("{} ({})", line(&error), blame(error.blame())));
        }
        Err(error) => {
            checks.bad("log", format!("{} ({})", line(&error), blame(error.blame())));
            if let VerifyError::SplitView { notes, .. } | VerifyError::Rewritten { notes, .. } = error {
                checks.evidence(*notes);
            }
        }
    }
    checks.finish("the public log")
}

/// A checkpoint in a file, which must be of the same log.
fn remembered(path: &Path, key: &LogKey) -> Result<SignedCheckpoint> {
    let note = fs::read(path).with_context(|| format!("read {}", path.display()))?;
    SignedCheckpoint::open(&note, key).with_context(|| format!("read {} as a checkpoint of {key}", path.display()))
}

fn blame(blame: Blame) -> &'static str {
    match blame {
        Blame::Server => "whoever keeps or serves the files; another copy may be sound",
        Blame::Signer => "the holder of the log's key signed two histories; the notes below prove it to anyone",
        Blame::Connection => "nobody is to blame yet: try again",
        Blame::Caller => "the checkpoint given belongs to another log",
    }
}

/// What the entries state, as far as anyone can check it without anything else.
#[derive(Default)]
struct Statements {
    kinds: BTreeMap<&'static str, u64>,
    keys: BTreeSet<String>,
    validator: Option<Hotkey>,
    log_key: Option<String>,
    signers: BTreeSet<Hotkey>,
    problems: Vec<String>,
    attempts: Attempts,
}

impl Statements {
    fn take(&mut self, index: u64, entry: &[u8]) {
        if let Err(problem) = self.read(entry) {
            self.problems.push(format!("entry {index}: {problem}"));
        }
    }

    fn read(&mut self, entry: &[u8]) -> Result<(), String> {
        let Envelope { kind, key, body, .. } = Envelope::parse(entry).map_err(|error| line(&error))?;
        *self.kinds.entry(kind.as_str()).or_default() += 1;
        let unreadable = |error: serde_json::Error| format!("{key} can't be read: {error}");
        match kind {
            EntryKind::Receipt => {
                let signed: SignedReceipt = serde_json::from_value(body).map_err(unreadable)?;
                let bytes = signed.to_json().map_err(|error| error.to_string())?;
                let (signer, subject) = (signed.receipt.validator, &signed.receipt.subject);
                Receipt::verify(&bytes, &[signer], (&subject.competition, subject.competition_sha256))
                    .map_err(|error| format!("{key}: {error}"))?;
                self.signers.insert(signer);
                self.attempts.receipt(&signed.receipt).map_err(|problem| format!("{key}: {problem}"))?;
            }
            EntryKind::Attempt => {
                let stated = serde_json::from_value(body).map_err(unreadable)?;
                self.attempts.begin(&stated).map_err(|problem| format!("{key}: {problem}"))?;
            }
            EntryKind::Ended => {
                let stated = serde_json::from_value(body).map_err(unreadable)?;
                self.attempts.end(&stated).map_err(|problem| format!("{key}: {problem}"))?;
            }
            EntryKind::Administration => {
                let Administration { validator, act, .. } = serde_json::from_value(body).map_err(unreadable)?;
                match act {
                    Act::LogBegun { log_key } => {
                        (self.validator, self.log_key) = (Some(validator), Some(log_key));
                    }
                    Act::RewardAnnounced { .. }
                    | Act::RoundClosedByHand { .. }
                    | Act::SubmissionRequeued { .. }
                    | Act::SubmissionDisqualified { .. }
                    | Act::CompetitionAmended { .. }
                    | Act::Blocked { .. }
                    | Act::Allowed { .. }
                    | Act::WorkerStands { .. } => {}
                }
            }
            _ => {}
        }
        let known = !self.keys.insert(key.clone());
        if known { Err(format!("{key} is stated twice")) } else { Ok(()) }
    }

    fn judge(&self, key: &LogKey, checks: &mut Checks) {
        let counts: Vec<String> = self.kinds.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
        let shown = self.problems.iter().take(SHOWN_MAX).cloned().collect::<Vec<_>>().join("; ");
        let wrong = format!("{} wrong: {shown}", self.problems.len());
        checks.that("statements", self.problems.is_empty(), counts.join(", "), wrong);
        let Some(validator) = self.validator else {
            return checks.bad("validator", "nobody began it: no entry says whose log it is");
        };
        let strangers: Vec<String> =
            self.signers.iter().filter(|signer| **signer != validator).map(Hotkey::to_string).collect();
        let same_key = self.log_key.as_deref() == Some(key.to_string().as_str());
        let problem = match same_key {
            true => format!("the log of {validator} has receipts of {}", strangers.join(", ")),
            false => format!("it was begun with another key, {}", self.log_key.as_deref().unwrap_or_default()),
        };
        checks.that("validator", same_key && strangers.is_empty(), validator.to_string(), problem);
    }
}

#[cfg(test)]
mod tests {
    use super::super::checks::Verdict;
    use super::*;

    #[test]
    fn a_log_that_nobody_began_is_nobodys() {
        let key = transparency::LogSigner::from_seed("retort.test/log", &[1; 32]).unwrap().key();
        let mut checks = Checks::new(true);
        Statements::default().judge(&key, &mut checks);
        assert_eq!(checks.verdict(), Verdict::Bad);
    }
}
