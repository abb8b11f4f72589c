//! The schedule of a latency measurement (LAT-1): launches of fresh pairs of processes, pairs of blocks in random
//! order, the parent's clock around each block.
//!
//! It takes times and keeps all of them; what they amount to is `samples`' business, and whether they are good enough
//! is nobody's in this crate.

use crate::frames::Span;
use crate::prepare::{Inputs, Model, Prepared};
use crate::process::{Launcher, Timed, Worker, WorkerFailure};
use crate::samples::{Launch, Pair, SAMPLES_FORMAT, Samples, Side};
use protocol::Digest;
use protocol::evaluation::EvaluationFailure;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha20Rng;
use std::time::{Duration, Instant};

/// The shortest block: long beside a clock reading and an empty round trip, short beside a disturbance.
const BLOCK_NS_MIN: u64 = 1_000_000;

/// Warm-up is this many inferences and ...
const WARM_UP_INFERENCES: u32 = 20;

/// ... at least this long.
const WARM_UP: Duration = Duration::from_millis(100);

/// A launch has at least this many pairs, however slow the models are.
const PAIRS_MIN: usize = 30;

/// Empty requests of which the median is taken.
const PINGS: usize = 21;

/// Distinct items that a worker cycles through: more than fit a branch predictor, few enough to hand over at once.
const ITEMS_MAX: usize = 256;

/// Bytes of those items.
const ITEMS_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The most inferences in a block.
const BLOCK_INFERENCES_MAX: u64 = 1 << 16;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) seed: u64,
    pub(crate) launches: u32,
    pub(crate) launch_min: Duration,
}

/// Measures the candidate beside the reference. `expected` are the candidate's logits of the accuracy pass.
pub(crate) fn measure(
    launcher: Launcher<'_>,
    prepared: &Prepared<'_>,
    expected: &[f32],
    schedule: Schedule,
    progress: &dyn Fn(u8),
) -> Result<Samples, EvaluationFailure> {
    let mut rng = coins(schedule.seed);
    let chosen = choose_items(&prepared.inputs, &mut rng);
    let items = prepared.inputs.normalised(chosen.iter().copied());
    let mut delta = 0.0;
    let mut launches = Vec::new();
    for launch in 0..schedule.launches {
        let candidate = || Contestant::start(Role::Candidate, launcher, &prepared.candidate, &items);
        let reference = || Contestant::start(Role::Reference, launcher, &prepared.reference, &items);
        let candidate_first = flip(&mut rng);
        let (mut candidate, mut reference) = in_order(candidate_first, candidate, reference)?;
        calibrate(&mut candidate, &mut reference)?;
        let stored = chosen.len() as u32;
        let pairs = run_pairs(&mut candidate, &mut reference, &mut rng, stored, schedule.launch_min)?;
        delta = candidate.output_delta(&chosen, expected)?.max(delta);
        launches.push(Launch { candidate_first, candidate: candidate.side(), reference: reference.side(), pairs });
        progress((100 * (launch + 1) / schedule.launches) as u8);
    }
    Ok(Samples {
        format: SAMPLES_FORMAT.into(),
        seed: schedule.seed,
        block_ns_min: BLOCK_NS_MIN,
        output_delta_micro_max: libm::round(delta * 1e6) as u64,
        launches,
    })
}

/// The generator of a seed: ChaCha20 with SHA-256("retort-latency/1" and the seed, little-endian) as key.
fn coins(seed: u64) -> ChaCha20Rng {
    let key = [SAMPLES_FORMAT.as_bytes(), &seed.to_le_bytes()].concat();
    ChaCha20Rng::from_seed(*Digest::of(&key).as_bytes())
}

fn flip(rng: &mut ChaCha20Rng) -> bool {
    rng.next_u32() & 1 == 1
}

/// The first steps of a Fisher-Yates shuffle. The remainder's bias is below 2^-32.
fn choose_items(inputs: &Inputs<'_>, rng: &mut ChaCha20Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    let count = ITEMS_MAX.min(ITEMS_BYTES_MAX / inputs.item_bytes()).clamp(1, order.len());
    for index in 0..count {
        let rest = (order.len() - index) as u64;
        order.swap(index, index + (rng.next_u64() % rest) as usize);
    }
    order.truncate(count);
    order
}

/// Does both, the candidate's part first if so.
fn in_order<A, B, E>(
    candidate_first: bool,
    candidate: impl FnOnce() -> Result<A, E>,
    reference: impl FnOnce() -> Result<B, E>,
) -> Result<(A, B), E> {
    if candidate_first {
        let done = candidate()?;
        Ok((done, reference()?))
    } else {
        let done = reference()?;
        Ok((candidate()?, done))
    }
}

