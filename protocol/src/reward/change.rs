//! A change of the reward takes effect at a round that is named when it is published, never in the current one.

use super::RewardRules;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Other rules from a named round on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PolicyChange {
    /// The first round that is paid by them.
    pub from_round: u64,
    /// The rules.
    pub reward: RewardRules,
}

/// The rules of all rounds: those of the manifest, and announced changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Before any change.
    pub first: RewardRules,
    /// By rising round; each round once.
    #[serde(default)]
    changes: Vec<PolicyChange>,
}

/// Why a change is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// Miners already work for that round, or were paid for it.
    #[error("a change from round {from_round} comes too late in round {current}: name round {} or a later one", .current.saturating_add(1))]
    TooLate {
        /// The round that was named.
        from_round: u64,
        /// The round that runs.
        current: u64,
    },
    /// Another change was announced for that round, and miners rely on it.
    #[error("another change was announced for round {0}")]
    Announced(u64),
    /// The rules make no sense.
    #[error("reward: {0}")]
    Rules(String),
}

impl Schedule {
    /// The manifest's rules until a change is announced.
    pub fn new(first: RewardRules) -> Self {
        Self { first, changes: Vec::new() }
    }

    /// The rules that pay a round.
    pub fn policy_at(&self, round: u64) -> &RewardRules {
        let begun = self.changes.iter().filter(|change| change.from_round <= round);
        begun.max_by_key(|change| change.from_round).map_or(&self.first, |change| &change.reward)
    }

    /// The announced changes, by rising round.
    pub fn changes(&self) -> &[PolicyChange] {
        &self.changes
    }

    /// Announces a change while round `current` runs.
    ///
    /// # Errors
    /// When it is for the current round or a past one, for a round that has one, or when its rules make no sense.
    pub fn announce(&mut self, change: PolicyChange, current: u64) -> Result<(), ChangeError> {
        let from_round = change.from_round;
        if from_round <= current {
            return Err(ChangeError::TooLate { from_round, current });
        }
        change.reward.check().map_err(ChangeError::Rules)?;
        match self.changes.binary_search_by_key(&from_round, |announced| announced.from_round) {
            Ok(_) => Err(ChangeError::Announced(from_round)),
            Err(place) => {
                self.changes.insert(place, change);
                Ok(())
            }
        }
    }
}
