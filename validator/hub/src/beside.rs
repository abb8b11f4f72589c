//! Files beside a package that mean nothing here: what this validator itself serves in the repositories of a competition, so
//! that what was downloaded can be uploaded again, and what tools and people leave in every folder.
//!
//! Whatever else lies beside a package or in folders of one's own is left out, as `retort miner submit` does, and the client is
//! told so: nobody shall think that it was taken. Names that lead elsewhere are refused. It does not know what a package is.

use crate::errors::HubError;
use crate::repository::Repository;
use http::HeaderValue;
use protocol::{CompetitionId, Digest};
use service::app::App;

/// Revisions beside a package are small: cards, results, and the code that runs it.
pub(crate) const BYTES_MAX: u64 = 1 << 20;

/// Whether a path names a file beside the package or in a folder there, and no other place.
pub(crate) fn is_beside(path: &str) -> bool {
    let is_strange = |char: char| char == '\\' || char.is_control();
    path.split('/').all(|part| !["", ".", ".."].contains(&part) && !part.contains(is_strange))
}

/// What a client shows of files that were left out.
pub(crate) fn told(left_out: &[String]) -> Option<HeaderValue> {
    let words = protocol::package::left_out(left_out.iter().map(String::as_str))?;
    HeaderValue::from_str(&format!("left out; {}", words.escape_default())).ok()
}

/// Whether we serve a file of this name, and, where its digest is known, whether it is that very file.
pub(crate) async fn is_served(
    app: &App,
    competition: &CompetitionId,
    path: &str,
    sha256: Option<&Digest>,
) -> Result<bool, HubError> {
    let of = [Repository::Champion(competition.clone()), Repository::Teacher(competition.clone())];
    Ok(app.db.hub_serves(&of.map(|repository| repository.to_string()), path, sha256).await?)
}
