//! A latency measurement (LAT-1): launches of fresh pairs of processes, pairs of blocks in random order, the parent's
//! clock around each block; and beside the candidate against the reference the same for a control and three checks.
//!
//! It takes times and keeps all of them; what they amount to is `samples`' business, and whether they are good enough
//! is nobody's in this crate.

use crate::effort::Effort;
use crate::frames::Span;
use crate::prepare::{Inputs, Model, Prepared};
use crate::process::{Launcher, Timed, Worker, WorkerFailure};
use crate::samples::{Launch, Pair, SAMPLES_FORMAT, Samples, Side};
use protocol::Digest;
use protocol::evaluation::EvaluationFailure;
use protocol::latency::half_width_ppm;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use sandbox::Jail;
use std::time::{Duration, Instant};

/// The shortest block: long beside a clock reading and an empty round trip, short beside a disturbance.
const BLOCK_NS_MIN: u64 = 1_000_000;

/// A warm-up has at least this many inferences, however slow the model is.
const WARM_UP_INFERENCES: u32 = 20;

/// Measuring goes on to the next look while the interval is wider than this, as half of its width over the ratio. Narrower
/// than the verdict asks for: the width of a seat's margin, in half a minute on an idle machine.
const HALF_WIDTH_PPM_AIM: i64 = 5_000;

/// A launch has at least this many pairs, however slow the models are.
const PAIRS_MIN: usize = 20;

/// Empty requests of which the median is taken.
const PINGS: usize = 21;

/// Distinct items that a worker cycles through: more than fit a branch predictor, few enough to hand over at once.
const ITEMS_MAX: usize = 256;

/// Bytes of those items.
const ITEMS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most inferences in a block.
const BLOCK_INFERENCES_MAX: u64 = 1 << 16;

/// How the candidate is treated unlike the reference: for measuring the measurement only.
#[derive(Clone, Copy, Default)]
pub(crate) struct Handicapped<'a> {
    pub(crate) slow_down_ppm: u32,
    /// Another jail than the reference's.
    pub(crate) jail: Option<&'a Jail>,
}

/// Why a measurement ended before its time.
#[derive(Debug)]
pub(crate) enum Stopped {
    /// It is known whose fault that is.
    Failed(EvaluationFailure),
    /// The time was over, whoever was asked by then. The most of the processor that any launch of the candidate used, the one
    /// that was broken off included; `None` where the system doesn't say.
    Late(Option<Duration>),
}

impl From<EvaluationFailure> for Stopped {
    fn from(failure: EvaluationFailure) -> Self {
        Self::Failed(failure)
    }
}

/// Measures the candidate beside the reference. `expected` are the candidate's logits of the accuracy pass.
pub(crate) fn measure(
    launcher: Launcher<'_>,
    prepared: &Prepared,
    expected: &[f32],
    seed: u64,
    effort: &Effort,
    handicap: Handicapped<'_>,
    progress: &dyn Fn(u8),
) -> Result<Samples, Stopped> {
    let mut rng = coins(seed);
    let items = ItemSet::choose(&prepared.inputs, &mut rng, ITEMS_MAX)?;
    let other_items = ItemSet::choose(&prepared.inputs, &mut rng, ITEMS_MAX)?;
    let one_item = ItemSet::choose(&prepared.inputs, &mut rng, 1)?;
    let twin = prepared.candidate.random_twin(&mut rng)?;
    let candidate = |items| Entrant { role: Role::Candidate, model: &prepared.candidate, items, expected };
    let reference = |items| Entrant { role: Role::Reference, model: &prepared.reference, items, expected: &[] };
    let twin = |items| Entrant { role: Role::Twin, model: &twin, items, expected: &[] };

    let mut samples = Samples { block_ns_min: BLOCK_NS_MIN, ..Samples::none(seed) };
    let mut bench = Bench { launcher, handicap, effort, rng, delta: 0.0, used: None };
    let planned = effort.looks.first().copied().unwrap_or(1).max(1);
    for look in &effort.looks {
        while samples.launches.len() < *look as usize {
            samples.launches.push(bench.launch(&candidate(&items), &reference(&items))?);
            let done = samples.launches.len() as u32;
            // Spread over the measurement, so that the checks see the same weather.
            if samples.control.len() < effort.checks as usize
                && done.is_multiple_of((planned / effort.checks.max(1)).max(1))
            {
                samples.control.push(bench.launch(&reference(&items), &reference(&items))?);
                samples.other_items.push(bench.launch(&candidate(&other_items), &reference(&other_items))?);
                samples.repeated_item.push(bench.launch(&candidate(&one_item), &twin(&one_item))?);
                samples.random_twin.push(bench.launch(&candidate(&items), &twin(&items))?);
            }
            progress((100 * done / planned).min(99) as u8);
        }
        if half_width_ppm(samples.ratio()) <= HALF_WIDTH_PPM_AIM {
            break;
        }
    }
    progress(100);
    samples.output_delta_micro_max = libm::round(bench.delta * 1e6) as u64;
    Ok(samples)
}