/// Warms both up and chooses the lengths of their blocks. Both blocks last about equally long, the slower side's
/// single inference or [`BLOCK_NS_MIN`], so that the round trip in each weighs alike and cancels in the ratio.
fn calibrate(candidate: &mut Contestant, reference: &mut Contestant) -> Result<(), EvaluationFailure> {
    let (fast, slow) = (candidate.warm_up()?, reference.warm_up()?);
    let block_ns = fast.max(slow).max(BLOCK_NS_MIN);
    candidate.block = inferences(block_ns, fast);
    reference.block = inferences(block_ns, slow);
    Ok(())
}

/// The fewest inferences of `each_ns` that fill `block_ns`.
fn inferences(block_ns: u64, each_ns: u64) -> u32 {
    block_ns.div_ceil(each_ns.max(1)).clamp(1, BLOCK_INFERENCES_MAX) as u32
}

fn run_pairs(
    candidate: &mut Contestant,
    reference: &mut Contestant,
    rng: &mut ChaCha20Rng,
    stored: u32,
    launch_min: Duration,
) -> Result<Vec<Pair>, EvaluationFailure> {
    let start = Instant::now();
    let (mut pairs, mut first) = (Vec::new(), 0);
    while pairs.len() < PAIRS_MIN || start.elapsed() < launch_min {
        let candidate_first = flip(rng);
        let (c, r) = in_order(candidate_first, || candidate.block(first), || reference.block(first))?;
        first = (first + 1 + candidate.block.max(reference.block)) % stored;
        pairs.push(Pair {
            candidate_first,
            candidate_ns: c.parent_ns,
            reference_ns: r.parent_ns,
            candidate_worker_ns: c.worker_ns,
            reference_worker_ns: r.worker_ns,
        });
    }
    Ok(pairs)
}

#[derive(Clone, Copy)]
enum Role {
    Candidate,
    Reference,
}

impl Role {
    fn blame(self, failure: WorkerFailure) -> EvaluationFailure {
        match self {
            Self::Candidate => failure.of_candidate(),
            Self::Reference => failure.of_reference(),
        }
    }
}

/// One process of a launch.
struct Contestant {
    role: Role,
    worker: Worker,
    cold_load_ns: u64,
    round_trip_ns: u64,
    /// Inferences in a block.
    block: u32,
    /// The last item of the last block and its logits.
    last: (u32, Vec<f32>),
}

impl Contestant {
    fn start(role: Role, launcher: Launcher<'_>, model: &Model, items: &[u8]) -> Result<Self, EvaluationFailure> {
        let blame = |failure| role.blame(failure);
        let start = Instant::now();
        let mut worker = Worker::launch(launcher, model).map_err(blame)?;
        worker.store(items).map_err(blame)?;
        let first = worker.time(Span { first: 0, count: 1 }).map_err(blame)?;
        let cold_load_ns = start.elapsed().as_nanos() as u64;
        let mut pings = (0..PINGS).map(|_| worker.round_trip_ns()).collect::<Result<Vec<u64>, _>>().map_err(blame)?;
        pings.sort_unstable();
        Ok(Self { role, worker, cold_load_ns, round_trip_ns: pings[PINGS / 2], block: 1, last: (0, first.logits) })
    }

    fn time(&mut self, first: u32, count: u32) -> Result<Timed, EvaluationFailure> {
        self.worker.time(Span { first, count }).map_err(|failure| self.role.blame(failure))
    }

    /// Nanoseconds of an inference in the fastest block of the warm-up.
    fn warm_up(&mut self) -> Result<u64, EvaluationFailure> {
        let start = Instant::now();
        let (mut done, mut count, mut fastest) = (0, 1, u64::MAX);
        while done < WARM_UP_INFERENCES || start.elapsed() < WARM_UP {
            let timed = self.time(done, count)?;
            fastest = fastest.min(timed.parent_ns / u64::from(count)).max(1);
            done += count;
            count = inferences(BLOCK_NS_MIN, fastest);
        }
        Ok(fastest)
    }

    /// One discarded inference, then a block on the items that follow.
    fn block(&mut self, first: u32) -> Result<Timed, EvaluationFailure> {
        self.time(first, 1)?;
        let mut timed = self.time(first + 1, self.block)?;
        self.last = (first + self.block, std::mem::take(&mut timed.logits));
        Ok(timed)
    }

    /// The largest difference between the last timed output and the accuracy pass's for the same item.
    fn output_delta(&self, chosen: &[usize], expected: &[f32]) -> Result<f64, EvaluationFailure> {
        let (item, logits) = &self.last;
        let index = chosen[*item as usize % chosen.len()];
        let expected = expected
            .get(index * logits.len()..)
            .and_then(|rest| rest.get(..logits.len()))
            .ok_or_else(|| EvaluationFailure::Infrastructure("no logits to compare with; this is a bug".into()))?;
        let deltas = logits.iter().zip(expected).map(|(a, b)| (f64::from(*a) - f64::from(*b)).abs());
        Ok(deltas.fold(0.0, f64::max))
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
