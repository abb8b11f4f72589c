//! `retort doctor`: whether this host and the validator on it are well. Nothing is run but our own models.

use super::parts::{evaluator, lease_folder, open_app};
use crate::commands::{bench, print_json};
use crate::engine::allow_insecure;
use anyhow::{Context, Result, bail};
use chain::LedgerError;
use eval::LeaseFolder;
use sandbox::Host;
use std::path::Path;
use validator::doctor::Finding;
use validator::{App, Home, OpenError};

/// What this host offers to confine workers.
fn confining() -> impl Iterator<Item = Finding> {
    let found = Host::of_this_machine().findings().into_iter();
    found.map(|found| Finding { name: found.name, healthy: found.works || !found.required, detail: found.detail })
}

/// Whether the validator can't be opened because another process has it.
fn is_served(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(OpenError::Ledger(LedgerError::InUse { .. })))
}

fn tell_finding(finding: &Finding) {
    println!("{} {:14} {}", if finding.healthy { "ok  " } else { "BAD " }, finding.name, finding.detail);
}

/// Who has the machine, for which all others wait.
fn machine(lease: &LeaseFolder) -> Finding {
    let (healthy, detail) = match lease.holder() {
        Ok(None) => (true, "nobody measures on it now".to_owned()),
        Ok(Some(holder)) => (true, format!("{holder}; whoever wants to measure waits")),
        Err(problem) => (false, problem.to_string()),
    };
    Finding { name: "machine", healthy, detail }
}

/// What can be said of a host where no validator is.
fn tell_host(json: bool) {
    if !json {
        confining().chain([machine(&LeaseFolder::of_this_user())]).for_each(|finding| tell_finding(&finding));
    }
}

pub(super) async fn doctor(dir: &Path, json: bool) -> Result<()> {
    if !Host::of_this_machine().missing().is_empty() {
        // Said below; and nothing is run here but our own models.
        allow_insecure();
    }
    let (app, served) = match open_app(dir, None).await {
        Ok(app) => (app, None),
        Err(error) if is_served(&error) => {
            let home = Home::new(dir);
            let config = home.load(std::env::vars())?;
            let evaluator = evaluator(&home, &config)?;
            let opened = App::open_beside(&home, config, evaluator).await;
            let (app, ledger) = opened.with_context(|| format!("look at the validator in {}", dir.display()))?;
            (app, Some(ledger))
        }
        Err(error) => {
            if !Home::new(dir).config().exists() {
                tell_host(json);
            }
            return Err(error);
        }
    };
    let mut findings = match &served {
        None => validator::doctor::examine(&app).await,
        Some(ledger) => validator::doctor::examine_beside(&app, ledger).await,
    };
    findings.extend(confining());
    let lease = lease_folder(&Home::new(dir), &app.config)?;
    findings.push(machine(&lease));
    if !json {
        findings.iter().for_each(tell_finding);
    }
    let timed = tokio::task::spawn_blocking(move || bench::latency_health(lease));
    let latency = timed.await.context("time the reference student")?;
    if !json {
        tell_finding(&latency);
    }
    findings.push(latency);
    if json {
        let rows =
            findings.iter().map(|f| serde_json::json!({"name": f.name, "healthy": f.healthy, "detail": f.detail}));
        print_json(&rows.collect::<Vec<_>>())?;
    }
    match findings.iter().filter(|finding| !finding.healthy).count() {
        0 => Ok(()),
        bad => bail!("{bad} of {} checks failed", findings.len()),
    }
}
