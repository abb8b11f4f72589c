//! What a command runs on, and where its log goes: a service's, or that of a command among what it says itself.

use anyhow::{Context, Result};
use std::io::IsTerminal;
#[cfg(feature = "otel")]
use std::{net::SocketAddr, path::Path};
use tokio::runtime::Runtime;

/// What a service logs where `RUST_LOG` doesn't say it.
const LOGGED: &str = "info,sqlx=warn,apalis=warn";

/// What a command logs where `RUST_LOG` doesn't say it: what an operator did is its own output.
const COMMANDS: &str =
    "warn,retort::waiting=info,service::administration=error,service::amend=error,service::blocks=error";

/// What a demo logs: errors, and for whom it waits.
const STORY: &str = "error,retort::waiting=info";

/// As what a validator says for whom it waits: everybody shows it.
pub(super) const WAITING: &str = "retort::waiting";

/// Runs a service to its end, and logs as one.
pub(crate) fn run_service<T>(work: impl Future<Output = T>) -> Result<T> {
    log_to_stderr(LOGGED);
    run_async(work)
}

/// Runs what measures to its end and waits for nothing else: a thread that still computes ends with the process.
pub(crate) fn run_async<T>(work: impl Future<Output = T>) -> Result<T> {
    let runtime = runtime()?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// The runtime of a command. Unless something logs already, warnings go to standard error among what the command says there;
/// `RUST_LOG` filters.
pub(crate) fn runtime() -> Result<Runtime> {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(COMMANDS));
    // A second subscriber is refused, and then the first goes on.
    let colour = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = lines.without_time().with_target(false).try_init();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")
}

/// Logs of a service go to standard error from here on: lines on a terminal, JSON elsewhere; `RUST_LOG` filters.
pub(crate) fn log_to_stderr(default: &str) {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second subscriber is refused, and then the first goes on.
    let _ = if std::io::stderr().is_terminal() { builder.try_init() } else { builder.json().try_init() };
}

/// Errors alone go to standard error from here on, in plain lines among those of a story; `RUST_LOG` filters.
pub(crate) fn log_in_story() {
    use tracing_subscriber::{EnvFilter, fmt};
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(STORY));
    let colour = std::io::stderr().is_terminal();
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    let _ = lines.without_time().with_target(false).try_init();
}

/// Logs as [`log_to_stderr`] does, and exports spans where the settings in `dir` or OpenTelemetry's variables say.
#[cfg(feature = "otel")]
pub(super) fn traced(dir: &Path, listen: Option<SocketAddr>) -> Result<validator::telemetry::Traces> {
    use tracing_subscriber::{EnvFilter, Layer, fmt};
    let config = super::parts::settings(&validator::Home::new(dir), listen)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if std::io::stderr().is_terminal() { lines.boxed() } else { lines.json().boxed() };
    Ok(validator::telemetry::start(&config, filter, lines)?)
}
