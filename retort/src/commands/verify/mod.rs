//! `retort verify`: checks what a validator states, by this machine's own means.

mod attempts;
mod checks;
mod copy;
mod fetched;
mod ledger;
mod log;
mod receipt;
mod rerun;
mod round;
mod watch;
mod witnesses;

pub(crate) use checks::{CannotBeChecked, Check};
pub(crate) use receipt::confirm;

use crate::cli::{Cli, ReceiptOptions, VerifyArgs, VerifyCommand};
use anyhow::{Context, Result};
use checks::Lie;
use clap::error::ErrorKind;
use clap::{Command, CommandFactory};
use miner_template::client::{Client, ClientError};
use transparency::verify::Reader;
use transparency::{LogKey, Resource};

/// A verifier key has less.
const KEY_BYTES_MAX: u64 = 1024;

pub(crate) fn run(args: VerifyArgs) -> Result<()> {
    let ReceiptOptions { key, signer, outputs_only, json, validator: _ } = &args.options;
    let is_of_receipt = args.receipt.is_some() || key.is_some() || signer.is_some() || *outputs_only || *json;
    if args.command.is_some() && is_of_receipt {
        let problem = "write the command first: `retort verify log --json`; --validator alone may stand before it";
        this_command().error(ErrorKind::ArgumentConflict, problem).exit()
    }
    verified(args).map_err(unless_a_lie)
}

fn verified(args: VerifyArgs) -> Result<()> {
    match (args.command, args.receipt) {
        (Some(VerifyCommand::Receipt { receipt, options }), _) => receipt::run(&receipt, &options),
        (Some(VerifyCommand::Log(options)), _) => log::run(&options),
        (Some(VerifyCommand::Round(round)), _) => round::run(&round),
        (Some(VerifyCommand::Watch(args)), _) => watch::run(&args),
        (Some(VerifyCommand::Copy(pair)), _) => copy::run(&pair),
        (None, Some(receipt)) => receipt::run(&receipt, &args.options),
        (None, None) => {
            let problem = "what to verify is missing: a receipt, `log`, `round`, `watch` or `copy`";
            this_command().error(ErrorKind::MissingRequiredArgument, problem).exit()
        }
    }
}

/// Whatever isn't shown to be false wasn't checked: nobody answers, what was asked for isn't there, a file can't be read.
/// A cron job must tell that from a lie by the status alone.
fn unless_a_lie(error: anyhow::Error) -> anyhow::Error {
    let other_bytes = matches!(error.downcast_ref::<ClientError>(), Some(ClientError::Corrupt { .. }));
    if other_bytes || error.is::<Lie>() || error.is::<CannotBeChecked>() {
        return error;
    }
    CannotBeChecked(crate::once(&error)).into()
}

/// `retort verify`, whose usage wrong use shows.
fn this_command() -> Command {
    let mut all = Cli::command();
    all.build();
    all.find_subcommand("verify").cloned().unwrap_or(all)
}

/// A validator's public log over HTTP.
struct HttpLog<'a>(&'a Client);

impl Reader for HttpLog<'_> {
    type Error = ClientError;

    async fn read(&self, resource: &Resource) -> Result<Option<Vec<u8>>, ClientError> {
        self.0.log_file(&resource.to_string(), resource.bytes_max() as u64)
    }
}

/// The key given, or else what the validator says, which proves less: it could show another log to others.
fn log_key(client: &Client, given: Option<&LogKey>) -> Result<LogKey> {
    if let Some(key) = given {
        return Ok(key.clone());
    }
    let text = client.log_file("key", KEY_BYTES_MAX)?.context("the validator keeps no public log")?;
    let key: LogKey = String::from_utf8_lossy(&text).trim_end().parse().context("read the validator's log key")?;
    eprintln!("the log's key was asked of the validator itself; to hold it to this log, pass --key {key}");
    Ok(key)
}

/// An error with its causes, in a line.
fn line(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own words.
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
