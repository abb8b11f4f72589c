//! `retort simulate market` and `retort validator publish --check`: what strategies earn under a manifest's rules. The
//! engine is `referee::market`; this file chooses the rules, runs strategies on threads and prints.

use super::print_json;
use crate::cli::MarketArgs;
use crate::progress::Phases;
use anyhow::Result;
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use miner_template::source;
use protocol::competition::Manifest;
use protocol::reward::{BurnWeakMargin, Frontier, LastChampions, RewardPolicy, RewardRules};
use referee::market::{Earnings, Length, Rules, Shelf, Strategy, agents, play, shelf};
use serde_json::json;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What `publish --check` plays, and with how many fresh items at most: minutes of a core.
const CHECK: (Length, u32) = (Length { games: 3, rounds: 8 }, 600);
/// Less is shown as 0.0 %.
const SHOWN_PPM: u32 = 500;

pub(crate) fn run(args: &MarketArgs) -> Result<()> {
    let mut rules = match &args.manifest {
        Some(path) => of_rules(&source::manifest(&path.to_string_lossy())?),
        None => defaults(),
    };
    let shelf = shelf()?;
    rules.items = args.items.unwrap_or(rules.items).min(shelf.items() as u32);
    let length = Length { games: args.games, rounds: args.rounds };
    let earned = all(&shelf, &rules, (length, args.seed), threads(args.threads));
    if args.json {
        return print_json(&json!({
            "games": args.games, "rounds": args.rounds, "items": rules.items, "seed": args.seed, "earnings": earned,
        }));
    }
    print(&rules, length, &earned);
    Ok(())
}

/// Prints what each attacker would earn under a manifest that isn't published yet. Says whether a better model would earn
/// anything, as far as so short a play shows it.
pub(crate) fn attacked(manifest: &Manifest) -> Result<bool> {
    let (length, items) = CHECK;
    let rules = of_rules(manifest);
    // With more items than are played here it may well earn something.
    let is_all = rules.items <= items;
    let rules = Rules { items: rules.items.min(items), ..rules };
    eprintln!(
        "what each attacker would earn by these rules is played now, {} games of {} rounds of {} fresh items, which takes minutes; \
         --no-market leaves it out",
        length.games, length.rounds, rules.items
    );
    let earned = all(&shelf()?, &rules, (length, 0), threads(None));
    print(&rules, length, &earned);
    Ok(!is_all || pays_better(&earned))
}

/// Whether whoever is honest earns what the table doesn't show as 0.0, under each policy.
fn pays_better(earned: &[Vec<Earnings>]) -> bool {
    earned.iter().flatten().all(|earnings| !earnings.honest || earnings.earned_ppm >= SHOWN_PPM)
}

fn of_rules(manifest: &Manifest) -> Rules {
    let Manifest { score, dethrone, rounds, reward, .. } = manifest.clone();
    let items = rounds.fresh_of(manifest.data.hidden_items);
    Rules { score, dethrone, items, rounds, rewards: vec![reward] }
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

/// Every strategy's earnings, in the order of the strategies, with progress. Every thread takes each so-many-th strategy.
fn all(shelf: &Shelf, rules: &Rules, (length, seed): (Length, u64), threads: NonZeroUsize) -> Vec<Vec<Earnings>> {
    let strategies: Vec<Strategy> = agents::strategies();
    let earned = Mutex::new(vec![Vec::new(); strategies.len()]);
    let (phases, count, began) = (Phases::new("market"), strategies.len() as u64, Instant::now());
    phases.at(&format!("{count} strategies play"), 0, count);
    let done = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for first in 0..threads.get() {
            let (earned, strategies, phases, done) = (&earned, &strategies, &phases, &done);
            scope.spawn(move || {
                for (index, strategy) in strategies.iter().enumerate().skip(first).step_by(threads.get()) {
                    let played = play(strategy, shelf, rules, length, seed);
                    let done = done.fetch_add(1, Ordering::Relaxed) + 1;
                    let left = began.elapsed().as_secs() * (count - done) / done;
                    phases.at(&format!("{done} of {count} strategies have played, {left} s left"), done, count);
                    let mut earned = earned.lock().unwrap_or_else(PoisonError::into_inner);
                    if let Some(own) = earned.get_mut(index) {
                        *own = played;
                    }
                }
            });
        }
    });
    phases.finish();
    earned.into_inner().unwrap_or_else(PoisonError::into_inner)
}

fn print(rules: &Rules, Length { games, rounds }: Length, earned: &[Vec<Earnings>]) {
    println!(
        "What strategies earn a round, per cent of the reward: mean of {games} games of {rounds} rounds of {} fresh items.\n\
         In brackets: what the best plain use of their own models earns (the best one, or all under one key, at once), and the\n\
         standard error of the difference. Marked !: more than that and 1 % by two of them.",
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

/// `12.3 (14.0) ±0.7`, with a mark where it pays.
fn cell(earnings: &Earnings) -> String {
    let percent = |ppm: u32| f64::from(ppm) / 1e4;
    let mark = if earnings.is_harmless() { "" } else { " !" };
    let plain = if earnings.honest {
        String::new()
    } else {
        format!(" ({:.1}) ±{:.1}", percent(earnings.plain_ppm), percent(earnings.error_ppm))
    };
    format!("{:.1}{plain}{mark}", percent(earnings.earned_ppm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_better_model_that_earns_nothing_is_noticed_whatever_others_earn() {
        let earnings = |honest, earned_ppm| Earnings {
            strategy: "",
            policy: String::new(),
            earned_ppm,
            plain_ppm: 0,
            error_ppm: 0,
            honest,
            inversions: 0,
        };
        let pays = |better| pays_better(&[vec![earnings(true, better)], vec![earnings(false, 0)]]);
        assert!(pays(470_000) && pays(SHOWN_PPM) && !pays(SHOWN_PPM - 1) && !pays(0));
    }
}
