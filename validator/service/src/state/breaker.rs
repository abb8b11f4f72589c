//! What is known of this validator's parts: whether anything can be measured now. It does not know how that is found out.

use protocol::CompetitionId;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What is known of this validator's parts.
#[derive(Debug)]
pub struct Breaker(watch::Sender<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nobody looked yet.
    Nothing,
    Works,
    Broken(Fault),
}

/// Why nothing can be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What doesn't work, and why: for the operator.
    pub problem: String,
    /// The same for everybody: what, and nothing of this machine.
    pub in_public: String,
    /// Whose models and data show it.
    pub competition: Option<CompetitionId>,
    /// Since when, in Unix seconds.
    pub since: u64,
}

impl Default for Breaker {
    fn default() -> Self {
        Self(watch::Sender::new(Known::Nothing))
    }
}

impl Breaker {
    /// Why nothing is handed out, if that is so.
    pub fn fault(&self) -> Option<Fault> {
        match &*self.0.borrow() {
            Known::Broken(fault) => Some(fault.clone()),
            Known::Nothing | Known::Works => None,
        }
    }

    /// Whether somebody looked by now.
    pub fn has_looked(&self) -> bool {
        *self.0.borrow() != Known::Nothing
    }

    /// Waits while something is broken.
    pub async fn whole(&self, stop: &CancellationToken) {
        let mut known = self.0.subscribe();
        tokio::select! {
            // The sender lives as long as this does.
            _ = known.wait_for(|known| !matches!(known, Known::Broken(_))) => {}
            () = stop.cancelled() => {}
        }
    }

    /// Everything works; what was broken until now, if something was.
    pub fn works(&self) -> Option<Fault> {
        match self.0.send_replace(Known::Works) {
            Known::Broken(fault) => Some(fault),
            Known::Nothing | Known::Works => None,
        }
    }

    /// Something is broken at `now`; whether that is news.
    pub fn broken(&self, (problem, in_public): (String, String), competition: Option<CompetitionId>, now: u64) -> bool {
        self.0.send_if_modified(|known| {
            let since = match known {
                Known::Broken(fault) if fault.problem == problem => return false,
                Known::Broken(fault) => fault.since,
                Known::Nothing | Known::Works => now,
            };
            *known = Known::Broken(Fault { problem, in_public, competition, since });
            true
        })
    }

    /// Follows what is known.
    pub fn watch(&self) -> watch::Receiver<Known> {
        self.0.subscribe()
    }
}
