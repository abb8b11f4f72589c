//! Whose turn it is to be told, and how many are told at once.
//!
//! A turn is one event for one webhook; then it is the next one's turn, however much the first one hasn't heard. Those that
//! take long have a lane of their own, so that they hold up each other and nobody else; so have addresses that were never
//! heard of. It knows names, and sends nothing.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// How long a webhook that took long stays among the slow ones.
const SLOW_FOR: Duration = Duration::from_secs(600);

/// Where a webhook waits for its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// For addresses that haven't answered their challenge.
    Challenge,
    /// For those that answer soon.
    Quick,
    /// For those that didn't.
    Slow,
}

impl Lane {
    const ALL: [Self; 3] = [Self::Challenge, Self::Quick, Self::Slow];

    /// Turns at once.
    const fn places(self) -> usize {
        match self {
            Self::Challenge | Self::Slow => 4,
            Self::Quick => 8,
        }
    }

    /// How long a turn may take.
    pub(super) const fn budget(self) -> Duration {
        match self {
            Self::Challenge => Duration::from_secs(5),
            Self::Quick => Duration::from_secs(2),
            Self::Slow => Duration::from_secs(10),
        }
    }
}

/// A webhook whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Turn {
    pub(super) id: String,
    pub(super) lane: Lane,
}

/// Who waits, whose turn it is, and who is slow.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    waiting: [VecDeque<String>; Lane::ALL.len()],
    /// Whoever waits or has its turn, each in one lane.
    known: HashMap<String, Lane>,
    turns: [usize; Lane::ALL.len()],
    slow_until: HashMap<String, Instant>,
}

impl Lanes {
    /// Lets a webhook wait for its turn, unless it does or has it.
    pub(super) fn add(&mut self, id: String, confirmed: bool, now: Instant) {
        if self.known.contains_key(&id) {
            return;
        }
        let lane = match confirmed {
            false => Lane::Challenge,
            true if self.slow_until.get(&id).is_some_and(|until| now < *until) => Lane::Slow,
            true => Lane::Quick,
        };
        self.waiting[lane as usize].push_back(id.clone());
        self.known.insert(id, lane);
    }

    /// The next turn that there is a place for.
    pub(super) fn next(&mut self) -> Option<Turn> {
        let lane = Lane::ALL
            .into_iter()
            .find(|lane| self.turns[*lane as usize] < lane.places() && !self.waiting[*lane as usize].is_empty())?;
        let id = self.waiting[lane as usize].pop_front()?;
        self.turns[lane as usize] += 1;
        Some(Turn { id, lane })
    }

    /// A turn ended, and whether it took too long for the lane of the quick ones.
    pub(super) fn ended(&mut self, turn: &Turn, took_long: bool, now: Instant) {
        self.turns[turn.lane as usize] -= 1;
        self.known.remove(&turn.id);
        self.slow_until.retain(|_, until| now < *until);
        if took_long {
            self.slow_until.insert(turn.id.clone(), now + SLOW_FOR);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_turn_each_and_the_slow_ones_among_themselves() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        for id in 0..20 {
            lanes.add(format!("{id}"), true, now);
            lanes.add(format!("{id}"), true, now);
        }
        let first: Vec<Turn> = std::iter::from_fn(|| lanes.next()).collect();
        assert_eq!(first.len(), 8, "so many at once, and each once");
        // All of them take long, and are due again at once.
        for turn in &first {
            lanes.ended(turn, true, now);
            lanes.add(turn.id.clone(), true, now);
        }
        let second: Vec<Turn> = std::iter::from_fn(|| lanes.next()).collect();
        let of = |lane: Lane| second.iter().filter(|turn| turn.lane == lane).count();
        assert_eq!((of(Lane::Quick), of(Lane::Slow)), (8, 4));
        assert!(
            second.iter().filter(|turn| turn.lane == Lane::Quick).all(|turn| !first.iter().any(|it| it.id == turn.id))
        );
        // After a while they may try again.
        second.iter().for_each(|turn| lanes.ended(turn, false, now));
        let later = now + SLOW_FOR;
        let again = second.iter().find(|turn| turn.lane == Lane::Slow).unwrap();
        lanes.add(again.id.clone(), true, later);
        assert_eq!(lanes.known[&again.id], Lane::Quick);
    }

    #[test]
    fn addresses_that_never_answered_hold_up_nobody() {
        let (mut lanes, now) = (Lanes::default(), Instant::now());
        (0..100).for_each(|id| lanes.add(format!("new {id}"), false, now));
        lanes.add("old".into(), true, now);
        let turns: Vec<Turn> = std::iter::from_fn(|| lanes.next()).collect();
        assert_eq!(turns.len(), 5);
        assert!(turns.contains(&Turn { id: "old".into(), lane: Lane::Quick }));
    }
}
