//! `retort verify round`: audits a finished round, and believes nothing that it can compute.
//!
//! What is checked is `validator::audit`'s; here its bytes are fetched and models run. A round of a version before this one
//! can't be checked, which ends with status 2.

use super::checks::{Checks, Verdict};
use super::{HttpLog, ledger, line, log_key, witnesses};
use crate::cli::{AuditOptions, VerifyRoundArgs};
use crate::commands::competition;
use crate::engine::{engine, phase_name};
use crate::progress::Phases;
use anyhow::Result;
use datasets::hidden::{Beacon, DrandChain};
use futures::executor::block_on;
use miner_template::client::Client;
use models::DeviceKind;
use protocol::competition::ObjectRef;
use protocol::evaluation::{Evaluation, EvaluationFailure, EvaluationRequest};
use protocol::package::{CONFIG_FILE, WEIGHTS_FILE};
use protocol::{CompetitionId, Digest, SubmissionId};
use std::process;
use transparency::{LogKey, SignedCheckpoint, VerifyError, verify_entries};
use validator::audit::{self, Case, Engine, Finding, Sample, Source, Statements};
use validator::config::LatencyEffort;
use validator::rounds::RoundView;

/// No object of a round is larger.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Screened submissions that are run again, unless all are.
const SAMPLED: usize = 10;
/// The status of a round that can't be checked.
const CANNOT_BE_CHECKED: i32 = 2;

pub(super) fn run(args: &VerifyRoundArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    let key = log_key(&client, args.options.key.as_ref())?;
    let mut checks = Checks::new(args.json);
    let (log, checkpoint) = match read(&client, &key, None) {
        Ok(read) => read,
        Err(problem) => {
            checks.bad("log", line(&problem));
            return checks.finish("the public log");
        }
    };
    match audited(&client, &id, args.round, &log, &args.options, &mut checks)? {
        Ok(()) => {
            let name = (&id, args.round);
            witnessed(&client, name, &log, (&key, &checkpoint), &args.options, &mut checks)?;
            checks.finish(&format!("round {} of {id}", args.round))
        }
        Err(cannot) => {
            eprintln!("error: {cannot}");
            process::exit(CANNOT_BE_CHECKED)
        }
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

/// Audits a round, and tells each finding as it comes. The inner error is a round that can't be checked.
pub(super) fn audited(
    client: &Client,
    id: &CompetitionId,
    round: u64,
    log: &Statements,
    options: &AuditOptions,
    checks: &mut Checks,
) -> Result<Result<(), audit::CannotBeChecked>> {
    let view = client.competition(id)?;
    let validator = options.signer.unwrap_or(view.validator);
    let shown: RoundView = client.get_json(&format!("/api/v1/competitions/{id}/rounds/{round}"))?;
    let board = client.leaderboard(id)?;
    let ledger = match ledger::seen(client, validator, id, log) {
        Ok(ledger) => ledger,
        Err(error) => {
            checks.bad("ledger", format!("{error:#}"));
            None
        }
    };
    let case = Case {
        competition: &view.competition,
        validator,
        log,
        shown: &shown,
        board: Some(&board),
        ledger: ledger.as_ref(),
        source: &Published(client),
        engine: &Here(engine(DeviceKind::Flex, LatencyEffort::Quick)?),
        sample: if options.all { Sample::All } else { Sample::Some(SAMPLED) },
    };
    Ok(audit::audit(&case, &mut |finding| tell(checks, finding)).map(drop))
}

/// Whether the round was bound, and closed, before anybody could know its beacon, on the word of witnesses.
pub(super) fn witnessed(
    client: &Client,
    (id, round): (&CompetitionId, u64),
    log: &Statements,
    key: (&LogKey, &SignedCheckpoint),
    options: &AuditOptions,
    checks: &mut Checks,
) -> Result<()> {
    let trusted = witnesses::trusted(&options.trusted, &client.competition(id)?.competition.manifest.log)?;
    if trusted.is_empty() {
        eprintln!("not shown to be before the beacon: no witness is named, here (--witness) or in the manifest");
        return Ok(());
    }
    let Some([opened, closed]) = log.opened_and_closed(id, round) else {
        checks.bad("witnesses", "the log doesn't state that the round opened and closed");
        return Ok(());
    };
    let shown: RoundView = client.get_json(&format!("/api/v1/competitions/{id}/rounds/{round}"))?;
    let beacon_at = match &shown.beacon {
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
struct Published<'a>(&'a Client);

impl Source for Published<'_> {
    fn object(&self, sha256: &Digest) -> Result<Vec<u8>, String> {
        let object = ObjectRef { sha256: *sha256, size_bytes: OBJECT_BYTES_MAX };
        self.0.object(&object).map_err(|error| line(&error))
    }

    fn files(&self, submission: &SubmissionId) -> Result<[Digest; 2], String> {
        let status = self.0.status(submission).map_err(|error| line(&error))?;
        let digest = |path: &str| status.files.iter().find(|file| file.path == path).map(|file| file.sha256);
        let both = digest(CONFIG_FILE).zip(digest(WEIGHTS_FILE)).map(|(config, weights)| [config, weights]);
        both.ok_or_else(|| "the validator doesn't name its files".to_owned())
    }
}

/// The engine that the validator used, on this machine.
struct Here(eval::Engine);

impl Engine for Here {
    fn evaluate(&self, who: &str, request: EvaluationRequest) -> Result<Evaluation, EvaluationFailure> {
        let phases = Phases::new(who);
        let result = self.0.evaluate(&request, &|at| phases.at(phase_name(at.phase), at.percent.into(), 100));
        phases.finish();
        result
    }
}
