//! Whether the numbers of a manifest make sense: all fields that don't, and what would be right.
//!
//! It does not know what a manifest names on disk.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::moment::MOMENT_MAX;
use super::{KNOWN_MAX, LABELS_BYTES_MAX, MANIFEST_FORMAT, Manifest, TeacherAnswers, TeacherDistance};
use crate::architecture::{CLASSES_MAX, Costs, DIMENSION_MAX};
use crate::nulls::Nulls;
use std::collections::HashSet;

/// A model's answers to public items and those of a round may have this many bytes, a f32 each: they are held in memory.
const ANSWERS_BYTES_MAX: u64 = 4 << 30;
/// Every reader takes a note with as many cosignatures and the log's signature (C2SP signed-note).
const WITNESSES_MAX: usize = 15;
/// The longest name, an id and a key have less.
const KEY_BYTES_MAX: usize = 400;
/// A contact longer than this is none.
const CONTACT_BYTES_MAX: usize = 200;

/// A manifest that can't be used, with the offending field.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not TOML, or not this structure.
    #[error("read the manifest: {0}")]
    Toml(#[from] toml::de::Error),
    /// A number makes no sense.
    #[error("manifest field `{field}`: {problem}")]
    Field {
        /// The field.
        field: &'static str,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Several make none: all of them, a line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

fn lines(errors: &[ManifestError]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A field of a manifest, and what is wrong with it.
pub(super) type Problem = (&'static str, String);
/// A field, whether what holds of it does, and what would be right.
type Rule = (&'static str, bool, String);

impl Manifest {
    /// Whether its numbers make sense.
    ///
    /// # Errors
    /// All fields that don't, and what would be right.
    pub fn check(&self) -> Result<(), ManifestError> {
        let named =
            |field: &'static str, problems: Vec<String>| problems.into_iter().map(move |problem| (field, problem));
        let mut problems = self.own_problems();
        problems.extend(self.label_problems());
        problems.extend(self.limits.problems());
        problems.extend(named("score", self.score.problems()));
        problems.extend(named("dethrone", self.dethrone.problems()));
        problems.extend(named("rounds", self.rounds.problems(self.data.hidden_items, self.data.hidden_pool)));
        problems.extend(self.teacher.answers().map(|answers| answers.problems(self)).unwrap_or_default());
        let stated = self.teacher.answers().and_then(TeacherAnswers::costs);
        problems.extend(stated.and_then(|(parameters, macs)| self.too_near_the_teacher(parameters, macs)));
        problems.extend(self.check_pool().err().map(|problem| ("data.hidden_pool", problem)));
        problems.extend(self.reward.check().err().map(|problem| ("reward", problem)));
        problems.extend(named("nulls", self.nulls.as_ref().map(Nulls::problems).unwrap_or_default()));
        let mut errors: Vec<_> =
            problems.into_iter().map(|(field, problem)| ManifestError::Field { field, problem }).collect();
        match (errors.len(), errors.pop()) {
            (1, Some(error)) => Err(error),
            (_, Some(error)) => {
                errors.push(error);
                Err(ManifestError::Several(errors))
            }
            (_, None) => Ok(()),
        }
    }

    fn own_problems(&self) -> Vec<Problem> {
        let fields = self.written_rules().into_iter().chain(self.counted_rules());
        fields.filter(|(_, holds, _)| !holds).map(|(field, _, problem)| (field, problem)).collect()
    }

    /// What holds of its texts: each field, whether it does, and what would be right.
    fn written_rules(&self) -> Vec<Rule> {
        let labels_bytes = serde_json::json!(self.labels).to_string().len() as u64;
        let of_a_round = u64::from(self.rounds.items_of(self.data.hidden_items));
        let items = u64::from(self.data.public_items).saturating_add(of_a_round);
        let answers_bytes = items.saturating_mul(4).saturating_mul(self.labels.len() as u64);
        vec![
            ("format", self.format == MANIFEST_FORMAT, format!("must be `{MANIFEST_FORMAT}`")),
            ("title", (1..=120).contains(&self.title.len()), "must have 1 to 120 bytes".into()),
            (
                "license",
                self.license.as_ref().is_none_or(|license| spdx::Expression::parse(license).is_ok()),
                "must be an SPDX expression, such as MIT or CC-BY-4.0 (spdx.org/licenses)".into(),
            ),
            (
                "contact",
                self.contact.as_deref().is_none_or(is_contact),
                "must be a mail address, such as arena@example.com, or an https:// URL, in at most 200 plain characters"
                    .into(),
            ),
            ("labels", (2..=CLASSES_MAX).contains(&self.labels.len()), format!("needs 2 to {CLASSES_MAX} names")),
            (
                "labels",
                answers_bytes <= ANSWERS_BYTES_MAX,
                format!(
                    "a model's answers to public items and a round's have {answers_bytes} bytes, at most {ANSWERS_BYTES_MAX}: take fewer items \
                     or fewer classes"
                ),
            ),
            (
                "labels",
                labels_bytes <= LABELS_BYTES_MAX,
                format!("{labels_bytes} bytes as JSON, at most {LABELS_BYTES_MAX}: each config.json repeats them"),
            ),
        ]
    }

    /// The same of its numbers and lists.
    fn counted_rules(&self) -> Vec<Rule> {
        let (input, planes, sides) = (&self.input, self.input.channels as usize, 1..=DIMENSION_MAX);
        let backends = &self.backends.accuracy;
        vec![
            (
                "input",
                [input.channels, input.height, input.width].iter().all(|side| sides.contains(side)),
                format!("needs 1 to {DIMENSION_MAX} channels, rows and columns"),
            ),
            ("input.mean_ppm", input.mean_ppm.len() == planes, format!("needs {planes} values")),
            (
                "input.deviation_ppm",
                input.deviation_ppm.len() == planes && input.deviation_ppm.iter().all(|d| *d > 0),
                format!("needs {planes} values above 0"),
            ),
            (
                "models",
                matches!(self.models[..], [_]) || matches!(self.models[..], [first, second] if first != second),
                "needs catalogue, onnx or both".into(),
            ),
            (
                "backends.accuracy",
                (1..).zip(backends).all(|(next, one)| !backends.iter().skip(next).any(|other| other == one)),
                "names one twice".into(),
            ),
            ("data.public_items", self.data.public_items > 0, "must be above 0".into()),
            ("data.hidden_items", self.data.hidden_items > 0, "must be above 0".into()),
            (
                "closes_at",
                self.closes_at.is_none_or(|at| at <= MOMENT_MAX),
                "lies beyond the year 2100: write Unix seconds, not milliseconds".into(),
            ),
            ("known", self.known.len() <= KNOWN_MAX, format!("at most {KNOWN_MAX} packages: each one is measured")),
            (
                "log.witnesses",
                self.log.witnesses.len() <= WITNESSES_MAX && self.log.witnesses.iter().all(|key| is_key_text(key)),
                format!("takes at most {WITNESSES_MAX} verifier keys, NAME+ID+BASE64, as `retort witness` prints them"),
            ),
        ]
    }

    /// Labels are what people see and what maps of classes are keyed by, so each is a name, and one class's alone.
    fn label_problems(&self) -> Vec<Problem> {
        /// More would bury the other problems.
        const SHOWN: usize = 5;
        let mut seen = HashSet::new();
        let labels = (1..).zip(self.labels.iter().map(String::as_str));
        let problems = labels.filter_map(|(number, label)| match label {
            "" => Some(format!("number {number} is empty")),
            text if text.trim() != text => Some(format!("number {number}, {text:?}, begins or ends with white space")),
            text if text.chars().any(char::is_control) => {
                Some(format!("number {number}, {text:?}, has a control character"))
            }
            text if !seen.insert(text) => Some(format!("number {number}, {text:?}, is there before")),
            _ => None,
        });
        let mut problems: Vec<String> = problems.collect();
        let more = problems.len().saturating_sub(SHOWN);
        problems.truncate(SHOWN);
        if more > 0 {
            problems.push(format!("and {more} others of the kind"));
        }
        problems.into_iter().map(|problem| ("labels", problem)).collect()
    }

    /// Checks that the limits keep submissions as far from the teacher as [`Self::teacher_distance`] says.
    ///
    /// # Errors
    /// Names the limit that is too loose, and what it may be.
    pub fn check_teacher_distance(&self, teacher: &Costs) -> Result<(), ManifestError> {
        match self.too_near_the_teacher(teacher.parameters, teacher.macs) {
            None => Ok(()),
            Some((field, problem)) => Err(ManifestError::Field { field, problem }),
        }
    }

    fn too_near_the_teacher(&self, parameters: u64, macs: u64) -> Option<Problem> {
        if self.teacher_distance == TeacherDistance::None {
            return None;
        }
        let limits = [
            ("limits.macs_max", self.limits.macs_max, macs / 2),
            ("limits.parameters_max", self.limits.parameters_max, parameters / 2),
        ];
        let (field, limit, most) = limits.into_iter().find(|(_, limit, most)| limit > most)?;
        let problem = format!(
            "{limit} is more than half of the teacher's, so that the teacher itself might be entered in disguise; \
             lower it to {most}, or write teacher_distance = \"none\""
        );
        Some((field, problem))
    }

    /// A private pool has to outlast the round in which the seat is first taken.
    fn check_pool(&self) -> Result<(), String> {
        let items = self.data.hidden_items;
        match self.rounds_max() {
            Some(rounds @ 0..=1) => Err(format!(
                "a private pool of {items} images lasts for {rounds} round of {} items: what is revealed is never fresh \
                 again, so lower rounds.items or add images",
                self.rounds.items_of(items)
            )),
            _ => Ok(()),
        }
    }
}

/// Whether a text has the shape of a verifier key; whether it is one, `transparency` knows.
fn is_key_text(text: &str) -> bool {
    let is_plain = |char: char| !char.is_whitespace() && !char.is_control();
    text.len() <= KEY_BYTES_MAX
        && text.splitn(3, '+').filter(|part| !part.is_empty()).count() == 3
        && text.chars().all(is_plain)
}

/// Whether a text is a mail address or an https URL that may stand on any page as it is: letters, digits and what belongs
/// there, a host with a dot, and nobody's name before it.
pub(super) fn is_contact(text: &str) -> bool {
    let plain = |part: &str, more: &str| {
        !part.is_empty() && part.chars().all(|char| char.is_ascii_alphanumeric() || more.contains(char))
    };
    let is_host = |host: &str| host.contains('.') && host.split('.').all(|label| plain(label, "-"));
    if text.len() > CONTACT_BYTES_MAX {
        return false;
    }
    match text.strip_prefix("https://") {
        Some(rest) => {
            let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
            let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
            is_host(host)
                && port.is_none_or(|port| port.parse::<u16>().is_ok())
                && (path.is_empty() || plain(path, "/?#=&%+-._~:@,;!$*()"))
        }
        None => text.split_once('@').is_some_and(|(local, host)| plain(local, ".+-_%") && is_host(host)),
    }
}
