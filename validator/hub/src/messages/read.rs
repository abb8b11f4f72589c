//! Repositories: revisions, files, branches and tags.
//!
//! It does not know where any of it comes from.

use super::{Never, Nothing, never, nothing};
use protocol::Digest;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::borrow::Cow;
use store::db::hub::{Revision, RevisionFile};
use utoipa::ToSchema;

/// A repository at a revision, in the Hub's words.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubInfo)]
pub(crate) struct Info<'a> {
    /// An id of the Hub's own; here the beginning of `sha`.
    #[serde(rename = "_id")]
    pub(crate) number: &'a str,
    /// `arena/digits`.
    #[schema(example = "arena/digits")]
    pub(crate) id: &'a str,
    /// What stands before the slash.
    #[schema(example = "arena")]
    pub(crate) author: &'a str,
    /// The commit that is meant.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    pub(crate) sha: &'a str,
    /// Everything is public.
    #[schema(schema_with = never)]
    pub(crate) private: Never,
    /// Nobody is asked for anything.
    #[schema(schema_with = never)]
    pub(crate) gated: Never,
    /// Nothing is locked.
    #[schema(schema_with = never)]
    pub(crate) disabled: Never,
    /// Not counted.
    pub(crate) downloads: u64,
    /// Not counted.
    pub(crate) likes: u64,
    /// Those of the card.
    #[schema(value_type = Vec<String>)]
    pub(crate) tags: Value,
    /// When what it shows came to be.
    #[schema(format = DateTime)]
    pub(crate) created_at: &'a str,
    /// The same: a revision never changes.
    #[schema(format = DateTime)]
    pub(crate) last_modified: &'a str,
    /// The front matter of the card, as JSON.
    pub(crate) card_data: &'a Value,
    /// The files.
    pub(crate) siblings: Vec<Sibling<'a>>,
    /// As `id`; of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub(crate) model_id: Option<&'a str>,
    /// What the model does, as the Hub names it.
    #[serde(rename = "pipeline_tag", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "image-classification")]
    pub(crate) pipeline_tag: Option<&'a str>,
    /// What loads the model.
    #[serde(rename = "library_name", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "transformers")]
    pub(crate) library_name: Option<&'a str>,
}

/// A file of a revision; sizes and digests where `blobs=true` asks for them.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubSibling)]
pub(crate) struct Sibling<'a> {
    /// Its path.
    #[serde(rename = "rfilename")]
    path: &'a str,
    /// Bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    size: Option<u64>,
    /// Git's id of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{40}$")]
    blob_id: Option<&'a str>,
    /// Of large files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lfs: Option<SiblingLfs>,
}

/// What git-lfs knows of a large file. Unlike in a tree, the digest is named by its kind.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubSiblingLfs)]
struct SiblingLfs {
    /// SHA-256 of the bytes.
    sha256: Digest,
    /// Bytes.
    size: u64,
    /// Bytes of the pointer that git holds.
    pointer_size: u64,
}

impl<'a> Sibling<'a> {
    /// A file's name, and all about it if that is wanted.
    pub(crate) fn new(file: &'a RevisionFile, with_blobs: bool) -> Self {
        let lfs = file.pointer_size.filter(|_| with_blobs);
        Self {
            path: &file.path,
            size: with_blobs.then_some(file.size),
            blob_id: with_blobs.then_some(&file.oid),
            lfs: lfs.map(|pointer_size| SiblingLfs { sha256: file.sha256, size: file.size, pointer_size }),
        }
    }
}

/// A file or folder of a revision.
#[derive(Serialize, ToSchema)]
#[schema(as = HubEntry)]
pub(crate) struct Entry<'a> {
    /// Which of the two.
    #[serde(rename = "type")]
    kind: EntryKind,
    /// Git's id of a file; of a folder the revision's, which tells two of them apart as well.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    oid: &'a str,
    /// Bytes; 0 for folders.
    size: u64,
    /// Where in the repository.
    pub(crate) path: Cow<'a, str>,
    /// Of large files.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    lfs: Option<EntryLfs>,
}

