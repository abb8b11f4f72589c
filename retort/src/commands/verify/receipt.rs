//! `retort verify receipt`: from a receipt to everything that it binds, to its place in the log, and to an evaluation of
//! our own that is held against it.
//!
//! The story is [`examine`]. What a validator sends is believed where a digest or a signature says so, and nowhere else.

use super::checks::{Check, Checks};
use super::fetched::{fetched, fetched_package, files, model};
use super::rerun::{Materials, rerun, timed};
use super::round::newer;
use super::{HttpLog, line, log_key};
use crate::cli::{ReceiptOptions, Validator, Which, at_home};
use anyhow::{Context, Result, bail};
use audit::agree;
use datasets::Labelled;
use futures::executor::block_on;
use miner_template::client::Client;
use program::package::{Package, admit};
use protocol::amendment::EngineInForce;
use protocol::api::{CompetitionView, FileDeclaration, PackageObjects};
use protocol::competition::{ObjectRef, OfficialEngine};
use protocol::evaluation::{Items, PackageBytes};
use protocol::leaf::receipt_key;
use protocol::outcomes::Outcomes;
use protocol::package::Admission;
use protocol::receipt::ReceiptError;
use protocol::{Digest, Hotkey, Receipt, Report, SignedReceipt, SubmissionId};
use referee::RoundRecord;
use referee::record::RECORD_BYTES_MAX;
use std::fs;
use std::time::Duration;
use transparency::{Entry, EntryKind, LogKey, VerifyError, verify_inclusion};

/// No report is larger.
const REPORT_BYTES_MAX: u64 = 16 << 20;
/// No file of raw times is larger.
const SAMPLES_BYTES_MAX: u64 = 64 << 20;
/// No file of outcomes is larger.
const OUTCOMES_BYTES_MAX: u64 = 64 << 20;
/// How often and how long a receipt that is on its way into the log is waited for.
const LOG_TRIES: u32 = 20;
const LOG_WAIT: Duration = Duration::from_millis(250);

pub(super) fn run(what: &str, options: &ReceiptOptions) -> Result<()> {
    let (client, bytes) = find(what, &options.validator.validator)?;
    let mut checks = Checks::new(options.json);
    // What can't be checked any further is in the list already.
    let examined = examine(&client, &bytes, what, options, &mut checks);
    checks.ended(examined, "the receipt")
}

/// All checks of a submission's receipt but latency, for a story that is told elsewhere; an error unless all hold.
pub(crate) fn confirm(client: &Client, submission: &SubmissionId, log_key: LogKey) -> Result<Vec<Check>> {
    let options = ReceiptOptions {
        validator: Validator { validator: client.base().to_owned() },
        key: Some(log_key),
        signer: None,
        outputs_only: true,
        json: true,
    };
    let mut checks = Checks::new(true);
    examine(client, &client.receipt(submission)?, &submission.to_string(), &options, &mut checks)?;
    checks.confirmed().context("the receipt does not hold")
}

/// The receipt's bytes, and the validator to ask about it.
fn find(what: &str, validator: &str) -> Result<(Client, Vec<u8>)> {
    if what.contains("://") {
        return at_address(what);
    }
    let client = Client::new(validator);
    let file = at_home(what).map_err(anyhow::Error::msg)?;
    if file.exists() {
        return Ok((client, fs::read(&file).with_context(|| format!("read {what}"))?));
    }
    let Ok(which) = what.parse::<Which>() else {
        bail!("{what} is no file, no submission and no address");
    };
    let bytes = client.receipt(&super::super::submission(&client, &which)?)?;
    Ok((client, bytes))
}

/// `http://HOST/submissions/ID`, `http://HOST/api/v1/submissions/ID[/receipt]` or `…/api/v1/objects/sha256/DIGEST`.
fn at_address(address: &str) -> Result<(Client, Vec<u8>)> {
    let clean = address.trim_end_matches('/').trim_end_matches("/receipt");
    if let Some((base, digest)) = clean.rsplit_once("/api/v1/objects/sha256/") {
        let sha256: Digest = digest.parse().with_context(|| format!("read {address}"))?;
        let client = Client::new(base);
        let bytes = client.object(&ObjectRef { sha256, size_bytes: REPORT_BYTES_MAX })?;
        return Ok((client, bytes));
    }
    if let Some((base, id)) = clean.rsplit_once("/submissions/")
        && let Ok(id) = id.parse()
    {
        let client = Client::new(base.trim_end_matches("/api/v1"));
        let bytes = client.receipt(&id)?;
        return Ok((client, bytes));
    }
    bail!("{address} is no address of a receipt; write http://HOST:PORT/submissions/ID")
}

