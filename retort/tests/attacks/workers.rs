//! The process that runs a stranger's model, as the operator sees it from outside while it runs (row 28, incidents E1 and
//! E32): the very worker of the real binary, not one made for a test.

use super::hall::{PATIENCE, children, hall, until};
use super::package::Package;
use super::stranger::Stranger;
use protocol::submission::State;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// A process that runs `retort __worker`, and what the system says about it.
struct Seen {
    status: BTreeMap<String, String>,
    environment: Vec<String>,
    descriptors: Vec<String>,
    namespaces: Vec<(&'static str, bool)>,
}

/// All that descend from a process.
fn descendants(pid: u32) -> Vec<u32> {
    children(pid).into_iter().flat_map(|child| [vec![child], descendants(child)].concat()).collect()
}

/// Looks at a process while it lives and is locked; the workers of the service come and go.
fn look(pid: u32) -> Option<Seen> {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    let words = |bytes: Vec<u8>| {
        let words = bytes.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        words.map(|word| String::from_utf8_lossy(word).into_owned()).collect::<Vec<_>>()
    };
    words(read("cmdline")?).iter().find(|word| *word == "__worker")?;
    let status = String::from_utf8(read("status")?).ok()?;
    let status: BTreeMap<_, _> =
        status.lines().filter_map(|line| line.split_once(':')).map(|(k, v)| (k.into(), v.trim().into())).collect();
    // Between its start and its first read it isn't locked yet, and holds nothing of a stranger's.
    (status.get("Seccomp")? == "2").then_some(())?;
    let link = |pid: &str, name: &str| fs::read_link(format!("/proc/{pid}/{name}")).ok();
    let namespaces = ["user", "pid", "net", "mnt", "ipc", "uts"].map(|name| {
        let file = format!("ns/{name}");
        (name, link(&pid.to_string(), &file) != link("self", &file))
    });
    let open = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.flatten();
    let descriptors = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    let descriptors = descriptors.map(|path| path.display().to_string()).collect();
    // Whatever changed while we looked was its end.
    Path::new(&format!("/proc/{pid}/exe")).exists().then_some(())?;
    Some(Seen { status, environment: words(read("environ")?), descriptors, namespaces: namespaces.into() })
}

#[test]
fn while_a_strangers_model_runs_its_process_holds_nothing_and_can_reach_nothing() {
    let mallory = Stranger::new(hall());
    let id = mallory.submit(&Package::fixture("resnet"));
    let service = hall().pid();
    let seen = until(PATIENCE, || descendants(service).into_iter().find_map(look));
    let seen = seen.expect("a worker runs while a model is evaluated");
    let is = |field: &str, value: &str| assert_eq!(seen.status[field], value, "{field}");
    is("NoNewPrivs", "1");
    is("Seccomp_filters", "2");
    for capabilities in ["CapEff", "CapPrm", "CapInh", "CapAmb"] {
        is(capabilities, "0000000000000000");
    }
    let users: Vec<&str> = seen.status["Uid"].split_whitespace().collect();
    assert!(!users.contains(&"0"), "it isn't the superuser's: {users:?}");
    for (namespace, its_own) in seen.namespaces {
        assert!(its_own, "it has a {namespace} namespace of its own");
    }
    assert!(seen.environment.len() <= 4, "{:?}", seen.environment);
    for name in ["RETORT_LIMITS", "RETORT_LATENCY", "RUST_LOG", "HOME", "PATH", "AWS_"] {
        assert!(!seen.environment.iter().any(|variable| variable.starts_with(name)), "{:?}", seen.environment);
    }
    // Pipes to its parent and a sealed file without a name.
    let known = |to: &String| to.starts_with("pipe:") || to.starts_with("/memfd:");
    assert!(seen.descriptors.iter().all(known), "{:?}", seen.descriptors);
    assert_eq!(mallory.end(&id).state, State::Scored);
    let left = until(PATIENCE, || (!descendants(service).into_iter().any(|pid| look(pid).is_some())).then_some(()));
    assert!(left.is_some(), "no worker outlives what it was made for");
}
