//! What an operator changes about a competition that is published: nothing that decides who wins, and nothing in silence.
//!
//! What was published stays as it was, digest and all; amendments lie beside it, each a leaf of the public log. This module
//! says what they make of a manifest. It does NOT say when one is allowed.

use crate::competition::Manifest;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Extensions, early closes and raised quotas that a competition may have together.
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
}

impl Amended {
    /// Whether it changes what miners counted on, of which there are few.
    pub fn is_of_terms(&self) -> bool {
        matches!(self, Self::ClosesAt(_) | Self::SubmissionsPerDay { .. })
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
                Amended::SubmissionsPerDay { .. } | Amended::Hidden(_) => {}
            }
        }
        self
    }
}

/// Whether lists leave a competition out after `amendments`.
pub fn is_hidden<'a>(amendments: impl IntoIterator<Item = &'a Amendment>) -> bool {
    amendments.into_iter().fold(false, |before, amendment| match amendment.change {
        Amended::Hidden(hidden) => hidden,
        _ => before,
    })
}
