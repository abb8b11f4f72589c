//! Where something was done from, and how much is held from there.
//!
//! What is counted here outlives a restart and is bounded by shares, which are somebody else's business. No address stands
//! in the database, only digests that are equal where addresses are.

use super::{Db, DbError, Tx};
use sqlx::FromRow;

/// An address and the networks that it lies in, as keyed digests. An address of IPv4 is its own network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, FromRow)]
pub struct Origin {
    /// The address, or its /64 of IPv6.
    pub address: String,
    /// Its /56.
    pub network_56: String,
    /// Its /48.
    pub network_48: String,
}

/// What is held from one origin.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromRow)]
pub struct Held {
    /// From the address.
    pub address: u64,
    /// From whichever of its wider networks holds more; for IPv4 the same.
    pub network: u64,
}

/// What there may be only so much of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Submissions whose files are still to come.
    Announcements,
    /// Hotkeys with submissions that wait for us: each has one place, with however many.
    Waiting,
    /// Webhooks that haven't ended.
    Webhooks,
    /// Those of them whose address hasn't answered its challenge.
    Challenges,
}

/// A question for all, and one for what comes from an address, its /56 and its /48.
macro_rules! questions {
    ($what:literal, $of:literal) => {
        [
            concat!("SELECT count(", $what, ") FROM ", $of),
            concat!(
                "SELECT count(",
                $what,
                ") FILTER (WHERE address = $1) AS address,
                 max(count(",
                $what,
                ") FILTER (WHERE network_56 = $2), count(",
                $what,
                ") FILTER (WHERE network_48 = $3))
                 AS network FROM ",
                $of
            ),
        ]
    };
}

impl Counted {
    fn questions(self) -> [&'static str; 2] {
        match self {
            Self::Announcements => questions!("*", "submissions WHERE state = 'awaiting_upload'"),
            Self::Waiting => {
                questions!("DISTINCT hotkey", "submissions WHERE state IN ('checking', 'queued', 'evaluating')")
            }
            Self::Webhooks => questions!("*", "webhooks WHERE ended IS NULL"),
            Self::Challenges => questions!("*", "webhooks WHERE ended IS NULL AND confirmed_at IS NULL"),
        }
    }
}

/// How much there is of it.
///
/// # Errors
/// When the database fails.
pub async fn all(tx: &mut Tx, what: Counted) -> Result<u64, DbError> {
    let [all, _] = what.questions();
    Ok(sqlx::query_scalar(all).fetch_one(&mut **tx).await?)
}

/// How much of it is held from `origin`.
///
/// # Errors
/// When the database fails.
pub async fn held(tx: &mut Tx, what: Counted, origin: &Origin) -> Result<Held, DbError> {
    let [_, held] = what.questions();
    let Origin { address, network_56, network_48 } = origin;
    let asked = sqlx::query_as(held).bind(address).bind(network_56).bind(network_48);
    Ok(asked.fetch_one(&mut **tx).await?)
}

impl Db {
    /// How much there is of it, for whoever only looks.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn counted(&self, what: Counted) -> Result<u64, DbError> {
        let [all, _] = what.questions();
        Ok(sqlx::query_scalar(all).fetch_one(self.pool()).await?)
    }
}
