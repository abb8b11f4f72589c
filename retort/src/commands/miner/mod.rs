//! `retort miner`: check, submit and follow packages, whatever trained them.
//!
//! The check is the very admission function of the validator's door and the very engine of its worker.

mod check;
mod follow;
mod gate;
mod words;

pub(crate) use follow::wait_for_end;
pub(crate) use words::graph_told;

use super::keys::loaded;
use super::{competition_or_only, for_trying_out, onnx, print_json};
use crate::cli::{MinerCommand, SubmitArgs, Which};
use crate::leave;
use crate::progress::upload_bar;
use anyhow::Result;
use check::{How, admitted, check, tell_left_out, tell_made};
use follow::{fail_unless_good, follow_to_the_end};
use miner_template::client::{Announcing, Client, Entered};
use miner_template::files::PackageFiles;
use protocol::api::{AppealRequest, NameRequest, TokenCreated, TokenRequest};
use protocol::auth::Keypair;
use protocol::{CompetitionId, SubmissionId};
use std::path::Path;
use validator::why::WhyView;
use words::{describe, is_being_compared, quoted, told};

pub(crate) fn run(command: MinerCommand) -> Result<()> {
    match command {
        MinerCommand::Check { package, competition, validator, rules_only, device, out, json } => {
            check(&package, competition.as_deref(), &validator.validator, &How { rules_only, device, out, json })
        }
        MinerCommand::Submit(args) => run_submit(args),
        MinerCommand::Token { validator, hotkey, label, days, json } => {
            let request = TokenRequest { label, expires_in_seconds: days * 24 * 3_600 };
            let created = Client::new(&validator.validator).token(&request, &loaded(&hotkey)?)?;
            print_token(&created, days, json)
        }
        MinerCommand::Why { submission, validator, json } => print_why(&submission, &validator.validator, json),
        MinerCommand::Appeal { submission, text, validator, hotkey } => {
            appeal(&submission, text, &validator.validator, &loaded(&hotkey)?)
        }
        MinerCommand::Name { name, validator, hotkey } => {
            let keypair = loaded(&hotkey)?;
            let NameRequest { name } = Client::new(&validator.validator).call(&NameRequest { name }, &keypair)?;
            println!("{} is {name}", keypair.hotkey());
            Ok(())
        }
        MinerCommand::Withdraw { submission, validator, hotkey } => {
            withdraw(&submission, &validator.validator, &loaded(&hotkey)?)
        }
        MinerCommand::Status { submission, validator, follow, json } => {
            print_status(&submission, &validator.validator, follow, json)
        }
    }
}

fn run_submit(args: SubmitArgs) -> Result<()> {
    onnx::there(&args.package)?;
    let (client, id) = competition_or_only(args.competition.as_deref(), &args.validator.validator)?;
    let keypair = loaded(&args.hotkey)?;
    let published = client.competition(&id)?.as_it_goes_on();
    let given = onnx::read(&args.package, &published.manifest.labels)?;
    tell_made(&given);
    tell_left_out(&given);
    // What the validator would refuse costs no upload and no quota.
    if !args.unchecked {
        leave::last_words("stopped; nothing was sent".into());
        let passed = admitted(&given.files, &published.manifest)?;
        gate::try_out(&client, &published, &given.files, &passed)?;
        leave::last_words(String::new());
    }
    if let Some(told) = for_trying_out(&client, &published.manifest).filter(|_| !args.json) {
        eprintln!("{told}");
    }
    if let Some(license) = &published.manifest.license {
        eprintln!("by submitting you give the model to everybody under {license}, as the competition says");
    }
    let announcing = Announcing { invite: args.invite, name: args.name };
    let Entered { id: submission, is_new } = send(&client, &id, &given.files, &announcing, &keypair)?;
    let follow = follow_command(&client, &submission);
    leave::last_words(format!("the submission goes on without this; to look on: {follow}"));
    let status = if args.wait { wait_for_end(&client, &submission)? } else { client.status(&submission)? };
    leave::last_words(String::new());
    if !is_new {
        eprintln!("this package was entered already, {}: it stays as it is", super::when(status.created_at));
    }
    if args.json {
        print_json(&status)?;
    } else {
        println!("{}", describe(&status));
    }
    if !args.json && (!args.wait || is_being_compared(&status)) {
        println!("next: {follow}");
    }
    fail_unless_good(&status)
}

/// Tells each change of a submission.
fn follow_command(client: &Client, submission: &SubmissionId) -> String {
    format!("retort miner status {submission} --follow{}", super::at(client))
}

fn print_token(created: &TokenCreated, days: u64, json: bool) -> Result<()> {
    if json {
        return print_json(created);
    }
    // Alone on its line, so that HF_TOKEN=$(retort miner token …) is what it looks like.
    println!("{}", created.token);
    eprintln!("submits for {} for {days} days; it is told this once", created.view.hotkey);
    Ok(())
}

fn print_why(submission: &Which, validator: &str, json: bool) -> Result<()> {
    let client = Client::new(submission.validator(validator));
    let submission = super::submission(&client, submission)?;
    let why: WhyView = client.get_json(&format!("/api/v1/submissions/{submission}/why"))?;
    if json {
        return print_json(&why);
    }
    println!("{}", told(&why));
    Ok(())
}

fn appeal(submission: &Which, text: String, validator: &str, keypair: &Keypair) -> Result<()> {
    let client = Client::new(submission.validator(validator));
    let submission = super::submission(&client, submission)?;
    let said = client.appeal(&submission, &AppealRequest { text }, keypair)?;
    println!("{}", said.iter().map(quoted).collect::<Vec<_>>().join("\n"));
    println!("next: the operator answers; retort miner why {submission}{} shows it", super::at(&client));
    Ok(())
}

fn withdraw(submission: &Which, validator: &str, keypair: &Keypair) -> Result<()> {
    let client = Client::new(submission.validator(validator));
    let status = client.withdraw(&super::submission(&client, submission)?, keypair)?;
    println!("{} is {}; its place is free, and what it drew on your quota stays spent", status.id, status.state);
    Ok(())
}

fn print_status(submission: &Which, validator: &str, follow: bool, json: bool) -> Result<()> {
    let client = Client::new(submission.validator(validator));
    let submission = super::submission(&client, submission)?;
    if follow {
        let words = format!("it goes on without this; to look on: {}", follow_command(&client, &submission));
        leave::last_words(words);
        return follow_to_the_end(&client, &submission, json);
    }
    let status = client.status(&submission)?;
    if json {
        return print_json(&status);
    }
    println!("{}", describe(&status));
    Ok(())
}

/// Submits with a bar of bytes.
pub(crate) fn submit(
    client: &Client,
    id: &CompetitionId,
    package: &Path,
    with: &Announcing,
    keypair: &Keypair,
) -> Result<Entered> {
    send(client, id, &PackageFiles::read(package)?, with, keypair)
}

/// Sends what was read.
fn send(
    client: &Client,
    id: &CompetitionId,
    files: &PackageFiles,
    with: &Announcing,
    keypair: &Keypair,
) -> Result<Entered> {
    let bar = upload_bar(files.iter().map(|(_, bytes)| bytes.len() as u64).sum());
    let counter = bar.clone();
    let entered = client.submit(id, files, with, keypair, &move |bytes| counter.inc(bytes));
    bar.finish_and_clear();
    Ok(entered?)
}
