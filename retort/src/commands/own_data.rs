//! `retort validator inspect`: data of one's own, looked at before it is published. It does NOT read pictures itself (`datasets`
//! does); `new_competition` makes a manifest of what was seen.

use super::print_json;
use crate::cli::Data;
use crate::progress::Phases;
use crate::table::count;
use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets::UTF8_FULL_CONDENSED};
use datasets::inspect::{Duplicates, Inspection, PartFound, error_bar_ppm, inspect};
use datasets::source::{self, Source};
use protocol::competition::RowSpec;
use std::collections::BTreeMap;

/// Classes, sizes and rows of which this many are shown.
const SHOWN: usize = 12;

pub(crate) fn run_inspect(data: &Data, json: bool) -> Result<()> {
    let (_, found) = looked_at(data)?;
    if json {
        return print_json(&found);
    }
    print(&found);
    Ok(())
}

/// What the command line says of rows.
pub(super) fn spec(data: &Data) -> RowSpec {
    RowSpec {
        training: data.training.clone(),
        evaluation: data.evaluation.clone(),
        image: data.image.clone(),
        label: data.label.clone(),
        ..RowSpec::default()
    }
}

pub(super) fn looked_at(data: &Data) -> Result<(source::Table, Inspection)> {
    let table = Source::guessed(&data.data).open(&spec(data))?;
    let phases = Phases::new("inspect");
    let found = inspect(&table, &|done, total| phases.at("reading rows", done, total));
    phases.finish();
    Ok((table, found?))
}

fn print(found: &Inspection) {
    let columns: Vec<String> = found.columns.iter().map(|(name, kind)| format!("{name} ({kind})")).collect();
    println!("columns: {}", columns.join(", "));
    if found.ignored > 0 {
        println!("no pictures, and left aside: {}", count(found.ignored, "file"));
    }
    println!("{}", parts(found));
    println!("{}", classes(found));
    found.parts.iter().for_each(print_unreadable);
    print_duplicates("the same pixels", &found.equal);
    print_duplicates("nearly the same picture", &found.near);
    for part in &found.parts {
        for items in [part.rows, part.rows / 2] {
            let bar = f64::from(error_bar_ppm(items)) / 1e4;
            println!("an accuracy of 90 % on {items} items of `{}` is known to ±{bar:.2} points (95 %)", part.name);
        }
    }
}

fn parts(found: &Inspection) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    table.set_header(["part", "rows", "unreadable", "width x height", "grey", "mean", "deviation"]);
    for part in &found.parts {
        let most = most(&part.by_size, |size| size.clone());
        let three = |ppm: [u32; 3]| match part.grey {
            grey if grey + part.unreadable == part.rows => format!("{:.4}", f64::from(ppm[0]) / 1e6),
            _ => ppm.map(|plane| format!("{:.4}", f64::from(plane) / 1e6)).join(" "),
        };
        table.add_row([
            part.name.clone(),
            part.rows.to_string(),
            part.unreadable.to_string(),
            most,
            part.grey.to_string(),
            three(part.mean_ppm),
            three(part.deviation_ppm),
        ]);
    }
    for column in [1, 2, 4] {
        table.column_mut(column).into_iter().for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    }
    table
}

/// The most frequent, with their counts.
fn most<K: Ord>(counts: &BTreeMap<K, u64>, name: impl Fn(&K) -> String) -> String {
    let mut sorted: Vec<(&K, &u64)> = counts.iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let mut text: Vec<String> = sorted.iter().take(3).map(|(key, count)| format!("{} ({count})", name(key))).collect();
    if sorted.len() > 3 {
        text.push(count(sorted.len() - 3, "other"));
    }
    text.join(", ")
}

/// A histogram of classes for each part. Of many, the rarest are shown.
fn classes(found: &Inspection) -> Table {
    let labels = found.parts.iter().flat_map(|part| part.by_label.keys().copied());
    let count = labels.map(|label| usize::from(label) + 1).max().unwrap_or(0).max(found.classes.len());
    let of = |part: &PartFound, label: usize| {
        u16::try_from(label).ok().and_then(|l| part.by_label.get(&l)).copied().unwrap_or(0)
    };
    let mut labels: Vec<usize> = (0..count).collect();
    if count > SHOWN {
        labels.sort_by_key(|label| found.parts.iter().map(|part| of(part, *label)).min());
        labels.truncate(SHOWN);
    }
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED);
    let head = if count > SHOWN { format!("class (the {SHOWN} rarest of {count})") } else { "class".to_owned() };
    table.set_header([head].into_iter().chain(found.parts.iter().map(|part| part.name.clone())));
    let largest = found.parts.iter().flat_map(|part| part.by_label.values()).copied().max().unwrap_or(0).max(1);
    for label in labels {
        let name = found.classes.get(label).map_or_else(|| label.to_string(), |name| format!("{label} {name}"));
        let bar = |rows: u64| format!("{rows:>7} {}", "▇".repeat((rows * 20 / largest) as usize));
        table.add_row([name].into_iter().chain(found.parts.iter().map(|part| bar(of(part, label)))));
    }
    table
}

fn print_unreadable(part: &PartFound) {
    for row in part.unreadable_named.iter().take(SHOWN) {
        println!("part `{}`, row {} ({}): {}", part.name, row.row, row.origin, row.problem);
    }
    if part.unreadable > 0 {
        let (rows, name) = (count(part.unreadable, "row"), &part.name);
        println!(
            "{rows} of `{name}` can't be read; `data.rows.unreadable_max = {}` leaves out so many",
            part.unreadable
        );
    }
}

fn print_duplicates(what: &str, found: &Duplicates) {
    let Duplicates { within, across, contradicting, named } = found;
    if within + across == 0 {
        return;
    }
    println!(
        "{what}: repeated within a part: {}, in another part: {across}; with another label: {contradicting}",
        count(*within, "row")
    );
    named.iter().take(SHOWN).for_each(|[earlier, this]| println!("  {this} repeats {earlier}"));
}
