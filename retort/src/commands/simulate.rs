//! `retort simulate`: how often the rules err on made-up models, and how much they see. The engine is
//! `referee::simulate`; this file chooses the rows, runs them on threads and prints.

use super::print_json;
use crate::cli::{DethroneArgs, DethroneRow, SimulateCommand};
use crate::progress::Phases;
use anyhow::{Result, ensure};
use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use protocol::dethrone::DethroneRules;
use protocol::report::Estimate;
use protocol::round::RoundRules;
use referee::simulate::{Tally, World, repetition};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

/// The rounds over which equals of the champion live on.
const ROUNDS: u32 = 30;
/// After how many rounds better ones are looked for.
const SEEN_AFTER: [u32; 3] = [1, 3, 10];

pub(crate) fn run(command: &SimulateCommand) -> Result<()> {
    match command {
        SimulateCommand::Dethrone(args) => dethrone(args),
        SimulateCommand::Market(args) => super::market::run(args),
    }
}

fn dethrone(args: &DethroneArgs) -> Result<()> {
    let defaults = DethroneRules::default();
    let rules = DethroneRules {
        alpha_hidden_ppm: args.alpha_hidden.unwrap_or(defaults.alpha_hidden_ppm),
        epsilon_ppm: args.epsilon.unwrap_or(defaults.epsilon_ppm),
        ..defaults
    };
    let problems = rules.problems();
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    let threads = args.threads.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN);
    let phases = std::io::stderr().is_terminal().then(|| Phases::new("simulate"));
    let mut played: Vec<(Row, Tally)> = Vec::new();
    for game in args.items.iter().flat_map(|items| games(args, *items, rules)) {
        let tally = play(&game, args, threads, phases.as_ref());
        played.extend(game.rows().into_iter().map(|row| (row, tally.clone())));
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

/// What is played, and after how many rounds it is looked at.
struct Game {
    what: String,
    world: World,
    looked_at: Vec<(u32, Option<Target>)>,
}

/// A game at one of its looks.
struct Row {
    what: String,
    world: World,
    after: u32,
    target: Option<Target>,
}

/// What must hold of the rule that is played.
#[derive(Clone, Copy)]
enum Target {
    /// A bound on how often it gives the seat away.
    AtMost(i64),
    AtLeast(i64),
    /// The round by which better ones are decided.
    DecidedBy(u32),
}

/// Equals over rounds, clones, and better ones: alone, and beside the equals.
fn games(args: &DethroneArgs, items: u32, rules: DethroneRules) -> Vec<Game> {
    use DethroneRow::{Beside, Better, Clones, Decided, Equals};
    const SEEDED: u32 = 1_000_000;
    let round = RoundRules::default();
    let wait = round.wait_rounds_max;
    let world = World {
        items,
        rounds: ROUNDS,
        equals: 0,
        better: 0,
        memorisers: 0,
        gain_ppm: 0,
        fresh_ppm: SEEDED,
        rules,
        round,
    };
    let (all, clones) = (args.equals, args.clones);
    let false_crowns = vec![(ROUNDS, Some(Target::AtMost(50_000)))];
    let mut games = vec![
        (Equals, format!("{all} equals"), World { equals: all, ..world.clone() }, false_crowns),
        (
            Clones,
            format!("{clones} clones"),
            World { rounds: 1, equals: clones, fresh_ppm: 100_000, ..world.clone() },
            vec![(1, Some(Target::AtMost(10_000)))],
        ),
    ];
    let rounds = SEEN_AFTER.into_iter().max().unwrap_or(1);
    for (points, gain_ppm) in [("0.5 point", 5_000), ("1 point", 10_000), ("2 points", 20_000)] {
        for (row, equals) in [(Better, 0), (Beside, all)] {
            let beside = if equals > 0 { format!(" beside {equals} equals") } else { String::new() };
            let target = |after| (after == rounds && gain_ppm >= 10_000).then_some(Target::AtLeast(800_000));
            games.push((
                row,
                format!("1 better by {points}{beside}"),
                World { rounds, equals, better: 1, gain_ppm, ..world.clone() },
                SEEN_AFTER.map(|after| (after, target(after))).to_vec(),
            ));
        }
    }
    games.push((
        Decided,
        format!("3 better by 1 point beside {all} equals and {all} memorisers"),
        World { rounds: wait, equals: all, better: 3, memorisers: all, gain_ppm: 10_000, ..world },
        vec![(wait, Some(Target::DecidedBy(wait)))],
    ));
    let wanted = |row: DethroneRow| args.only.is_empty() || args.only.contains(&row);
    let games = games.into_iter().filter(|(row, ..)| wanted(*row));
    games.map(|(_, what, world, looked_at)| Game { what: format!("{items} items: {what}"), world, looked_at }).collect()
}

impl Game {
    fn rows(&self) -> Vec<Row> {
        let row = |(after, target): &(u32, Option<Target>)| Row {
            what: format!("{}, {after} round{}", self.what, if *after == 1 { "" } else { "s" }),
            world: self.world.clone(),
            after: *after,
            target: *target,
        };
        self.looked_at.iter().map(row).collect()
    }
}

/// Every thread takes each so-many-th repetition.
fn play(game: &Game, args: &DethroneArgs, threads: NonZeroUsize, phases: Option<&Phases>) -> Tally {
    let tally = Mutex::new(Tally::default());
    let at = |tally: &Tally| {
        if let Some(phases) = phases {
            phases.at(&game.what, tally.repetitions.into(), args.repetitions.into());
        }
    };
    std::thread::scope(|scope| {
        for first in 0..threads.get() {
            let (tally, at) = (&tally, &at);
            scope.spawn(move || {
                for index in (0..u64::from(args.repetitions)).skip(first).step_by(threads.get()) {
                    let outcome = repetition(&game.world, args.seed.wrapping_add(index));
                    let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
                    tally.add(&outcome);
                    at(&tally);
                }
            });
        }
    });
    tally.into_inner().unwrap_or_else(PoisonError::into_inner)
}

impl Row {
    fn json(&self, tally: &Tally) -> Value {
        let World { items, equals, better, gain_ppm, fresh_ppm, .. } = self.world;
        let mut row = json!({
            "what": self.what, "items": items, "after_rounds": self.after, "equals": equals, "better": better,
            "gain_ppm": gain_ppm, "fresh_ppm": fresh_ppm, "repetitions": tally.repetitions,
            "better_decided_by": tally.better_decided_by().filter(|_| better > 0),
        });
        for ((contest, share), dethroned) in tally.shares(self.after).into_iter().zip(tally.dethroned(self.after)) {
            row[contest.code()] = json!({ "dethroned": dethroned, "share": share });
        }
        row
    }

    /// What must hold, and whether it does: a target inside the interval is not decided.
    fn target(&self, tally: &Tally) -> String {
        let [.., (_, share)] = tally.shares(self.after);
        let (sign, bound, met, missed) = match self.target {
            None => return String::new(),
            Some(Target::AtMost(bound)) => ("≤", bound, share.high_ppm <= bound, share.low_ppm > bound),
            Some(Target::AtLeast(bound)) => ("≥", bound, share.low_ppm >= bound, share.high_ppm < bound),
            Some(Target::DecidedBy(bound)) => {
                let by = tally.better_decided_by();
                let state = if by.is_some_and(|by| by <= bound) { "met" } else { "missed" };
                let decided = by.map_or("not always".into(), |by| format!("by round {by}"));
                return format!("decided {decided}, ≤ {bound}: {state}");
            }
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
    format!(
        "{} repetitions a row from seed {}; how often the seat was given away by then, per cent.\n\
         Rules: more right answers; half a point more; more by a standard error; McNemar at .01, all on a round's fresh \
         items;\n\
         screened: the rules of rounds, {} % a round shared by those it decides, pooled over rounds; epsilon {} of the \
         composite.",
        args.repetitions,
        args.seed,
        f64::from(rules.alpha_hidden_ppm) / 1e4,
        f64::from(rules.epsilon_ppm) / 1e6,
    )
}

fn table(played: &[(Row, Tally)]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["", "better", "+0.5", "1 s.e.", "McNemar", "screened [95 %]", "target"]);
    for (row, tally) in played {
        let [others @ .., (_, screened)] = tally.shares(row.after);
        let others = others.map(|(_, share)| format!("{:.1}", share.value_ppm as f64 / 1e4));
        let cells = [row.what.clone()].into_iter().chain(others).chain([with_interval(screened), row.target(tally)]);
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
