//! Beacons of drand, fetched from a relay: over HTTP, in bounded time and bytes, and believed only for their signature.
//!
//! A relay can withhold a round and can't forge one. The operator names it (`drand_url`), so it may lie in a closed network.
//! What fails is asked for again, later and later. It does not know which round needs what.

use datasets::hidden::{DrandChain, DrandError, DrandRound};
use reqwest::redirect::Policy;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

/// A relay answers within this time or not at all.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read: a round has some 300.
const ANSWER_BYTES_MAX: usize = 4_096;
/// The pause after the first failure, and the longest: twice as long after each.
const PAUSE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// A relay whose latest round is older than this is no help: it doesn't follow its chain.
const STALE_SECONDS: u64 = 300;

/// Asks a relay.
pub struct Relay {
    client: reqwest::Client,
    base: Option<Url>,
    /// Rounds that weren't there, and when to ask again.
    pauses: Mutex<HashMap<u64, Pause>>,
}

#[derive(Clone, Copy)]
struct Pause {
    until: Instant,
    length: Duration,
}

/// Why a round isn't there.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The settings name none.
    #[error("no `drand_url` is set and nobody has handed it in (retort validator round beacon)")]
    NotSet,
    /// It was asked a moment ago.
    #[error("the relay was asked a moment ago")]
    Resting,
    /// No answer.
    #[error("the relay: {0}")]
    Unreachable(&'static str),
    /// It has no such round, or none yet.
    #[error("the relay has no round {round}: its answer is {status}")]
    Absent {
        /// The round.
        round: String,
        /// The HTTP status.
        status: u16,
    },
    /// More than a round can be.
    #[error("the relay's answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    /// Another round than was asked for.
    #[error("the relay sent round {found} instead of {expected}")]
    Other {
        /// The round that was asked for.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// Nothing that the chain published.
    #[error("the relay's answer: {0}")]
    Drand(#[from] DrandError),
    /// It doesn't follow the chain.
    #[error("the relay's latest round is {0} s old: it doesn't follow the chain")]
    Stale(u64),
}

impl Relay {
    /// The relay at `url`, or none where that is empty.
    pub fn new(url: &str) -> Result<Self, reqwest::Error> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("retort/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self { client, base: Url::parse(url).ok(), pauses: Mutex::default() })
    }

    /// A round of `chain`, genuine. After a failure the relay is left alone for a while ([`RelayError::Resting`]).
    pub async fn round(&self, chain: &DrandChain, round: u64) -> Result<DrandRound, RelayError> {
        let now = Instant::now();
        if self.pauses().get(&round).is_some_and(|pause| now < pause.until) {
            return Err(RelayError::Resting);
        }
        let published = self.ask(chain, &round.to_string()).await.and_then(|published| match published.round {
            found if found == round => Ok(published),
            found => Err(RelayError::Other { expected: round, found }),
        });
        let mut pauses = self.pauses();
        if published.is_ok() {
            pauses.remove(&round);
        } else {
            let (least, most) = PAUSE;
            let length = pauses.get(&round).map_or(least, |before| (before.length * 2).min(most));
            pauses.insert(round, Pause { until: Instant::now() + length, length });
        }
        published
    }

    /// Whether the relay follows `chain` at `now`, in Unix seconds.
    pub async fn check(&self, chain: &DrandChain, now: u64) -> Result<(), RelayError> {
        let latest = self.ask(chain, "latest").await?;
        let old = now.saturating_sub(chain.round_unix(latest.round));
        if old > STALE_SECONDS { Err(RelayError::Stale(old)) } else { Ok(()) }
    }

    /// What the relay says of a round, if its chain signed it.
    async fn ask(&self, chain: &DrandChain, round: &str) -> Result<DrandRound, RelayError> {
        let base = self.base.as_ref().ok_or(RelayError::NotSet)?;
        let path = format!("{}/public/{round}", hex::encode(chain.hash()));
        let url = base.join(&path).map_err(|_| RelayError::Unreachable("its address makes none for a round"))?;
        let mut answer = self.client.get(url).send().await.map_err(|error| failed(&error))?;
        if !answer.status().is_success() {
            return Err(RelayError::Absent { round: round.to_owned(), status: answer.status().as_u16() });
        }
        let mut read = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| failed(&error))? {
            if read.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(RelayError::TooLong);
            }
            read.extend_from_slice(&chunk);
        }
        let published = DrandRound::from_json(&read)?;
        chain.verify(&published)?;
        Ok(published)
    }

    fn pauses(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Pause>> {
        // A panic can't come between two changes: each is one call.
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In words of ours: the page shows them, and an error's own may hold what a name was resolved to.
fn failed(error: &reqwest::Error) -> RelayError {
    RelayError::Unreachable(match error {
        error if error.is_timeout() => "no answer in time",
        error if error.is_connect() => "no connection",
        _ => "the connection broke",
    })
}
