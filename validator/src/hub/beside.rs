//! Files beside a package that mean nothing here: what this validator itself serves in the repositories of a competition, so
//! that what was downloaded can be uploaded again, and what tools and people leave in every folder.
//!
//! Anything else is refused: nobody shall think that it was taken. It does not know what a package is.

use super::errors::HubError;
use super::repository::Repository;
use crate::app::App;
use protocol::{CompetitionId, Digest};

/// What is in many folders and says nothing about a model.
const NOISE: [&str; 7] =
    [".gitattributes", ".gitignore", ".DS_Store", "LICENSE", "LICENSE.md", "LICENSE.txt", "preprocessor_config.json"];
/// Revisions beside a package are small: cards, results, and the code that runs it.
pub(super) const BYTES_MAX: u64 = 1 << 20;

/// Whether a file of this name says nothing, whatever is in it.
pub(super) fn is_noise(path: &str) -> bool {
    NOISE.contains(&path.rsplit('/').next().unwrap_or(path))
}

/// Whether we serve a file of this name, and, where its digest is known, whether it is that very file.
pub(super) async fn is_served(
    app: &App,
    competition: &CompetitionId,
    path: &str,
    sha256: Option<&Digest>,
) -> Result<bool, HubError> {
    let of = [Repository::Champion(competition.clone()), Repository::Teacher(competition.clone())];
    Ok(app.db.hub_serves(&of.map(|repository| repository.to_string()), path, sha256).await?)
}
