//! What a check fetches from a validator: whether it can't be had is a finding, or the end of all checks. It does not know what is
//! checked.

use super::checks::Checks;
use super::line;
use anyhow::Result;
use miner_template::client::{Client, ClientError};
use protocol::api::{PackageObjects, SubmissionStatus};
use protocol::competition::ObjectRef;
use protocol::evaluation::PackageBytes;
use protocol::published::PublishedModel;

/// What a validator answers to whoever wants a package before the reveal of the round that it was entered in.
const WITHHELD: &str = "weights_withheld";

/// What was fetched. A validator that says no, or sends other bytes, fails the check; a package that isn't public yet leaves
/// it unclear; one that can't be reached, or has no time, ends it all.
pub(super) fn fetched<T>(name: &'static str, found: Result<T, ClientError>, checks: &mut Checks) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(
            error @ (ClientError::Unreachable { .. }
            | ClientError::Broken(_)
            | ClientError::Strange { status: 502..=504, .. }),
        ) => Err(error.into()),
        Err(ClientError::Problem(problem)) if matches!(problem.status, 429 | 503) => {
            Err(ClientError::Problem(problem).into())
        }
        Err(ClientError::Problem(problem)) if problem.code == WITHHELD => {
            checks.unclear(name, problem.detail);
            Ok(None)
        }
        Err(error) => {
            checks.bad(name, line(&error));
            Ok(None)
        }
    }
}

pub(super) fn fetched_package(
    client: &Client,
    name: &'static str,
    (config, weights): (&ObjectRef, &ObjectRef),
    checks: &mut Checks,
) -> Result<Option<PackageBytes>> {
    let Some(config_json) = fetched(name, client.object(config), checks)? else { return Ok(None) };
    let Some(weights) = fetched(name, client.object(weights), checks)? else { return Ok(None) };
    Ok(Some(PackageBytes { config_json: config_json.into(), weights: weights.into() }))
}

/// Where a submission's two files are.
pub(super) fn files(status: &SubmissionStatus, checks: &mut Checks) -> Option<PackageObjects> {
    let found = PackageObjects::among(&status.files);
    if found.is_none() {
        checks.bad("package", "the validator doesn't name its files");
    }
    found
}

/// A submission's files, as they were uploaded.
pub(super) fn uploaded(
    client: &Client,
    status: &SubmissionStatus,
    checks: &mut Checks,
) -> Result<Option<PackageBytes>> {
    let Some(objects) = files(status, checks) else { return Ok(None) };
    fetched_package(client, "package", (&objects.config, &objects.model), checks)
}

/// A model that was published with a competition.
pub(super) fn model(client: &Client, model: &PublishedModel, checks: &mut Checks) -> Result<Option<PackageBytes>> {
    fetched_package(client, "reference", (&model.config_json, &model.weights), checks)
}
