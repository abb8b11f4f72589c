//! Bars for people on a terminal, quiet lines elsewhere.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;

/// Percentages of named phases on standard error.
pub(crate) struct Phases {
    label: String,
    terminal: bool,
    /// Whether nothing is said elsewhere.
    quiet: bool,
    state: Mutex<Option<(String, ProgressBar)>>,
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
        if state.as_ref().is_none_or(|(name, _)| name != phase) {
            if let Some((_, bar)) = state.take() {
                bar.finish_and_clear();
            }
            if !self.terminal && !self.quiet {
                eprintln!("{}: {phase}", self.label);
            }
            *state = Some((phase.to_owned(), self.bar(phase)));
        }
        if let Some((_, bar)) = state.as_ref() {
            bar.set_length(total.max(1));
            bar.set_position(done);
        }
    }

    /// The work is over.
    pub(crate) fn finish(&self) {
        if let Ok(mut state) = self.state.lock()
            && let Some((_, bar)) = state.take()
        {
            bar.finish_and_clear();
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

/// A bar of bytes going out.
pub(crate) fn upload_bar(bytes: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(bytes), ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("uploading {bar:24} {bytes}/{total_bytes} {bytes_per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}
