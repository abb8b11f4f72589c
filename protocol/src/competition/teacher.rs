//! Where a competition's teacher comes from: a package that anybody can ask about any picture, or its answers alone.
//!
//! Of a teacher that is known by its answers only, whatever its size, nobody can ask about anything else: so hidden rounds show
//! items as they are, which nobody has seen before. This file does NOT know where answers lie (`datasets::source`), nor
//! what they are worth.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::{Manifest, ModelSource, Problem, TeacherDistance, is_contact};
use crate::pool::HiddenPool;
use crate::transforms::Family;
use serde::de::value::MapAccessDeserializer;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use utoipa::ToSchema;

/// What is said wherever a model would be needed that isn't there.
pub const BY_ANSWERS_ONLY: &str = "the teacher is known by its answers only";
/// The column of answers in a part that a validator published.
const ANSWERS_COLUMN: &str = "teacher_logits";
/// A name or a licence longer than this is none.
const TEXT_BYTES_MAX: usize = 200;

/// Where the teacher is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TeacherSource {
    /// A model.
    Model(ModelSource),
    /// What a model answered to every item, and no model.
    Answers {
        /// Where the answers are, and whose.
        answers: TeacherAnswers,
    },
}

/// A model's answers to all items of a competition, and what is known of the model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherAnswers {
    /// The column of the data's Parquet files that has them: a list with a number for each class, in the order of the data's
    /// classes as `retort validator inspect` prints them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub column: Option<String>,
    /// Or files beside the data, one for each part, relative to the manifest: Parquet or safetensors with `teacher_logits` and
    /// `row_sha256`, the SHA-256 of each row's encoded picture, in the order of the rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(required = false)]
    pub files: BTreeMap<String, String>,
    /// Which model answered, for people.
    pub model: String,
    /// Under which licence it is used.
    pub license: String,
    /// Where more is said of it: an https URL.
    pub link: String,
    /// Its learned values, as its publisher states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub parameters: Option<u64>,
    /// Its multiply-accumulates of one inference, as its publisher states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub macs: Option<u64>,
}

impl TeacherSource {
    /// The model, where there is one.
    pub fn model(&self) -> Option<&ModelSource> {
        match self {
            Self::Model(source) => Some(source),
            Self::Answers { .. } => None,
        }
    }

    /// The answers, where there is no model.
    pub fn answers(&self) -> Option<&TeacherAnswers> {
        match self {
            Self::Model(_) => None,
            Self::Answers { answers } => Some(answers),
        }
    }
}

/// A teacher as a manifest writes it, in a table.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTable {
    package: Option<String>,
    answers: Option<TeacherAnswers>,
}

struct Written;

impl<'de> Visitor<'de> for Written {
    type Value = TeacherSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, or a table with `package` or `answers`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<TeacherSource, E> {
        Ok(TeacherSource::Model(ModelSource { package: text.to_owned() }))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<TeacherSource, A::Error> {
        match WrittenTable::deserialize(MapAccessDeserializer::new(map))? {
            WrittenTable { package: Some(package), answers: None } => Ok(TeacherSource::Model(ModelSource { package })),
            WrittenTable { package: None, answers: Some(answers) } => Ok(TeacherSource::Answers { answers }),
            WrittenTable { package: Some(_), answers: Some(_) } => Err(de::Error::custom(
                "has both `package` and `answers`: a model that can be asked answers for itself, so leave one of them out",
            )),
            WrittenTable { package: None, answers: None } => Err(de::Error::custom(
                "has neither `package`, a folder with a model, nor `answers`, what one said to every item",
            )),
        }
    }
}

impl<'de> Deserialize<'de> for TeacherSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Written)
    }
}

impl TeacherAnswers {
    /// What the model costs, if it is stated: learned values and multiply-accumulates.
    pub fn costs(&self) -> Option<(u64, u64)> {
        self.parameters.zip(self.macs)
    }

    /// What is wrong with them, or with a manifest that has them.
    pub(crate) fn problems(&self, manifest: &Manifest) -> Vec<Problem> {
        let source = &manifest.data.source;
        let (of_parquet, as_published) = (source.starts_with("parquet:"), source.starts_with("file:"));
        let is_text =
            |text: &str| !text.trim().is_empty() && text.len() <= TEXT_BYTES_MAX && !text.chars().any(char::is_control);
        let text = format!("must have 1 to {TEXT_BYTES_MAX} bytes on one line");
        let stated = self.costs().is_some() || manifest.teacher_distance == TeacherDistance::None;
        let fields = [
            (
                "teacher.answers",
                self.column.is_some() == self.files.is_empty(),
                "needs either `column`, of the data's Parquet files, or `files`, one for each part".to_owned(),
            ),
            (
                "teacher.answers.column",
                self.column.is_none() || of_parquet || as_published,
                format!("data source `{source}` has no columns: write `files`, with one for each part"),
            ),
            (
                "teacher.answers.column",
                !as_published || self.column.as_deref() == Some(ANSWERS_COLUMN),
                format!("of parts as a validator publishes them it is `{ANSWERS_COLUMN}`"),
            ),
            ("teacher.answers.model", is_text(&self.model), text.clone()),
            ("teacher.answers.license", is_text(&self.license), text),
            (
                "teacher.answers.link",
                self.link.starts_with("https://") && is_contact(&self.link),
                "must be an https:// URL, in at most 200 plain characters".into(),
            ),
            (
                "teacher.answers",
                stated,
                "must state the teacher's `parameters` and `macs`, which limits are held against; or write \
                 teacher_distance = \"none\" beside `title`"
                    .into(),
            ),
            (
                "data.hidden_pool",
                manifest.data.hidden_pool == HiddenPool::Private,
                format!(
                    "must be \"private\": {BY_ANSWERS_ONLY}, so rounds show items as they are, and those that everybody has \
                     aren't hidden"
                ),
            ),
            (
                "rounds.transforms",
                manifest.rounds.transforms == Family::identity(),
                format!("can't be: {BY_ANSWERS_ONLY}, and nobody can ask it about changed items; leave this out"),
            ),
            (
                "training_teacher_logits",
                manifest.training_teacher_logits.is_none(),
                "can't be: `teacher.answers` has those to training items, too; leave this out".into(),
            ),
        ];
        fields.into_iter().filter(|(_, holds, _)| !holds).map(|(field, _, problem)| (field, problem)).collect()
    }
}
