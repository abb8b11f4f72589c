//! `retort verify round`: audits a finished round, and believes nothing that it can compute.
//!
//! What is checked is `audit`'s; here its bytes are fetched and models run. A round of a version before this one
//! can't be checked, which ends with status 2.
//!
//! The log is read twice: what is shown in between must have all that the first reading had, and nothing that the second
//! one lacks. So nobody is blamed for going on meanwhile.

use super::checks::{CannotBeChecked, Checks, Verdict};
use super::{HttpLog, ledger, line, log_key, rerun, witnesses};
use crate::cli::{AuditOptions, VerifyRoundArgs};
use crate::commands::competition;
use crate::engine::{engine, evaluated};
use crate::progress::Phases;
use anyhow::Result;
use audit::{self, Case, Engine, Finding, LedgerSeen, Sample, Source, Statements, Timed};
use datasets::hidden::RoundView;
use datasets::hidden::{Beacon, DrandChain};
use eval::Phase;
use futures::executor::block_on;
use miner_template::client::{Client, ClientError};
use models::DeviceKind;
use protocol::api::{CompetitionView, Leaderboard, PackageObjects};
use protocol::competition::ObjectRef;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::{CompetitionId, Digest, SubmissionId};
use std::cell::RefCell;
use std::fs::File;
use std::time::Duration;
use transparency::{LogKey, SignedCheckpoint, VerifyError, verify_entries};
use validator::config::LatencyEffort;

/// No object of a round that is held in memory is larger.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Nor is one that is kept in a file: what is public, a round's items, its reveal.
const FILE_BYTES_MAX: u64 = 32 << 30;
/// Screened submissions that are run again, unless all are.
const SAMPLED: usize = 10;
/// HTTP's word for what isn't there.
const NOT_FOUND: u16 = 404;
/// How often and how long a log is read again that lacks what was shown before.
const LOG_TRIES: u32 = 20;
const LOG_WAIT: Duration = Duration::from_millis(500);

pub(super) fn run(args: &VerifyRoundArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let key = log_key(&client, args.options.key.as_ref())?;
    let mut checks = Checks::new(args.json);
    let before = match read(&client, &key, None) {
        Ok(read) => read,
        Err(error @ VerifyError::Unreadable { .. }) => return Err(error.into()),
        Err(problem) => {
            checks.bad("log", line(&problem));
            return checks.finish("the public log");
        }
    };
    match audited(&client, (&id, args.round), &key, &before, &args.options, &mut checks) {
        Ok(Err(cannot)) => Err(CannotBeChecked(cannot.to_string()).into()),
        told => checks.ended(told.map(drop), &format!("round {} of {id}", args.round)),
    }
}

/// All that the log states, and its checkpoint; an error names what doesn't fit.
pub(super) fn read(
    client: &Client,
    key: &LogKey,
    remembered: Option<&SignedCheckpoint>,
) -> Result<(Statements, SignedCheckpoint), VerifyError> {
    let mut statements = Statements::default();
    let visit = |index, entry: &[u8]| statements.take(index, entry);
    let verified = block_on(verify_entries(&HttpLog(client), key, remembered, visit))?;
    Ok((statements, verified.checkpoint))
}

/// Audits a round, and tells each finding as it comes. `before` is the log as it was before this. The inner error is a
/// round that can't be checked, the outer one a validator that can't be asked.
pub(super) fn audited(
    client: &Client,
    (id, round): (&CompetitionId, u64),
    key: &LogKey,
    before: &(Statements, SignedCheckpoint),
    options: &AuditOptions,
    checks: &mut Checks,
) -> Result<Result<(), audit::CannotBeChecked>> {
    let phases = Phases::new(format!("round {round}"));
    phases.at("reading what is public", 0, 1);
    let seen = shown(client, (id, round), &before.0, options, checks);
    phases.finish();
    let Some(Shown { view, shown, board, ledger }) = seen? else {
        return Ok(Ok(()));
    };
    let (log, checkpoint) = match newer(client, key, Some(&before.1), |log| log.covers(&board, ledger.as_ref())) {
        Ok(read) => read,
        Err(error @ VerifyError::Unreadable { .. }) => return Err(error.into()),
        Err(lie) => {
            checks.bad("log", line(&lie));
            return Ok(Ok(()));
        }
    };
    let source = Published { client, unreachable: RefCell::default() };
    let case = Case {
        competition: &view.competition,
        round,
        validator: options.signer.unwrap_or(view.validator),
        log: &log,
        seen: before.1.size(),
        shown: &shown,
        board: Some(&board),
        ledger: ledger.as_ref(),
        source: &source,
        engine: &Here { engine: runs_here(engine(DeviceKind::Flex, LatencyEffort::Quick))?, phases: &phases },
        sample: if options.all { Sample::All } else { Sample::Some(SAMPLED) },
    };
    let mut found = |finding: &Finding| {
        // A line of its own, not one over a bar.
        phases.finish();
        tell(checks, finding);
    };
    let audited = audit::audit(&case, &mut found).map(drop);
    if let Some(error) = source.unreachable.take() {
        return Err(error.into());
    }
    if audited.is_ok() {
        witnessed(client, (&view, round), &log, (key, &checkpoint), options, checks)?;
    }
    Ok(audited)
}

/// An engine that this machine has. One that lacks it can't check what rests on answers, and shows nothing to be wrong.
fn runs_here(engine: Result<eval::Engine>) -> Result<eval::Engine, CannotBeChecked> {
    engine.map_err(|problem| CannotBeChecked(format!("models can't be run here: {problem:#}")))
}

