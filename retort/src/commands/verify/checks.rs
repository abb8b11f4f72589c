//! A list of checks with what each found, as a table or as JSON. It checks nothing itself.

use crate::commands::print_json;
use anyhow::{Result, bail};
use serde::Serialize;
use std::fmt;

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It holds.
    Ok,
    /// This machine can't tell.
    Unclear,
    /// It doesn't hold.
    Bad,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Check {
    /// What was checked, in a word.
    pub(crate) name: &'static str,
    verdict: Verdict,
    /// What was found.
    pub(crate) detail: String,
}

/// What can't be checked on this machine, or not yet, and isn't shown to be false: no error of anybody's.
#[derive(Clone, Debug)]
pub(crate) struct CannotBeChecked(pub(super) String);

impl CannotBeChecked {
    /// The status of a process that ends so.
    pub(crate) const STATUS: u8 = 2;
}

impl fmt::Display for CannotBeChecked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CannotBeChecked {}

/// What was checked and is false: the one thing that status 1 of `verify` says.
#[derive(Clone, Debug)]
pub(super) struct Lie(pub(super) String);

impl fmt::Display for Lie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Lie {}

/// All checks so far.
#[derive(Debug, Default)]
pub(super) struct Checks {
    list: Vec<Check>,
    evidence: Vec<String>,
    quiet: bool,
}

/// What `--json` prints.
#[derive(Serialize)]
struct Printed<'a> {
    verified: bool,
    verdict: Verdict,
    checks: &'a [Check],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    evidence: &'a [String],
}

impl Checks {
    /// With `json` nothing is printed before the end.
    pub(super) fn new(json: bool) -> Self {
        Self { quiet: json, ..Self::default() }
    }

    pub(super) fn ok(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Verdict::Ok, detail.into());
    }

    pub(super) fn unclear(&mut self, name: &'static str, detail: impl Into<String>) {
        self.add(name, Verdict::Unclear, detail.into());
    }

    pub(super) fn bad(&mut self, name: &'static str, detail: impl fmt::Display) {
        self.add(name, Verdict::Bad, detail.to_string());
    }

    /// `detail` if it holds, else `problem`.
    pub(super) fn that(
        &mut self,
        name: &'static str,
        holds: bool,
        detail: impl Into<String>,
        problem: impl Into<String>,
    ) -> bool {
        match holds {
            true => self.ok(name, detail),
            false => self.bad(name, problem.into()),
        }
        holds
    }

    /// Texts that prove to others what was found.
    pub(super) fn evidence(&mut self, texts: impl IntoIterator<Item = String>) {
        self.evidence.extend(texts);
    }

    /// The worst of all verdicts.
    pub(super) fn verdict(&self) -> Verdict {
        self.list.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unclear)
    }

    /// The first check that doesn't hold.
    pub(super) fn first_bad(&self) -> String {
        let bad = self.list.iter().find(|check| check.verdict == Verdict::Bad);
        bad.map(|Check { name, detail, .. }| format!("{name}: {detail}")).unwrap_or_default()
    }

    /// The list, if all is well; else an error with the first check that isn't.
    pub(super) fn confirmed(self) -> Result<Vec<Check>> {
        match self.list.iter().find(|check| check.verdict != Verdict::Ok) {
            None => Ok(self.list),
            Some(Check { name, detail, .. }) => bail!("{name}: {detail}"),
        }
    }

    /// The end, however far it came: what was found to be false stays so where nobody answered after it.
    pub(super) fn ended(self, examined: Result<()>, what: &str) -> Result<()> {
        match examined {
            Err(error) if self.verdict() != Verdict::Bad => Err(error),
            Err(error) => {
                eprintln!("not checked: {}", crate::once(&error));
                self.finish(what)
            }
            Ok(()) => self.finish(what),
        }
    }

    /// Prints what is left to print; an error unless all is well.
    pub(super) fn finish(self, what: &str) -> Result<()> {
        let verdict = self.verdict();
        if self.quiet {
            let (checks, evidence) = (&self.list, &self.evidence);
            print_json(&Printed { verified: verdict == Verdict::Ok, verdict, checks, evidence })?;
        } else {
            for text in &self.evidence {
                println!("\n{text}");
            }
        }
        let count = |verdict| self.list.iter().filter(|check| check.verdict == verdict).count();
        match verdict {
            Verdict::Ok => Ok(()),
            Verdict::Unclear => {
                let (open, all) = (count(verdict), self.list.len());
                let told = format!("{what}: nothing is wrong, and {open} of {all} checks can't be made here (?)");
                Err(CannotBeChecked(told).into())
            }
            Verdict::Bad => {
                let told = format!("{what}: {} of {} checks failed", count(verdict), self.list.len());
                Err(Lie(told).into())
            }
        }
    }

    pub(super) fn add(&mut self, name: &'static str, verdict: Verdict, detail: String) {
        if !self.quiet {
            let mark = match verdict {
                Verdict::Ok => "ok  ",
                Verdict::Unclear => "?   ",
                Verdict::Bad => "BAD ",
            };
            println!("{mark} {name:12} {detail}");
        }
        self.list.push(Check { name, verdict, detail });
    }
}