/// All checks in their order; it ends early where nothing further can be said.
fn examine(client: &Client, bytes: &[u8], what: &str, options: &ReceiptOptions, checks: &mut Checks) -> Result<()> {
    let Some((receipt, view)) = signature(client, bytes, options.signer, checks)? else { return Ok(()) };
    if let Ok(asked) = what.parse::<SubmissionId>()
        && asked != receipt.subject.submission
    {
        checks.bad("submission", format!("the receipt is of {}", receipt.subject.submission));
    }
    match receipt.subject.round {
        None => in_log(client, bytes, &receipt, options, checks)?,
        Some(round) => in_record(client, bytes, (&receipt, round), options, checks)?,
    }
    let Some(report) = report(client, &receipt, checks)? else { return Ok(()) };
    let engine = official(&view, (&receipt, &report), checks);
    let outcomes = outcomes(client, &receipt, checks)?;
    if let Some(outcomes) = &outcomes {
        times(client, (&report, outcomes), checks)?;
    }
    let Some((candidate, published)) = package(client, &receipt, checks)? else { return Ok(()) };
    same_model(client, &candidate, &published, &view, checks)?;
    let Some(items) = items(client, &receipt, &view, checks)? else { return Ok(()) };
    let Some(reference) = reference(client, &view, checks)? else { return Ok(()) };
    let wall_seconds_max = view.competition.manifest.limits.evaluation_seconds_max;
    let materials = Materials { candidate, reference, items, engine, wall_seconds_max };
    rerun(&receipt, &report, outcomes.as_ref(), materials, options.outputs_only, checks)
}

/// Who signed what, for which competition.
fn signature(
    client: &Client,
    bytes: &[u8],
    signer: Option<Hotkey>,
    checks: &mut Checks,
) -> Result<Option<(Receipt, CompetitionView)>> {
    let claimed = match SignedReceipt::parse(bytes) {
        Ok(signed) => signed.receipt,
        Err(error) => {
            checks.bad("receipt", error);
            return Ok(None);
        }
    };
    let id = &claimed.subject.competition;
    let Some(view) = fetched("competition", client.competition(id), checks)? else { return Ok(None) };
    // Not the digest that the validator names: the one that its answer has.
    let sha256 = Digest::of_json(&view.competition)?;
    let trusted = signer.unwrap_or(view.validator);
    match Receipt::verify(bytes, &[trusted], (&view.competition.manifest.id, sha256)) {
        Ok(receipt) => {
            checks.ok("signature", format!("by {trusted}"));
            checks.ok("competition", format!("{id}, sha256:{}", sha256.short()));
            Ok(Some((receipt, view)))
        }
        Err(error @ ReceiptError::ForeignCompetition { .. }) => {
            checks.ok("signature", format!("by {trusted}"));
            checks.bad("competition", error);
            Ok(None)
        }
        Err(error) => {
            checks.bad("signature", error);
            Ok(None)
        }
    }
}

/// Whether the validator has stated the receipt in its public log, for everybody.
fn in_log(
    client: &Client,
    bytes: &[u8],
    receipt: &Receipt,
    options: &ReceiptOptions,
    checks: &mut Checks,
) -> Result<()> {
    let key = log_key(client, options.key.as_ref())?;
    let submission = &receipt.subject.submission;
    let entry = Entry::new(EntryKind::Receipt, &receipt_key(submission), &SignedReceipt::parse(bytes)?)?;
    for attempt in 0..LOG_TRIES {
        let Some(status) = fetched("log", client.status(submission), checks)? else { return Ok(()) };
        let Some(index) = status.receipt_log_index else {
            if attempt + 1 == LOG_TRIES {
                checks.bad("log", "the receipt is not in the public log; if it is new, try again in a minute");
            } else {
                std::thread::sleep(LOG_WAIT);
            }
            continue;
        };
        match block_on(verify_inclusion(&HttpLog(client), &key, index, entry.as_bytes())) {
            Ok(checkpoint) => {
                checks.ok("log", format!("entry {index} of {} in {}", checkpoint.size(), key.name()));
            }
            Err(error) => checks.bad("log", line(&error)),
        }
        return Ok(());
    }
    Ok(())
}

