//! `retort simulate market` and `retort validator publish --check`: what strategies earn under a manifest's rules. The
//! engine is `referee::market`; this file chooses the rules, runs strategies on threads and prints.

use super::print_json;
use crate::cli::MarketArgs;
use anyhow::{Context, Result};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::competition::Manifest;
use protocol::reward::{BurnWeakMargin, Frontier, LastChampions, RewardPolicy, RewardRules};
use referee::market::{Earnings, Rules, Shelf, Strategy, agents, play, shelf};
use serde_json::json;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// What `publish --check` plays: a minute of a core.
const CHECK: (u32, u32) = (12, 1_000);

pub(crate) fn run(args: &MarketArgs) -> Result<()> {
    let mut rules = match &args.manifest {
        Some(path) => of_manifest(path)?,
        None => defaults(),
    };
    let shelf = shelf()?;
    rules.items = args.items.unwrap_or(rules.items).min(shelf.items() as u32);
    let earned = all(&shelf, &rules, (args.rounds, args.seed), threads(args.threads));
    if args.json {
        return print_json(&json!({
            "rounds": args.rounds, "items": rules.items, "seed": args.seed, "earnings": earned,
        }));
    }
    print(&rules, args.rounds, &earned);
    Ok(())
}

/// Prints what each attacker would earn under a manifest that isn't published yet.
pub(crate) fn check(manifest: &Path) -> Result<()> {
    let (rounds, items) = CHECK;
    let rules = of_manifest(manifest)?;
    let rules = Rules { items: rules.items.min(items), ..rules };
    let earned = all(&shelf()?, &rules, (rounds, 0), threads(None));
    print(&rules, rounds, &earned);
    Ok(())
}

fn of_manifest(path: &Path) -> Result<Rules> {
    let text = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    let manifest = Manifest::from_toml(&text)?;
    Ok(Rules {
        score: manifest.score,
        dethrone: manifest.dethrone,
        items: manifest.rounds.fresh_of(manifest.data.hidden_items),
        rounds: manifest.rounds,
        rewards: vec![manifest.reward],
    })
}

/// The four policies with what they have by default; that of champions pays by margins, as `docs/RULES.md` advises.
fn defaults() -> Rules {
    let champions = RewardPolicy::LastChampions(LastChampions::default());
    let rewards = vec![
        RewardRules::default(),
        RewardPolicy::Ladder.into(),
        RewardRules { burn_weak_margin: Some(BurnWeakMargin::default()), ..champions.into() },
        RewardPolicy::Frontier(Frontier::default()).into(),
    ];
    Rules { items: 3_500, rewards, ..Rules::default() }
}

fn threads(asked: Option<NonZeroUsize>) -> NonZeroUsize {
    asked.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
}

/// Every strategy's earnings, in the order of the strategies. Every thread takes each so-many-th strategy.
fn all(shelf: &Shelf, rules: &Rules, (rounds, seed): (u32, u64), threads: NonZeroUsize) -> Vec<Vec<Earnings>> {
    let strategies: Vec<Strategy> = agents::strategies();
    let earned = Mutex::new(vec![Vec::new(); strategies.len()]);
    std::thread::scope(|scope| {
        for first in 0..threads.get() {
            let (earned, strategies) = (&earned, &strategies);
            scope.spawn(move || {
                for (index, strategy) in strategies.iter().enumerate().skip(first).step_by(threads.get()) {
                    let played = play(strategy, shelf, rules, rounds, seed);
                    let mut earned = earned.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(own) = earned.get_mut(index) {
                        *own = played;
                    }
                }
            });
        }
    });
    earned.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print(rules: &Rules, rounds: u32, earned: &[Vec<Earnings>]) {
    println!(
        "What strategies earn a round, per cent of the reward: mean of {rounds} rounds of {} fresh items.\n\
         In brackets: what the plain use of their own best model earns. Marked !: more than that and 1 %.",
        rules.items
    );
    for (index, policy) in (1..).zip(&rules.rewards) {
        println!("{index}: {policy}");
    }
    println!("{}", table(rules.rewards.len(), earned));
}

fn table(policies: usize, earned: &[Vec<Earnings>]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(std::iter::once("strategy".to_owned()).chain((1..=policies).map(|policy| policy.to_string())));
    for row in earned {
        let name = row.first().map_or("", |first| first.strategy).to_owned();
        table.add_row(std::iter::once(name).chain(row.iter().map(cell)));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `12.3 (14.0)`, with a mark where it pays.
fn cell(earnings: &Earnings) -> String {
    let percent = |ppm: u32| f64::from(ppm) / 1e4;
    let mark = if earnings.is_harmless() { "" } else { " !" };
    let plain = if earnings.honest { String::new() } else { format!(" ({:.1})", percent(earnings.plain_ppm)) };
    format!("{:.1}{plain}{mark}", percent(earnings.earned_ppm))
}
