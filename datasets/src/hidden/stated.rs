//! What the public log says of a round between its close and its draw: which beacon it waits for, what came, or that nothing
//! came.
//!
//! The leaf of the close names the beacon and never holds its value, so a checkpoint with that leaf that somebody else
//! signed before the beacon's time shows that the value wasn't known. It does not know the log.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use super::beacon::{Beacon, BeaconRule};
use super::commitment::{CommitError, Opening, RoundCommitment, Terms, TermsPart, canonical};
use super::secret::Secret;
use protocol::submission::Blame;
use protocol::{CompetitionId, Digest};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Leaf `closed`: the round takes nothing any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundClosed {
    /// The competition.
    pub competition: CompetitionId,
    /// The round.
    pub round: u64,
    /// When it closed, in Unix seconds: what was announced later isn't in it.
    pub closed_at: u64,
    /// Which beacon it waits for.
    pub beacon: BeaconRule,
    /// The salt under which the commitment of the opening has the beacon.
    pub salt: Digest,
    /// The way from there to the commitment's root, lowest hash first: it was bound to this beacon when it opened.
    pub proof: Vec<Digest>,
}

/// Leaf `beacon`: it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundBeacon {
    /// The competition.
    pub competition: CompetitionId,
    /// The round.
    pub round: u64,
    /// The value with its origin.
    pub beacon: Beacon,
}

/// Leaf `abandoned`: the round ended without a draw. Nothing is paid for it, the seat stays whose it was, and what was sent
/// to it is in the next one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundAbandoned {
    /// The competition.
    pub competition: CompetitionId,
    /// The round.
    pub round: u64,
    /// Why, and whose fault it is.
    #[serde(flatten)]
    pub why: Abandonment,
    /// The round's secret, which nothing is drawn by any more: it opens what followed from it while the round ran.
    pub secret: Digest,
    /// When, in Unix seconds.
    pub at: u64,
}

/// Why a round was abandoned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Abandonment {
    /// The stable code.
    pub code: AbandonCode,
    /// Whose fault it is. A drand chain keeps its rounds for ever, so anybody can see whether the beacon existed.
    pub blame: Blame,
    /// What was waited for, and what was last heard of it.
    pub detail: String,
}

/// The codes of abandoned rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AbandonCode {
    /// The beacon didn't come in `beacon_seconds_max`.
    BeaconMissing,
}

impl RoundClosed {
    /// The leaf of a round of these terms.
    ///
    /// # Errors
    /// When the terms make no sense.
    pub fn new(
        competition: CompetitionId,
        terms: &Terms,
        secret: &Secret,
        closed_at: u64,
    ) -> Result<Self, CommitError> {
        let opening = terms.open(secret, TermsPart::Beacon)?;
        let salt = opening.leaf.first_chunk::<32>().copied().ok_or(CommitError::Leaf { bytes: opening.leaf.len() })?;
        Ok(Self {
            competition,
            round: terms.round,
            closed_at,
            beacon: terms.beacon.clone(),
            salt: salt.into(),
            proof: opening.proof.into_iter().map(Digest::from).collect(),
        })
    }

    /// Checks that the round was bound to this very beacon by what was published when it opened.
    ///
    /// # Errors
    /// When the commitment is another round's, or to another beacon.
    pub fn check(&self, commitment: &RoundCommitment) -> Result<(), CommitError> {
        let other = |what, expected: &str, found: String| CommitError::Other { what, expected: expected.into(), found };
        if commitment.competition != self.competition.as_ref() {
            return Err(other("competition", self.competition.as_ref(), commitment.competition.clone()));
        }
        if commitment.round != self.round {
            return Err(other("round", &self.round.to_string(), commitment.round.to_string()));
        }
        let leaf = [&self.salt.as_bytes()[..], &canonical(&self.beacon)].concat();
        let proof = self.proof.iter().map(|hash| *hash.as_bytes()).collect();
        commitment.check_opening(TermsPart::Beacon, &Opening { leaf, proof }).map(|_| ())
    }
}
