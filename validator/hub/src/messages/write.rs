//! Uploads: what is asked before one, and what is answered to it.
//!
//! It does not know how an upload is received.

use super::{Always, Never, Nothing, always, never, nothing};
use protocol::api::Problem;
use protocol::{Hotkey, strict};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Files that a client would send.
#[derive(Deserialize, ToSchema)]
#[schema(as = HubPreupload)]
pub(crate) struct Preupload {
    /// Those of a package.
    #[serde(deserialize_with = "strict::objects")]
    pub(crate) files: Vec<Announced>,
}

/// A file that a client would send.
#[derive(Deserialize, ToSchema)]
#[schema(as = HubAnnounced)]
pub(crate) struct Announced {
    /// `config.json`, `model.safetensors` or `model.onnx`, `README.md`, `expected.safetensors`; what lies in folders is left out.
    #[schema(pattern = "^(config\\.json|model\\.onnx|(model|expected)\\.safetensors|README\\.md)$")]
    pub(crate) path: String,
    /// Bytes.
    pub(crate) size: u64,
}

/// How each file is to be sent.
#[derive(Serialize, ToSchema)]
#[schema(as = HubUploadModes)]
pub(crate) struct UploadModes {
    /// As they were asked about.
    pub(crate) files: Vec<UploadMode>,
}

/// How a file is to be sent.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubUploadMode)]
pub(crate) struct UploadMode {
    path: String,
    #[schema(inline)]
    upload_mode: Mode,
    /// Whether it means nothing here and need not be sent.
    should_ignore: bool,
}

/// In the commit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Regular,
}

impl UploadMode {
    /// In the commit itself.
    pub(crate) fn regular(path: String) -> Self {
        Self { path, upload_mode: Mode::Regular, should_ignore: false }
    }

    /// Not at all.
    pub(crate) fn ignored(path: String) -> Self {
        Self { path, upload_mode: Mode::Regular, should_ignore: true }
    }
}

/// What became of a commit.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubCommitted)]
pub(crate) struct Committed {
    #[schema(schema_with = always)]
    success: Always,
    /// The submission's page; the repository's, while parts of a package are missing (`X-HF-Warning` says which).
    commit_url: String,
    /// The same for the same submission, for ever; zeros while nothing is entered.
    #[schema(pattern = "^[0-9a-f]{40}$")]
    commit_oid: String,
    /// Empty.
    hook_output: &'static str,
}

impl Committed {
    /// The answer to a commit, with where its user goes on.
    pub(crate) fn new(commit_url: String, commit_oid: String) -> Self {
        Self { success: Always, commit_url, commit_oid, hook_output: "" }
    }
}

/// A repository that a client would make.
#[derive(Deserialize, ToSchema)]
#[schema(as = HubRepository)]
pub(crate) struct Repository {
    /// What stands behind the slash.
    pub(crate) name: String,
    /// What stands before the slash.
    #[serde(default)]
    pub(crate) organization: Option<String>,
    /// `model`, which is also what is meant without it.
    #[serde(default, rename = "type")]
    #[schema(example = "model", pattern = "^model$")]
    pub(crate) kind: Option<String>,
}

/// Where a repository is.
#[derive(Serialize, ToSchema)]
#[schema(as = HubRepositoryUrl)]
pub(crate) struct RepositoryUrl {
    /// Its page.
    pub(crate) url: String,
    /// `arena/digits`.
    pub(crate) name: String,
}

/// A repository that is there already: the problem, and where.
#[derive(Serialize)]
pub(crate) struct RepositoryExists {
    #[serde(flatten)]
    pub(crate) problem: Problem,
    #[serde(flatten)]
    pub(crate) at: RepositoryUrl,
}

/// A hotkey, as a user of the Hub.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubWho)]
pub(crate) struct Who {
    #[serde(rename = "type")]
    #[schema(inline)]
    kind: UserKind,
    /// The hotkey.
    id: Hotkey,
    /// The hotkey.
    name: Hotkey,
    /// The hotkey.
    fullname: Hotkey,
    #[schema(schema_with = never)]
    is_pro: Never,
    #[schema(schema_with = never)]
    can_pay: Never,
    #[schema(schema_with = nothing)]
    orgs: Nothing,
    auth: Auth,
}

/// Users alone.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum UserKind {
    User,
}

/// How a user proved who it is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubAuth)]
struct Auth {
    #[serde(rename = "type")]
    #[schema(inline)]
    kind: AuthKind,
    access_token: AccessToken,
}

/// By a token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum AuthKind {
    AccessToken,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = HubAccessToken)]
struct AccessToken {
    /// Its label.
    display_name: String,
    #[schema(inline)]
    role: Role,
}

/// It submits.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Role {
    Write,
}

impl Who {
    /// The owner of a token with this label.
    pub(crate) fn new(hotkey: Hotkey, label: String) -> Self {
        Self {
            kind: UserKind::User,
            id: hotkey,
            name: hotkey,
            fullname: hotkey,
            is_pro: Never,
            can_pay: Never,
            orgs: Nothing,
            auth: Auth {
                kind: AuthKind::AccessToken,
                access_token: AccessToken { display_name: label, role: Role::Write },
            },
        }
    }
}

/// What is to be said of a README.md.
#[derive(Serialize, ToSchema)]
#[schema(as = HubYaml)]
pub(crate) struct Remarks {
    #[schema(schema_with = nothing)]
    pub(crate) errors: Nothing,
    /// One: the arena writes the card that is shown.
    pub(crate) warnings: Vec<Remark>,
}

/// A remark.
#[derive(Serialize, ToSchema)]
#[schema(as = HubRemark)]
pub(crate) struct Remark {
    /// What it says.
    pub(crate) message: &'static str,
}
