//! A field of models that live over rounds, screened as rounds do: what the simulations share. The validator does the same
//! with measurements in between (`validator/service/src/rounds/screen.rs`).
//!
//! It does NOT know where answers come from, nor who wins.

use crate::evidence::{Drawn, Sheet, Stage};
use crate::round::{Contestant, Referee};
use crate::screening::{Candidate, Selection, finalists, select};
use protocol::Hotkey;
use protocol::round::{Cut, EntryRole, RoundRules};
use std::collections::BTreeMap;

/// Models by their order, and what rounds have shown of them.
#[derive(Debug, Default)]
pub(crate) struct Field {
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) drawn: BTreeMap<u64, Drawn>,
    waited: Vec<u32>,
    decided: Vec<bool>,
}

impl Field {
    pub(crate) fn of(contestants: Vec<Contestant>) -> Self {
        let mut field = Self::default();
        contestants.into_iter().for_each(|contestant| field.enter(contestant));
        field
    }

    pub(crate) fn enter(&mut self, contestant: Contestant) {
        self.contestants.push(contestant);
        self.waited.push(0);
        self.decided.push(false);
    }

    /// Whether any round decided it.
    pub(crate) fn was_decided(&self, index: usize) -> bool {
        self.decided.get(index).copied().unwrap_or(false)
    }

    /// Screens round `number`: asks for the first items, twice, then for all of the champion and of those that are decided.
    /// `ask` gives a model's answers to so many of the first items; nothing for one that takes no part. Roles are set and
    /// waiting is counted. `out` is who is below the gate beyond doubt by now.
    pub(crate) fn screen(
        &mut self,
        referee: &Referee,
        rules: &RoundRules,
        (number, cut): (u64, Cut),
        champion: Option<usize>,
        ask: impl Fn(usize, u32) -> Option<Sheet>,
    ) -> (Selection<usize>, Vec<usize>) {
        let owner = champion.and_then(|index| self.contestants.get(index)).map(|it| it.owner);
        let lives = |index: &usize| Some(*index) != champion && ask(*index, 0).is_some();
        let living: Vec<usize> = (0..self.contestants.len()).filter(lives).collect();
        self.ask(number, &ask, cut.all, champion.as_slice());
        self.ask(number, &ask, cut.first, &living);
        let first = finalists(self.candidates(referee, &living), rules, owner.as_ref());
        self.ask(number, &ask, cut.second, &first);
        let selection = select(self.candidates(referee, &living), rules, owner.as_ref());
        self.ask(number, &ask, cut.all, &selection.decided);
        for index in &living {
            let decided = selection.decided.contains(index);
            self.take(*index, if decided { EntryRole::Challenger } else { EntryRole::Screened });
        }
        champion.into_iter().for_each(|index| self.take(index, EntryRole::Champion));
        let out = living.into_iter().filter(|index| self.is_out(referee, *index)).collect();
        (selection, out)
    }

    fn take(&mut self, index: usize, role: EntryRole) {
        if let Some(contestant) = self.contestants.get_mut(index) {
            contestant.role = role;
        }
        match (role, self.waited.get_mut(index), self.decided.get_mut(index)) {
            (EntryRole::Challenger, _, Some(decided)) => *decided = true,
            (EntryRole::Screened, Some(waited), _) => *waited += 1,
            _ => {}
        }
    }

    fn is_out(&self, referee: &Referee, index: usize) -> bool {
        let contestant = self.contestants.get(index);
        contestant.and_then(|it| referee.merit(&it.evidence, Stage::All)).is_some_and(|merit| merit.out_of_reach)
    }

    /// Asks some for the first items of a round.
    fn ask(&mut self, number: u64, ask: impl Fn(usize, u32) -> Option<Sheet>, items: u32, whom: &[usize]) {
        for index in whom {
            if let (Some(contestant), Some(sheet)) = (self.contestants.get_mut(*index), ask(*index, items)) {
                contestant.evidence.sheets.insert(number, sheet);
            }
        }
    }

    fn candidates(&self, referee: &Referee, living: &[usize]) -> Vec<Candidate<usize>> {
        let candidate = |index: &usize| {
            let contestant = self.contestants.get(*index).filter(|it| it.copy_of.is_none())?;
            let merit = referee.merit(&contestant.evidence, Stage::Screening)?;
            merit.above_gate.then(|| Candidate {
                key: *index,
                owner: contestant.owner,
                arrival: contestant.arrival,
                composite_ppm: merit.composite_ppm,
                waited_rounds: self.waited.get(*index).copied().unwrap_or(0),
                decided_before: self.was_decided(*index),
            })
        };
        living.iter().filter_map(candidate).collect()
    }
}

/// A hotkey, and an owner, of a number.
pub(crate) fn key_of(number: usize) -> Hotkey {
    let mut key = [0; 32];
    for (byte, value) in key.iter_mut().zip((number as u64).to_le_bytes()) {
        *byte = value;
    }
    Hotkey::from_bytes(key)
}
