//! The handmade corpus: packages that must be refused, each with its code, and controls that must not be.
//!
//! Bytes are made by this program and never committed. Cases are grouped by what they attack; a group's file says which
//! row of the threat table it belongs to.

mod config;
mod costs;
mod dtypes;
pub mod foreign;
mod framing;
mod json;
mod layout;
mod lies;
mod names;
mod shapes;
mod tensors;
mod values;

use crate::package::Package;
use protocol::submission::Code;

/// One package and what must become of it.
pub struct Case {
    /// Group and what is wrong, for people.
    pub name: String,
    /// The code that it is refused with; `None` for a control that is admitted.
    pub expected: Option<Code>,
    source: Source,
    /// Whether it has tens of megabytes: the commands run it, the tests don't.
    pub is_large: bool,
}

enum Source {
    Ready(Package),
    Made(fn() -> Package),
}

impl Case {
    /// The bytes.
    pub fn package(&self) -> Package {
        match &self.source {
            Source::Ready(package) => package.clone(),
            Source::Made(make) => make(),
        }
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    let mut all = Vec::new();
    for (group, fill) in [
        ("framing", framing::fill as fn(&mut Group<'_>)),
        ("json", json::fill),
        ("names", names::fill),
        ("shapes", shapes::fill),
        ("dtypes", dtypes::fill),
        ("layout", layout::fill),
        ("values", values::fill),
        ("tensors", tensors::fill),
        ("foreign", foreign::fill),
        ("config", config::fill),
        ("costs", costs::fill),
        ("lies", lies::fill),
    ] {
        fill(&mut Group { name: group, cases: &mut all });
    }
    all
}

/// Collects the cases of one group.
struct Group<'a> {
    name: &'static str,
    cases: &'a mut Vec<Case>,
}

impl Group<'_> {
    /// A package that is refused with `code`.
    fn refused(&mut self, name: impl AsRef<str>, code: Code, package: Package) {
        self.push(name.as_ref(), Some(code), Source::Ready(package), false);
    }

    /// A package that is admitted: what is refused around it is refused for a reason.
    fn admitted(&mut self, name: impl AsRef<str>, package: Package) {
        self.push(name.as_ref(), None, Source::Ready(package), false);
    }

    /// A large package that is refused with `code`.
    fn large(&mut self, name: &str, code: Code, make: fn() -> Package) {
        self.push(name, Some(code), Source::Made(make), true);
    }

    fn push(&mut self, name: &str, expected: Option<Code>, source: Source, is_large: bool) {
        self.cases.push(Case { name: format!("{}: {name}", self.name), expected, source, is_large });
    }
}
