//! Why a competition is not published, as its publisher reads it.

mod parts;

pub use parts::{DataSetError, GateMissed, RemoteProblem};

use datasets::FormatError;
use datasets::commitment::CommitmentError;
use datasets::hidden::{DrawError, RenderError};
use datasets::published::TableError;
use datasets::source::SourceError;
use protocol::CompetitionId;
use protocol::competition::ManifestError;
use protocol::digest::DigestError;
use protocol::evaluation::EvaluationFailure;
use protocol::hardware::HardwareClass;
use protocol::submission::Rejection;
use service::copies::EntryError;
use service::relay::RelayError;
use service::rounds;
use service::state::materials::MaterialError;
use std::io;
use std::path::PathBuf;
use store::causes::Chain;
use store::db::DbError;
use store::objects::ObjectError;

/// Why a competition was not published.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A file can't be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// A model that isn't admissible.
    #[error("the {role} in {} is not admissible: {rejection}", path.display())]
    Model {
        /// `teacher` or `reference`.
        role: &'static str,
        /// Its package.
        path: PathBuf,
        /// Why.
        rejection: Rejection,
    },
    /// A model that is to be fetched from a Hub and isn't, or is another one.
    #[error("the {role} {uri}: {problem}")]
    Remote {
        /// `teacher` or `reference`.
        role: &'static str,
        /// What the manifest says.
        uri: String,
        /// Why.
        problem: Box<RemoteProblem>,
    },
    /// The manifest names no beacon, and the one that it would get isn't to be had.
    #[error(
        "the manifest names no beacon for its rounds, and drand can't be its: {0}. Set `drand_url` to a relay that answers, \
         or write `beacon = \"ledger\"` under [rounds], which is for trying out: whoever writes the ledger can grind it"
    )]
    NoBeacon(RelayError),
    /// The data set doesn't fit the manifest.
    #[error(transparent)]
    Data(#[from] DataSetError),
    /// The publisher's own rows can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The teacher's answers to the training images are others'.
    #[error(
        "manifest field `training_teacher_logits`: {answers} answers of {classes} logits beside {images} training images and \
         {labels} labels; each image has an answer, in the same order"
    )]
    TrainingLogits {
        /// Rows of the file.
        answers: u32,
        /// Columns.
        classes: u32,
        /// Training images.
        images: u32,
        /// The manifest's labels.
        labels: usize,
    },
    /// The data can't be written for others to read.
    #[error("write the data as Parquet: {0}")]
    Table(#[from] TableError),
    /// A part of the data, or the teacher's answers, can't be read.
    #[error("read {}: {problem}", path.display())]
    Part {
        /// The file.
        path: PathBuf,
        /// Why.
        problem: TableError,
    },
    /// Logits or images contradict themselves.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// This machine lacks the engine that the manifest names, or has another one.
    #[error("manifest field `engine`: {0}")]
    Engine(String),
    /// This machine isn't of the class that the manifest names.
    #[error(
        "manifest field `hardware`: {named}, and this machine is {here}: publish and serve it on a machine of that class"
    )]
    OtherHardware {
        /// What the manifest names.
        named: HardwareClass,
        /// What this machine is.
        here: String,
    },
    /// A model can't be measured.
    #[error("measure the {role}: {failure}")]
    Evaluation {
        /// `teacher` or `reference`.
        role: &'static str,
        /// Why.
        failure: EvaluationFailure,
    },
    /// What came of a measurement can't be recorded.
    #[error("measure: {0}")]
    Unrecorded(#[from] Box<rounds::RoundError>),
    /// The reference doesn't pass the gate on items as hidden rounds show them, so nobody is known to.
    #[error("manifest field `score.gate_ppm`: {0}")]
    Gate(GateMissed),
    /// Items of the rehearsal can't be drawn.
    #[error("rehearse a hidden round: {0}")]
    Draw(#[from] DrawError),
    /// Items of the rehearsal can't be made.
    #[error("rehearse a hidden round: {0}")]
    Render(#[from] RenderError),
    /// It would be over before anybody could enter.
    #[error("manifest field `closes_at`: it has passed, so nobody could enter")]
    Over,
    /// Something else is published under this name.
    #[error("another competition is published as {0}; what is published doesn't change, so choose another id")]
    Taken(CompetitionId),
    /// A model that submissions are to be compared with can't be.
    #[error("prepare comparisons: {0}")]
    Copies(#[from] EntryError),
    /// The hidden items can't be committed to.
    #[error(transparent)]
    Commit(#[from] CommitmentError),
    /// The commitment is no digest, which is a bug.
    #[error(transparent)]
    Root(#[from] DigestError),
    /// What was stored can't be read again.
    #[error("read what was stored: {0}")]
    Stored(#[from] MaterialError),
    /// Items can't be read any more, or not be written for others to read.
    #[error("write the data: {0}")]
    Write(#[from] io::Error),
    /// The object store failed.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// The database failed.
    #[error(transparent)]
    Db(#[from] DbError),
    /// A thread failed.
    #[error("a thread: {0}")]
    Thread(#[from] tokio::task::JoinError),
    /// Several things are wrong: all of them, a line each.
    #[error("{}", lines(.0))]
    Several(Vec<Self>),
}

fn lines(problems: &[PublishError]) -> String {
    problems.iter().map(|problem| Chain(problem).to_string()).collect::<Vec<_>>().join("\n")
}

impl PublishError {
    /// One of several things that are wrong is told as itself; there is one at least.
    pub(crate) fn all(problems: Vec<Self>) -> Self {
        match <[Self; 1]>::try_from(problems) {
            Ok([problem]) => problem,
            Err(problems) => Self::Several(problems),
        }
    }
}
