//! The `[reward]` table of a manifest: a policy with its numbers, and modifiers.
//!
//! Written flat, as people write it; parsed, a policy has its own numbers and no others'. It does NOT pay.

use super::ladder::LADDER_PPM;
use super::last_champions::CHAMPIONS;
use super::shares::percent;
use super::{BurnWeakMargin, Frontier, LastChampions, WHOLE_PPM};
use serde::{Deserialize, Serialize};
use std::fmt;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// How a round is paid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written", into = "Written")]
pub struct RewardRules {
    /// How standings become weights.
    pub policy: RewardPolicy,
    /// Burns part of a weak winner's share.
    pub burn_weak_margin: Option<BurnWeakMargin>,
    /// The most that one hotkey gets, parts per million; what exceeds it is burnt.
    pub owner_cap_ppm: Option<u32>,
}

/// How standings become weights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RewardPolicy {
    /// Everything to the champion.
    #[default]
    WinnerTakesAll,
    /// 30, 20, 14, 11, 9, 7, 5 and 4 % to the first eight.
    Ladder,
    /// Shares for the last five distinct champions.
    LastChampions(LastChampions),
    /// Shares by what was added to the frontier, fading with time.
    Frontier(Frontier),
}

impl Default for RewardRules {
    /// A manifest without `[reward]`: all to the champion, by the margin with which it passed the best paid before it.
    fn default() -> Self {
        Self { burn_weak_margin: Some(BurnWeakMargin::default()), ..RewardPolicy::WinnerTakesAll.into() }
    }
}

impl RewardRules {
    /// Says what is wrong with the numbers, if anything.
    ///
    /// # Errors
    /// A sentence for the manifest's author.
    pub fn check(&self) -> Result<(), String> {
        match &self.policy {
            RewardPolicy::WinnerTakesAll | RewardPolicy::Ladder => {}
            RewardPolicy::LastChampions(rules) => rules.check()?,
            RewardPolicy::Frontier(rules) => rules.check()?,
        }
        self.burn_weak_margin.as_ref().map_or(Ok(()), BurnWeakMargin::check)?;
        match self.owner_cap_ppm {
            Some(cap) if !(1..=WHOLE_PPM).contains(&cap) => {
                Err(format!("owner_cap_ppm is {cap}, not 1 to {WHOLE_PPM}: leave it out for no cap"))
            }
            _ => Ok(()),
        }
    }

    /// What keeps these rules from deciding about money among strangers: fixed shares for several can be had by one of them
    /// under several coldkeys, and nothing sees that they are one person's.
    pub fn weakness(&self) -> Option<&'static str> {
        match self.policy {
            RewardPolicy::Ladder => Some(
                "the ladder pays models of several grades under several coldkeys more than the best of them; where keys are \
                 strangers', pay by winner_takes_all or frontier",
            ),
            RewardPolicy::LastChampions(_) if self.burn_weak_margin.is_none() => Some(
                "without burn_weak_margin one who comes to the seat in several steps, a key each, is paid for each of them",
            ),
            _ => None,
        }
    }
}

impl From<RewardPolicy> for RewardRules {
    /// Without modifiers.
    fn from(policy: RewardPolicy) -> Self {
        Self { policy, burn_weak_margin: None, owner_cap_ppm: None }
    }
}

impl fmt::Display for RewardRules {
    /// For people: `ladder: 30, 20, 14, 11, 9, 7, 5, 4 % to the first 8; at most 50 % to one owner`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shares = |shares: &[u32]| shares.iter().map(|ppm| percent(*ppm)).collect::<Vec<_>>().join(", ");
        match &self.policy {
            RewardPolicy::WinnerTakesAll => write!(f, "winner takes all")?,
            RewardPolicy::Ladder => {
                write!(f, "ladder: {}\u{a0}% to the first {}", shares(&LADDER_PPM), LADDER_PPM.len())?;
            }
            RewardPolicy::LastChampions(rules) => {
                write!(f, "last champions: {}\u{a0}% to the last {CHAMPIONS}", shares(&rules.shares_ppm))?;
            }
            RewardPolicy::Frontier(rules) => {
                let (least, half_life) = (percent(rules.min_gain_ppm), rules.half_life_rounds);
                write!(f, "frontier: by what was added to it, at least {least}\u{a0}%, half after {half_life} rounds")?;
            }
        }
        if self.burn_weak_margin.is_some() {
            write!(f, "; part of a weak winner's share is burnt")?;
        }
        self.owner_cap_ppm.map_or(Ok(()), |cap| write!(f, "; at most {}\u{a0}% to one owner", percent(cap)))
    }
}

