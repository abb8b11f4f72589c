//! `retort competitions` and `retort submissions`: what a validator has, as its API lists it.

use super::{print_json, when};
use crate::cli::{CompetitionsArgs, SubmissionsArgs};
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use miner_template::client::Client;
use protocol::api::{CompetitionView, SubmissionSummary};

/// More than anybody reads.
const COMPETITIONS_MAX: usize = 1_000;

pub(crate) fn competitions(args: &CompetitionsArgs) -> Result<()> {
    let client = Client::new(&args.validator.validator);
    let all: Vec<CompetitionView> = client.list("/api/v1/competitions", COMPETITIONS_MAX)?;
    if args.json {
        return print_json(&all);
    }
    let mut table = table(["competition", "title", "pays", "ends", "champion"]);
    for view in &all {
        let manifest = view.manifest(0);
        let ends = manifest.closes_at.map_or("open".to_owned(), when);
        let champion = view.champion.as_ref().map_or_else(String::new, ToString::to_string);
        table.add_row([manifest.id.to_string(), manifest.title.clone(), manifest.reward.to_string(), ends, champion]);
    }
    println!("{table}");
    Ok(())
}

pub(crate) fn submissions(args: &SubmissionsArgs) -> Result<()> {
    let client = Client::new(&args.validator.validator);
    let hotkey = args.hotkey.map(|hotkey| format!("hotkey={hotkey}"));
    let competition = args.competition.as_ref().map(|id| format!("competition={id}"));
    let asked: Vec<String> = hotkey.into_iter().chain(competition).collect();
    let all: Vec<SubmissionSummary> = client.list(&format!("/api/v1/submissions?{}", asked.join("&")), args.limit)?;
    if args.json {
        return print_json(&all);
    }
    let mut table = table(["submission", "competition", "hotkey", "state", "since", "model", "score", "rank"]);
    for it in &all {
        let state = it.code.map_or(it.state.to_string(), |code| format!("{}: {code}", it.state));
        let score = it.score_ppm.map_or_else(String::new, |ppm| format!("{:.4}", ppm as f64 / 1e6));
        table.add_row([
            it.id.to_string(),
            it.competition.to_string(),
            it.hotkey.to_string(),
            state,
            when(it.changed_at),
            it.name.iter().chain(&it.architecture).cloned().collect::<Vec<_>>().join(", "),
            score,
            it.rank.map_or_else(String::new, |rank| rank.to_string()),
        ]);
    }
    println!("{table}");
    Ok(())
}

fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns);
    table
}