/// Processor time that the candidate's architecture needs for one launch here, by random weights in the candidate's place;
/// `None` where that can't be found out either.
pub(crate) fn needed_by_twin(
    launcher: Launcher<'_>,
    prepared: &Prepared,
    seed: u64,
    effort: &Effort,
) -> Option<Duration> {
    let mut rng = coins(seed);
    let items = &ItemSet::choose(&prepared.inputs, &mut rng, ITEMS_MAX).ok()?;
    let twin = &prepared.candidate.random_twin(&mut rng).ok()?;
    let twin = Entrant { role: Role::Candidate, model: twin, items, expected: &[] };
    let reference = Entrant { role: Role::Reference, model: &prepared.reference, items, expected: &[] };
    let mut bench = Bench { launcher, handicap: Handicapped::default(), effort, rng, delta: 0.0, used: None };
    bench.launch(&twin, &reference).ok()?;
    bench.used
}

/// The generator of a seed: ChaCha20 with SHA-256("retort-latency/1" and the seed, little-endian) as key.
pub(crate) fn coins(seed: u64) -> ChaCha20Rng {
    let key = [SAMPLES_FORMAT.as_bytes(), &seed.to_le_bytes()].concat();
    ChaCha20Rng::from_seed(*Digest::of(&key).as_bytes())
}

fn flip(rng: &mut ChaCha20Rng) -> bool {
    rng.next_u32() & 1 == 1
}

/// Items that a worker cycles through.
struct ItemSet {
    /// Which of all items.
    chosen: Vec<usize>,
    /// Their inputs, f32 little-endian.
    inputs: Vec<u8>,
}

impl ItemSet {
    /// At most `count` distinct items: the first steps of a Fisher-Yates shuffle. The remainder's bias is below 2^-32.
    fn choose(inputs: &Inputs, rng: &mut ChaCha20Rng, count: usize) -> Result<Self, EvaluationFailure> {
        let mut chosen: Vec<usize> = (0..inputs.len()).collect();
        let count = count.min(ITEMS_BYTES_MAX / inputs.item_bytes()).clamp(1, chosen.len());
        for index in 0..count {
            let rest = (chosen.len() - index) as u64;
            chosen.swap(index, index + (rng.next_u64() % rest) as usize);
        }
        chosen.truncate(count);
        let few = inputs.at(chosen.iter().copied())?;
        let pixels = few.read(0..few.len()).map_err(EvaluationFailure::unread)?;
        Ok(Self { inputs: inputs.normalised(&pixels), chosen })
    }
}

/// Who may take part in a launch.
#[derive(Clone, Copy)]
enum Role {
    Candidate,
    Reference,
    Twin,
}

impl Role {
    fn blame(self, failure: WorkerFailure) -> Stopped {
        Stopped::Failed(match (self, failure) {
            (Self::Candidate, WorkerFailure::Timeout(used)) => return Stopped::Late(used),
            // It may be late because the candidate was slow before it.
            (_, WorkerFailure::Timeout(_)) => return Stopped::Late(None),
            (Self::Candidate, failure) => failure.of_candidate(),
            (Self::Reference, failure) => failure.of_reference(),
            (Self::Twin, failure) => EvaluationFailure::Infrastructure(format!("the random twin failed: {failure:?}")),
        })
    }
}

