//! `retort competitions` and `retort submissions`: what a validator has, as its API lists it.

use super::{print_json, when};
use crate::cli::{CompetitionsArgs, SubmissionsArgs};
use crate::fitted::{self, Column, STAYS, wrapped};
use crate::table::{narrow, short_key, tail};
use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use miner_template::client::Client;
use protocol::api::{CompetitionView, SubmissionSummary};
use protocol::{CompetitionId, Hotkey};

/// More than anybody reads.
const COMPETITIONS_MAX: usize = 1_000;

pub(crate) fn competitions(args: &CompetitionsArgs) -> Result<()> {
    let client = Client::new(&args.validator.validator);
    let all: Vec<CompetitionView> = client.list("/api/v1/competitions", COMPETITIONS_MAX)?;
    if args.json {
        return print_json(&all);
    }
    if all.is_empty() {
        println!("{} lists no competition: none is published yet, or those that are stay out of lists", client.base());
        return Ok(());
    }
    if let Some(columns) = narrow() {
        all.iter().for_each(|view| println!("{}", in_two_lines(view, columns)));
        return Ok(());
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

/// A competition where there are few columns.
fn in_two_lines(view: &CompetitionView, columns: usize) -> String {
    let manifest = view.manifest(0);
    let ends = manifest.closes_at.map_or("open".to_owned(), |at| format!("ends {}", when(at)));
    let champion = view.champion.as_ref().map_or("no champion yet".to_owned(), |id| format!("champion {}", tail(id)));
    let title = wrapped(&format!("{}: {}", manifest.id, manifest.title), columns, 0);
    format!("{title}\n{}", wrapped(&format!("{ends}, {champion}, {}", manifest.reward), columns, 4))
}

pub(crate) fn submissions(args: &SubmissionsArgs) -> Result<()> {
    let (client, wanted) = match &args.of {
        Some(what) => {
            let (client, id) = super::competition(what, &args.validator.validator)?;
            (client, Some(id))
        }
        None => (Client::new(&args.validator.validator), args.competition.clone()),
    };
    let hotkey = args.hotkey.map(|hotkey| format!("hotkey={hotkey}"));
    let competition = wanted.as_ref().map(|id| format!("competition={id}"));
    let asked: Vec<String> = hotkey.into_iter().chain(competition).collect();
    let all: Vec<SubmissionSummary> = client.list(&format!("/api/v1/submissions?{}", asked.join("&")), args.limit)?;
    if args.json {
        return print_json(&all);
    }
    if all.is_empty() {
        println!("{}", nothing(args.hotkey, wanted.as_ref(), client.base()));
        return Ok(());
    }
    if let Some(columns) = narrow() {
        println!("{}", fitted::table(columns_of(&all), columns).lines.join("\n"));
        return Ok(());
    }
    let mut table = table(["submission", "competition", "hotkey", "state", "since", "model", "score", "rank"]);
    for it in &all {
        let state = code(it).map_or(it.state.to_string(), |code| format!("{}: {code}", it.state));
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

/// Why a list is empty.
fn nothing(hotkey: Option<Hotkey>, competition: Option<&CompetitionId>, validator: &str) -> String {
    let whose = hotkey.map_or_else(String::new, |hotkey| format!(" by {hotkey}"));
    let place = competition.map_or_else(|| validator.to_owned(), ToString::to_string);
    let competitions = match competition {
        Some(_) => "; `retort competitions` lists what there is to enter",
        None => "",
    };
    format!("nothing was entered{whose} in {place} yet{competitions}")
}

/// Submissions where there are few columns: every command takes the end of an id in its place.
fn columns_of(all: &[SubmissionSummary]) -> Vec<Column> {
    let cut = |text: String, chars: usize| text.chars().take(chars).collect::<String>();
    let column =
        |name, worth, cell: &dyn Fn(&SubmissionSummary) -> String| Column::new(name, worth, all.iter().map(cell));
    // 2027-01-31T12:00:00Z as 01-31 12:00.
    let since = |at| when(at).chars().skip(5).take(11).map(|c| if c == 'T' { ' ' } else { c }).collect();
    vec![
        column("id", STAYS, &|it| tail(&it.id)),
        column("competition", 1, &|it| cut(it.competition.to_string(), 13)),
        column("hotkey", 3, &|it| short_key(&it.hotkey)),
        column("state", STAYS, &|it| it.state.to_string()),
        column("since", 2, &|it| since(it.changed_at)),
        column("came to", STAYS, &|it| cut(came_to(it), 20)),
    ]
}

/// The code of an end that says more than the state does.
fn code(it: &SubmissionSummary) -> Option<String> {
    it.code.map(|code| code.to_string()).filter(|code| code != it.state.as_str())
}

/// Why a submission ended, or its score, rank and model.
fn came_to(it: &SubmissionSummary) -> String {
    let score = it.score_ppm.map(|ppm| format!("{:.4}", ppm as f64 / 1e6));
    let rank = it.rank.map(|rank| format!("#{rank}"));
    let model = it.name.iter().chain(&it.architecture).next().cloned();
    let all = code(it).into_iter().chain(score).chain(rank).chain(model);
    all.collect::<Vec<_>>().join(" ")
}

fn table<const N: usize>(columns: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(columns);
    if let Some(width) = crate::table::columns() {
        table.set_width(width);
    }
    table
}
