//! What an operator changes about a competition that is published: nothing in silence, and nothing that decides who wins but for
//! the engine, which changes at a named round for everybody.
//!
//! What was published stays as it was, digest and all; amendments lie beside it, each a leaf of the public log. This module
//! says what they make of a manifest. It does NOT say when one is allowed.

use crate::competition::{Manifest, OfficialEngine};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Extensions, early closes, raised quotas and changes of engine that a competition may have together.
pub const TERMS_AMENDED_MAX: usize = 3;

/// How long before the old end an extension is stated, in seconds: who would have sent on the last day knows it then.
pub const EXTENSION_NOTICE_SECONDS: u64 = 24 * 3_600;

/// A change that was stated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Amendment {
    /// From 1 upwards.
    pub number: u32,
    /// When it was stated, in Unix seconds.
    pub at: u64,
    /// What changes.
    pub change: Amended,
    /// Why, in the operator's words.
    pub reason: String,
}

/// What can be changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Amended {
    /// The line for people.
    Title(String),
    /// The paragraph for people.
    Description(String),
    /// Where questions go.
    Contact(String),
    /// Whether lists leave it out; who knows its name finds it.
    Hidden(bool),
    /// When submissions end, in Unix seconds: later than before, or at the end of the next full round.
    ClosesAt(u64),
    /// How many submissions a hotkey has in 24 hours, more than before.
    SubmissionsPerDay {
        /// How many.
        quota: u32,
        /// The first round for which that counts.
        from_round: u64,
    },
    /// What models are measured on.
    Engine {
        /// With its version and library.
        engine: OfficialEngine,
        /// The first round that it measures, and what is entered while that runs.
        from_round: u64,
    },
}

impl Amended {
    /// Whether it changes what miners counted on, of which there are few.
    pub fn is_of_terms(&self) -> bool {
        matches!(self, Self::ClosesAt(_) | Self::SubmissionsPerDay { .. } | Self::Engine { .. })
    }
}

impl Manifest {
    /// The manifest as it stands after `amendments`, in their order, while `round` runs (0 before the first).
    #[must_use]
    pub fn amended<'a>(mut self, amendments: impl IntoIterator<Item = &'a Amendment>, round: u64) -> Self {
        for amendment in amendments {
            match &amendment.change {
                Amended::Title(title) => self.title.clone_from(title),
                Amended::Description(description) => self.description.clone_from(description),
                Amended::Contact(contact) => self.contact = Some(contact.clone()),
                Amended::ClosesAt(at) => self.closes_at = Some(*at),
                Amended::SubmissionsPerDay { quota, from_round } if *from_round <= round => {
                    self.limits.submissions_per_day = *quota;
                }
                Amended::Engine { engine, from_round } if *from_round <= round => self.engine = *engine,
                Amended::SubmissionsPerDay { .. } | Amended::Engine { .. } | Amended::Hidden(_) => {}
            }
        }
        self
    }
}

/// What measures in a round, and since which: a latency of another engine is a ratio by another clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineInForce {
    /// Which.
    pub engine: OfficialEngine,
    /// The first round that it measures; 0 for the one that was published.
    pub since: u64,
}

impl EngineInForce {
    /// In `round` of a competition that was published with this engine; 0 before the first.
    pub fn of<'a>(published: OfficialEngine, amendments: impl IntoIterator<Item = &'a Amendment>, round: u64) -> Self {
        let changes = amendments.into_iter().filter_map(|amendment| match amendment.change {
            Amended::Engine { engine, from_round } => Some(Self { engine, since: from_round }),
            _ => None,
        });
        changes.filter(|change| change.since <= round).last().unwrap_or(Self { engine: published, since: 0 })
    }

    /// Whether a report with that engine was timed by this clock.
    pub fn timed(&self, report_engine: &str) -> bool {
        // Whoever measured for the published one was held to it then.
        self.since == 0 || self.engine.measured(report_engine)
    }
}

/// Whether lists leave a competition out after `amendments`.
pub fn is_hidden<'a>(amendments: impl IntoIterator<Item = &'a Amendment>) -> bool {
    amendments.into_iter().fold(false, |before, amendment| match amendment.change {
        Amended::Hidden(hidden) => hidden,
        _ => before,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_counts_from_its_round_on_and_a_report_by_the_clock_that_made_it() {
        let engine = |text: &str| text.parse::<OfficialEngine>().unwrap_or_else(|error| panic!("{error}"));
        let change = |number, text, from_round| {
            let change = Amended::Engine { engine: engine(text), from_round };
            Amendment { number, at: 0, change, reason: "a test".into() }
        };
        let changes = [change(1, "rten 0.27.0", 3), change(2, "rten 0.28.0", 7)];
        let of = |round| EngineInForce::of(engine("burn 0.22.1"), &changes, round);
        let found = [0, 2, 3, 6, 7, u64::MAX].map(|round| (of(round).engine.to_string(), of(round).since));
        let (first, second) = (("rten 0.27.0".to_owned(), 3), ("rten 0.28.0".to_owned(), 7));
        let published = ("burn 0.22.1".to_owned(), 0);
        assert_eq!(found, [published.clone(), published, first.clone(), first, second.clone(), second]);
        assert!(of(2).timed("whatever/1"), "the published engine was asked for when it measured");
        assert!(of(3).timed("retort-eval/1 rten 0.27.0") && !of(7).timed("retort-eval/1 rten 0.27.0"));
    }
}
