//! Progress for people: a bar on a terminal, a quiet line per epoch elsewhere.

use crate::train::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;

/// Shows a run with several parts.
pub struct Display {
    label: String,
    bar: Option<ProgressBar>,
    last: Option<Progress>,
}

impl Display {
    /// A display on standard error.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_owned(), bar: None, last: None }
    }

    /// Images that the teacher has been asked about.
    pub fn teacher(&mut self, done: u64, all: u64) {
        let message = if done == all { "teacher asked" } else { "asking the teacher" };
        self.draw(done, all, "images", message.to_owned());
        if done == all {
            self.bar = None;
        }
    }

    /// A training step.
    pub fn step(&mut self, progress: &Progress) {
        let finished = progress.step == progress.steps;
        if std::io::stderr().is_terminal() {
            self.draw(progress.step, progress.steps, "steps", describe(progress));
            if finished {
                self.bar = None;
            }
            return;
        }
        let before = self.last.replace(*progress).filter(|before| before.epoch != progress.epoch);
        for ended in before.iter().chain(finished.then_some(progress)) {
            eprintln!("{}: step {}/{} {}", self.label, ended.step, ended.steps, describe(ended));
        }
    }

    fn draw(&mut self, done: u64, all: u64, unit: &str, message: String) {
        if !std::io::stderr().is_terminal() {
            return;
        }
        let label = &self.label;
        let bar = self.bar.get_or_insert_with(|| {
            let style = ProgressStyle::with_template(&format!("{{prefix}} {{bar:24}} {{pos}}/{{len}} {unit} {{msg}}"));
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.with_prefix(label.clone())
        });
        bar.set_position(done);
        bar.set_message(message);
        if done == all {
            bar.finish();
        }
    }
}

fn describe(progress: &Progress) -> String {
    format!(
        "epoch {} loss {:.4} accuracy {:.1} % {:.0} images/s {} left",
        progress.epoch + 1,
        progress.loss,
        100.0 * progress.accuracy,
        progress.images_per_second,
        HumanDuration(progress.remaining)
    )
}
