//! Prints how often each rule gives a seat away wrongly, and how often rightly: the table of MEASURING.md section 2.
//!
//! `cargo run --release -p protocol --example dethrone_table -- [repetitions] [alpha_public_ppm] [alpha_hidden_ppm]
//! [epsilon_ppm] [threads] [first row] [last row]`. Repetition i is a function of seed i, so threads change nothing but the time.

use protocol::dethrone::DethroneRules;
use protocol::simulate::{Tally, World, repetition};
use std::time::Instant;

fn main() {
    let given: Vec<u32> = std::env::args().skip(1).map_while(|text| text.parse().ok()).collect();
    let or = |index: usize, default: u32| given.get(index).copied().unwrap_or(default);
    let defaults = DethroneRules::default();
    let rules = DethroneRules {
        alpha_public_ppm: or(1, defaults.alpha_public_ppm),
        alpha_hidden_ppm: or(2, defaults.alpha_hidden_ppm),
        epsilon_ppm: or(3, defaults.epsilon_ppm),
        ..defaults
    };
    println!("{} repetitions, {rules:?}", or(0, 200));
    println!("{:<36}{:>11}{:>11}{:>11}{:>11}{:>11}", "", "better", "half point", "1 s.e.", "McNemar", "two-stage");
    for (row, (name, world)) in rows(rules).into_iter().enumerate() {
        if (or(5, 0)..=or(6, 99)).contains(&(row as u32)) {
            let started = Instant::now();
            let tally = tally(&world, or(0, 200), or(4, 1).max(1));
            println!("{name:<36}{tally}   {:.0} s", started.elapsed().as_secs_f64());
        }
    }
}

/// What is simulated, with its name.
fn rows(rules: DethroneRules) -> Vec<(String, World)> {
    let kinds = [
        ("300 equals in 1 round", 1, 300, 0, 1_000_000),
        ("300 equals in 30 rounds", 30, 10, 0, 1_000_000),
        ("30 clones in 1 round", 1, 30, 0, 100_000),
        ("1 better by 0.5 point", 1, 1, 5_000, 1_000_000),
        ("1 better by 1 point", 1, 1, 10_000, 1_000_000),
        ("1 better by 2 points", 1, 1, 20_000, 1_000_000),
    ];
    let named = |items| {
        kinds.map(|(name, rounds, challengers, gain_ppm, fresh_ppm)| {
            (format!("n = {items}: {name}"), World { items, rounds, challengers, gain_ppm, fresh_ppm, rules })
        })
    };
    [2_000, 10_000].into_iter().flat_map(named).collect()
}

fn tally(world: &World, repetitions: u32, threads: u32) -> Tally {
    let mut tally = Tally::default();
    std::thread::scope(|scope| {
        let share = |first: u32| (first..repetitions).step_by(threads as usize).map(|i| repetition(world, i.into()));
        let workers: Vec<_> = (0..threads).map(|first| scope.spawn(move || share(first).collect::<Vec<_>>())).collect();
        for worker in workers {
            worker.join().expect("a repetition doesn't panic").into_iter().for_each(|dethroned| tally.add(dethroned));
        }
    });
    tally
}
