//! What is in a revision: a model or data as it is stored, and around it what people and their tools need.
//!
//! A model's repository has the published weights, `config.json` with two more fields for `transformers`, code that
//! builds the network in PyTorch, a card that we write, and for a submission its receipt. That of a graph has `model.onnx` and
//! the `config.json` of its package, and needs no code of ours. That of a champion has the model in other forms as well. The same
//! subject gives the same bytes. It does not know how a revision is found or served.

use crate::card::{self, CardData, Links, Scored, code};
use crate::errors::HubError;
use crate::repository::Repository;
use bytes::Bytes;
use edge::error::ApiError;
use protocol::api::{FormView, PackageObjects};
use protocol::competition::{BY_ANSWERS_ONLY, ObjectRef, PictureSpec};
use protocol::package::{CONFIG_FILE, Format, ONNX_FILE, PackageConfig, README_FILE, WEIGHTS_FILE};
use protocol::submission::Rejection;
use protocol::{CompetitionId, Digest, SubmissionId};
use serde_json::{Value, json};
use service::app::App;
use sha1::{Digest as _, Sha1};
use store::db::competitions::{PublicObject, Role, StoredModel};
use store::db::hub::RevisionFile;
use store::objects::ObjectError;

/// The format of commit ids: another one would give other ids to the same files.
const COMMIT_FORMAT: &str = "retort-hub/1";
/// The signed receipt, as it was issued.
const RECEIPT_FILE: &str = "receipt.json";

/// Digits of a commit id.
pub(crate) const COMMIT_DIGITS: usize = 40;

/// What a revision shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// A scored submission.
    Submission(SubmissionId),
    /// A competition's teacher.
    Teacher(CompetitionId),
    /// A competition's public data.
    Data(CompetitionId),
}

impl Subject {
    /// What it is written down under.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Submission(submission) => submission.to_string(),
            Self::Teacher(competition) | Self::Data(competition) => competition.to_string(),
        }
    }
}

/// What a submission is shown with, as it stood when its revision was made.
#[derive(Default)]
pub(crate) struct Around {
    /// Its other forms, once all are measured.
    pub(crate) forms: Vec<FormView>,
    /// The commit of the data that it was measured on.
    pub(crate) data_commit: String,
}

/// A revision before it is written down.
pub(crate) struct Contents {
    /// Its files.
    pub(crate) files: Vec<File>,
    /// The front matter of its card.
    pub(crate) card: Value,
    /// When what it shows came to be, in Unix seconds.
    pub(crate) at: u64,
}

/// A file of it.
pub(crate) struct File {
    path: String,
    source: Source,
}

/// Where a file's bytes are.
enum Source {
    /// An object that is public already: to clients a large file.
    Stored(ObjectRef),
    /// Made here, and small.
    Made(Bytes),
}

impl File {
    fn stored(path: &str, object: ObjectRef) -> Self {
        Self { path: path.to_owned(), source: Source::Stored(object) }
    }

    fn made(path: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { path: path.into(), source: Source::Made(bytes.into()) }
    }

    /// Stores the file if need be; says what it is, and which object to publish.
    pub(crate) async fn store(self, app: &App) -> Result<(RevisionFile, Option<PublicObject>), ObjectError> {
        let Self { path, source } = self;
        match source {
            Source::Stored(ObjectRef { sha256, size_bytes }) => {
                let pointer = pointer(&sha256, size_bytes);
                let (oid, pointer_size) = (git_blob_id(pointer.as_bytes()), Some(pointer.len() as u64));
                Ok((RevisionFile { path, size: size_bytes, sha256, oid, pointer_size }, None))
            }
            Source::Made(bytes) => {
                let oid = git_blob_id(&bytes);
                let ObjectRef { sha256, size_bytes } = app.objects.put(bytes).await?;
                let filename = path.rsplit('/').next().unwrap_or_default().to_owned();
                let public = PublicObject { sha256, size_bytes, filename };
                Ok((RevisionFile { path, size: size_bytes, sha256, oid, pointer_size: None }, Some(public)))
            }
        }
    }
}

