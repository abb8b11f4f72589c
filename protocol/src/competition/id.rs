//! The name of a competition, as it stands in URLs and on the command line. It does not know whether there is such a one.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The name of a competition: lower-case letters, digits and hyphens, at most 64.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CompetitionId(String);

impl FromStr for CompetitionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if text.is_empty() || text.len() > 64 || !text.bytes().all(good) || text.starts_with('-') {
            return Err("a competition's id is 1 to 64 lower-case letters, digits and inner hyphens".into());
        }
        Ok(Self(text.into()))
    }
}

impl PartialSchema for CompetitionId {
    fn schema() -> RefOr<Schema> {
        let description = "A competition's name: lower-case letters, digits and inner hyphens.";
        crate::schema::text(description, "^[a-z0-9][a-z0-9-]{0,63}$", "fashion-mnist")
    }
}

impl ToSchema for CompetitionId {}

impl TryFrom<String> for CompetitionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<CompetitionId> for String {
    fn from(id: CompetitionId) -> Self {
        id.0
    }
}

impl fmt::Display for CompetitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for CompetitionId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}
