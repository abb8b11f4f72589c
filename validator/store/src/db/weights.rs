//! Whose package files are for everybody, and since which round: [`release`] is the one place that makes them public.
//!
//! A manifest that says `at_reveal` keeps the package of a scored submission until the round that it was entered in is over,
//! so that nobody can send a near copy of a model into the round that decides about it. A model that everybody has already,
//! such as the reference's own bytes, can't be kept: its whole package is public as soon as it is scored. What isn't scored is
//! its owner's for ever. It does not know when a round is over.

use super::column::Text;
use super::{Db, DbError, Tx, int};
use protocol::competition::WeightsPublic;
use protocol::package::{ONNX_FILE, WEIGHTS_FILE};
use protocol::{CompetitionId, Digest, SubmissionId};
use sqlx::FromRow;

/// A package that is scored and not public.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Withheld {
    /// Whose.
    #[sqlx(rename = "submission_id", try_from = "Text<SubmissionId>")]
    pub submission: SubmissionId,
    /// It becomes public when this round is over.
    pub round: u64,
}

/// Makes the packages public whose time has come, and says how many files that were: all that are scored where the manifest
/// says so or the competition `is_over`, else those that were announced before a round closed that is revealed by now; and
/// those of any competition whose model is public by then. Call it in the transaction that scores a submission or ends a round.
///
/// # Errors
/// When the database fails.
pub async fn release(
    tx: &mut Tx,
    competition: &CompetitionId,
    rule: WeightsPublic,
    is_over: bool,
) -> Result<u64, DbError> {
    let query = "INSERT INTO public_objects (sha256, size_bytes, filename)
                 SELECT f.sha256, f.size_bytes, f.path FROM submissions s JOIN package_files f ON f.submission_id = s.id
                 WHERE s.competition_id = $1 AND s.state = 'scored' AND s.created_at < $2
                 ON CONFLICT DO NOTHING";
    let before = match rule {
        WeightsPublic::AtReveal if !is_over => last_close(tx, competition).await?,
        WeightsPublic::AtReveal | WeightsPublic::AtOnce => u64::MAX,
    };
    let released = sqlx::query(query).bind(competition.as_ref()).bind(int(before)).execute(&mut **tx).await?;
    Ok(released.rows_affected() + release_known(tx).await?)
}

/// The rest of packages whose model everybody has.
async fn release_known(tx: &mut Tx) -> Result<u64, DbError> {
    let query = "INSERT INTO public_objects (sha256, size_bytes, filename)
                 SELECT f.sha256, f.size_bytes, f.path FROM submissions s JOIN package_files f ON f.submission_id = s.id
                 WHERE s.state = 'scored' AND EXISTS (
                    SELECT 1 FROM package_files m JOIN public_objects p ON p.sha256 = m.sha256
                    WHERE m.submission_id = s.id AND m.path IN ($1, $2))
                 ON CONFLICT DO NOTHING";
    let released = sqlx::query(query).bind(WEIGHTS_FILE).bind(ONNX_FILE).execute(&mut **tx).await?;
    Ok(released.rows_affected())
}

/// When the last round closed that is over by now; 0 if none is.
async fn last_close(tx: &mut Tx, competition: &CompetitionId) -> Result<u64, DbError> {
    let query = "SELECT coalesce(max(closes_at), 0) FROM rounds
                 WHERE competition_id = $1 AND step IN ('revealed', 'abandoned')";
    Ok(sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(&mut **tx).await?)
}

impl Db {
    /// Whether a competition has scored packages that aren't public.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withholds_any(&self, competition: &CompetitionId) -> Result<bool, DbError> {
        let query = "SELECT EXISTS (SELECT 1 FROM withheld_files WHERE competition_id = $1)";
        Ok(sqlx::query_scalar(query).bind(competition.as_ref()).fetch_one(self.pool()).await?)
    }

    /// Whether a scored submission's weights are still kept back, and until when.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withheld(&self, id: &SubmissionId) -> Result<Option<Withheld>, DbError> {
        let query =
            "SELECT submission_id, round FROM withheld_files WHERE submission_id = $1 AND path IN ($2, $3) LIMIT 1";
        let query = sqlx::query_as(query).bind(id.to_string()).bind(WEIGHTS_FILE).bind(ONNX_FILE);
        Ok(query.fetch_optional(self.pool()).await?)
    }

    /// The scored submission that an object belongs to which isn't public.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn withheld_object(&self, sha256: &Digest) -> Result<Option<Withheld>, DbError> {
        let query = "SELECT submission_id, round FROM withheld_files WHERE sha256 = $1 ORDER BY arrival LIMIT 1";
        Ok(sqlx::query_as(query).bind(sha256.to_string()).fetch_optional(self.pool()).await?)
    }
}
