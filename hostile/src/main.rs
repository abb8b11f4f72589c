//! `hostile`: the handmade corpus, a million mutated packages, and seeds for the fuzzer, with figures.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use hostile::measure::{Start, Times, forget_peak, memory};
use hostile::{Mutator, Rules, cases, oracle, targets};
use protocol::package::admit;
use protocol::submission::Code;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// A check that takes longer than this is a hang.
const HANG: Duration = Duration::from_secs(5);
/// So often a run says how far it is.
const PROGRESS: u64 = 100_000;

/// Packages that strangers send, and what becomes of them.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Sends the handmade corpus through the admission check.
    Corpus {
        /// Writes the packages to this folder too, for other tools.
        #[arg(long)]
        write: Option<PathBuf>,
    },
    /// Sends mutated packages through the admission check, and what it accepts through the safetensors library.
    Mutate {
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
        /// The number of the first; a package is known by its number.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Sends mutated inputs through a fuzz target, as its seeds with a few changes: each is known by its number.
    Spoil {
        /// The target.
        target: String,
        /// How many.
        #[arg(long, default_value_t = 1_000_000)]
        count: u64,
        /// The number of the first.
        #[arg(long, default_value_t = 0)]
        first: u64,
        /// Threads.
        #[arg(long, default_value_t = 1)]
        threads: usize,
    },
    /// Writes the seeds of a fuzz target.
    Seeds {
        /// The target.
        target: String,
        /// Where to.
        folder: PathBuf,
    },
    /// Lists the fuzz targets.
    Targets,
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Corpus { write } => corpus(write.as_deref()),
        Command::Mutate { count, first, threads } => mutate(count, first, threads.max(1)),
        Command::Spoil { target, count, first, threads } => spoil(&target, (count, first), threads.max(1)),
        Command::Seeds { target, folder } => seeds(&target, &folder),
        Command::Targets => {
            targets::TARGETS.iter().for_each(|target| println!("{:<10} {}", target.name, target.about));
            Ok(())
        }
    }
}

fn corpus(write: Option<&Path>) -> Result<()> {
    let rules = Rules::default();
    let cases = cases();
    let (mut times, mut growth_max, mut wrong) = (Times::default(), 0, 0);
    for (number, case) in cases.iter().enumerate() {
        let package = case.package();
        if let Some(folder) = write {
            let folder = folder.join(format!("{number:04}"));
            std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
            std::fs::write(folder.join("config.json"), &package.config)?;
            std::fs::write(folder.join("model.safetensors"), &package.weights)?;
        }
        forget_peak();
        let before = memory();
        let start = Start::now();
        let verdict = admit(&package.config, &package.weights, &rules.admission());
        let taken = start.elapsed();
        let growth = memory().peak_bytes.saturating_sub(before.resident_bytes);
        let found = verdict.err().map(|rejection| rejection.code);
        if found.is_some() {
            times.push(taken);
            growth_max = growth_max.max(growth);
        }
        if found != case.expected {
            wrong += 1;
            println!("WRONG {}: {found:?}, expected {:?}", case.name, case.expected);
        }
        if case.is_large || taken.1 > Duration::from_millis(20) {
            let milliseconds = taken.1.as_secs_f64() * 1e3;
            println!("{milliseconds:>9.3} ms of processor {:>5.1} MiB more  {}", mebibytes(growth), case.name);
        }
    }
    println!("{} packages, {} refused, {wrong} otherwise than expected", cases.len(), times.len());
    println!("a rejection takes\n{}", times.summary());
    println!("memory beyond the package: at most {:.1} MiB", mebibytes(growth_max));
    if wrong > 0 { bail!("{wrong} of {} packages had another end than expected", cases.len()) } else { Ok(()) }
}

/// What a run over many packages found.
#[derive(Default)]
struct Tally {
    codes: BTreeMap<&'static str, u64>,
    /// Of rejections.
    times: Times,
    findings: Vec<String>,
}

fn mutate(count: u64, first: u64, threads: usize) -> Result<()> {
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    forget_peak();
    let (before, start) = (memory(), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| run_mutated(count, first, &next, &tally));
        }
    });
    let Tally { codes, times, findings } = tally.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    println!("{count} mutated packages from number {first} in {:.1} s:", start.elapsed().as_secs_f64());
    for (code, packages) in &codes {
        println!("{packages:>9}  {code}");
    }
    println!("a rejection takes\n{}", times.summary());
    println!(
        "memory: {:.1} MiB more than at the start, times included",
        mebibytes(memory().peak_bytes.saturating_sub(before.resident_bytes))
    );
    findings.iter().for_each(|finding| println!("FINDING {finding}"));
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}