/// The id that git gives to these bytes.
fn git_blob_id(bytes: &[u8]) -> String {
    let mut hasher = Sha1::new();
    hasher.update(format!("blob {}\0", bytes.len()));
    hasher.update(bytes);
    hex::encode(hasher.finalize())
}

/// What git holds of a large file (git-lfs, version 1).
pub(crate) fn pointer(sha256: &Digest, size_bytes: u64) -> String {
    format!("version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size_bytes}\n")
}

/// The commit id of a revision: from its repository and its files, and from nothing else.
pub(crate) fn commit_id(repository: &Repository, files: &[RevisionFile]) -> String {
    let files: Vec<Value> = files.iter().map(|file| json!([file.path, file.size, file.sha256])).collect();
    let whole = json!({ "format": COMMIT_FORMAT, "repository": repository.to_string(), "files": files });
    let mut digits = Digest::of(store::db::to_json(&whole).as_bytes()).to_string();
    digits.truncate(COMMIT_DIGITS);
    digits
}

/// Puts together what `repository` shows of `subject`.
pub(crate) async fn of(
    app: &App,
    repository: &Repository,
    subject: &Subject,
    around: Around,
) -> Result<Contents, HubError> {
    match subject {
        Subject::Submission(submission) => submitted(app, repository, submission, around).await,
        Subject::Teacher(competition) => teacher(app, repository, competition).await,
        Subject::Data(competition) => data(app, competition).await,
    }
}

/// Nothing is shown of what isn't scored.
pub(crate) fn unscored(id: &SubmissionId) -> HubError {
    HubError::no_repository(format!("{id} isn't scored"))
}

async fn submitted(
    app: &App,
    repository: &Repository,
    id: &SubmissionId,
    Around { forms, data_commit }: Around,
) -> Result<Contents, HubError> {
    let gone = || unscored(id);
    let submission = app.db.submission(id).await?.ok_or_else(gone)?;
    let evaluation = app.db.evaluation(id).await?.ok_or_else(gone)?;
    let stored = app.db.competition(&evaluation.competition).await?.ok_or_else(gone)?;
    let receipt = app.objects.get(&evaluation.receipt_sha256).await?;
    let files = published(app, id).await?;
    let config_json = app.objects.get(&files.config.sha256).await?;
    let kind = submission.architecture.clone().ok_or_else(gone)?;
    let at = evaluation.evaluated_at;
    let scored = Scored { submission, evaluation, stored, receipt: receipt.clone(), data_commit, forms };
    let links = Links::of(app);
    let CardData { front, text } = card::of_submission(repository, &scored, &kind, &links);
    let results = card::results(&scored, &links);
    let pictures = scored.stored.competition.manifest.data.rows.pictures;
    let mut files = match files.format {
        Format::Catalogue => {
            let config = PackageConfig::from_json(&config_json).map_err(|rejection| ours(&rejection))?;
            model_files(&config, pictures, &text, files.model)?
        }
        Format::Onnx => vec![
            File::made(README_FILE, text.clone()),
            File::made(CONFIG_FILE, config_json),
            File::stored(ONNX_FILE, files.model),
        ],
    };
    files.extend(scored.forms.iter().map(|form| File::stored(form.form.path(), form.object)));
    files.push(File::made(RECEIPT_FILE, receipt));
    files.push(File::made(format!(".eval_results/{}.yaml", scored.evaluation.competition), results));
    Ok(Contents { files, card: front, at })
}

