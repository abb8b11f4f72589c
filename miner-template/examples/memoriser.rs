//! Who wins on a hidden round: honest students, and memorisers that trained on the very test images.
//! docs/HIDDEN_ROUNDS.md holds its figures.
//!
//! ```text
//! cargo run -p miner-template --example memoriser -- [STUDENT] [EPOCHS]
//! ```

#![expect(clippy::unwrap_used, reason = "an experiment whose setting up fails has failed")]

#[path = "../tests/contest.rs"]
mod contest;

use contest::{Contest, Figures};
use datasets::Images;
use std::time::Instant;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let student = arguments.next().unwrap_or_else(|| "mlp".into());
    let epochs: u32 = arguments.next().map_or(8, |text| text.parse().unwrap());
    let contest = Contest::open(2_000, 5_000);
    println!("{student}, {} clean public items, {} drawn", contest.public.count, contest.hidden.count);
    println!("{:<44}{:>9}{:>9}{:>13}{:>7}", "", "clean", "hidden", "transformed", "gap");
    row("teacher", contest.teacher);

    let training = &contest.assets.training;
    let both = joined(training, &contest.test);
    let test_epochs = epochs * training.count / contest.test.count;
    let runs: [(&str, &Images, u8, bool, u32); 5] = [
        ("honest: training images, shift 2 and flip", training, 2, true, epochs),
        ("honest: training images as they are", training, 0, false, epochs),
        ("memoriser: test images as they are", &contest.test, 0, false, test_epochs),
        ("memoriser: test images, shift 2 and flip", &contest.test, 2, true, test_epochs),
        ("cheat: training and test, shift 2 and flip", &both, 2, true, epochs),
    ];
    for (name, images, shift, flip, epochs) in runs {
        let started = Instant::now();
        row(name, contest.student(&student, images, shift, flip, epochs));
        eprintln!("{name}: {epochs} epochs in {:.0} s", started.elapsed().as_secs_f64());
    }
}

fn row(name: &str, figures: Figures) {
    let Figures { clean, hidden, transformed } = figures;
    let percent = [clean, hidden, transformed, figures.gap()].map(|share| 100.0 * share);
    println!("{name:<44}{:>9.2}{:>9.2}{:>13.2}{:>7.2}", percent[0], percent[1], percent[2], percent[3]);
}

fn joined(a: &Images, b: &Images) -> Images {
    let pixels = [&a.pixels[..], &b.pixels].concat();
    Images { count: a.count + b.count, pixels, labels: [&a.labels[..], &b.labels].concat(), ..*a }
}
