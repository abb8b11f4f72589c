//! The messages of the HTTP API, shared by the service and its clients. Timestamps are Unix seconds.

mod board;
mod form;
mod miner;
mod submission;

pub use board::{Attempt, BoardRow, DivisionBoard, DivisionPlace, Leaderboard, OwnBest, RowKind};
pub use form::{FormView, ModelForm};
pub use miner::{MinerReward, MinerView, NameRequest, TokenCreated, TokenRequest, TokenScope, TokenView};
pub use submission::{
    AppealAnswer, AppealRequest, AppealView, FileDeclaration, PackageObjects, Reason, SubmissionCreated,
    SubmissionRequest, SubmissionStatus, SubmissionSummary, Upload,
};

use crate::amendment::{Amended, Amendment, EngineInForce};
use crate::competition::{Manifest, OfficialEngine};
use crate::published::Competition;
use crate::reward::PolicyChange;
use crate::{Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /api/v1/log/cosigned` and `GET /api/v1/log/cosigned/{index}`: signed notes (C2SP), each a checkpoint of the public log
/// with its signature and the cosignatures that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CosignedCheckpoints {
    /// The notes, the smallest checkpoint first.
    pub notes: Vec<String>,
}

/// `GET /api/v1/competitions/{id}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct CompetitionView {
    /// SHA-256 of the competition's canonical JSON.
    pub sha256: Digest,
    /// The validator's hotkey: the receiver that signed requests name.
    pub validator: Hotkey,
    /// The competition.
    pub competition: Competition,
    /// The submission that leads.
    pub champion: Option<SubmissionId>,
    /// What was changed since it was published, in order: `competition` is as it was published.
    #[serde(default)]
    #[schema(required)]
    pub amendments: Vec<Amendment>,
    /// Rewards that were announced for later rounds.
    pub reward_changes: Vec<PolicyChange>,
    /// The seed of the copy probes, whose SHA-256 the competition states; once it is over.
    pub probe_seed: Option<Digest>,
}

impl CompetitionView {
    /// The manifest as amendments leave it, while `round` runs (0 before the first).
    pub fn manifest(&self, round: u64) -> Manifest {
        self.competition.manifest.clone().amended(&self.amendments, round)
    }

    /// The engine that a report was measured on, of those that the competition names or named; the last one where it is none of
    /// them.
    pub fn engine_of(&self, report_engine: &str) -> OfficialEngine {
        let changes = self.amendments.iter().filter_map(|amendment| match amendment.change {
            Amended::Engine { engine, .. } => Some(engine),
            _ => None,
        });
        let all: Vec<_> = std::iter::once(self.competition.manifest.engine).chain(changes).collect();
        let measured = all.iter().copied().find(|engine| engine.measured(report_engine));
        measured.or(all.last().copied()).unwrap_or_default()
    }

    /// What was published, to be measured on the engine that was announced last.
    pub fn as_it_goes_on(self) -> Competition {
        let last = EngineInForce::of(self.competition.manifest.engine, &self.amendments, u64::MAX).engine;
        let mut competition = self.competition;
        competition.manifest.engine = last;
        competition
    }
}

/// RFC 9457 `application/problem+json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind of problem, in a few words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened this time.
    pub detail: String,
    /// The stable code.
    pub code: String,
    /// What to do.
    pub hint: String,
    /// After how many seconds the same request may do better, where that is known; `Retry-After` says the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub retry_after_seconds: Option<u64>,
}
