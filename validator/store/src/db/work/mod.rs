//! What the machine is asked for beside submissions, a row each until it is answered: by rounds, by who publishes, and for a
//! champion's forms.
//!
//! A submission's own row is its place in the same queue (`turns`). Who takes a row holds it by its attempt, as a submission's
//! worker does: whoever takes it away counts the attempt, so that a late worker changes nothing. All that an answer has to be held
//! against is in the row or follows from it, so whoever asked need not wait, and whoever takes the answer need not be who gave the
//! order. Whose turn it is gets decided above.

mod rows;

pub use rows::{ask, charge, claim, finish, forget, give_back, set_begun};

use super::attempts::Begun;
use super::column::Text;
use protocol::api::ModelForm;
use protocol::competition::{InputSpec, ObjectRef, OfficialEngine};
use protocol::latency::LatencyVerdict;
use protocol::submission::Rejection;
use protocol::{CompetitionId, Digest, SubmissionId};
use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use utoipa::ToSchema;

/// A question for the machine that is no submission's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, strum::EnumDiscriminants)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[strum_discriminants(
    name(AskedKind),
    derive(strum::EnumString, strum::IntoStaticStr),
    strum(serialize_all = "snake_case")
)]
#[strum_discriminants(doc = "What kind of question it is.")]
pub enum Asked {
    /// A member of a round is screened or decided.
    RoundEntry(Member),
    /// The teacher, or the reference beside it, answers a round's items.
    Teacher {
        /// Which round's.
        round: u64,
        /// Who.
        who: Side,
        /// What.
        question: Question,
    },
    /// A model is measured before its competition appears.
    Publication {
        /// `teacher`, `reference` or `known package`.
        role: String,
        /// What.
        question: Question,
        /// Which of the publication's questions it is: no other has this number.
        number: u64,
    },
    /// A champion's model in another form answers the public items.
    Form {
        /// Whose model.
        submission: SubmissionId,
        /// Which form; `None` for a graph that tells between what values lie, of which the int8 form is made.
        form: Option<ModelForm>,
        /// The ONNX file.
        model: ObjectRef,
    },
}

/// A member of a round, and what it is asked there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which round.
    pub round: u64,
    /// Who.
    pub submission: SubmissionId,
    /// What.
    pub stage: Stage,
}

/// What a member of a round is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "stage", rename_all = "snake_case")]
pub enum Stage {
    /// Outputs on so many fresh items.
    Screening {
        /// The first ones.
        items: u32,
    },
    /// Everything on all items of the round.
    Decision,
}

/// A published model that rounds ask beside their members.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// Whose answers are the ceiling.
    Teacher,
    /// Entry 0 beside it.
    Reference,
}

/// A measurement to do, with all that it needs named by digest: items with their labels lie in one object, and only inputs of
/// them leave the house.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The model that is asked.
    pub candidate: Files,
    /// The reference student.
    pub reference: Files,
    /// How pixels become inputs.
    pub input: InputSpec,
    /// What runs both.
    pub engine: OfficialEngine,
    /// The items (`RTIMG1`), an object.
    pub items: Digest,
    /// How many of the first are public.
    pub public: u32,
    /// The teacher's answers (`RTLOG1`), an object, unless it is the one that is asked.
    pub teacher_logits: Option<Digest>,
    /// Pixels beside the items by which copies are recognised, an object.
    pub probes: Option<Digest>,
    /// Whether it is timed as well.
    pub is_timed: bool,
    /// What decides the order of items and pairs.
    pub seed: u64,
}

/// The two files of a package.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Files {
    /// `config.json`.
    pub config_json: Digest,
    /// What the model is in.
    pub weights: Digest,
}

/// What came of a [`Question`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "snake_case")]
pub enum Told {
    /// What was said, an object each.
    Said {
        /// The report, as canonical JSON.
        report: ObjectRef,
        /// The logits (`RTLOG1`).
        logits: ObjectRef,
        /// Those on the probes, f32 little-endian.
        probe_logits: ObjectRef,
        /// Item by item (`RTOUT1`).
        outcomes: ObjectRef,
        /// For how long the machine worked for it.
        took_ms: u64,
    },
    /// The package can't be measured, through its own fault.
    Rejected(Rejection),
    /// It isn't measured, through ours.
    Failed {
        /// Why.
        problem: String,
    },
}

