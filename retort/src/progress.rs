//! Bars for people on a terminal, quiet lines elsewhere.

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Whoever waits for less isn't told for how long.
const LONG: Duration = Duration::from_secs(5);
/// How often that is said where there is no terminal.
const BETWEEN_LINES: Duration = Duration::from_secs(15);

/// Percentages of named phases on standard error.
pub(crate) struct Phases {
    label: String,
    terminal: bool,
    /// Whether nothing is said elsewhere.
    quiet: bool,
    state: Mutex<Option<Shown>>,
}

/// The phase that is shown.
struct Shown {
    phase: String,
    bar: ProgressBar,
    since: Instant,
    /// When a line said how far it is.
    told: Instant,
}

impl Phases {
    pub(crate) fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), terminal: std::io::stderr().is_terminal(), quiet: false, state: Mutex::new(None) }
    }

    /// The same for whoever looks on: where there is no terminal nothing is said.
    pub(crate) fn on_terminal(label: impl Into<String>) -> Self {
        Self { quiet: true, ..Self::new(label) }
    }

    /// `phase` is `done` of `total`.
    pub(crate) fn at(&self, phase: &str, done: u64, total: u64) {
        let Ok(mut state) = self.state.lock() else { return };
        let speaks = !self.terminal && !self.quiet;
        if state.as_ref().is_none_or(|shown| shown.phase != phase) {
            if let Some(shown) = state.take() {
                shown.bar.finish_and_clear();
            }
            if speaks {
                eprintln!("{}: {phase}", self.label);
            }
            let now = Instant::now();
            *state = Some(Shown { phase: phase.to_owned(), bar: self.bar(phase), since: now, told: now });
        }
        let Some(shown) = state.as_mut() else { return };
        shown.bar.set_length(total.max(1));
        shown.bar.set_position(done);
        if let Some(left) = left(shown.since.elapsed(), done, total) {
            let left = HumanDuration(left);
            shown.bar.set_message(format!("{phase}, {left} left"));
            if speaks && shown.told.elapsed() > BETWEEN_LINES {
                eprintln!("{}: {phase}: {done} of {total}, {left} left", self.label);
                shown.told = Instant::now();
            }
        }
    }

    /// The work is over.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock()
            && let Some(shown) = state.take()
        {
            shown.bar.finish_and_clear();
        }
    }

    fn bar(&self, phase: &str) -> ProgressBar {
        if !self.terminal {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::with_draw_target(Some(1), ProgressDrawTarget::stderr_with_hz(8));
        let style = ProgressStyle::with_template("{prefix} {bar:24} {percent:>3} % {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.with_prefix(self.label.clone()).with_message(phase.to_owned())
    }
}

/// How long it takes from here, if it goes on as it went and takes long.
fn left(elapsed: Duration, done: u64, total: u64) -> Option<Duration> {
    let ahead = total.checked_sub(done).filter(|ahead| *ahead > 0 && done > 0 && elapsed >= LONG)?;
    Some(elapsed.mul_f64(ahead as f64 / done as f64))
}

/// A bar of bytes going out.
pub(crate) fn upload_bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("uploading {bar:24} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
