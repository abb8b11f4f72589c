//! Who knows what hidden items are made of: what rounds may show, and how far they can be believed, follows from it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who knows the images and labels that hidden items are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HiddenPool {
    /// Everybody, as of a published data set: only the draw and the changes are hidden.
    #[default]
    Public,
    /// Nobody but the publisher. What a round reveals is known from then on, so it is fresh in no later one, and the pool
    /// lasts for a number of rounds.
    Private,
}

impl HiddenPool {
    /// What this pool doesn't keep miners from, to be said wherever the competition is shown.
    pub fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Public => Some(
                "its items are hidden by changes only; not for money: the images and their labels are known to the world, \
                 and whoever learns them with the changes gains by it",
            ),
            Self::Private => None,
        }
    }
}
