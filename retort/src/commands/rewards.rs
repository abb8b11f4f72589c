//! `retort validator rewards`: what finished rounds paid, and what they would have paid under other rules.
//!
//! Looking changes nothing; a change is announced for a later round than the one that runs, and never taken back.

use super::print_json;
use crate::cli::{RewardsArgs, at_home};
use crate::typed;
use anyhow::{Context, Result, bail, ensure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::Hotkey;
use protocol::reward::{PolicyChange, RewardRules, Standing};
use referee::preview::{Preview, preview};
use std::fs;
use validator::rounds::announce_reward;
use validator::{Home, db::Db};

/// How wide a whole hotkey's column is, and a policy's.
const HOTKEY_CHARS: usize = 52;
const POLICY_CHARS: usize = 11;

/// The rules that a name alone describes.
const NAMES: [&str; 4] = ["winner_takes_all", "ladder", "last_champions", "frontier"];

pub(crate) fn run(args: &RewardsArgs) -> Result<()> {
    super::validator::runtime()?.block_on(async {
        let home = Home::new(&args.home.dir);
        home.load(std::env::vars())?;
        let db = Db::open(&home.database()).await.context("open the validator's database")?;
        let Some(stored) = db.competition(&args.competition).await? else {
            bail!("no competition is called {}", args.competition);
        };
        if let (Some(announce), Some(from_round)) = (&args.announce, args.from_round) {
            let change = PolicyChange { from_round, reward: read(announce)? };
            let (validator, now) = (home.keypair()?.hotkey(), validator::Clock::System.now());
            println!("{} is paid by: {}", args.competition, change.reward);
            announce_reward(&db, validator, &args.competition, change, now).await?;
            println!("from round {from_round} on; it is stated in the public log and can't be taken back");
            return Ok(());
        }
        let rounds = db.rounds(&args.competition).await?;
        let standings: Vec<Standing> =
            rounds.into_iter().filter_map(|round| round.record.settled).map(|settled| settled.standing).collect();
        let mut rules = vec![stored.competition.manifest.reward];
        for what in &args.preview {
            rules.push(read(what)?);
        }
        if standings.is_empty() && !args.json {
            println!(
                "{0} has no finished round yet; `retort validator round status {0}{1}` shows where it is",
                args.competition,
                typed::dir(&args.home.dir)
            );
            return Ok(());
        }
        let preview = preview(&rules, &standings);
        if args.json {
            return print_json(&preview);
        }
        print!("{}", tell(&preview));
        Ok(())
    })
}

/// A policy by name, or from a TOML file: a manifest with a `[reward]`, or the fields of one alone.
fn read(what: &str) -> Result<RewardRules> {
    let text = match NAMES.contains(&what) {
        true => format!("policy = \"{what}\""),
        false => {
            let file = at_home(what).map_err(anyhow::Error::msg)?;
            ensure!(file.exists(), "{what:?} is neither a policy ({}) nor a file", NAMES.join(", "));
            fs::read_to_string(file).with_context(|| format!("read {what}"))?
        }
    };
    let table: toml::Table = text.parse().with_context(|| format!("read {what} as TOML"))?;
    let fields = match table.get("reward") {
        Some(reward) => reward.clone(),
        None => toml::Value::Table(table),
    };
    let rules: RewardRules = fields.try_into().with_context(|| format!("read the reward of {what}"))?;
    rules.check().map_err(anyhow::Error::msg).with_context(|| format!("the reward of {what}"))?;
    Ok(rules)
}

fn tell(preview: &Preview) -> String {
    let mut text = String::new();
    for (column, policy) in preview.policies.iter().enumerate() {
        let which = if column == 0 { " (as published)" } else { "" };
        text += &format!("{} {policy}{which}\n", letter(column));
    }
    let columns = preview.policies.len();
    let whole = crate::table::columns().is_none_or(|width| usize::from(width) >= HOTKEY_CHARS + POLICY_CHARS * columns);
    // A key that is broken over lines can't be copied either.
    let called = |hotkey: &Hotkey| if whole { hotkey.to_string() } else { crate::table::short_key(hotkey) };
    for round in &preview.rounds {
        let rows = round.rows.iter().map(|row| (called(&row.hotkey), &row.weights_ppm));
        text += &format!("\nround {}\n{}\n", round.round, table(columns, rows, Some(&round.burnt_ppm)));
    }
    if preview.rounds.len() > 1 {
        let rows = preview.mean.iter().map(|row| (called(&row.hotkey), &row.weights_ppm));
        text += &format!("\nmean of {} rounds\n{}\n", preview.rounds.len(), table(columns, rows, None));
    }
    text
}

/// A, B, C …
fn letter(column: usize) -> char {
    char::from(b'A' + (column % 26) as u8)
}

fn table<'a>(
    columns: usize,
    rows: impl Iterator<Item = (String, &'a Vec<u32>)>,
    burnt_ppm: Option<&Vec<u32>>,
) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(std::iter::once("hotkey".to_owned()).chain((0..columns).map(|column| letter(column).to_string())));
    let cells = |name: String, ppm: &Vec<u32>| {
        std::iter::once(name).chain(ppm.iter().map(|ppm| format!("{:.2} %", f64::from(*ppm) / 1e4))).collect::<Vec<_>>()
    };
    for (hotkey, weights_ppm) in rows {
        table.add_row(cells(hotkey, weights_ppm));
    }
    if let Some(burnt_ppm) = burnt_ppm {
        table.add_row(cells("burnt".into(), burnt_ppm));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
