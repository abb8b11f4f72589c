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
    /// ln(candidate / reference) of each launch of its latest full measurement on the round's engine, billionths; none of who was
    /// never timed on it.
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

/// One model, or two, on the items that all of them answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pooled<const N: usize> {
    /// Each one's answers and launches; no item is public.
    pub models: [Outcomes; N],
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

    /// Its first `count` answers.
    pub fn first(&self, count: u32) -> Self {
        let count = count as usize;
        Self {
            right: self.right.iter().copied().take(count).collect(),
            js_micronats: self.js_micronats.iter().copied().take(count).collect(),
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
    /// To be screened by: who was never timed on the round's engine is taken to be as fast as the reference, so that it comes to be
    /// timed.
    #[must_use]
    pub fn to_screen(mut self) -> Self {
        if self.log_ratio_nanos.is_empty() {
            self.log_ratio_nanos.push(0);
        }
        self
    }

    /// This model alone on all that it answered of a stage since round `first`. `None` where that is nothing.
    pub fn pooled(&self, first: u64, drawn: &BTreeMap<u64, Drawn>, stage: Stage) -> Option<Pooled<1>> {
        pool([self], first, drawn, stage)
    }

    /// Both models on what both answered of a stage since round `first`, over the latest [`POOLED_ROUNDS_MAX`] rounds that
    /// they share. `None` where that is nothing.
    pub fn common(&self, other: &Self, first: u64, drawn: &BTreeMap<u64, Drawn>, stage: Stage) -> Option<Pooled<2>> {
        pool([self, other], first, drawn, stage)
    }
}

fn pool<const N: usize>(
    models: [&Evidence; N],
    first: u64,
    drawn: &BTreeMap<u64, Drawn>,
    stage: Stage,
) -> Option<Pooled<N>> {
    let mut pool =
        Pool { named: Vec::new(), answers: [const { (Vec::new(), Vec::new()) }; N], teacher_right: 0, rounds: 0 };
    let rounds = models.first()?.sheets.range(first..).rev();
    let shared = rounds.filter_map(|(round, _)| {
        let items = drawn.get(round)?;
        let sheets: Vec<&Sheet> = models.iter().map(|model| model.sheets.get(round)).collect::<Option<_>>()?;
        let all = stage.range(items.cut);
        let answered = sheets.iter().map(|sheet| sheet.right.len()).min()?.min(items.teacher_right.len());
        let range = all.start..all.end.min(answered);
        (!range.is_empty()).then_some((*round, sheets, items, range))
    });
    for (round, sheets, items, range) in shared.take(POOLED_ROUNDS_MAX) {
        pool.add(round, &sheets, items, range)?;
    }
    pool.of(models)
}

/// Answers to the same items of several rounds.
struct Pool<const N: usize> {
    /// What the items are, so that only equal pools are ever compared.
    named: Vec<u8>,
    answers: [(Vec<bool>, Vec<u32>); N],
    teacher_right: u32,
    rounds: u32,
}

impl<const N: usize> Pool<N> {
    fn add(&mut self, round: u64, sheets: &[&Sheet], drawn: &Drawn, range: Range<usize>) -> Option<()> {
        for ((right, js), sheet) in self.answers.iter_mut().zip(sheets) {
            right.extend_from_slice(sheet.right.get(range.clone())?);
            js.extend_from_slice(sheet.js_micronats.get(range.clone())?);
        }
        let teacher = drawn.teacher_right.get(range.clone())?;
        self.teacher_right += teacher.iter().filter(|right| **right).count() as u32;
        self.rounds += 1;
        self.named.extend([round, range.start as u64, range.end as u64].iter().flat_map(|number| number.to_le_bytes()));
        Some(())
    }

    fn of(self, models: [&Evidence; N]) -> Option<Pooled<N>> {
        let items = self.answers.first().map_or(0, |(right, _)| right.len());
        let images_sha256 = Digest::of(&[b"retort-pooled/1 ", self.named.as_slice()].concat());
        let mut models = models.into_iter();
        let outcomes = self.answers.map(|(right, js_micronats)| {
            let of = models.next()?;
            let (size_bytes, log_ratio_nanos) = (of.size_bytes, of.log_ratio_nanos.clone());
            let values =
                OutcomeValues { images_sha256, size_bytes, public_items: 0, right, js_micronats, log_ratio_nanos };
            Outcomes::new(values).ok()
        });
        let outcomes: Vec<Outcomes> = outcomes.into_iter().collect::<Option<_>>()?;
        Some(Pooled {
            models: outcomes.try_into().ok()?,
            ceiling: Ceiling { correct: self.teacher_right, items: u32::try_from(items).ok()? },
            rounds: self.rounds,
        })
    }
}
