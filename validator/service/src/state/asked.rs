//! The items that members of rounds are asked about, as they were last put together: a round asks all of its members the same.
//! It does not know where items come from, nor what is done with them.

use protocol::CompetitionId;
use protocol::evaluation::Items;
use std::collections::HashMap;
use store::db::work::Stage;
use tokio::sync::Mutex;

/// Competitions whose items are kept.
const KEPT_MAX: usize = 4;

/// The last items of each competition: of which round, and what they are for.
#[derive(Debug, Default)]
pub struct AskedItems(Mutex<HashMap<CompetitionId, ((u64, Stage), Items)>>);

impl AskedItems {
    /// What a round asks at a stage, if that is what was last kept of its competition.
    pub async fn of(&self, competition: &CompetitionId, asked: (u64, Stage)) -> Option<Items> {
        let kept = self.0.lock().await;
        kept.get(competition).filter(|(last, _)| *last == asked).map(|(_, items)| items.clone())
    }

    /// Keeps what a round asks, in the place of what its competition asked before.
    pub async fn keep(&self, competition: &CompetitionId, asked: (u64, Stage), items: Items) {
        let mut kept = self.0.lock().await;
        if kept.len() >= KEPT_MAX && !kept.contains_key(competition) {
            kept.clear();
        }
        kept.insert(competition.clone(), (asked, items));
    }

    /// Forgets what a competition asked: its round goes on.
    pub async fn forget(&self, competition: &CompetitionId) {
        self.0.lock().await.remove(competition);
    }
}