impl Asked {
    /// Its name: nothing else is called so.
    fn key(&self, competition: &CompetitionId) -> String {
        match self {
            Self::RoundEntry(Member { round, submission, stage: Stage::Screening { items } }) => {
                format!("round/{competition}/{round}/{submission}/screening/{items}")
            }
            Self::RoundEntry(Member { round, submission, stage: Stage::Decision }) => {
                format!("round/{competition}/{round}/{submission}/decision")
            }
            Self::Teacher { round, who: Side::Teacher, .. } => format!("round/{competition}/{round}/teacher"),
            Self::Teacher { round, who: Side::Reference, .. } => format!("round/{competition}/{round}/reference"),
            Self::Publication { number, .. } => format!("publication/{competition}/{number}"),
            Self::Form { submission, form: Some(form), .. } => {
                format!("form/{competition}/{submission}/{}", form.path())
            }
            Self::Form { submission, form: None, .. } => format!("form/{competition}/{submission}/ranges"),
        }
    }

    /// What it is called in rows and for people.
    pub fn kind(&self) -> &'static str {
        AskedKind::from(self).into()
    }

    /// The round that waits for it.
    pub fn round(&self) -> Option<u64> {
        match self {
            Self::RoundEntry(Member { round, .. }) | Self::Teacher { round, .. } => Some(*round),
            Self::Publication { .. } | Self::Form { .. } => None,
        }
    }

    /// The submission that it is about.
    pub fn submission(&self) -> Option<&SubmissionId> {
        match self {
            Self::RoundEntry(member) => Some(&member.submission),
            Self::Form { submission, .. } => Some(submission),
            Self::Teacher { .. } | Self::Publication { .. } => None,
        }
    }
}

/// A piece of work: a question with what became of it so far.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct Piece {
    /// Its order of arrival.
    pub id: u64,
    /// Whose competition asks.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// What.
    #[sqlx(json)]
    pub asked: Asked,
    /// The attempt that it waits for or is at.
    pub attempt: u64,
    /// Attempts that came to nothing through our fault.
    pub failures: u64,
    /// The measurement under way, where the public log states it.
    #[sqlx(flatten, try_from = "Measurement")]
    pub begun: Option<Begun>,
    /// What the latencies of earlier attempts were judged, oldest first.
    #[sqlx(json)]
    pub verdicts: Vec<LatencyVerdict>,
    /// What was said, where no other row has it.
    #[sqlx(json(nullable))]
    pub answer: Option<Told>,
    /// Whether a worker has it.
    pub is_running: bool,
    /// Since when it is as it is, in Unix seconds.
    pub changed_at: u64,
    /// Until when somebody waits for it; `None`: whoever asked comes back for it whenever.
    pub wanted_until: Option<u64>,
}

/// The measurement under way, if there is one.
#[derive(FromRow)]
struct Measurement {
    measurement: Option<u64>,
    seed: Option<i64>,
}

impl From<Measurement> for Option<Begun> {
    fn from(Measurement { measurement, seed }: Measurement) -> Self {
        Some(Begun { number: measurement?, seed: seed?.cast_unsigned() })
    }
}

impl Piece {
    /// Whether somebody would still take its answer.
    pub fn is_wanted(&self, now: u64) -> bool {
        self.wanted_until.is_none_or(|until| now < until)
    }
}

/// For whom the machine worked.
#[derive(Clone, Debug, PartialEq, Eq, FromRow)]
pub struct WorkUsed {
    /// What was asked.
    #[sqlx(try_from = "Text<AskedKind>")]
    pub kind: AskedKind,
    /// Whose competition asked.
    #[sqlx(rename = "competition_id", try_from = "Text<CompetitionId>")]
    pub competition: CompetitionId,
    /// For how long, in milliseconds.
    pub used_ms: u64,
}

/// A piece of work as the operator sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct WorkSeen {
    /// `round_entry` (a round's member), `teacher` (or the reference beside it), `publication` or `form` (of a champion).
    pub kind: &'static str,
    /// Whose competition asks.
    pub competition: CompetitionId,
    /// The round that waits for it.
    pub round: Option<u64>,
    /// The submission that it is about.
    pub submission: Option<SubmissionId>,
    /// Whether it is being measured.
    pub running: bool,
    /// Since when it is as it is, in Unix seconds.
    pub since: u64,
    /// Attempts that came to nothing through our fault.
    pub failures: u64,
}

impl From<Piece> for WorkSeen {
    fn from(piece: Piece) -> Self {
        Self {
            kind: piece.asked.kind(),
            round: piece.asked.round(),
            submission: piece.asked.submission().cloned(),
            competition: piece.competition,
            running: piece.is_running,
            since: piece.changed_at,
            failures: piece.failures,
        }
    }
}
