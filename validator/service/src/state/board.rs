//! Leaderboards as they are served, kept until a score or a verdict changes them. It does not know how they are ranked.

use protocol::api::{BoardRow, Leaderboard};
use protocol::{CompetitionId, SubmissionId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use store::ready::Ready;

/// Bytes of boards, as they are served, that are kept; their rows are about as much again. Five boards of a thousand rows.
const KEPT_BYTES_MAX: usize = 8 << 20;

/// A leaderboard as it is served.
#[derive(Debug)]
pub struct Served {
    /// The board.
    pub leaderboard: Leaderboard,
    /// As JSON.
    pub json: Ready,
    /// As CSV.
    pub csv: Ready,
    /// Scored submissions that it was made of.
    pub scored: u64,
    /// Whether everything that it is made of could be read.
    pub complete: bool,
}

impl Served {
    /// The rank of every submission that has one.
    pub fn ranks(&self) -> HashMap<SubmissionId, u32> {
        let ranked = |row: &BoardRow| Some((row.submission.clone()?, row.rank?));
        self.leaderboard.rows.iter().filter_map(ranked).collect()
    }
}

/// The boards that are kept, at most 8 MiB of them or one: old competitions stay for ever, and are seldom
/// asked for.
#[derive(Debug, Default)]
pub struct Board {
    kept: RwLock<HashMap<CompetitionId, Arc<Served>>>,
    /// Counts changes, so that a board computed before one isn't kept after it.
    generation: AtomicU64,
    /// Counts acts by hand.
    by_hand: AtomicU64,
    /// Held while missing replicates are drawn, so that many requests draw them once.
    pub drawing: tokio::sync::Mutex<()>,
}

impl Board {
    /// Forgets a competition's board after a new score or verdict.
    pub fn changed(&self, competition: &CompetitionId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(competition);
    }

    /// Forgets all boards after an act of the operator, who may have been another process.
    pub fn changed_by_hand(&self) {
        self.by_hand.fetch_add(1, Ordering::SeqCst);
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// How often boards were changed by hand.
    pub fn by_hand(&self) -> u64 {
        self.by_hand.load(Ordering::SeqCst)
    }

    /// Counts changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// The board that is kept.
    pub fn kept(&self, competition: &CompetitionId) -> Option<Arc<Served>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).get(competition).cloned()
    }

    /// Keeps a board that was begun at this generation, unless something changed since.
    pub fn keep(&self, generation: u64, competition: &CompetitionId, served: &Arc<Served>) {
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        if self.generation() == generation {
            kept.insert(competition.clone(), Arc::clone(served));
        }
        while kept.values().map(|served| served.json.bytes() + served.csv.bytes()).sum::<usize>() > KEPT_BYTES_MAX {
            // Whichever the map names first is as good as another: it costs one ranking when it is asked for again.
            let Some(other) = kept.keys().find(|kept| *kept != competition).cloned() else { break };
            kept.remove(&other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_boards_of_many_competitions_are_kept_within_bounds_and_the_newest_is_among_them() {
        let board = Board::default();
        let served = Arc::new(Served {
            leaderboard: Leaderboard {
                competition: "digits".parse().unwrap(),
                rows: Vec::new(),
                champion: None,
                leader: None,
                last_round: None,
                divisions: Vec::new(),
            },
            json: Ready::new("7".repeat(KEPT_BYTES_MAX / 8)),
            csv: Ready::new(String::new()),
            scored: 1,
            complete: true,
        });
        for number in 0..20 {
            let competition = format!("digits-{number}").parse().unwrap();
            board.keep(0, &competition, &served);
            assert!(board.kept(&competition).is_some());
        }
        assert_eq!(board.kept.read().unwrap().len(), 7);
    }
}
