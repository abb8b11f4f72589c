//! The rules of `deny.toml`, checked over `cargo tree` and the lock file in every test run: licences, banned crates, sources; and that
//! `unsafe` is forbidden everywhere but where it must be. cargo-deny reads the same file and does more, where it is there.

use spdx::{Expression, ParseMode};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates whose whole purpose needs `unsafe`: the sandbox, and the mode of the floating-point unit.
const UNSAFE: [&str; 1] = ["sandbox"];

/// Crates that name a file instead of a licence, and what it is.
const LICENSE_FILES: [(&str, &str); 1] = [("cfg_block", "Apache-2.0")];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read_toml(path: &Path) -> toml::Table {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A list of texts in `deny.toml`.
fn strings(rules: &toml::Table, section: &str, list: &str) -> BTreeSet<String> {
    let entries = rules[section][list].as_array().expect("a list");
    let text = |entry: &toml::Value| entry.as_str().or_else(|| entry.get("crate")?.as_str()).map(str::to_owned);
    entries.iter().filter_map(text).collect()
}

/// Name and licence of every crate that is built by default for this machine.
fn packages() -> BTreeSet<(String, String)> {
    let tree = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--workspace", "--edges", "normal,build", "--prefix", "none"])
        .args(["--format", "{p}\t{l}"])
        .current_dir(root())
        .output()
        .expect("cargo");
    assert!(tree.status.success(), "{}", String::from_utf8_lossy(&tree.stderr));
    let text = String::from_utf8(tree.stdout).expect("text");
    let package = |line: &str| {
        // A crate that was listed before ends in ` (*)`.
        let (package, licence) = line.trim_end_matches(" (*)").split_once('\t')?;
        Some((package.split(' ').next()?.to_owned(), licence.to_owned()))
    };
    text.lines().filter_map(package).collect()
}

#[test]
fn every_crate_that_is_built_has_an_allowed_licence_and_no_ban() {
    let rules = read_toml(&root().join("deny.toml"));
    let (licences, banned) = (strings(&rules, "licenses", "allow"), strings(&rules, "bans", "deny"));
    let packages = packages();
    assert!(packages.len() > 300, "only {} packages", packages.len());
    let mut wrong = Vec::new();
    for (name, licence) in &packages {
        if banned.contains(name) {
            wrong.push(format!("{name} is banned"));
        }
        let known = LICENSE_FILES.iter().find(|(named, _)| named == name).map_or(licence.as_str(), |(_, known)| known);
        let allowed = |request: &spdx::LicenseReq| licences.contains(&request.to_string());
        match Expression::parse_mode(known, ParseMode::LAX) {
            Ok(expression) if expression.evaluate(allowed) => {}
            _ => wrong.push(format!("{name} has licence {licence:?}")),
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_crate_in_the_lock_file_comes_from_an_allowed_registry_with_a_checksum() {
    let registries = strings(&read_toml(&root().join("deny.toml")), "sources", "allow-registry");
    let lock = read_toml(&root().join("Cargo.lock"));
    let packages = lock["package"].as_array().expect("packages");
    let mut wrong = Vec::new();
    for package in packages {
        let text = |field: &str| package.get(field).and_then(toml::Value::as_str);
        // Our own have no source: they are in this repository.
        let Some(source) = text("source") else { continue };
        let known = source.strip_prefix("registry+").is_some_and(|registry| registries.contains(registry));
        if !known || text("checksum").is_none_or(|checksum| checksum.len() != 64) {
            wrong.push(format!("{:?} comes from {source}", text("name")));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn unsafe_is_forbidden_in_every_crate_but_where_it_must_be() {
    let workspace = read_toml(&root().join("Cargo.toml"));
    assert_eq!(workspace["workspace"]["lints"]["rust"]["unsafe_code"].as_str(), Some("forbid"));
    let members = workspace["workspace"]["members"].as_array().expect("members");
    for member in members.iter().filter_map(toml::Value::as_str) {
        let manifest = read_toml(&root().join(member).join("Cargo.toml"));
        let inherited = manifest["lints"].get("workspace").and_then(toml::Value::as_bool) == Some(true);
        let own = manifest["lints"].get("rust").and_then(|lints| lints.get("unsafe_code")?.as_str());
        match UNSAFE.contains(&member) {
            true => assert!(inherited || own == Some("deny"), "{member} denies unsafe where it isn't expected"),
            false => assert!(inherited || own == Some("forbid"), "{member} may hold unsafe code"),
        }
    }
}
