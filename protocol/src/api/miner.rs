//! A hotkey: what it calls itself, what it has done, and tokens for clients that can't sign.

use super::SubmissionSummary;
use crate::name::DisplayName;
use crate::submission::State;
use crate::{CompetitionId, Hotkey};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// `POST /api/v1/names`, signed; its answer is the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NameRequest {
    /// What the signer is called.
    pub name: DisplayName,
}

/// `POST /api/v1/tokens`, signed: a token for clients that can't sign, such as those of the Hugging Face Hub.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What its owner calls it: 1 to 64 printable ASCII characters.
    #[schema(min_length = 1, max_length = 64, pattern = "^[ -~]*$")]
    pub label: String,
    /// How long it is good: at most a year.
    #[schema(minimum = 1, maximum = 31536000)]
    pub expires_in_seconds: u64,
}

/// What a token may be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TokenScope {
    /// To enter submissions of its hotkey.
    Submit,
}

/// A token, without what opens anything: `GET /api/v1/tokens`, signed, lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its name: `DELETE /api/v1/tokens/{id}`, signed, ends it.
    pub id: String,
    /// For whom it submits.
    pub hotkey: Hotkey,
    /// What its owner calls it.
    pub label: String,
    /// What it may be used for.
    pub scope: TokenScope,
    /// When it was made.
    pub created_at: u64,
    /// Until when it is good.
    pub expires_at: u64,
}

/// The answer to a [`TokenRequest`]: the only time that the token itself is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// `Authorization: Bearer …`.
    pub token: String,
    /// What is known about it.
    #[serde(flatten)]
    pub view: TokenView,
}

/// `GET /api/v1/miners/{hotkey}`: what a hotkey has done here. Its submissions are a list of their own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinerView {
    /// Who.
    pub hotkey: Hotkey,
    /// What it calls itself.
    #[serde(default)]
    #[schema(required)]
    pub name: Option<String>,
    /// Its submissions by state; states without any are absent.
    pub submissions: BTreeMap<State, u64>,
    /// Its best in each competition where it has a rank.
    pub best: Vec<SubmissionSummary>,
    /// The seats that it holds.
    pub seats: Vec<CompetitionId>,
    /// What judged rounds pay it, newest first.
    pub rewards: Vec<MinerReward>,
}

/// What a round pays a hotkey.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MinerReward {
    /// Where.
    pub competition: CompetitionId,
    /// In which round.
    pub round: u64,
    /// Of everything that the round pays, parts per million.
    pub weight_ppm: u32,
    /// The ledger's number for it, once paid.
    pub epoch: Option<u64>,
    /// When the round came to its present step.
    pub at: u64,
}
