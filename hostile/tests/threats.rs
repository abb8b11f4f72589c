//! The page on security names tests: each of them must exist, or the page promises what nobody checks.

use std::fs;
use std::path::{Path, PathBuf};

fn sources(folder: &Path, into: &mut String) {
    for entry in fs::read_dir(folder).expect("a folder of the repository").flatten() {
        let path = entry.path();
        match path.extension() {
            _ if path.is_dir() => sources(&path, into),
            Some(extension) if extension == "rs" => into.push_str(&fs::read_to_string(&path).expect("text")),
            _ => {}
        }
    }
}

/// What stands between backquotes in the form `crate::test`.
fn named(page: &str) -> Vec<(&str, &str)> {
    let plain = |word: &str| !word.is_empty() && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let quoted = page.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| quoted.split_once("::")).filter(|(_, test)| test.contains('_') && plain(test)).collect()
}

#[test]
fn every_test_that_the_page_on_security_names_exists() {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/SECURITY.md")).unwrap();
    let named = named(&page);
    assert!(named.len() > 60, "{} names", named.len());
    for (krate, test) in named {
        let mut code = String::new();
        sources(&root.join(krate), &mut code);
        assert!(code.contains(&format!("fn {test}(")), "no test of `{krate}` is called {test}");
    }
}
