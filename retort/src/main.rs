//! The arena for distilled models: one binary, every role a subcommand. This file is the match; each command has a file.

// First: its macros hold in everything below.
#[macro_use]
mod output;

mod cli;
mod commands;
mod engine;
mod fitted;
mod leave;
mod picture;
mod pictures;
mod plot;
mod progress;
mod table;
mod typed;

use cli::{Command, ValidatorCommand};
use commands::verify::CannotBeChecked;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = cli::asked();
    if cli.insecure_sandbox {
        engine::allow_insecure();
    }
    let result = match cli.command {
        // The worker comes first and alone: it must not log, load settings or touch the network.
        Command::EvaluationWorker => return eval::worker_main(),
        Command::Burn => return commands::bench::burn(),
        Command::Demo(args) => commands::demo::run(&args),
        Command::Validator(command) => commands::validator::run(command),
        Command::Doctor { home, json } => commands::validator::run(ValidatorCommand::Doctor { home, json }),
        Command::Worker(args) => commands::worker::run(&args),
        Command::Fleet(command) => commands::fleet::run(command),
        Command::Miner(command) => commands::miner::run(command),
        Command::Competitions(args) => commands::lists::competitions(&args),
        Command::Submissions(args) => commands::lists::submissions(&args),
        Command::Board(args) => commands::board::run(&args),
        Command::Pull(args) => commands::pull::run(&args),
        Command::Model(command) => commands::model::run(&command),
        Command::Predict(args) => commands::predict::run(&args),
        Command::Simulate(command) => commands::simulate::run(&command),
        Command::Bench(command) => commands::bench::run(&command),
        Command::Completions { shell } => commands::manual::completions(shell),
        Command::Man { dir } => commands::manual::pages(&dir),
        Command::Keys(command) => commands::keys::run(command),
        Command::Witness(args) => commands::witness::run(&args),
        Command::Verify(args) => commands::verify::run(*args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => match error.downcast_ref::<CannotBeChecked>() {
            Some(open) => {
                eprintln!("not checked: {open}");
                ExitCode::from(CannotBeChecked::STATUS)
            }
            None => {
                eprintln!("error: {}", once(&error));
                ExitCode::FAILURE
            }
        },
    }
}

/// An error and its causes, each said once: some libraries repeat their cause in their own words.
fn once(error: &anyhow::Error) -> String {
    error.chain().map(|cause| cause.to_string()).fold(String::new(), |text, cause| {
        let cause = cause.trim_end();
        match text.as_str() {
            "" => cause.to_owned(),
            said if said.contains(cause) => text,
            said => format!("{said}: {cause}"),
        }
    })
}
