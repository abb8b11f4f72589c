//! Arrows point down only: no crate has modules that need each other in a circle. (Cargo holds that for crates, the
//! validator's rooms among them.) What a module needs is read from its paths (`crate::…`, and `super::…` where that is the crate).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

/// Crates that serve HTTP, which the validator's edge, Hub and face do; the other rooms don't depend on them.
const HTTP: [&str; 6] = ["axum", "http-body-util", "hyper", "hyper-util", "tower", "tower-http"];

/// Which modules of a crate need which others, and a file that shows it.
type Needs = BTreeMap<String, BTreeMap<String, String>>;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The folders of all crates of the workspace.
fn members() -> Vec<String> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("the workspace's manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let members = manifest["workspace"]["members"].as_array().expect("a list");
    members.iter().map(|member| member.as_str().expect("a folder").to_owned()).collect()
}

/// The Rust files of a folder, by their paths in it.
fn sources(folder: &Path, below: &Path, into: &mut BTreeMap<PathBuf, String>) {
    for entry in std::fs::read_dir(folder.join(below)).expect("a folder of sources").flatten() {
        let path = below.join(entry.file_name());
        if entry.path().is_dir() {
            sources(folder, &path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.insert(path, std::fs::read_to_string(entry.path()).expect("text"));
        }
    }
}

/// The names and marks of a source, without comments and what stands in quotes.
fn tokens(text: &str) -> Vec<String> {
    let (mut tokens, mut rest) = (Vec::new(), text);
    while let Some(first) = rest.chars().next() {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest),
            '\'' if rest.starts_with("'\"'") => 3,
            '\'' if rest.starts_with("'\\") => 2 + rest[3..].find('\'').map_or(0, |end| end + 2),
            'r' if raw(rest).is_some() => raw(rest).expect("it was one a moment ago"),
            _ if is_name(first) => {
                let length = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                tokens.push(rest[..length].to_owned());
                length
            }
            ':' if rest.starts_with("::") => {
                tokens.push("::".into());
                2
            }
            _ => {
                if !first.is_whitespace() {
                    tokens.push(first.into());
                }
                first.len_utf8()
            }
        };
        rest = &rest[length..];
    }
    tokens
}

/// The length of a text in quotes.
fn quoted(text: &str) -> usize {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The length of a raw text, if it is one.
fn raw(text: &str) -> Option<usize> {
    let hashes = text[1..].bytes().take_while(|byte| *byte == b'#').count();
    let inner = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(2 + hashes + inner.find(&end)? + end.len())
}

/// The names that a path goes on with, after its `::`: one, or those between its braces.
fn next_names(tokens: &[String]) -> Vec<&str> {
    let Some(first) = tokens.first() else { return Vec::new() };
    if first != "{" {
        return vec![first];
    }
    let (mut names, mut depth, mut begins) = (Vec::new(), 0, false);
    for token in tokens {
        match token.as_str() {
            "{" => {
                depth += 1;
                begins = depth == 1;
            }
            "}" if depth == 1 => break,
            "}" => depth -= 1,
            "," => begins = depth == 1,
            name => {
                if begins {
                    names.push(name);
                }
                begins = false;
            }
        }
    }
    names
}

/// What paths of a file that lies `depth` deep name at the root of its crate.
fn named_at_root(tokens: &[String], depth: usize) -> BTreeSet<&str> {
    let mut named = BTreeSet::new();
    let mut supers = 0;
    for at in 0..tokens.len() {
        let goes_on = tokens.get(at + 1).is_some_and(|next| next == "::");
        match tokens[at].as_str() {
            "super" if goes_on => {
                supers += 1;
                if supers >= depth {
                    named.extend(next_names(&tokens[at + 2..]));
                }
            }
            "crate" if goes_on => named.extend(next_names(&tokens[at + 2..])),
            "::" => {}
            _ => supers = 0,
        }
    }
    named
}

/// Under which names the crate's root shows what is in its modules.
fn shown_at_root(tokens: &[String], modules: &BTreeSet<String>) -> BTreeMap<String, String> {
    let mut shown = BTreeMap::new();
    let statements = tokens.split(|token| token == ";");
    for statement in statements {
        let Some(at) = statement.iter().rposition(|token| token == "use") else { continue };
        let path = &statement[at + 1..];
        let Some(module) = path.iter().find(|token| modules.contains(*token)) else { continue };
        // Each name ends at a comma, a brace or the statement.
        for (at, name) in path.iter().enumerate() {
            if name != "}" && path.get(at + 1).is_none_or(|next| next == "," || next == "}") {
                shown.insert(name.clone(), module.clone());
            }
        }
    }
    shown
}

/// The module at the crate's root that a file belongs to, and how deep it lies; none for the root itself and programs.
fn module_of(path: &Path) -> Option<(String, usize)> {
    let path = path.with_extension("");
    let parts: Vec<_> = path.iter().filter_map(|part| part.to_str()).filter(|part| *part != "mod").collect();
    let first = *parts.first()?;
    (!["lib", "main", "bin"].contains(&first)).then(|| (first.to_owned(), parts.len()))
}

/// What the modules of a crate need of each other.
fn needs(member: &str) -> Needs {
    let folder = root().join(member).join("src");
    let mut files = BTreeMap::new();
    sources(&folder, Path::new(""), &mut files);
    let modules: BTreeSet<String> = files.keys().filter_map(|path| Some(module_of(path)?.0)).collect();
    let top = ["lib.rs", "main.rs"].iter().filter_map(|name| files.get(Path::new(name)));
    let shown: BTreeMap<_, _> = top.flat_map(|text| shown_at_root(&tokens(text), &modules)).collect();
    let mut needs = Needs::new();
    for (path, text) in &files {
        let Some((module, depth)) = module_of(path) else { continue };
        let needed = needs.entry(module.clone()).or_default();
        for name in named_at_root(&tokens(text), depth) {
            let other = if modules.contains(name) { Some(name) } else { shown.get(name).map(String::as_str) };
            if let Some(other) = other.filter(|other| *other != module) {
                needed.entry(other.to_owned()).or_insert_with(|| path.display().to_string());
            }
        }
    }
    needs
}

/// The shortest way from a module back to itself, in words.
fn circle(needs: &Needs, of: &str) -> Option<String> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([of]);
    while let Some(module) = queue.pop_front() {
        for needed in needs.get(module).into_iter().flat_map(BTreeMap::keys) {
            if needed == of {
                let mut way = vec![of, module];
                while *way.last()? != of {
                    way.push(from[way.last()?]);
                }
                way.reverse();
                let steps = way.windows(2).map(|step| format!("{} ({}) -> ", step[0], needs[step[0]][step[1]]));
                return Some(steps.collect::<String>() + of);
            }
            if !from.contains_key(needed.as_str()) {
                from.insert(needed, module);
                queue.push_back(needed);
            }
        }
    }
    None
}

