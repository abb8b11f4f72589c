//! `retort board`: the leaderboard as a table and a plot, as JSON or as CSV.

use super::{competition, print_json};
use crate::cli::BoardArgs;
use crate::{plot, table};
use anyhow::Result;

pub(crate) fn run(args: &BoardArgs) -> Result<()> {
    let (client, id) = competition(&args.competition, &args.validator.validator)?;
    if args.csv {
        print!("{}", client.leaderboard_csv(&id)?);
        return Ok(());
    }
    let mut leaderboard = client.leaderboard(&id)?;
    if let Some(division) = args.division {
        leaderboard = table::of_division(&leaderboard, division);
    }
    if args.json {
        return print_json(&leaderboard);
    }
    if let Some(division) = args.division {
        table::show_places(&mut leaderboard, division);
        println!("division {division}: {}", division.sentence());
    }
    println!("{}\n{}\n", table::board(&leaderboard), table::legend(&leaderboard));
    if args.why {
        println!("{}\n", table::reasons(&leaderboard));
    }
    println!("{}", plot::accuracy_against_latency(&leaderboard));
    if leaderboard.champion.is_none() {
        println!("no champion yet: retort miner submit DIR --competition {id}");
    }
    Ok(())
}