/// Whether the record of its round, which the public log binds, names the receipt of a measurement in a round.
fn in_record(
    client: &Client,
    bytes: &[u8],
    (receipt, round): (&Receipt, u64),
    options: &ReceiptOptions,
    checks: &mut Checks,
) -> Result<()> {
    let key = log_key(client, options.key.as_ref())?;
    let (id, submission) = (&receipt.subject.competition, &receipt.subject.submission);
    let log = newer(client, &key, None, |log| log.record(id, round).is_some());
    let sha256 = match log.map(|(log, _)| log.record(id, round)) {
        Ok(Some(sha256)) => sha256,
        Ok(None) => {
            checks.bad(
                "log",
                format!("the public log has no record of round {round}; if it is new, try again in a minute"),
            );
            return Ok(());
        }
        Err(error @ VerifyError::Unreadable { .. }) => return Err(error.into()),
        Err(error) => {
            checks.bad("log", line(&error));
            return Ok(());
        }
    };
    let object = ObjectRef { sha256, size_bytes: RECORD_BYTES_MAX };
    let Some(record) = fetched("log", client.object(&object), checks)? else { return Ok(()) };
    let record: RoundRecord = match serde_json::from_slice(&record) {
        Ok(record) => record,
        Err(error) => {
            checks.bad("log", format!("the record of round {round} can't be read: {error}"));
            return Ok(());
        }
    };
    let member = record.members.iter().find(|member| member.submission == *submission);
    let same = member.and_then(|member| member.receipt).is_some_and(|named| named.sha256 == Digest::of(bytes));
    let detail = format!("named by the record of round {round}, sha256:{} in {}", sha256.short(), key.name());
    checks.that(
        "log",
        same,
        detail,
        format!("the record of round {round} names another receipt of {submission}, or none"),
    );
    Ok(())
}

fn report(client: &Client, receipt: &Receipt, checks: &mut Checks) -> Result<Option<Report>> {
    let object = ObjectRef { sha256: receipt.measured.report_sha256, size_bytes: REPORT_BYTES_MAX };
    let Some(bytes) = fetched("report", client.object(&object), checks)? else { return Ok(None) };
    let report: Report = match serde_json::from_slice(&bytes) {
        Ok(report) => report,
        Err(error) => {
            checks.bad("report", format!("it can't be read: {error}"));
            return Ok(None);
        }
    };
    match receipt.covers(&report) {
        Ok(()) => checks.ok("report", format!("sha256:{}, and the receipt covers it", object.sha256.short())),
        Err(error) => checks.bad("report", error),
    }
    Ok(Some(report))
}

/// The engine that it had to be measured on, and whether it was: that of its round, or, of a submission's own measurement, one that
/// the competition names or named. Where it names none, there is nothing to say.
fn official(view: &CompetitionView, (receipt, report): (&Receipt, &Report), checks: &mut Checks) -> OfficialEngine {
    let ran = &report.engine;
    let official = match receipt.subject.round {
        Some(round) => EngineInForce::of(view.competition.manifest.engine, &view.amendments, round).engine,
        None => view.engine_of(ran),
    };
    if official != OfficialEngine::default() {
        let problem = format!("measured on {ran}, and the competition names {official}");
        checks.that("engine", official.measured(ran), format!("{official}, which the competition names"), problem);
    }
    official
}

fn outcomes(client: &Client, receipt: &Receipt, checks: &mut Checks) -> Result<Option<Outcomes>> {
    let object = ObjectRef { sha256: receipt.subject.outcomes_sha256, size_bytes: OUTCOMES_BYTES_MAX };
    let Some(bytes) = fetched("outcomes", client.object(&object), checks)? else { return Ok(None) };
    match Outcomes::from_bytes(&bytes) {
        Ok(outcomes) => {
            let same = outcomes.values().images_sha256 == receipt.measured.data.images_sha256;
            let detail = format!("sha256:{}, on the same items", object.sha256.short());
            Ok(checks.that("outcomes", same, detail, "they are about other items").then_some(outcomes))
        }
        Err(error) => {
            checks.bad("outcomes", error);
            Ok(None)
        }
    }
}

/// Whether report and outcomes say of latency and size what the raw times do, and each other.
fn times(client: &Client, (report, outcomes): (&Report, &Outcomes), checks: &mut Checks) -> Result<()> {
    let Some(sha256) = report.latency.samples_sha256 else {
        checks.bad("times", "the report names no raw times");
        return Ok(());
    };
    let object = ObjectRef { sha256, size_bytes: SAMPLES_BYTES_MAX };
    let Some(samples) = fetched("times", client.object(&object), checks)? else { return Ok(()) };
    match timed(&samples).and_then(|timed| agree(report, outcomes, &timed)) {
        Ok(()) => {
            checks.ok("times", format!("sha256:{}, and report and outcomes follow from them", sha256.short()));
        }
        Err(problem) => checks.bad("times", problem),
    }
    Ok(())
}