/// How standings become weights.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = RewardPolicy)]
enum Name {
    WinnerTakesAll,
    Ladder,
    LastChampions,
    Frontier,
}

/// How a round is paid. Absent fields take the policy's defaults.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The policy by its name.
    policy: Name,
    /// `last_champions`: shares for the present champion, the one before it and so on, parts per million.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, min_items = 5, max_items = 5)]
    shares_ppm: Option<[u32; CHAMPIONS]>,
    /// `frontier`: rounds after which a gain counts half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    half_life_rounds: Option<u64>,
    /// `frontier`: what a model must add at least, parts per million of the box.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    min_gain_ppm: Option<u32>,
    /// `frontier`: how much worse than its nearest dominator a model may be on any axis.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    tolerance_ppm: Option<u32>,
    /// Burns part of a weak winner's share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    burn_weak_margin: Option<BurnWeakMargin>,
    /// The most that one hotkey gets, parts per million; what exceeds it is burnt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    owner_cap_ppm: Option<u32>,
}

/// As they are written.
impl PartialSchema for RewardRules {
    fn schema() -> RefOr<Schema> {
        Written::schema()
    }
}

impl ToSchema for RewardRules {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Written::schemas(schemas);
    }
}

impl TryFrom<Written> for RewardRules {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let fields = [
            ("shares_ppm", written.shares_ppm.is_some(), Name::LastChampions, "last_champions"),
            ("half_life_rounds", written.half_life_rounds.is_some(), Name::Frontier, "frontier"),
            ("min_gain_ppm", written.min_gain_ppm.is_some(), Name::Frontier, "frontier"),
            ("tolerance_ppm", written.tolerance_ppm.is_some(), Name::Frontier, "frontier"),
        ];
        if let Some((field, .., policy)) = fields.iter().find(|(_, given, of, _)| *given && *of != written.policy) {
            return Err(format!("`{field}` belongs to the policy `{policy}`"));
        }
        let policy = match written.policy {
            Name::WinnerTakesAll => RewardPolicy::WinnerTakesAll,
            Name::Ladder => RewardPolicy::Ladder,
            Name::LastChampions => {
                let shares_ppm = written.shares_ppm.unwrap_or(LastChampions::default().shares_ppm);
                RewardPolicy::LastChampions(LastChampions { shares_ppm })
            }
            Name::Frontier => {
                let defaults = Frontier::default();
                RewardPolicy::Frontier(Frontier {
                    half_life_rounds: written.half_life_rounds.unwrap_or(defaults.half_life_rounds),
                    min_gain_ppm: written.min_gain_ppm.unwrap_or(defaults.min_gain_ppm),
                    tolerance_ppm: written.tolerance_ppm,
                })
            }
        };
        Ok(Self { policy, burn_weak_margin: written.burn_weak_margin, owner_cap_ppm: written.owner_cap_ppm })
    }
}

impl From<RewardRules> for Written {
    fn from(rules: RewardRules) -> Self {
        let RewardRules { policy, burn_weak_margin, owner_cap_ppm } = rules;
        let mut written = Self {
            policy: Name::WinnerTakesAll,
            shares_ppm: None,
            half_life_rounds: None,
            min_gain_ppm: None,
            tolerance_ppm: None,
            burn_weak_margin,
            owner_cap_ppm,
        };
        match policy {
            RewardPolicy::WinnerTakesAll => {}
            RewardPolicy::Ladder => written.policy = Name::Ladder,
            RewardPolicy::LastChampions(rules) => {
                written.policy = Name::LastChampions;
                written.shares_ppm = Some(rules.shares_ppm);
            }
            RewardPolicy::Frontier(rules) => {
                written.policy = Name::Frontier;
                written.half_life_rounds = Some(rules.half_life_rounds);
                written.min_gain_ppm = Some(rules.min_gain_ppm);
                written.tolerance_ppm = rules.tolerance_ppm;
            }
        }
        written
    }
}
