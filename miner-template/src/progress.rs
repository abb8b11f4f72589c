//! Progress for people: a bar on a terminal, a quiet line now and then elsewhere. Whatever takes its time says how much is left.

use crate::train::Progress;
use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Where there is no terminal, this long is nothing said of what goes on.
const QUIET: Duration = Duration::from_secs(10);

/// What takes its time beside training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Preparation {
    /// Two images in one, as hidden rounds show them, to train on.
    Mixtures,
    /// The teacher's answers.
    Teacher,
    /// The student's own answers to the evaluation images.
    Answers,
}

impl Preparation {
    fn words(self) -> &'static str {
        match self {
            Self::Mixtures => "making mixtures to train on",
            Self::Teacher => "asking the teacher",
            Self::Answers => "asking the student about evaluation images",
        }
    }
}

/// What a run tells its display.
#[derive(Clone, Copy, Debug)]
pub enum Event {
    /// What goes on before training and after it: images done, of all.
    Preparing(Preparation, u64, u64),
    /// A training step.
    Step(Progress),
}

/// Shows a run with several parts.
pub struct Display {
    label: String,
    bar: Option<ProgressBar>,
    last: Option<Progress>,
    /// When a step was told of, where there is no terminal.
    told: Option<Instant>,
    under_way: Option<UnderWay>,
}

/// A preparation that isn't done.
struct UnderWay {
    what: Preparation,
    began: Instant,
    told: Instant,
}

impl Display {
    /// A display on standard error.
    pub fn new(label: &str) -> Self {
        Self { label: label.to_owned(), bar: None, last: None, told: None, under_way: None }
    }

    /// Whatever a distillation tells.
    pub fn event(&mut self, event: Event) {
        match event {
            Event::Preparing(what, done, all) => self.preparing(what, done, all),
            Event::Step(progress) => self.step(&progress),
        }
    }

    /// Images that are prepared, of all.
    pub fn preparing(&mut self, what: Preparation, done: u64, all: u64) {
        let now = Instant::now();
        let under_way = self.under_way.take().filter(|it| it.what == what);
        let begins = under_way.is_none() && done < all;
        let UnderWay { began, told, .. } = under_way.unwrap_or(UnderWay { what, began: now, told: now });
        let words = match left(now - began, done, all) {
            _ if done == all => what.words().to_owned(),
            Some(left) => format!("{}, {} left", what.words(), HumanDuration(left)),
            None => what.words().to_owned(),
        };
        let is_due = begins || now - told >= QUIET || done == all && now - began >= QUIET;
        if is_due && !std::io::stderr().is_terminal() {
            eprintln!("{}: {done}/{all} images: {words}", self.label);
        }
        self.draw(done, all, "images", words);
        if done == all {
            self.bar = None;
        } else {
            self.under_way = Some(UnderWay { what, began, told: if is_due { now } else { told } });
        }
    }

    /// A training step.
    fn step(&mut self, progress: &Progress) {
        let finished = progress.step == progress.steps;
        if std::io::stderr().is_terminal() {
            self.draw(progress.step, progress.steps, "steps", describe(progress));
            if finished {
                self.bar = None;
            }
            return;
        }
        let before = self.last.replace(*progress).filter(|before| before.epoch != progress.epoch);
        // An epoch of many images, or of a large student, takes minutes.
        let is_due = before.is_none() && self.told.get_or_insert_with(Instant::now).elapsed() >= QUIET;
        for told in before.iter().chain((finished || is_due).then_some(progress)) {
            eprintln!("{}: step {}/{} {}", self.label, told.step, told.steps, describe(told));
            self.told = Some(Instant::now());
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

/// How long the rest takes if it goes on as it went.
fn left(spent: Duration, done: u64, all: u64) -> Option<Duration> {
    let share = (all.saturating_sub(done)) as f64 / (done > 0).then_some(done)? as f64;
    Some(spent.mul_f64(share))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_told_once_something_is_done() {
        let spent = Duration::from_secs(10);
        assert_eq!(left(spent, 0, 100), None);
        assert_eq!(left(spent, 25, 100), Some(Duration::from_secs(30)));
        assert_eq!(left(spent, 100, 100), Some(Duration::ZERO));
    }
}
