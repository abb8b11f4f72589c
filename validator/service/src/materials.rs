//! A submission's own files, as they were uploaded: read each time, in a turn at heavy work.
//!
//! What all submissions of a competition share is kept in `state`. It does not know what is done with them.

use crate::app::App;
use crate::heavy::Turn;
use crate::state::materials::MaterialError;
use bytes::Bytes;
use protocol::SubmissionId;
use protocol::api::PackageObjects;
use protocol::evaluation::PackageBytes;
use protocol::package::Format;
use std::sync::Arc;
use store::db::DbError;

/// A submission's package, as it was uploaded.
pub async fn submitted(app: &App, id: &SubmissionId) -> Result<PackageBytes, MaterialError> {
    // It is in memory twice while it is made.
    let _turn = turn(app, id).await?;
    let (_, [config_json, weights]) = files_of(app, id).await?;
    Ok(PackageBytes { config_json: Arc::from(config_json.as_ref()), weights: Arc::from(weights.as_ref()) })
}

/// A turn at work that holds a submission's model, or something as large.
pub async fn turn(app: &App, id: &SubmissionId) -> Result<Turn, DbError> {
    let bytes = app.db.files(id).await?.iter().map(|file| file.declared.size).fold(0, u64::saturating_add);
    Ok(app.heavy.turn(bytes).await)
}

/// The bytes of a submission's `config.json` and of the file that its model is in, as they were uploaded.
pub async fn files_of(app: &App, id: &SubmissionId) -> Result<(Format, [Bytes; 2]), MaterialError> {
    let files: Vec<_> = app.db.files(id).await?.into_iter().map(|file| file.declared).collect();
    let PackageObjects { format, config, model } =
        PackageObjects::among(&files).ok_or(MaterialError::File("configuration or model"))?;
    Ok((format, [app.objects.get(&config.sha256).await?, app.objects.get(&model.sha256).await?]))
}
