//! Strategies: which packages an agent enters, when, and under which of its owners' keys.
//!
//! An owner is a coldkey; one person may have many, and nothing in the protocol sees that, so splitters have as many as they
//! like. It does NOT know what anything earns.

/// Who is a copy of whom: entries of one kin are recognised as copies, the earliest being the original.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kin {
    /// The model that it is, or comes from.
    pub of: &'static str,
    /// 0: recognised. Otherwise a model of its own, or one that nobody recognises; each number is its own kin.
    pub apart: u32,
}

/// A package that is entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What answers.
    pub package: &'static str,
    /// Whose copy it is.
    pub kin: Kin,
    /// From which round on, the first being 1.
    pub round: u32,
    /// Under which of the agent's owners.
    pub owner: u32,
    /// Whether it behaves otherwise while it is timed, to look ten times as fast.
    pub games_the_clock: bool,
    /// By how much smaller than the package it is, with the same answers.
    pub bytes_less: u64,
}

/// What an agent does, and what plain use of its best model would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strategy {
    /// The name, as it is printed.
    pub name: &'static str,
    /// What it enters.
    pub entries: Vec<Entry>,
    /// Honest uses of its own models, of which the one that earns most counts: its best sent once and at once, and all of them
    /// sent at once under one key; nothing where it has none. Of one that makes a model from others', what an honest model of
    /// that quality would earn: the same, as nobody's copy.
    pub plain: Vec<Vec<Entry>>,
    /// Whether it is honest: it is then shown, and held against nothing.
    pub honest: bool,
}

impl Kin {
    /// Whether it is a copy of the teacher or the reference, which stand before everybody.
    pub fn is_entry_zero(self) -> bool {
        self.apart == 0 && matches!(self.of, "teacher" | "reference")
    }
}

impl Entry {
    /// A package at a round, a model of its own.
    const fn of(package: &'static str, round: u32) -> Self {
        Self { package, kin: Kin { of: package, apart: 0 }, round, owner: 0, games_the_clock: false, bytes_less: 0 }
    }

    /// Under another owner.
    const fn by(self, owner: u32) -> Self {
        Self { owner, ..self }
    }

    /// Recognised as a copy of another model.
    const fn copying(self, of: &'static str) -> Self {
        Self { kin: Kin { of, apart: 0 }, ..self }
    }

    /// Nobody's copy, or not recognised as one.
    const fn apart(self, apart: u32) -> Self {
        Self { kin: Kin { of: self.kin.of, apart }, ..self }
    }
}

/// The best model that a strategy's agent has made itself, and two lesser ones.
const OWN_BEST: &str = "depthwise-32k-train-1";
const OWN_GOOD: &str = "resnet-31k-train-1";
const OWN_WEAK: &str = "reference";
/// The honest field: who comes first, who is better, and when.
const FIRST: &str = "depthwise-8k-train-1";
const RIVAL: &str = "resnet-88k-train-1";
const RIVAL_COMES: u32 = 3;
/// What learning from the rival comes to: a little less.
const DISTILLED: &str = "mobilenet-36k-train-1";

/// Who is there whatever a strategy does: a fair student first, and a better one two rounds later.
pub fn honest_field() -> Vec<Strategy> {
    vec![honest("first", vec![Entry::of(FIRST, 1)]), honest("better", vec![Entry::of(RIVAL, RIVAL_COMES)])]
}

/// Every strategy. Names of those that are not recognised end in `, unseen`.
pub fn strategies() -> Vec<Strategy> {
    let own = |package, round| Entry::of(package, round).apart(1);
    let openly = |packages: &[&'static str]| packages.iter().map(|package| own(package, 1)).collect();
    let best = || vec![own(OWN_BEST, 1)];
    // Once the rival sits and its round is revealed, so are its weights.
    let after = RIVAL_COMES + 1;
    let late = |package| vec![Entry::of(package, after).apart(1)];
    vec![
        honest("honest: a better model", vec![own(OWN_BEST, 4)]),
        dishonest("memoriser, eight of them", crowd("memoriser", 8).collect(), vec![]),
        dishonest("memoriser with the family", vec![own("mlp-51k-both-1", 1)], vec![vec![own("mlp-51k-train-1", 1)]]),
        dishonest("teacher-passer", vec![Entry::of("teacher-f16", 1).copying("teacher")], vec![]),
        dishonest("shape-cloner", vec![Entry::of(RIVAL, after)], vec![]),
        dishonest("shape-cloner, unseen", vec![Entry::of(RIVAL, after).apart(1)], vec![]),
        dishonest("near copy, unseen", late("near-copy"), vec![late("near-copy")]),
        dishonest("ensembler", vec![Entry::of("ensemble", after).copying(FIRST)], vec![]),
        dishonest("ensembler, unseen", late("ensemble"), vec![late("ensemble")]),
        dishonest("late distiller", late(DISTILLED), vec![late(DISTILLED)]),
        dishonest("splitter, five equals", crowd(OWN_BEST, 5).collect(), vec![best()]),
        dishonest(
            "splitter, three grades",
            vec![own(OWN_BEST, 1), own(OWN_GOOD, 1).by(1), own(OWN_WEAK, 1).by(2)],
            vec![best(), openly(&[OWN_BEST, OWN_GOOD, OWN_WEAK])],
        ),
        dishonest("sandbagger", vec![own(OWN_GOOD, 1), own(OWN_BEST, 6)], vec![best(), openly(&[OWN_BEST, OWN_GOOD])]),
        dishonest(
            "three keys in three steps",
            vec![own(OWN_WEAK, 1).by(2), own(OWN_GOOD, 3).by(1), own(OWN_BEST, 6)],
            vec![best(), openly(&[OWN_BEST, OWN_GOOD, OWN_WEAK])],
        ),
        dishonest(
            "weak friend first",
            vec![own(OWN_WEAK, 1).by(1), own(OWN_BEST, 2)],
            vec![best(), openly(&[OWN_BEST, OWN_WEAK])],
        ),
        dishonest("shrinker, four siblings a round", siblings(RIVAL, 80).collect(), vec![vec![own(RIVAL, 1)]]),
        dishonest("clock-gamer", vec![Entry { games_the_clock: true, ..own(OWN_GOOD, 1) }], vec![]),
        dishonest(
            "near copy of its own first",
            vec![own("near-copy", 1).by(1).copying("mine"), own(FIRST, 2).copying("mine")],
            vec![vec![own(FIRST, 1)]],
        ),
    ]
}

/// So many owners with the same package, not recognised as one.
pub fn crowd(package: &'static str, count: u32) -> impl Iterator<Item = Entry> {
    (0..count).map(move |n| Entry::of(package, 1).apart(n + 1).by(n))
}

/// A model that is sent again and again, four times a round, each time some bytes smaller and no better, as nobody's copy: on
/// other items it may be lucky.
fn siblings(package: &'static str, count: u32) -> impl Iterator<Item = Entry> {
    let sibling = move |n: u32| Entry { bytes_less: 8 * u64::from(n), ..Entry::of(package, 1 + n / 4).apart(n + 1) };
    (0..count).map(sibling)
}

fn honest(name: &'static str, entries: Vec<Entry>) -> Strategy {
    Strategy { name, entries, plain: vec![], honest: true }
}

fn dishonest(name: &'static str, entries: Vec<Entry>, plain: Vec<Vec<Entry>>) -> Strategy {
    Strategy { name, entries, plain, honest: false }
}