#[test]
fn no_crate_has_modules_in_a_circle() {
    let mut circles = Vec::new();
    for member in members() {
        let needs = needs(&member);
        let found = needs.keys().filter_map(|module| circle(&needs, module));
        circles.extend(found.map(|found| format!("{member}: {found}")));
    }
    assert!(circles.is_empty(), "{} modules are in circles: {circles:#?}", circles.len());
}

/// Those of some crates that another depends on, as its manifest says.
fn needed(member: &str, of: &[&'static str]) -> Vec<&'static str> {
    let manifest = std::fs::read_to_string(root().join(member).join("Cargo.toml")).expect("the crate's manifest");
    let manifest: toml::Table = manifest.parse().expect("TOML");
    let needed = manifest["dependencies"].as_table().expect("a table");
    of.iter().copied().filter(|name| needed.contains_key(*name)).collect()
}

#[test]
fn nothing_below_the_edge_serves_http() {
    for room in ["validator/store", "validator/service", "validator/publishing"] {
        assert_eq!(needed(room, &HTTP), [""; 0], "{room}");
    }
}

#[test]
fn what_measures_does_not_know_what_answers_are_worth() {
    for member in ["eval", "engine", "models", "program", "sandbox"] {
        assert_eq!(needed(member, &["task"]), [""; 0], "{member}");
    }
    assert!(!needed("retort", &["task"]).is_empty(), "the crate is called otherwise by now");
}

/// Whether a source has something measured, by the names that the door has for it.
fn measures(text: &str) -> bool {
    let tokens = tokens(text);
    let calls = |name: &str| tokens.windows(3).any(|found| found == [".", name, "("]);
    ["evaluate", "measure", "machine"].into_iter().any(calls) || tokens.iter().any(|token| token == "measured_on")
}

#[test]
fn nothing_is_measured_outside_the_queue() {
    let mut found = BTreeSet::new();
    for room in ["store", "service", "publishing", "edge", "hub", "face"].map(|room| format!("validator/{room}")) {
        let mut files = BTreeMap::new();
        sources(&root().join(room).join("src"), Path::new(""), &mut files);
        let measuring = files.iter().filter(|(_, text)| measures(text));
        found.extend(measuring.filter_map(|(path, _)| Some(module_of(path)?.0)));
    }
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["evaluator", "jobs"], "who else has the machine?");
}

#[test]
fn paths_are_read_as_they_are_meant() {
    let text = r##"use crate::{a::{x, y}, b, c::Z as W};
        // use crate::comment;
        const T: (&str, char, &str) = ("crate::quoted", '"', r#"crate::raw "too""#);
        fn f<'a>(x: &'a crate::d::T) -> bool { super::e::g('\'') } pub(crate) fn h() {}"##;
    let found = tokens(text);
    assert_eq!(named_at_root(&found, 1).into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d", "e"]);
    assert!(!named_at_root(&found, 2).contains("e"));
    let modules = ["a", "b"].map(str::to_owned).into();
    let shown = shown_at_root(&tokens("pub use a::{X, y::Z as W}; mod b; pub use b::c;"), &modules);
    assert_eq!(shown.keys().collect::<Vec<_>>(), ["W", "X", "c"]);
    let needs = |all: &[(&str, &str)]| -> Needs {
        all.iter().map(|(a, b)| ((*a).to_owned(), BTreeMap::from([((*b).to_owned(), "f".to_owned())]))).collect()
    };
    let around = circle(&needs(&[("a", "b"), ("b", "c"), ("c", "a")]), "b");
    assert_eq!(around.as_deref(), Some("b (f) -> c (f) -> a (f) -> b"));
    assert_eq!(circle(&needs(&[("a", "b"), ("b", "c")]), "a"), None);
}
