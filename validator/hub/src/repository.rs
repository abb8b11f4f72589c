//! Which repositories there are, and which of them a request is about.
//!
//! It knows names only, not whether there is anything behind them.

use crate::errors::HubError;
use axum::extract::{FromRequestParts, Path};
use edge::error::ApiError;
use http::StatusCode;
use http::request::Parts;
use protocol::{CompetitionId, SubmissionId};
use std::collections::BTreeMap;
use std::fmt;

/// The branch of every repository.
pub(crate) const MAIN: &str = "main";
/// The namespace of competitions: their champions and their data.
pub(crate) const ARENA: &str = "arena";
const TEACHERS: &str = "teachers";
const SUBMISSIONS: &str = "submissions";
/// What stands in front of a repository with data.
const DATASETS: &str = "datasets/";

/// A repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Repository {
    /// Whoever holds the seat of a competition.
    Champion(CompetitionId),
    /// The model to distil.
    Teacher(CompetitionId),
    /// A scored submission.
    Submission(SubmissionId),
    /// A competition's public data.
    Data(CompetitionId),
}

impl Repository {
    /// The repository of this name, if it could be one.
    pub(crate) fn named(holds_data: bool, namespace: &str, name: &str) -> Option<Self> {
        match (holds_data, namespace) {
            (false, ARENA) => name.parse().ok().map(Self::Champion),
            (false, TEACHERS) => name.parse().ok().map(Self::Teacher),
            (false, SUBMISSIONS) => name.parse().ok().map(Self::Submission),
            (true, ARENA) => name.parse().ok().map(Self::Data),
            _ => None,
        }
    }

    /// The name as clients have it: `arena/digits`.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Champion(competition) | Self::Data(competition) => format!("{ARENA}/{competition}"),
            Self::Teacher(competition) => format!("{TEACHERS}/{competition}"),
            Self::Submission(submission) => format!("{SUBMISSIONS}/{submission}"),
        }
    }

    /// The namespace alone.
    pub(crate) fn namespace(&self) -> &'static str {
        match self {
            Self::Champion(_) | Self::Data(_) => ARENA,
            Self::Teacher(_) => TEACHERS,
            Self::Submission(_) => SUBMISSIONS,
        }
    }

    /// Whether clients call it a dataset.
    pub(crate) fn holds_data(&self) -> bool {
        matches!(self, Self::Data(_))
    }
}

/// The path on this server: unlike the id it tells a dataset from a model.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.holds_data() { DATASETS } else { "" }, self.id())
    }
}

/// Which state of a repository is meant.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "[`Place`] reads it; here it is described")]
pub(crate) struct AtRevision {
    /// `main`, `round-N`, or the 40 hex digits of a commit.
    #[param(example = "main")]
    revision: String,
}

/// What an address names: a repository, and perhaps a revision and a path in it.
#[derive(Debug)]
pub(crate) struct Place {
    /// Which.
    pub(crate) repository: Repository,
    /// The revision's name; `main` where the address has none.
    pub(crate) revision: String,
    /// The path; empty where the address has none.
    pub(crate) path: String,
}

impl<S: Send + Sync> FromRequestParts<S> for Place {
    type Rejection = HubError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HubError> {
        let mut named = named(parts, state).await?;
        let path = parts.uri.path();
        let holds_data = path.starts_with("/datasets/") || path.starts_with("/api/datasets/");
        let mut take = |name: &str| named.remove(name);
        let (namespace, name) = (take("namespace").unwrap_or_default(), take("name").unwrap_or_default());
        let shown: String = format!("{namespace}/{name}").chars().take(128).collect();
        let repository = Repository::named(holds_data, &namespace, &name);
        Ok(Self {
            repository: repository.ok_or_else(|| HubError::no_repository(format!("there is no repository {shown}")))?,
            revision: take("revision").unwrap_or_else(|| MAIN.to_owned()),
            path: take("path").unwrap_or_default(),
        })
    }
}

/// The named parts of an address.
pub(crate) async fn named<S: Send + Sync>(parts: &mut Parts, state: &S) -> Result<BTreeMap<String, String>, HubError> {
    let unreadable = |_| {
        let hint = "Addresses are UTF-8, percent-encoded.";
        ApiError::new(StatusCode::BAD_REQUEST, "bad_request", "the address can't be read", hint)
    };
    let Path(named) = Path::from_request_parts(parts, state).await.map_err(unreadable)?;
    Ok(named)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        for (holds_data, namespace, name, path) in [
            (false, "arena", "digits", "arena/digits"),
            (false, "teachers", "digits", "teachers/digits"),
            (false, "submissions", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "submissions/01ARZ3NDEKTSV4RRFFQ69G5FAV"),
            (true, "arena", "digits", "datasets/arena/digits"),
        ] {
            let repository = Repository::named(holds_data, namespace, name);
            assert_eq!(repository.map(|repository| repository.to_string()).as_deref(), Some(path));
        }
        for (holds_data, namespace, name) in [
            (true, "teachers", "digits"),
            (false, "google", "bert"),
            (false, "submissions", "digits"),
            (false, "arena", "../secrets"),
            (false, "arena", ""),
        ] {
            assert_eq!(Repository::named(holds_data, namespace, name), None, "{namespace}/{name}");
        }
    }
}
