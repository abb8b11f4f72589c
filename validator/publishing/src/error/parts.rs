//! What can be wrong with a part of what is published: its data, a model of a Hub, the gate. It does not look for any of it.

use datasets::DataError;
use datasets::split::SplitError;
use protocol::Digest;
use protocol::competition::{BY_ANSWERS_ONLY, Manifest};
use protocol::score::PPM;
use std::fmt;

/// Why there are no evaluation items.
#[derive(Debug, thiserror::Error)]
pub enum DataSetError {
    /// No data set has this name.
    #[error(
        "data source `{0}` is not known; use `fashion-mnist`, `digits`, `folder:PATH`, `parquet:PATH` or `file:FOLDER`"
    )]
    Unknown(String),
    /// A published data set can't be a private pool.
    #[error("the images of data source `{0}` and their labels are known to the world: its hidden_pool is `public`")]
    KnownToTheWorld(String),
    /// It is part of this binary, and damaged.
    #[error(transparent)]
    Load(#[from] DataError),
    /// The manifest describes other images.
    #[error("data source `{data}` has images of {found}, the manifest says {expected}")]
    Shape {
        /// The data set.
        data: String,
        /// Channels, rows and columns of the images.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// Nobody can learn or be judged without them.
    #[error("data source `{0}` has images without labels")]
    NoLabels(String),
    /// The teacher is known by its answers only, and a part has none.
    #[error("data source `{data}` has no `teacher_logits` in its {part} part, and {BY_ANSWERS_ONLY}")]
    Unanswered {
        /// The data set.
        data: String,
        /// Training or evaluation.
        part: &'static str,
    },
    /// The manifest wants more items than there are.
    #[error("data source `{data}` has {found} evaluation items, the manifest wants {expected}")]
    TooFew {
        /// The data set.
        data: String,
        /// Evaluation items.
        found: u32,
        /// Public and hidden items together.
        expected: u64,
    },
    /// A source in one part that is all used up.
    #[error(
        "data source `{data}` has {found} rows in one part, all of which would be items; fewer leave some to train on"
    )]
    NothingToTrainOn {
        /// The data set.
        data: String,
        /// Its rows.
        found: u32,
    },
    /// A label that the manifest doesn't name.
    #[error("data source `{data}` has label {found}, the manifest names {labels}")]
    Label {
        /// The data set.
        data: String,
        /// The largest label.
        found: u16,
        /// Labels in the manifest.
        labels: usize,
    },
    /// The split is impossible.
    #[error(transparent)]
    Split(#[from] SplitError),
}

impl DataSetError {
    /// A part without answers.
    pub(crate) fn unanswered(manifest: &Manifest, part: &'static str) -> Self {
        Self::Unanswered { data: manifest.data.source.clone(), part }
    }
}

/// Why a model isn't there.
#[derive(Debug, thiserror::Error)]
pub enum RemoteProblem {
    /// Not the form of such a source.
    #[error("write hf://org/name@revision")]
    Form,
    /// Whoever may move the revision may exchange the model.
    #[error("revision {revision} can move: name a commit of 40 digits, or put #sha256:<package digest> behind it")]
    NotPinned {
        /// As it is written.
        revision: String,
    },
    /// This build can't fetch.
    #[error("this build has no client for a Hub: build with `--features hub`, or download it and name the folder")]
    NotBuilt,
    /// A Hub says the same of what it doesn't have and of what it keeps from us.
    #[error("the Hub shows no {what}: it isn't there, or it is private and HF_TOKEN doesn't open it ({reason})")]
    NotShown {
        /// Which repository, and at which revision.
        what: String,
        /// In the client's words.
        reason: String,
    },
    /// The Hub, or the way there.
    #[error("{what}: {reason}")]
    Fetch {
        /// What was asked for.
        what: String,
        /// In the client's words.
        reason: String,
    },
    /// More bytes than a teacher may have.
    #[error("{path} has more than {bytes_max} bytes")]
    TooLarge {
        /// The file.
        path: &'static str,
        /// The limit.
        bytes_max: u64,
    },
    /// Another package than the pinned one.
    #[error("the package there has digest {found}, {expected} is pinned: it was exchanged")]
    Exchanged {
        /// As pinned.
        expected: Digest,
        /// As fetched.
        found: Digest,
    },
}

/// A gate that the reference doesn't reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateMissed {
    /// The manifest's.
    pub gate_ppm: u32,
    /// The reference's share of right answers.
    pub reference_ppm: i64,
    /// The teacher's.
    pub teacher_ppm: i64,
    /// Items of the rehearsal.
    pub items: u32,
}

impl fmt::Display for GateMissed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gate_ppm, reference_ppm, teacher_ppm, items } = *self;
        let percent = |ppm: i64| format!("{}.{} %", ppm / 10_000, ppm / 1_000 % 10);
        let asked = percent(teacher_ppm * i64::from(gate_ppm) / PPM);
        let reached = reference_ppm * PPM / teacher_ppm.max(1);
        write!(
            f,
            "of {items} public items, as a hidden round shows its own, the teacher answers {} right and the reference {}, \
             where a gate of {gate_ppm} asks for {asked}: nobody is known to pass it, and whoever doesn't is out for good; \
             write at most {reached}, or train the reference with the changes of the rounds",
            percent(teacher_ppm),
            percent(reference_ppm)
        )
    }
}
