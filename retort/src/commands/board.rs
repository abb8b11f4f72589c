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
    let leaderboard = client.leaderboard(&id)?;
    if args.json {
        return print_json(&leaderboard);
    }
    println!("{}\n\n{}", table::board(&leaderboard), plot::accuracy_against_latency(&leaderboard));
    if leaderboard.champion.is_none() {
        println!("no champion yet: retort miner submit DIR --competition {id}");
    }
    Ok(())
}
