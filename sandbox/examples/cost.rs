//! What confinement costs: from asking for a worker to its first word, and from killing one to its end.
//!
//! `cargo run --release -p sandbox --example cost -- [WORKERS]`

use sandbox::{Executable, Jail, Limits, Profile, Program, lock};
use std::io::Read;
use std::time::{Duration, Instant};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    match std::env::args().nth(1).as_deref() {
        Some("insecure") => greet(None),
        Some("strict") => greet(Some(Profile::Strict)),
        Some("device") => greet(Some(Profile::Device)),
        count => compare(count.map_or(Ok(300), str::parse)?),
    }
}

/// A worker: one byte when it is locked, and then it computes for ever.
fn greet(profile: Option<Profile>) -> Result<(), Failure> {
    profile.map(lock).transpose()?;
    println!();
    loop {
        std::hint::spin_loop();
    }
}

fn compare(workers: usize) -> Result<(), Failure> {
    println!("{workers} workers each, milliseconds      start p50   p99   max      kill p50   p99   max");
    let memory = 1 << 30;
    let jails = [
        ("insecure", Jail::insecure()?),
        ("strict", Jail::new(Profile::Strict, memory)?),
        ("device", Jail::new(Profile::Device, memory)?),
    ];
    for (name, jail) in jails {
        let executable = Executable::running()?;
        let program = Program { executable, arguments: vec![name.into()], environment: Vec::new(), library: None };
        let (mut starts, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let start = Instant::now();
            let limits = Limits { memory_bytes: memory, cpu_seconds: 10 };
            let (worker, mut pipes) = jail.spawn(&program, None, limits)?;
            pipes.output.read_exact(&mut [0])?;
            starts.push(start.elapsed());
            let start = Instant::now();
            worker.kill();
            worker.wait()?;
            ends.push(start.elapsed());
        }
        let text = |times: Vec<Duration>| quantiles(times).map(|ms| format!("{ms:6.2}")).join("");
        println!("{:<38}{}      {}   {}", name, text(starts), text(ends), jail.describe());
    }
    Ok(())
}

/// The median, the 99th percentile and the largest, in milliseconds.
fn quantiles(mut times: Vec<Duration>) -> [f64; 3] {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    [last / 2, last * 99 / 100, last].map(|at| times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3))
}