fn run_mutated(count: u64, first: u64, next: &AtomicU64, tally: &Mutex<Tally>) {
    let (mutator, rules) = (Mutator::default(), Rules::default());
    let mut own = Tally::default();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        if number > 0 && number.is_multiple_of(PROGRESS) {
            eprintln!("{number} of {count}");
        }
        let number = first.wrapping_add(number);
        let package = mutator.package(number);
        let start = Start::now();
        let verdict = catch_unwind(AssertUnwindSafe(|| admit(&package.config, &package.weights, &rules.admission())));
        let taken = start.elapsed();
        match &verdict {
            Ok(Err(_)) => own.times.push(taken),
            Ok(Ok(_)) => {}
            Err(_) => own.findings.push(format!("{number}: panic")),
        }
        if taken.1 > HANG {
            own.findings.push(format!("{number}: {:.1} s", taken.1.as_secs_f64()));
        }
        match catch_unwind(AssertUnwindSafe(|| oracle::examine(&package, &rules))) {
            Ok(Ok(code)) => *own.codes.entry(code.map_or("admitted", Code::as_str)).or_default() += 1,
            Ok(Err(violation)) => own.findings.push(format!("{number}: {violation}")),
            Err(_) => own.findings.push(format!("{number}: panic beside the check")),
        }
    }
    let mut tally = tally.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    own.codes.into_iter().for_each(|(code, packages)| *tally.codes.entry(code).or_default() += packages);
    tally.times.extend(own.times);
    tally.findings.extend(own.findings);
}

fn spoil(target: &str, (count, first): (u64, u64), threads: usize) -> Result<()> {
    let target = targets::find(target).with_context(|| format!("no target is called {target:?}"))?;
    let (seeds, next, findings) = ((target.seeds)(), AtomicU64::new(0), Mutex::new(Vec::new()));
    forget_peak();
    let (before, start, slowest) = (memory(), Instant::now(), AtomicU64::new(0));
    let run = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            let number = first.wrapping_add(number);
            let input = spoilt(target, &seeds, number);
            let start = Start::now();
            let ended = catch_unwind(AssertUnwindSafe(|| (target.run)(&input)));
            let taken = start.elapsed().1;
            slowest.fetch_max(taken.as_micros() as u64, Ordering::Relaxed);
            let finding = match ended {
                Err(_) => format!("{number}: panic"),
                Ok(()) if taken > HANG => format!("{number}: {:.1} s", taken.as_secs_f64()),
                Ok(()) => continue,
            };
            findings.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push(finding);
        }
    };
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(run))));
    let grown = mebibytes(memory().peak_bytes.saturating_sub(before.resident_bytes));
    let (seconds, slowest) = (start.elapsed().as_secs_f64(), slowest.into_inner() as f64 / 1e3);
    println!(
        "{count} inputs of {} in {seconds:.1} s, the slowest in {slowest:.1} ms, {grown:.1} MiB more",
        target.name
    );
    let findings = findings.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    findings.iter().for_each(|finding| println!("FINDING {finding}"));
    if findings.is_empty() { Ok(()) } else { bail!("{} findings", findings.len()) }
}

/// A seed with a few changes, every second one by somebody who knows the format.
fn spoilt(target: &targets::Target, seeds: &[Vec<u8>], number: u64) -> Vec<u8> {
    let mut rng = ChaCha8Rng::seed_from_u64(number);
    let mut input = seeds.get(rng.random_range(0..seeds.len().max(1))).cloned().unwrap_or_default();
    match target.mutate.filter(|_| number.is_multiple_of(2)).and_then(|mutate| mutate(&input, number)) {
        Some(changed) => changed,
        None => {
            hostile::mutate::spoil(&mut input, &mut rng);
            input
        }
    }
}

fn seeds(target: &str, folder: &Path) -> Result<()> {
    let found = targets::find(target).with_context(|| format!("no target is called {target:?}"))?;
    let written = targets::write_seeds(found, folder).with_context(|| format!("write to {}", folder.display()))?;
    println!("{written} seeds of {target}");
    Ok(())
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}
