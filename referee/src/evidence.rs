//! What is known of a model on fresh items: its answers in each round that screened or decided it, and how two models
//! compare on those that both answered.
//!
//! A round's fresh items have one order, that of the draw. Whoever is screened answers a prefix of them, whoever is decided
//! all of them, so what two models have in common in a round is the shorter of the two. It does NOT know who they are.

use protocol::outcomes::{OutcomeValues, Outcomes};
use protocol::round::Cut;
use protocol::score::Ceiling;
use protocol::{Digest, significance};
use std::collections::BTreeMap;
use std::ops::Range;

/// Rounds over which evidence is pooled, the latest ones: items enough, and a bound on what a judgement costs.
pub const POOLED_ROUNDS_MAX: usize = 8;

/// A round's fresh items, as far as everybody's evidence rests on them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Where screening ends.
    pub cut: Cut,
    /// Whether the teacher was right, item by item.
    pub teacher_right: Vec<bool>,
}

/// One model's answers to the first fresh items of a round.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sheet {
    /// Whether each answer was right.
    pub right: Vec<bool>,
    /// Divergence from the teacher, millionths of a nat.
    pub js_micronats: Vec<u32>,
}

/// Everything that fresh items say of a model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Its answers, by round.
    pub sheets: BTreeMap<u64, Sheet>,
    /// ln(candidate / reference) of each launch of its latest full measurement, billionths.
    pub log_ratio_nanos: Vec<i64>,
    /// What it weighs, in the bytes that are scored.
    pub size_bytes: u64,
}

/// Which of a round's fresh items are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Those that choose who is decided.
    Screening,
    /// Those that decide.
    Deciding,
    /// All: how models stand.
    All,
}

impl Stage {
    fn range(self, cut: Cut) -> Range<usize> {
        let (second, all) = (cut.second as usize, cut.all as usize);
        match self {
            Self::Screening => 0..second,
            Self::Deciding => second..all,
            Self::All => 0..all,
        }
    }
}

/// Two models, or one with itself, on the items that both answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Common {
    /// The first one's answers and launches; no item is public.
    pub first: Outcomes,
    /// The other's.
    pub second: Outcomes,
    /// The teacher on the same items.
    pub ceiling: Ceiling,
    /// From how many rounds they are.
    pub rounds: u32,
}

impl Sheet {
    /// The fresh part of an evaluation's outcomes: what lies behind their public items.
    pub fn of(outcomes: &Outcomes) -> Self {
        let values = outcomes.values();
        let range = significance::Part::Hidden.range(values);
        Self {
            right: values.right.get(range.clone()).unwrap_or_default().to_vec(),
            js_micronats: values.js_micronats.get(range).unwrap_or_default().to_vec(),
        }
    }

    /// The same without the first `count` items, which weren't fresh.
    #[must_use]
    pub fn behind(mut self, count: u32) -> Self {
        let count = (count as usize).min(self.right.len());
        self.right.drain(..count);
        self.js_micronats.drain(..count.min(self.js_micronats.len()));
        self
    }
}

impl Evidence {
    /// The same without rounds before `first`: what counts against a champion begins with its reign.
    #[must_use]
    pub fn since(mut self, first: u64) -> Self {
        self.sheets = self.sheets.split_off(&first);
        self
    }

    /// This model alone on all that it answered of a stage. `None` where that is nothing, or it has no latency.
    pub fn pooled(&self, drawn: &BTreeMap<u64, Drawn>, stage: Stage) -> Option<Common> {
        self.common(self, drawn, stage)
    }

    /// Both models on what both answered of a stage, over the latest [`POOLED_ROUNDS_MAX`] rounds that they share.
    /// `None` where that is nothing.
    pub fn common(&self, other: &Self, drawn: &BTreeMap<u64, Drawn>, stage: Stage) -> Option<Common> {
        let mut pool = Pool::default();
        let shared = self.sheets.iter().rev().filter_map(|(round, own)| {
            let (others, items) = (other.sheets.get(round)?, drawn.get(round)?);
            let range = stage.range(items.cut);
            let answered = own.right.len().min(others.right.len()).min(items.teacher_right.len());
            let range = range.start..range.end.min(answered);
            (!range.is_empty()).then_some((*round, own, others, items, range))
        });
        for (round, own, others, items, range) in shared.take(POOLED_ROUNDS_MAX) {
            pool.add(round, own, others, items, range)?;
        }
        pool.common(self, other)
    }
}

/// Answers to the same items of several rounds.
#[derive(Default)]
struct Pool {
    /// What the items are, so that only equal pools are ever compared.
    named: Vec<u8>,
    first: (Vec<bool>, Vec<u32>),
    second: (Vec<bool>, Vec<u32>),
    teacher_right: u32,
    rounds: u32,
}

impl Pool {
    fn add(&mut self, round: u64, own: &Sheet, others: &Sheet, drawn: &Drawn, range: Range<usize>) -> Option<()> {
        for ((right, js), sheet) in [(&mut self.first, own), (&mut self.second, others)] {
            right.extend_from_slice(sheet.right.get(range.clone())?);
            js.extend_from_slice(sheet.js_micronats.get(range.clone())?);
        }
        let teacher = drawn.teacher_right.get(range.clone())?;
        self.teacher_right += teacher.iter().filter(|right| **right).count() as u32;
        self.rounds += 1;
        self.named.extend([round, range.start as u64, range.end as u64].iter().flat_map(|number| number.to_le_bytes()));
        Some(())
    }

    fn common(self, first: &Evidence, second: &Evidence) -> Option<Common> {
        let items = u32::try_from(self.first.0.len()).ok()?;
        let images_sha256 = Digest::of(&[b"retort-pooled/1 ", self.named.as_slice()].concat());
        let outcomes = |(right, js_micronats): (Vec<bool>, Vec<u32>), of: &Evidence| {
            let (size_bytes, log_ratio_nanos) = (of.size_bytes, of.log_ratio_nanos.clone());
            let values =
                OutcomeValues { images_sha256, size_bytes, public_items: 0, right, js_micronats, log_ratio_nanos };
            Outcomes::new(values).ok()
        };
        Some(Common {
            first: outcomes(self.first, first)?,
            second: outcomes(self.second, second)?,
            ceiling: Ceiling { correct: self.teacher_right, items },
            rounds: self.rounds,
        })
    }
}
