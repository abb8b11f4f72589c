//! An example of every command, which its help ends with. They are read by the command line that they teach (a test does it).

use super::Cli;
use clap::{Command, CommandFactory, FromArgMatches};

const EXAMPLES: [&str; 65] = [
    "retort demo --serve",
    "retort bench backends models/teacher --items 2000",
    "retort bench door --tries 20",
    "retort bench nulls --competition competition.toml student-1 student-2 student-3 student-4 student-5",
    "retort validator init --dir my-validator",
    "retort validator inspect my-pictures",
    "retort validator new my-pictures --teacher my-teacher --reference my-reference --id my-task",
    "retort validator example my-competition",
    "retort validator publish competition.toml --check",
    "retort validator publish fashion-mnist --dir my-validator",
    "retort validator serve --dir my-validator --listen 127.0.0.1:7070",
    "retort validator operator --dir my-validator",
    "retort validator invite 10 --dir my-validator",
    "retort validator register 5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY --dir my-validator",
    "retort validator doctor --dir my-validator",
    "retort validator backup /backups/monday --dir my-validator",
    "retort validator restore /backups/monday --dir my-validator",
    "retort validator prune --dir my-validator",
    "retort validator round status fashion-mnist --dir my-validator",
    "retort validator round close fashion-mnist --dir my-validator",
    "retort validator round run fashion-mnist --dir my-validator",
    "retort validator round beacon fashion-mnist drand.json --dir my-validator",
    "retort validator rewards fashion-mnist --preview winner_takes_all frontier --dir my-validator",
    "retort validator amend fashion-mnist --closes-at 2027-01-31T12:00:00Z --reason holidays --dir my-validator",
    "retort validator requeue …W24N19CEB --reason overheated --dir my-validator",
    "retort validator disqualify …W24N19CEB --reason stolen --dir my-validator",
    "retort validator block 203.0.113.0/24 --reason flood --dir my-validator",
    "retort validator allow 203.0.113.0/24 --reason over --dir my-validator",
    "retort validator blocks --dir my-validator",
    "retort validator answer-appeal …W24N19CEB 1 --text measured-again --dir my-validator",
    "retort doctor --dir my-validator",
    "retort worker --validator http://127.0.0.1:7070 --key worker.json --drain-when-idle",
    "retort fleet enrol bench-1 --dir my-validator",
    "retort fleet ls --dir my-validator",
    "retort fleet drain bench-1 --reason new-kernel --dir my-validator",
    "retort fleet quarantine bench-1 --reason noisy-neighbour --dir my-validator",
    "retort fleet resume bench-1 --reason looked-at --dir my-validator",
    "retort fleet revoke bench-1 --reason sold --dir my-validator",
    "retort miner check student --validator http://127.0.0.1:7070",
    "retort miner submit student --competition fashion-mnist --hotkey hotkey.json --wait",
    "retort miner token --hotkey hotkey.json --days 7",
    "retort miner status …W24N19CEB --follow",
    "retort miner why …W24N19CEB",
    "retort miner name small-net-works --hotkey hotkey.json",
    "retort miner withdraw …W24N19CEB --hotkey hotkey.json",
    "retort miner appeal …W24N19CEB --text labels-are-in-order --hotkey hotkey.json",
    "retort competitions --validator http://127.0.0.1:7070",
    "retort submissions --competition fashion-mnist --limit 20",
    "retort board fashion-mnist --division c99 --watch",
    "retort pull fashion-mnist champion",
    "retort model onnx champion",
    "retort model onnx student --form onnx-int8 --competition http://127.0.0.1:7070/competitions/fashion-mnist",
    "retort predict champion fashion-mnist:0 picture.png",
    "retort predict model.onnx pictures --competition http://127.0.0.1:7070/competitions/my-task",
    "retort witness --log \"$(curl -fsS http://127.0.0.1:7070/log/key)\"",
    "retort verify receipt …W24N19CEB --outputs-only",
    "retort verify log --save checkpoint",
    "retort verify round fashion-mnist 1",
    "retort verify watch fashion-mnist --every 300",
    "retort verify copy …W24N19CEB …KH4QRKX1",
    "retort simulate dethrone --items 3500 --repetitions 100",
    "retort simulate market --manifest competition.toml",
    "retort keys new hotkey.json",
    "retort keys show hotkey.json",
    "retort bench latency --aa --effort quick",
];

/// The command line with its examples.
pub(crate) fn command() -> Command {
    EXAMPLES.iter().fold(Cli::command(), |command, example| {
        let words: Vec<&str> = example.split_whitespace().skip(1).collect();
        with_example(command, &words, example)
    })
}

/// What was asked; help, and what is wrong with it, end the process.
pub(crate) fn asked() -> Cli {
    Cli::from_arg_matches(&command().get_matches()).unwrap_or_else(|error| error.exit())
}

fn with_example(command: Command, words: &[&str], example: &str) -> Command {
    if let Some((first, rest)) = words.split_first()
        && command.find_subcommand(first).is_some()
    {
        return command.mut_subcommand(*first, |below| with_example(below, rest, example));
    }
    let before = command.get_after_help().map_or_else(|| "Examples:".to_owned(), ToString::to_string);
    command.after_help(format!("{before}\n  {example}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_an_example_and_every_example_is_understood() {
        for example in EXAMPLES.iter().filter(|example| !example.contains("$(")) {
            let read = command().try_get_matches_from(example.split_whitespace());
            assert!(read.is_ok(), "{example}: {}", read.unwrap_err());
        }
        let mut commands = vec![(String::from("retort"), command())];
        while let Some((path, command)) = commands.pop() {
            let below: Vec<&Command> = command.get_subcommands().filter(|below| !below.is_hide_set()).collect();
            // These two say it in their first line.
            let is_taught = ["completions", "man", "help"].iter().any(|name| path.ends_with(name));
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(!below.is_empty() || is_taught || help.contains(&path), "{path}: {help}");
            commands.extend(below.into_iter().map(|below| (format!("{path} {}", below.get_name()), below.clone())));
        }
    }
}