/// What a validator shows beside its log.
struct Shown {
    view: CompetitionView,
    shown: RoundView,
    board: Leaderboard,
    ledger: Option<LedgerSeen>,
}

/// Asks for it; nothing where that is a lie already.
fn shown(
    client: &Client,
    (id, round): (&CompetitionId, u64),
    log: &Statements,
    options: &AuditOptions,
    checks: &mut Checks,
) -> Result<Option<Shown>> {
    let view = client.competition(id)?;
    if view.competition.manifest.id != *id {
        checks.bad("competition", format!("the validator shows {} in its place", view.competition.manifest.id));
        return Ok(None);
    }
    let shown = match client.get_json(&format!("/api/v1/competitions/{id}/rounds/{round}")) {
        Ok(shown) => shown,
        // Whoever states a round has to show it.
        Err(ClientError::Problem(problem)) if problem.status == NOT_FOUND && log.has_round(id, round) => {
            checks.bad("shown", format!("the log has round {round}, and the validator says: {}", problem.detail));
            return Ok(None);
        }
        Err(error) => return Err(error.into()),
    };
    let board = client.leaderboard(id)?;
    let ledger = match ledger::seen(client, options.signer.unwrap_or(view.validator)) {
        Ok(ledger) => ledger,
        Err(error) if error.downcast_ref().is_some_and(ClientError::is_passing) => return Err(error),
        Err(error) => {
            checks.bad("ledger", format!("{error:#}"));
            None
        }
    };
    Ok(Some(Shown { view, shown, board, ledger }))
}

/// The log as soon as it has what was shown before, which takes about a second; or as it is after a while.
pub(super) fn newer(
    client: &Client,
    key: &LogKey,
    before: Option<&SignedCheckpoint>,
    has_all: impl Fn(&Statements) -> bool,
) -> Result<(Statements, SignedCheckpoint), VerifyError> {
    let mut tries = 1;
    loop {
        let found = read(client, key, before)?;
        if has_all(&found.0) || tries == LOG_TRIES {
            return Ok(found);
        }
        tries += 1;
        std::thread::sleep(LOG_WAIT);
    }
}

/// Whether the round was bound, and closed, before anybody could know its beacon, on the word of witnesses. Which beacon
/// that was is the log's to say.
fn witnessed(
    client: &Client,
    (view, round): (&CompetitionView, u64),
    log: &Statements,
    key: (&LogKey, &SignedCheckpoint),
    options: &AuditOptions,
    checks: &mut Checks,
) -> Result<()> {
    let manifest = &view.competition.manifest;
    let trusted = witnesses::trusted(&options.trusted, &manifest.log)?;
    if trusted.is_empty() {
        eprintln!("not shown to be before the beacon: no witness is named, here (--witness) or in the manifest");
        return Ok(());
    }
    let Some([opened, closed]) = log.opened_and_closed(&manifest.id, round) else {
        checks.bad("witnesses", "the log doesn't state that the round opened and closed");
        return Ok(());
    };
    let beacon_at = match log.beacon(&manifest.id, round) {
        Some(Beacon::Drand { published, .. }) => Some(DrandChain::quicknet().round_unix(published.round)),
        Some(Beacon::Ledger { .. }) | None => None,
    };
    let leaves = [("opened", opened), ("closed", closed)];
    witnesses::before_beacon(checks, client, key, &trusted, &leaves, beacon_at)
}

fn tell(checks: &mut Checks, Finding { check, verdict, detail }: &Finding) {
    let verdict = match verdict {
        audit::Verdict::Ok => Verdict::Ok,
        audit::Verdict::Unclear => Verdict::Unclear,
        audit::Verdict::Bad => Verdict::Bad,
    };
    checks.add(check, verdict, detail.clone());
}

/// The objects of a validator.
struct Published<'a> {
    client: &'a Client,
    /// Why it couldn't be asked: that is no lie.
    unreachable: RefCell<Option<ClientError>>,
}

impl Published<'_> {
    fn told<T>(&self, found: Result<T, ClientError>) -> Result<T, String> {
        found.map_err(|error| {
            let told = line(&error);
            if error.is_passing() {
                *self.unreachable.borrow_mut() = Some(error);
            }
            told
        })
    }
}

impl Source for Published<'_> {
    fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String> {
        let object = ObjectRef { sha256: *sha256, size_bytes: OBJECT_BYTES_MAX };
        self.told(self.client.object(&object))
    }

    fn file(&self, sha256: &Digest) -> Result<File, String> {
        let object = ObjectRef { sha256: *sha256, size_bytes: FILE_BYTES_MAX };
        self.told(self.client.object_file(&object))
    }

    fn files(&self, submission: &SubmissionId) -> Result<[Digest; 2], String> {
        let status = self.told(self.client.status(submission))?;
        let both = PackageObjects::among(&status.files).map(|files| [files.config.sha256, files.model.sha256]);
        both.ok_or_else(|| "the validator doesn't name its files".to_owned())
    }
}

/// The engine that the validator used, on this machine.
struct Here<'a> {
    engine: eval::Engine,
    phases: &'a Phases,
}

impl Engine for Here<'_> {
    fn evaluate(&self, who: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
        let (running, items) = (format!("running {who}"), request.truth.labels.len() as u64);
        // Nothing is timed, so that a model's answers are all that it takes.
        let result = evaluated(&self.engine, &request, &|at| {
            if at.phase == Phase::Accuracy {
                self.phases.at(&running, items * u64::from(at.percent) / 100, items);
            }
        });
        self.phases.finish();
        result
    }

    fn timed(&self, samples: &[u8]) -> Result<Timed, String> {
        rerun::timed(samples)
    }
}
