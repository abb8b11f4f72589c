//! The parts of a validator in a directory, with the engine of this machine.

use super::logged::WAITING;
use crate::engine::{ProcessMeasurer, engine, waiting_for};
use anyhow::{Context, Result, anyhow, bail};
use eval::{LeaseFolder, Library};
use models::DeviceKind;
use sandbox::{CgroupKind, Host};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use validator::config::{ControlGroups, ENV_PREFIX};
use validator::evaluator::AtHome;
use validator::{App, Config, Home};

/// The settings with an address of the command line, which stands above all others: what it replaces need make no sense.
pub(super) fn settings(home: &Home, listen: Option<SocketAddr>) -> Result<Config> {
    let listen = listen.map(|address| (format!("{ENV_PREFIX}LISTEN"), address.to_string()));
    let others = std::env::vars().filter(|(name, _)| listen.as_ref().is_none_or(|(listen, _)| name != listen));
    let variables: Vec<_> = others.chain(listen.clone()).collect();
    Ok(home.load(variables)?)
}

/// The parts of the validator in `dir`, with the engine of this machine.
pub(crate) async fn open_app(dir: &Path, listen: Option<SocketAddr>) -> Result<App> {
    let home = Home::new(dir);
    let config = settings(&home, listen)?;
    let evaluator = evaluator(&home, &config)?;
    App::open(&home, config, evaluator).await.with_context(|| format!("open the validator in {}", dir.display()))
}

/// The engine of this machine behind the validator's door.
pub(super) fn evaluator(home: &Home, config: &Config) -> Result<Arc<AtHome<ProcessMeasurer>>> {
    if let Some(warning) = without_groups(config.control_groups, Host::of_this_machine())? {
        tracing::warn!("{warning}");
    }
    let mut engine = engine(DeviceKind::Flex, config.latency)?;
    engine.library = Library::at(&config.onnxruntime);
    engine.lease = lease_folder(home, config)?;
    engine.accuracy_on = config.accuracy_backend().map_err(anyhow::Error::msg)?;
    if let Some(backend) = engine.accuracy_on {
        let here = engine.backend(backend);
        here.map_err(|problem| anyhow!("accuracy_device = \"{backend}\" isn't here: {problem}"))?;
    }
    engine.waits = |holder| waiting_for(holder).iter().for_each(|told| tracing::info!(target: WAITING, "{told}"));
    Ok(Arc::new(AtHome(ProcessMeasurer(engine))))
}

/// What to warn of where a host gives no control groups: of nothing where it has none, and not at all where the settings
/// ask for them, which ends it.
fn without_groups(asked: ControlGroups, host: &Host) -> Result<Option<String>> {
    let refused = host.cgroup_refused.as_deref();
    match (host.cgroup, asked) {
        (CgroupKind::V1 | CgroupKind::V2, _) => Ok(None),
        (CgroupKind::None, ControlGroups::Required) => bail!(
            "control_groups = \"required\", and {}. Delegate a group to this user (systemd: Delegate=yes), or say \
             control_groups = \"if_available\"",
            refused.unwrap_or("this host has no control groups with a memory controller")
        ),
        (CgroupKind::None, ControlGroups::IfAvailable) => Ok(refused.map(|refused| {
            format!("only each worker's own memory is bounded, not that of all of them together: {refused}")
        })),
    }
}

/// Where this machine is taken, tried out before anybody waits for it: what the settings name, the user's own folder, or
/// else the validator's, which it has in any case.
pub(super) fn lease_folder(home: &Home, config: &Config) -> Result<LeaseFolder> {
    if !config.lease_dir.is_empty() {
        let named = LeaseFolder::at(&config.lease_dir);
        named.prepare()?;
        return Ok(named);
    }
    let own = LeaseFolder::of_this_user();
    let Err(problem) = own.prepare() else { return Ok(own) };
    let folder = LeaseFolder::at(std::path::absolute(home.lease())?);
    folder.prepare()?;
    tracing::warn!(
        folder = %folder.path().display(),
        "only this validator's own measurements keep out of each other's way: {problem}"
    );
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_gives_no_control_group_is_told_of_or_refused() {
        let gives = |cgroup, refused: Option<&str>| Host {
            cgroup,
            cgroup_refused: refused.map(str::to_owned),
            ..Host::of_this_machine().clone()
        };
        for asked in [ControlGroups::IfAvailable, ControlGroups::Required] {
            assert_eq!(without_groups(asked, &gives(CgroupKind::V2, None)).unwrap(), None);
        }
        let (has_none, refuses) = (gives(CgroupKind::None, None), gives(CgroupKind::None, Some("they are read-only")));
        assert_eq!(without_groups(ControlGroups::IfAvailable, &has_none).unwrap(), None, "nothing is amiss");
        let warning = without_groups(ControlGroups::IfAvailable, &refuses).unwrap().unwrap();
        assert!(warning.contains("they are read-only"), "{warning}");
        for (host, why) in [(has_none, "no control groups"), (refuses, "they are read-only")] {
            let refused = without_groups(ControlGroups::Required, &host).unwrap_err().to_string();
            assert!(refused.contains(why) && refused.contains("Delegate=yes"), "{refused}");
        }
    }
}