/// What an entry is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = HubEntryKind)]
enum EntryKind {
    File,
    Directory,
}

/// What git-lfs knows of a large file.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubEntryLfs)]
struct EntryLfs {
    /// SHA-256 of the bytes.
    oid: Digest,
    /// Bytes.
    size: u64,
    /// Bytes of the pointer that git holds.
    pointer_size: u64,
}

impl<'a> Entry<'a> {
    /// A file.
    pub(crate) fn file(file: &'a RevisionFile) -> Self {
        let lfs = |pointer_size| EntryLfs { oid: file.sha256, size: file.size, pointer_size };
        let lfs = file.pointer_size.map(lfs);
        Self { kind: EntryKind::File, oid: &file.oid, size: file.size, path: (&file.path).into(), lfs }
    }

    /// A folder.
    pub(crate) fn folder(revision: &'a Revision, path: String) -> Self {
        Self { kind: EntryKind::Directory, oid: &revision.commit, size: 0, path: path.into(), lfs: None }
    }
}

/// A branch or tag.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubRef)]
pub(crate) struct Reference {
    /// `main`, or `round-N`.
    #[schema(example = "main")]
    name: String,
    /// `refs/heads/main`.
    #[serde(rename = "ref")]
    #[schema(example = "refs/heads/main")]
    whole: String,
    /// The revision that it names.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    target_commit: String,
}

impl Reference {
    /// A reference of this kind, `heads` or `tags`.
    pub(crate) fn new(kind: &str, name: &str, commit: &str) -> Self {
        Self { name: name.to_owned(), whole: format!("refs/{kind}/{name}"), target_commit: commit.to_owned() }
    }
}

/// Branches and tags.
#[derive(Serialize, ToSchema)]
#[schema(as = HubRefs)]
pub(crate) struct References {
    /// `main`, once it has something.
    pub(crate) branches: Vec<Reference>,
    /// `round-N`: who held the seat after that round. They never move.
    pub(crate) tags: Vec<Reference>,
    /// The Hub converts; we don't.
    #[schema(schema_with = nothing)]
    pub(crate) converts: Nothing,
    /// There are none: a submission is no change of another's repository.
    #[serde(rename = "pullRequests")]
    #[schema(schema_with = nothing)]
    pub(crate) pull_requests: Nothing,
}

/// A repository in a list.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubListed)]
pub(crate) struct Listed {
    /// `arena/digits`.
    #[schema(example = "arena/digits")]
    pub(crate) id: String,
    /// As `id`; of models.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, required = false)]
    pub(crate) model_id: Option<String>,
    /// What stands before the slash.
    pub(crate) author: &'static str,
    /// Everything is public.
    #[schema(schema_with = never)]
    pub(crate) private: Never,
    /// Not counted.
    pub(crate) downloads: u64,
    /// Not counted.
    pub(crate) likes: u64,
    /// What it is.
    pub(crate) tags: Vec<&'static str>,
    /// When what it shows came to be.
    #[schema(format = DateTime)]
    pub(crate) created_at: String,
    /// The same.
    #[schema(format = DateTime)]
    pub(crate) last_modified: String,
}

/// What a repository showed.
#[derive(Serialize, ToSchema)]
#[schema(as = HubCommit)]
pub(crate) struct Commit {
    /// Its id.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    pub(crate) id: String,
    /// What it is, in a line.
    pub(crate) title: String,
    /// Empty.
    pub(crate) message: &'static str,
    /// The validator alone commits.
    #[schema(schema_with = nothing)]
    pub(crate) authors: Nothing,
    /// Since when it was shown.
    #[schema(format = DateTime)]
    pub(crate) date: String,
}

/// Paths that are asked about.
#[derive(Deserialize, ToSchema)]
#[schema(as = HubPaths)]
pub(crate) struct Paths {
    /// At most 256.
    #[schema(max_items = 256)]
    pub(crate) paths: Vec<String>,
}