async fn teacher(app: &App, repository: &Repository, id: &CompetitionId) -> Result<Contents, HubError> {
    let gone = || HubError::no_repository(format!("there is no competition {id}"));
    let stored = app.db.competition(id).await?.ok_or_else(gone)?;
    let unasked = || HubError::no_repository(format!("{BY_ANSWERS_ONLY}: arena/{id}, a data set, has them"));
    let teacher = stored.competition.teacher.model().ok_or_else(unasked)?;
    let models = app.db.models(id).await?;
    let measured: &StoredModel = models.iter().find(|model| model.role == Role::Teacher).ok_or_else(gone)?;
    let subject = (&stored, teacher, measured);
    let CardData { front, text } = card::of_teacher(repository, subject, &Links::of(app));
    let pictures = stored.competition.manifest.data.rows.pictures;
    let files = model_files(&teacher.config, pictures, &text, teacher.weights)?;
    Ok(Contents { files, card: front, at: stored.competition.published_at })
}

async fn data(app: &App, id: &CompetitionId) -> Result<Contents, HubError> {
    let gone = || HubError::no_repository(format!("there is no competition {id}"));
    let stored = app.db.competition(id).await?.ok_or_else(gone)?;
    let competition = &stored.competition;
    let CardData { front, text } = card::of_data(&stored, &Links::of(app));
    let [training, evaluation] = card::TABLES;
    let files = vec![
        File::made(README_FILE, text),
        File::stored(training, competition.tables.training),
        File::stored(evaluation, competition.tables.evaluation),
    ];
    Ok(Contents { files, card: front, at: competition.published_at })
}

/// What the repository of every model of the catalogue has.
fn model_files(
    config: &PackageConfig,
    pictures: PictureSpec,
    readme: &str,
    weights: ObjectRef,
) -> Result<Vec<File>, HubError> {
    let plan = config.plan().map_err(|rejection| ours(&rejection))?;
    let mut files = vec![
        File::made(README_FILE, readme.to_owned()),
        File::made(CONFIG_FILE, code::config_json(config)),
        File::stored(WEIGHTS_FILE, weights),
        File::made(code::PROCESSOR_FILE, code::processor_json(&config.input, pictures)),
        File::made(code::NETWORK_FILE, code::network(&config.input, &plan)),
    ];
    files.extend(code::TRANSFORMERS_FILES.map(|(path, text)| File::made(path, text)));
    Ok(files)
}

/// The configuration and the model of a submission as they are published.
async fn published(app: &App, id: &SubmissionId) -> Result<PackageObjects, HubError> {
    let mut files = app.db.published_files(id).await?;
    if files.is_empty() {
        // Scored before anything was written anew: what was uploaded is what there is.
        files = app.db.files(id).await?.into_iter().map(|file| file.declared).collect();
    }
    PackageObjects::among(&files).ok_or_else(|| HubError::no_repository(format!("{id} lacks a file; this is a bug")))
}

/// A package that was admitted and can't be read any more: our fault.
fn ours(rejection: &Rejection) -> HubError {
    ApiError::internal(rejection).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As `git hash-object` says.
    #[test]
    fn a_file_has_the_id_that_git_gives_it() {
        assert_eq!(git_blob_id(b""), "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
        assert_eq!(git_blob_id(b"hello\n"), "ce013625030ba8dba906f756967f9e9ca394464a");
    }

    #[test]
    fn another_byte_or_another_repository_is_another_commit() {
        let file = |bytes: &[u8]| RevisionFile {
            path: "config.json".into(),
            size: bytes.len() as u64,
            sha256: Digest::of(bytes),
            oid: git_blob_id(bytes),
            pointer_size: None,
        };
        let repository = |name: &str| Repository::named(false, "arena", name).unwrap_or_else(|| panic!("{name}"));
        let id = commit_id(&repository("digits"), &[file(b"a")]);
        assert_eq!(id, commit_id(&repository("digits"), &[file(b"a")]));
        assert_eq!(id.len(), 40);
        assert_ne!(id, commit_id(&repository("digits"), &[file(b"b")]));
        assert_ne!(id, commit_id(&repository("other"), &[file(b"a")]));
    }
}
