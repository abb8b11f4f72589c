//! `retort board`: the leaderboard as a table and a plot, as JSON or as CSV; once, or anew whenever it changes.

use super::{competition_or_only, for_trying_out, print_json};
use crate::cli::BoardArgs;
use crate::{plot, table};
use anyhow::Result;
use console::Term;
use miner_template::client::Client;
use protocol::CompetitionId;
use protocol::api::Leaderboard;
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) fn run(args: &BoardArgs) -> Result<()> {
    let (client, id) = competition_or_only(args.competition.as_deref(), &args.validator.validator)?;
    if args.csv {
        print!("{}", client.leaderboard_csv(&id)?);
        return Ok(());
    }
    if args.watch {
        return watch(&client, &id, args);
    }
    let leaderboard = wanted(&client, &id, args)?;
    if args.json {
        return print_json(&leaderboard);
    }
    print!("{}", text(leaderboard, args, &client, &id));
    if Term::stdout().is_term()
        && let Some(told) = for_trying_out(&client, &client.competition(&id)?.competition.manifest)
    {
        println!("{told}");
    }
    Ok(())
}

fn wanted(client: &Client, id: &CompetitionId, args: &BoardArgs) -> Result<Leaderboard> {
    let leaderboard = client.leaderboard(id)?;
    Ok(args.division.map(|division| table::of_division(&leaderboard, division)).unwrap_or(leaderboard))
}

/// Shows each state that differs from the one before: in place on a terminal, one after the other elsewhere. A validator
/// that can't be reached for a while is asked again.
fn watch(client: &Client, id: &CompetitionId, args: &BoardArgs) -> Result<()> {
    let screen = Term::stdout();
    let mut shown = None;
    let mut problem = None;
    loop {
        match wanted(client, id, args) {
            Ok(leaderboard) if shown.as_ref() != Some(&leaderboard) => {
                if args.json {
                    println!("{}", serde_json::to_string(&leaderboard)?);
                } else {
                    if screen.is_term() {
                        screen.clear_screen()?;
                    }
                    print!("{}", text(leaderboard.clone(), args, client, id));
                    println!("as of {}; Ctrl-C ends", super::when(validator::Clock::System.now()));
                }
                (shown, problem) = (Some(leaderboard), None);
            }
            Ok(_) => problem = None,
            // The first look has to work: a wrong name is no outage.
            Err(error) if shown.is_none() => return Err(error),
            Err(error) => {
                let told = format!("{error:#}");
                if problem.replace(told.clone()) != Some(told.clone()) {
                    eprintln!("{told}");
                }
            }
        }
        std::thread::sleep(LOOK);
    }
}

fn text(mut leaderboard: Leaderboard, args: &BoardArgs, client: &Client, id: &CompetitionId) -> String {
    let mut lines = Vec::new();
    if let Some(division) = args.division {
        table::show_places(&mut leaderboard, division);
        lines.push(table::in_room(&format!("division {division}: {}", division.sentence()), 0));
    }
    lines.push(format!("{}\n{}\n", table::board(&leaderboard), table::legend(&leaderboard)));
    if args.why {
        lines.push(format!("{}\n", table::reasons(&leaderboard)));
    }
    lines.push(plot::accuracy_against_latency(&leaderboard));
    if leaderboard.champion.is_none() {
        let leads =
            leaderboard.leader.as_ref().map_or(String::new(), |leader| format!(", {leader} leads, provisionally"));
        let at = super::at(client);
        let said = table::in_room(&format!("no champion yet{leads}; enter a model:"), 0);
        lines.push(format!("{said}\n  retort miner submit DIR --hotkey KEY --competition {id}{at}"));
    }
    lines.join("\n") + "\n"
}
