//! `retort simulate`: how often the rules err on made-up models, and how much they see. The engine is
//! `protocol::simulate`; this file chooses the rows, runs them on threads and prints.

use super::print_json;
use crate::cli::{DethroneArgs, DethroneRow, SimulateCommand};
use crate::progress::Phases;
use anyhow::{Result, anyhow};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::dethrone::DethroneRules;
use protocol::report::Estimate;
use protocol::simulate::{Tally, World, repetition};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// The most rounds over which equals come in one after the other.
const ROUNDS: u32 = 30;

pub(crate) fn run(command: &SimulateCommand) -> Result<()> {
    match command {
        SimulateCommand::Dethrone(args) => dethrone(args),
    }
}

fn dethrone(args: &DethroneArgs) -> Result<()> {
    let defaults = DethroneRules::default();
    let rules = DethroneRules {
        alpha_public_ppm: args.alpha_public.unwrap_or(defaults.alpha_public_ppm),
        alpha_hidden_ppm: args.alpha_hidden.unwrap_or(defaults.alpha_hidden_ppm),
        epsilon_ppm: args.epsilon.unwrap_or(defaults.epsilon_ppm),
        ..defaults
    };
    rules.check().map_err(|problem| anyhow!(problem))?;
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let phases = std::io::stderr().is_terminal().then(|| Phases::new("simulate"));
    let mut played = Vec::new();
    for row in args.items.iter().flat_map(|items| rows(args, *items, rules)) {
        let tally = play(&row, args, threads, phases.as_ref());
        played.push((row, tally));
    }
    if let Some(phases) = &phases {
        phases.finish();
    }
    if args.json {
        let rows: Vec<Value> = played.iter().map(|(row, tally)| row.json(tally)).collect();
        return print_json(&json!({ "seed": args.seed, "rules": rules, "rows": rows }));
    }
    println!("{}\n{}", header(args, &rules), table(&played));
    Ok(())
}

/// What is played, and what it must show.
struct Row {
    what: String,
    world: World,
    target: Option<Target>,
}

/// A bound on how often the two-stage rule dethrones.
#[derive(Clone, Copy)]
enum Target {
    AtMost(i64),
    AtLeast(i64),
}

/// Equals at once and over rounds, clones, and better ones.
fn rows(args: &DethroneArgs, items: u32, rules: DethroneRules) -> Vec<Row> {
    use DethroneRow::{Better, Clones, Equals, Rounds};
    const SEEDED: u32 = 1_000_000;
    let world = World { items, rounds: 1, challengers: 1, gain_ppm: 0, fresh_ppm: SEEDED, rules };
    let (all, clones, each_round) = (args.challengers, args.clones, args.challengers / ROUNDS);
    let false_crowns = Some(Target::AtMost(50_000));
    let seen = (items >= 10_000).then_some(Target::AtLeast(800_000));
    let better =
        |points: &str, gain_ppm, target| (Better, format!("1 better by {points}"), World { gain_ppm, ..world }, target);
    let rows = [
        (Equals, format!("{all} equals in 1 round"), World { challengers: all, ..world }, false_crowns),
        (
            Rounds,
            format!("{} equals in {ROUNDS} rounds", each_round * ROUNDS),
            World { rounds: ROUNDS, challengers: each_round, ..world },
            false_crowns,
        ),
        (
            Clones,
            format!("{clones} clones in 1 round"),
            World { challengers: clones, fresh_ppm: 100_000, ..world },
            Some(Target::AtMost(10_000)),
        ),
        better("0.5 point", 5_000, None),
        better("1 point", 10_000, seen),
        better("2 points", 20_000, seen),
    ];
    let wanted = |row: DethroneRow| args.only.is_empty() || args.only.contains(&row);
    let rows = rows.into_iter().filter(|(row, ..)| wanted(*row));
    rows.map(|(_, what, world, target)| Row { what: format!("{items} items: {what}"), world, target }).collect()
}

/// Every thread takes each so-many-th repetition.
fn play(row: &Row, args: &DethroneArgs, threads: NonZeroUsize, phases: Option<&Phases>) -> Tally {
    let tally = Mutex::new(Tally::default());
    let at = |tally: &Tally| {
        if let Some(phases) = phases {
            phases.at(&row.what, tally.repetitions.into(), args.repetitions.into());
        }
    };
    std::thread::scope(|scope| {
        for first in 0..threads.get() {
            let (tally, at) = (&tally, &at);
            scope.spawn(move || {
                for index in (0..u64::from(args.repetitions)).skip(first).step_by(threads.get()) {
                    let dethroned = repetition(&row.world, args.seed.wrapping_add(index));
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(dethroned);
                    at(&tally);
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Row {
    fn json(&self, tally: &Tally) -> Value {
        let World { items, rounds, challengers, gain_ppm, fresh_ppm, .. } = self.world;
        let mut row = json!({
            "what": self.what, "items": items, "rounds": rounds, "challengers": challengers, "gain_ppm": gain_ppm,
            "fresh_ppm": fresh_ppm, "repetitions": tally.repetitions,
        });
        for ((contest, share), dethroned) in tally.shares().into_iter().zip(tally.dethroned) {
            row[contest.code()] = json!({ "dethroned": dethroned, "share": share });
        }
        row
    }

    /// What must hold, and whether it does: a target inside the interval is not decided.
    fn target(&self, tally: &Tally) -> String {
        let [.., (_, share)] = tally.shares();
        let (sign, bound, met, missed) = match self.target {
            None => return String::new(),
            Some(Target::AtMost(bound)) => ("≤", bound, share.high_ppm <= bound, share.low_ppm > bound),
            Some(Target::AtLeast(bound)) => ("≥", bound, share.low_ppm >= bound, share.high_ppm < bound),
        };
        let state = if met {
            "met"
        } else if missed {
            "missed"
        } else {
            "within error"
        };
        format!("{sign} {} %: {state}", bound / 10_000)
    }
}

fn header(args: &DethroneArgs, rules: &DethroneRules) -> String {
    let percent = |ppm: u32| f64::from(ppm) / 1e4;
    format!(
        "{} repetitions a row from seed {}; how often the seat was given away, per cent.\n\
         Rules: more right answers; half a point more; more by a standard error; McNemar at .01, all on public items;\n\
         two stages: {} % on public items, {} % on hidden items, shared; epsilon {} of the composite.",
        args.repetitions,
        args.seed,
        percent(rules.alpha_public_ppm),
        percent(rules.alpha_hidden_ppm),
        f64::from(rules.epsilon_ppm) / 1e6,
    )
}

fn table(played: &[(Row, Tally)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "better", "+0.5", "1 s.e.", "McNemar", "two stages [95 %]", "target"]);
    for (row, tally) in played {
        let [others @ .., (_, two_stages)] = tally.shares();
        let others = others.map(|(_, share)| format!("{:.1}", share.value_ppm as f64 / 1e4));
        let cells = [row.what.clone()].into_iter().chain(others).chain([with_interval(two_stages), row.target(tally)]);
        table.add_row(cells.collect::<Vec<_>>());
    }
    for column in table.column_iter_mut().skip(1).take(5) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// `4.7 [3.6, 6.2]` in per cent.
fn with_interval(share: Estimate) -> String {
    let [value, low, high] = [share.value_ppm, share.low_ppm, share.high_ppm].map(|ppm| ppm as f64 / 1e4);
    format!("{value:.1} [{low:.1}, {high:.1}]")
}