/// What one process of a launch is to run.
struct Entrant<'a> {
    role: Role,
    model: &'a Model,
    items: &'a ItemSet,
    /// Logits of all items in the accuracy pass; empty where nothing is compared.
    expected: &'a [f32],
}

/// What all launches of a measurement share.
struct Bench<'a> {
    launcher: Launcher<'a>,
    handicap: Handicapped<'a>,
    effort: &'a Effort,
    rng: ChaCha20Rng,
    /// The largest difference of a timed output of the candidate from the accuracy pass's.
    delta: f64,
    /// The most of the processor that a launch of the candidate used.
    used: Option<Duration>,
}

impl Bench<'_> {
    /// One launch, and what the candidate used in it.
    fn launch(&mut self, subject: &Entrant<'_>, baseline: &Entrant<'_>) -> Result<Launch, Stopped> {
        match self.launch_pair(subject, baseline) {
            Ok((launch, used)) => {
                self.used = self.used.max(used);
                Ok(launch)
            }
            Err(Stopped::Late(used)) => Err(Stopped::Late(self.used.max(used))),
            Err(failed) => Err(failed),
        }
    }

    /// Both processes fresh, in random order; and the processor time of the subject, where that is the candidate.
    fn launch_pair(
        &mut self,
        subject: &Entrant<'_>,
        baseline: &Entrant<'_>,
    ) -> Result<(Launch, Option<Duration>), Stopped> {
        let subject_first = flip(&mut self.rng);
        let start = |entrant| Contestant::start(self.launcher_for(entrant), entrant);
        let (mut subject, mut baseline) = in_order(subject_first, || start(subject), || start(baseline))?;
        calibrate(&mut subject, &mut baseline, self.effort.warm_up)?;
        let pairs = self.pairs(&mut subject, &mut baseline)?;
        let is_candidate = matches!(subject.entrant.role, Role::Candidate);
        let used = is_candidate.then(|| subject.worker.processor_time()).flatten();
        Ok((Launch { subject_first, subject: subject.side(), baseline: baseline.side(), pairs }, used))
    }

    fn launcher_for(&self, entrant: &Entrant<'_>) -> Launcher<'_> {
        match entrant.role {
            Role::Candidate => {
                let Handicapped { slow_down_ppm, jail } = self.handicap;
                Launcher { slow_down_ppm, jail: jail.unwrap_or(self.launcher.jail), ..self.launcher }
            }
            Role::Reference | Role::Twin => self.launcher,
        }
    }

    fn pairs(&mut self, subject: &mut Contestant<'_>, baseline: &mut Contestant<'_>) -> Result<Vec<Pair>, Stopped> {
        let stored = subject.entrant.items.chosen.len().max(baseline.entrant.items.chosen.len()) as u32;
        let start = Instant::now();
        let (mut pairs, mut first) = (Vec::new(), 0);
        while pairs.len() < PAIRS_MIN || start.elapsed() < self.effort.launch {
            let subject_first = flip(&mut self.rng);
            let (s, b) = in_order(subject_first, || subject.block(first), || baseline.block(first))?;
            subject.compare(first, &s.logits, &mut self.delta)?;
            baseline.compare(first, &b.logits, &mut self.delta)?;
            first = (first + 1 + subject.block.max(baseline.block)) % stored;
            pairs.push(Pair {
                subject_first,
                subject_ns: s.parent_ns,
                baseline_ns: b.parent_ns,
                subject_worker_ns: s.worker_ns,
                baseline_worker_ns: b.worker_ns,
            });
        }
        Ok(pairs)
    }
}

/// Does both, the subject's part first if so.
fn in_order<A, B, E>(
    subject_first: bool,
    subject: impl FnOnce() -> Result<A, E>,
    baseline: impl FnOnce() -> Result<B, E>,
) -> Result<(A, B), E> {
    if subject_first {
        let done = subject()?;
        Ok((done, baseline()?))
    } else {
        let done = baseline()?;
        Ok((subject()?, done))
    }
}

