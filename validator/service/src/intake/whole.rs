//! A package that came in one piece: all steps of intake after another, in the order that every submission goes through.
//!
//! The bytes are in files without a name until the announcement is committed; it does not know how they came.

use super::announce::{Files, enter};
use super::{admittance, complete, quota};
use crate::app::App;
use crate::guard::AddressBlock;
use crate::refusal::Refusal;
use crate::shares;
use protocol::api::{FileDeclaration, SubmissionRequest};
use protocol::submission::State;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use store::db::DbError;
use store::db::competitions::StoredCompetition;
use store::db::files::{self, SubmissionFile};
use store::db::submissions::Submission;
use store::failpoints::{self, Moment};
use store::objects::Spooled;

/// Enters a package and everything that it consists of. The same package of the same hotkey is the same submission.
pub async fn whole(
    app: &App,
    (hotkey, client): (Hotkey, AddressBlock),
    competition: CompetitionId,
    files: Vec<(String, Spooled)>,
) -> Result<SubmissionId, Refusal> {
    let declare = |(path, spooled): &(String, Spooled)| {
        let object = spooled.object();
        FileDeclaration { path: path.clone(), size: object.size_bytes, sha256: object.sha256 }
    };
    let files_declared = files.iter().map(declare).collect();
    let request = SubmissionRequest { competition, files: files_declared, invite: None, name: None };
    let (_, submission) = enter(app, (hotkey, client), request, None, Files::Here).await?;
    if submission.state == State::AwaitingUpload {
        store(app, &submission, files).await?;
        complete(app, hotkey, &submission.id).await?;
    }
    Ok(submission.id)
}

/// Gives the files of an announced package their names. A living submission may have announced another README.md: what
/// was announced first stands, and the other is dropped.
async fn store(app: &App, submission: &Submission, files: Vec<(String, Spooled)>) -> Result<(), Refusal> {
    let announced = app.db.files(&submission.id).await?;
    for (path, spooled) in files {
        let object = spooled.object();
        let wanted =
            |file: &SubmissionFile| file.declared.path == path && file.declared.sha256 == object.sha256 && !file.stored;
        if announced.iter().any(wanted) {
            app.objects.keep(spooled).await?;
            files::set_stored(&app.db, &submission.id, &path).await?;
            failpoints::at(Moment::FileMarked)?;
        }
    }
    Ok(())
}

/// Whether a package of these sizes would be taken now, so that a client hears it before it sends the bytes.
pub async fn has_room(
    app: &App,
    stored: StoredCompetition,
    (hotkey, client): (Hotkey, AddressBlock),
    sizes: impl Iterator<Item = u64>,
) -> Result<(), Refusal> {
    let bytes = sizes.fold(0, u64::saturating_add);
    let manifest = &quota::in_force(app, stored).await?;
    let mut tx = app.db.write().await?;
    let room = async {
        if !admittance::check(app, &mut tx, &hotkey, None).await? {
            quota::check_waiting(app, &mut tx, &hotkey, &shares::origin(app, client)).await?;
        }
        quota::check(app, manifest, &mut tx, &hotkey, app.clock.now(), bytes).await
    };
    let room = room.await;
    tx.rollback().await.map_err(DbError::from)?;
    room
}