/// The package's files, whose digests together have to be the receipt's, and what is said to be published of them.
fn package(
    client: &Client,
    receipt: &Receipt,
    checks: &mut Checks,
) -> Result<Option<(PackageBytes, Vec<FileDeclaration>)>> {
    let Some(status) = fetched("package", client.status(&receipt.subject.submission), checks)? else {
        return Ok(None);
    };
    let Some(objects) = files(&status, checks) else { return Ok(None) };
    let found = objects.package_sha256();
    let detail = format!("sha256:{} of {}", found.short(), receipt.subject.hotkey);
    let (same_package, same_owner) =
        (found == receipt.measured.package_sha256, status.hotkey == receipt.subject.hotkey);
    if !checks.that("package", same_package && same_owner, detail, "the validator names another package or owner") {
        return Ok(None);
    }
    let Some(candidate) = fetched_package(client, "package", (&objects.config, &objects.model), checks)? else {
        return Ok(None);
    };
    Ok(Some((candidate, status.published)))
}

/// Whether what is offered for download is the measured model, in the one form that follows from it: it is downloaded as
/// anybody would, and every byte is held against what the measured package becomes here.
fn same_model(
    client: &Client,
    candidate: &PackageBytes,
    published: &[FileDeclaration],
    view: &CompetitionView,
    checks: &mut Checks,
) -> Result<()> {
    let manifest = &view.competition.manifest;
    let rules = Admission { input: &manifest.input, labels: &manifest.labels, limits: &manifest.limits };
    let ours = admit(&Package::of(&candidate.config_json, &candidate.weights), &rules, &manifest.models)
        .and_then(|admitted| Ok(admitted.published(&candidate.weights)?.package_sha256()));
    let ours = match ours {
        Ok(ours) => ours,
        Err(rejection) => {
            checks.bad("published", format!("the package is not admissible: {rejection}"));
            return Ok(());
        }
    };
    let Some(offered) = PackageObjects::among(published) else {
        checks.unclear("published", "the validator offers only what was uploaded");
        return Ok(());
    };
    // Whoever serves other bytes under these digests is named here.
    if fetched_package(client, "published", (&offered.config, &offered.model), checks)?.is_none() {
        return Ok(());
    }
    let detail = format!("sha256:{}, downloaded, is the same model", ours.short());
    let same = offered.package_sha256() == ours;
    checks.that("published", same, detail, "what is offered for download is another model");
    Ok(())
}

/// The items that the receipt's roots commit to, with labels and the teacher's answers.
fn items(client: &Client, receipt: &Receipt, view: &CompetitionView, checks: &mut Checks) -> Result<Option<Items>> {
    let competition = &view.competition;
    if receipt.subject.data_root != competition.tables.evaluation.sha256 {
        checks.unclear("data", "the items are not the public ones; `retort verify round` checks those of a round");
        return Ok(None);
    }
    let Some(table) = fetched("data", client.object_file(&competition.tables.evaluation), checks)? else {
        return Ok(None);
    };
    let (shape, classes) = (competition.manifest.input.shape(), competition.manifest.labels.len());
    let opened = Labelled::open(table, shape, classes).and_then(Labelled::answered);
    let read = opened.and_then(|(items, logits)| Ok((items.pixels.sha256()?, items, logits)));
    let (sha256, items, logits) = match read {
        Ok(read) => read,
        Err(error) => {
            checks.bad("data", format!("the public items can't be read: {error}"));
            return Ok(None);
        }
    };
    let data = &receipt.measured.data;
    let public = items.count();
    let same = sha256 == data.images_sha256 && public == data.items;
    let detail = format!("{public} public items, sha256:{}", data.images_sha256.short());
    if !checks.that("data", same, detail, "the public items are not those of the receipt") {
        return Ok(None);
    }
    Ok(Some(items.asked(&competition.manifest.input, public, Some(logits.values))))
}

fn reference(client: &Client, view: &CompetitionView, checks: &mut Checks) -> Result<Option<PackageBytes>> {
    let reference = &view.competition.reference;
    let Some(package) = model(client, reference, checks)? else { return Ok(None) };
    checks.ok("reference", format!("sha256:{}, and the teacher's answers", reference.weights.sha256.short()));
    Ok(Some(package))
}
