//! A competition as it is published: its manifest, what its models are, and where its objects lie. It reads none of them.

use crate::Digest;
use crate::competition::{Manifest, ObjectRef};
use crate::package::PackageConfig;
use crate::score::Ceiling;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model that was published with a competition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PublishedModel {
    /// The parsed `config.json`.
    pub config: PackageConfig,
    /// The object that holds `config.json`.
    pub config_json: ObjectRef,
    /// The object that holds `model.safetensors`.
    pub weights: ObjectRef,
    /// Right answers on the public items.
    pub correct: u32,
    /// How many public items there are.
    pub items: u32,
}

impl PublishedModel {
    /// Its right answers on the public items, as what students are held to if it is the teacher.
    pub fn ceiling(&self) -> Ceiling {
        Ceiling { correct: self.correct, items: self.items }
    }
}

/// The teacher of a published competition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
#[expect(clippy::large_enum_variant, reason = "a competition has one")]
pub enum PublishedTeacher {
    /// A model that anybody can ask.
    Model(PublishedModel),
    /// Its answers alone, which the tables have; the manifest says whose they are.
    Answers(PublishedAnswers),
}

/// What the answers of a teacher are worth that is known by nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PublishedAnswers {
    /// Right answers on the public items.
    pub correct: u32,
    /// How many public items there are.
    pub items: u32,
}

impl PublishedAnswers {
    /// As many as these.
    pub fn of(Ceiling { correct, items }: Ceiling) -> Self {
        Self { correct, items }
    }
}

impl PublishedTeacher {
    /// The model, unless only its answers are known.
    pub fn model(&self) -> Option<&PublishedModel> {
        match self {
            Self::Model(model) => Some(model),
            Self::Answers(_) => None,
        }
    }

    /// Its right answers on the public items: what students are held to.
    pub fn ceiling(&self) -> Ceiling {
        match self {
            Self::Model(model) => model.ceiling(),
            Self::Answers(PublishedAnswers { correct, items }) => Ceiling { correct: *correct, items: *items },
        }
    }
}

/// A published competition: everything that a miner needs, content-addressed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Competition {
    /// The manifest as parsed.
    pub manifest: Manifest,
    /// The teacher.
    pub teacher: PublishedTeacher,
    /// The reference student.
    pub reference: PublishedModel,
    /// What miners train on, and what everybody measures on.
    pub tables: Tables,
    /// Merkle root over the hidden items, so that they can't be exchanged later.
    pub hidden_root: Digest,
    /// SHA-256 of the seed of the probes that copies are recognised by: secret while miners could train against them,
    /// shown once the competition is over, and bound by this from the start.
    pub probes_sha256: Digest,
    /// When it was published, in Unix seconds.
    pub published_at: u64,
}

/// Public data as Parquet with a picture, a label and, where it was asked, the teacher's logits in each row, as Hugging
/// Face's `datasets` writes and reads it. Inputs of other than one plane or three have `pixels` instead of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tables {
    /// What miners distil on; with the teacher's logits on the images as they are, if the manifest gives them.
    pub training: ObjectRef,
    /// Public evaluation items, with the teacher's logits.
    pub evaluation: ObjectRef,
}
