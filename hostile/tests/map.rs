//! ARCHITECTURE.md is walked: each path that it names exists, each room of a crate is a module of it, and each step of the
//! journey names a function that is there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page() -> String {
    std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("the page")
}

/// Files and folders below a folder, as paths from the repository's root; none that builds or version control left.
fn below(folder: &Path, into: &mut Vec<String>) {
    for entry in std::fs::read_dir(root().join(folder)).expect("a folder of the repository").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = folder.join(&name);
        if ["target", ".git", "node_modules"].contains(&name.as_str()) {
            continue;
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            below(&path, into);
        }
        into.push(path.to_string_lossy().into_owned());
    }
}

fn everything() -> Vec<String> {
    let mut all = Vec::new();
    below(Path::new(""), &mut all);
    all
}

/// What stands between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Whether a path ends so, at a whole name.
fn ends(path: &str, end: &str) -> bool {
    path == end || path.strip_suffix(end).is_some_and(|before| before.ends_with('/'))
}

/// The folders of all crates, by the names that code has for them.
fn crates() -> BTreeMap<String, String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list").iter();
    let folders = members.map(|member| member.as_str().expect("a folder").to_owned());
    folders.map(|folder| (folder.rsplit('/').next().unwrap_or(&folder).replace('-', "_"), folder)).collect()
}

#[test]
fn every_path_of_the_map_exists() {
    let (page, all) = (page(), everything());
    let named = quoted(&page).filter(|quoted| !quoted.contains([' ', '\n']));
    let named: Vec<&str> = named.filter(|name| name.contains('/') || name.ends_with(".rs")).collect();
    assert!(named.len() > 100, "{} paths", named.len());
    for name in named {
        assert!(all.iter().any(|path| ends(path, name.trim_end_matches('/'))), "there is no {name}");
    }
}

#[test]
fn every_room_of_a_crate_is_there() {
    let (page, all, crates) = (page(), everything(), crates());
    let (mut rooms, mut missing) = (0, Vec::new());
    for row in page.lines().filter_map(|line| line.strip_prefix("| `")) {
        let Some((name, described)) = row.split_once("` | ") else { continue };
        let Some(folder) = crates.get(&name.replace('-', "_")) else { continue };
        let manifest = std::fs::read_to_string(root().join(folder).join("Cargo.toml")).expect("the crate's manifest");
        let own: Vec<&String> = all.iter().filter(|path| path.starts_with(&format!("{folder}/"))).collect();
        for room in quoted(described).map(|room| room.trim_end_matches('/')).filter(|room| is_name(room)) {
            rooms += 1;
            let is_module = own.iter().any(|path| ends(path.trim_end_matches(".rs"), room));
            // What a crate builds upon may be named, too.
            if !is_module && !crates.contains_key(room) && !manifest.contains(&format!("\n{room}")) {
                missing.push(format!("{name}: {room}"));
            }
        }
    }
    assert!(rooms > 150, "{rooms} rooms");
    assert!(missing.is_empty(), "not there: {missing:#?}");
}

/// Whether a path of modules leads to a function of this name.
fn leads_to_a_function(path: &str, crates: &BTreeMap<String, String>, all: &[String]) -> bool {
    let mut parts: Vec<&str> = path.split("::").collect();
    let (krate, function) = (parts.remove(0), parts.pop().unwrap_or_default());
    let Some(folder) = crates.get(krate) else { return false };
    let within = [vec![folder.as_str(), "src"], parts].concat().join("/");
    let mut files = all.iter().filter(|file| {
        let module = file.trim_end_matches(".rs");
        file.ends_with(".rs") && (module == within || module.starts_with(&format!("{within}/")))
    });
    files.any(|file| {
        let text = std::fs::read_to_string(root().join(file)).expect("text");
        [format!("fn {function}("), format!("fn {function}<")].iter().any(|head| text.contains(head))
    })
}

#[test]
fn each_step_of_the_journey_names_a_function_that_exists() {
    let (page, all, crates) = (page(), everything(), crates());
    let journey = page.split("## The journey of a model").nth(1).expect("the journey");
    let journey = journey.split("\n## ").next().unwrap_or_default();
    let steps: Vec<&str> = journey.split(". **").skip(1).collect();
    assert_eq!(steps.len(), 12);
    for step in steps {
        let named: Vec<&str> = quoted(step).filter(|quoted| quoted.contains("::")).collect();
        assert!(!named.is_empty(), "no function: {step}");
        for name in named {
            assert!(leads_to_a_function(name, &crates, &all), "no such function: {name}");
        }
    }
    assert!(!leads_to_a_function("retort::nothing::of_this_name", &crates, &all));
}