/// Warms both up and chooses the lengths of their blocks. Both blocks last about equally long, the slower side's
/// single inference or [`BLOCK_NS_MIN`], so that the round trip in each weighs alike and cancels in the ratio.
fn calibrate(subject: &mut Contestant<'_>, baseline: &mut Contestant<'_>, warm_up: Duration) -> Result<(), Stopped> {
    let (one, other) = (subject.warm_up(warm_up)?, baseline.warm_up(warm_up)?);
    let block_ns = one.max(other).max(BLOCK_NS_MIN);
    subject.block = inferences(block_ns, one);
    baseline.block = inferences(block_ns, other);
    Ok(())
}

/// The fewest inferences of `each_ns` that fill `block_ns`.
fn inferences(block_ns: u64, each_ns: u64) -> u32 {
    block_ns.div_ceil(each_ns.max(1)).clamp(1, BLOCK_INFERENCES_MAX) as u32
}

/// One process of a launch.
struct Contestant<'a> {
    entrant: &'a Entrant<'a>,
    worker: Worker,
    cold_load_ns: u64,
    round_trip_ns: u64,
    /// Inferences in a block.
    block: u32,
}

impl<'a> Contestant<'a> {
    fn start(launcher: Launcher<'_>, entrant: &'a Entrant<'a>) -> Result<Self, Stopped> {
        let blame = |failure| entrant.role.blame(failure);
        let start = Instant::now();
        let mut worker = Worker::launch(launcher, entrant.model).map_err(blame)?;
        worker.store(&entrant.items.inputs).map_err(blame)?;
        worker.time(Span { first: 0, count: 1 }).map_err(blame)?;
        let cold_load_ns = start.elapsed().as_nanos() as u64;
        let mut pings = (0..PINGS).map(|_| worker.round_trip_ns()).collect::<Result<Vec<u64>, _>>().map_err(blame)?;
        pings.sort_unstable();
        Ok(Self { entrant, worker, cold_load_ns, round_trip_ns: pings[PINGS / 2], block: 1 })
    }

    fn time(&mut self, first: u32, count: u32) -> Result<Timed, Stopped> {
        self.worker.time(Span { first, count }).map_err(|failure| self.entrant.role.blame(failure))
    }

    /// Nanoseconds of an inference in the fastest block of the warm-up.
    fn warm_up(&mut self, at_least: Duration) -> Result<u64, Stopped> {
        let start = Instant::now();
        let (mut done, mut count, mut fastest) = (0, 1, u64::MAX);
        while done < WARM_UP_INFERENCES || start.elapsed() < at_least {
            let timed = self.time(done, count)?;
            fastest = fastest.min(timed.parent_ns / u64::from(count)).max(1);
            done += count;
            count = inferences(BLOCK_NS_MIN, fastest);
        }
        Ok(fastest)
    }

    /// One discarded inference, then a block on the items that follow.
    fn block(&mut self, first: u32) -> Result<Timed, Stopped> {
        self.time(first, 1)?;
        self.time(first + 1, self.block)
    }

    /// Compares the last output of the block that began at `first` with the accuracy pass's for the same item.
    fn compare(&self, first: u32, logits: &[f32], delta: &mut f64) -> Result<(), EvaluationFailure> {
        let Entrant { items, expected, .. } = self.entrant;
        if expected.is_empty() {
            return Ok(());
        }
        let item = items.chosen[(first + self.block) as usize % items.chosen.len()];
        let expected = expected
            .get(item * logits.len()..)
            .and_then(|rest| rest.get(..logits.len()))
            .ok_or_else(|| EvaluationFailure::Infrastructure("no logits to compare with; this is a bug".into()))?;
        // Relative where logits are large: another order of additions moves their last bits.
        let apart = |(timed, before): (&f32, &f32)| {
            (f64::from(*timed) - f64::from(*before)).abs() / f64::from(before.abs()).max(1.0)
        };
        *delta = logits.iter().zip(expected).map(apart).fold(*delta, f64::max);
        Ok(())
    }

    fn side(&self) -> Side {
        Side {
            cold_load_ns: self.cold_load_ns,
            round_trip_ns: self.round_trip_ns,
            inferences_per_block: self.block,
            involuntary_switches: self.worker.involuntary_switches(),
        }
    }
}
