//! The null of copies and the table of recall: docs/COPIES.md's figures.
//!
//! Reads the packages that `scripts/copies_null.py FOLDER` trained, disguises copies of them, compares everything with
//! everything and prints Markdown. `--write copies/calibration` keeps the fingerprints of the independent students.
//!
//! Usage: cargo run --release -p miner-template --example copies -- FOLDER [--reshape] [--write FOLDER]

mod bench;
mod disguises;
mod table;

use anyhow::{Context, Result, ensure};
use bench::{Bench, Seen, Student};
use clap::Parser;
use copies::{Evidence, Relation, Thresholds, relation_to_entry};
use disguises::{DAMAGES, SHAPES, Victim, config_json, damaged, reshaped};
use std::fs;
use std::path::{Path, PathBuf};
use table::{Null, Row, decimal, range};

const FAMILIES: [&str; 4] = ["mlp", "resnet", "depthwise_cnn", "mobilenet_v2"];

#[derive(Parser)]
struct Cli {
    /// Where `scripts/copies_null.py` put the packages
    folder: PathBuf,
    /// Write copies of one student of each family in other shapes beside it, to be trained on, and do nothing else
    #[arg(long)]
    reshape: bool,
    /// Keep the fingerprints of the independent students here
    #[arg(long)]
    write: Option<PathBuf>,
    /// Students of each of the two main widths that are copied
    #[arg(long, default_value_t = 3)]
    victims: usize,
    #[arg(long, default_value = "competitions/fashion-mnist/competition.toml")]
    competition: String,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if cli.reshape {
        return FAMILIES.iter().try_for_each(|family| reshape(&cli.folder.join(family)));
    }
    let bench = Bench::new(&cli.competition)?;
    let mut families = Vec::new();
    for name in FAMILIES {
        let folder = cli.folder.join(name);
        if folder.exists() {
            families.push(Family::read(name, &folder, &bench)?);
        }
    }
    if let Some(out) = &cli.write {
        families.iter().try_for_each(|family| family.write(out))?;
    }
    let null = null_of(&families, &bench)?;
    null.print();
    entries(&families, &bench)?;
    for family in &families {
        println!("\n### {}\n", family.name);
        Row::head();
        for row in family.copies(&bench, cli.victims)? {
            row.print(&Thresholds::between(Some(&bench.nulls), family.name, family.name));
        }
    }
    Ok(())
}

/// Copies of the first student in other shapes: `reshaped-0` to `reshaped-3`, for another epoch of training.
fn reshape(folder: &Path) -> Result<()> {
    let student = Student::read(&folder.join("independent-0-1"))?;
    for (number, shape) in SHAPES.iter().enumerate() {
        let victim = Victim { student: &student, other: &student, seed: 1 };
        let copy = reshaped(&victim, shape).context("a family that can be reshaped")?;
        let folder = folder.join(format!("reshaped-{number}"));
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("config.json"), config_json(&copy.config)?)?;
        fs::write(folder.join("model.safetensors"), copy.weights.to_safetensors()?)?;
    }
    Ok(())
}

struct Family {
    name: &'static str,
    folder: PathBuf,
    students: Vec<(Student, Seen)>,
}

impl Family {
    fn read(name: &'static str, folder: &Path, bench: &Bench) -> Result<Self> {
        let students = Student::all(folder, "independent-")?;
        ensure!(students.len() > 1, "{} holds no two independent students", folder.display());
        let see = |student: Student| {
            let seen = bench.see(&student.files.config_json, &student.files.weights)?;
            Ok((student, seen))
        };
        let students = students.into_iter().map(see).collect::<Result<_>>()?;
        Ok(Self { name, folder: folder.to_owned(), students })
    }

    fn write(&self, out: &Path) -> Result<()> {
        let folder = out.join(self.name);
        fs::create_dir_all(&folder)?;
        for (student, seen) in &self.students {
            let path = folder.join(format!("{}.rtcopy", student.name));
            fs::write(&path, seen.print.to_bytes()?).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }

    /// The first so many students of each of the two main widths.
    fn victims(&self, most: usize) -> Vec<(usize, Victim<'_>)> {
        let of_width = |place: usize| {
            let prefix = format!("independent-{place}-");
            let here: Vec<usize> =
                (0..self.students.len()).filter(|i| self.students[*i].0.name.starts_with(&prefix)).collect();
            let other = |at: usize| here[(at + 1) % here.len()];
            let victim = |at: usize| {
                let (student, other) = (&self.students[here[at]].0, &self.students[other(at)].0);
                (here[at], Victim { student, other, seed: at as u64 })
            };
            (0..here.len().min(most)).map(victim).collect::<Vec<_>>()
        };
        [0, 1].into_iter().flat_map(of_width).collect()
    }

    /// All rows of the table of recall.
    fn copies(&self, bench: &Bench, victims: usize) -> Result<Vec<Row>> {
        let mut rows = vec![self.trained("same initial weights", "same-start-", bench, true)?];
        let victims = self.victims(victims);
        let against = |index: usize, package: &disguises::Package| {
            bench.compare(&self.students[index].1, &bench.see(&package.0, &package.1)?)
        };
        for shape in SHAPES {
            for damage in DAMAGES {
                let mut evidence = Vec::new();
                for (index, victim) in &victims {
                    let copy = reshaped(victim, shape).context("a family that can be reshaped")?;
                    let bytes = damaged(&copy.config.plan()?, &copy.weights, damage, victim.seed)?;
                    evidence.push(against(*index, &(config_json(&copy.config)?, bytes))?);
                }
                rows.push(Row { name: format!("{shape}, {damage}"), evidence });
            }
        }
        rows.push(self.trained("each shape, 1 epoch", "tuned-reshaped-", bench, false)?);
        for (name, disguise) in disguises::others() {
            let mut evidence = Vec::new();
            for (index, victim) in &victims {
                if let Some(package) = disguise(victim)? {
                    evidence.push(against(*index, &package)?);
                }
            }
            rows.push(Row { name, evidence });
        }
        for (name, prefix) in [
            ("fine-tuned, 1 epoch", "fine-tuned-"),
            ("hot fine-tune: 1 epoch at the full rate", "hot-"),
            ("distilled from it", "distilled-"),
        ] {
            rows.push(self.trained(name, prefix, bench, false)?);
        }
        rows.retain(|row| !row.evidence.is_empty());
        Ok(rows)
    }

    /// What was trained on: pairs among themselves, or each against the student that it came from, by its last digit.
    fn trained(&self, name: &str, prefix: &str, bench: &Bench, among: bool) -> Result<Row> {
        let trained = Student::all(&self.folder, prefix)?;
        let seen =
            trained.iter().map(|s| bench.see(&s.files.config_json, &s.files.weights)).collect::<Result<Vec<_>>>()?;
        let mut evidence = Vec::new();
        for (index, (student, copy)) in trained.iter().zip(&seen).enumerate() {
            if among {
                let before = seen.iter().take(index);
                evidence.extend(before.map(|other| bench.compare(other, copy)).collect::<Result<Vec<_>>>()?);
                continue;
            }
            let seed = if prefix == "tuned-reshaped-" { "1" } else { student.name.rsplit('-').next().unwrap_or("1") };
            let original = self.students.iter().find(|(s, _)| s.name == format!("independent-0-{seed}"));
            let (_, original) = original.with_context(|| format!("{} has no original", student.name))?;
            evidence.push(bench.compare(original, copy)?);
        }
        Ok(Row { name: name.to_owned(), evidence })
    }
}

/// All honest pairs: within families at every two widths, and across families.
fn null_of(families: &[Family], bench: &Bench) -> Result<Null> {
    let mut null = Null::default();
    let all: Vec<(&str, &(Student, Seen))> =
        families.iter().flat_map(|family| family.students.iter().map(move |student| (family.name, student))).collect();
    for (index, (family, (first, a))) in all.iter().enumerate() {
        for (other, (second, b)) in &all[index + 1..] {
            null.add([(family, &first.name), (other, &second.name)], bench.compare(a, b)?, &bench.nulls);
        }
    }
    Ok(null)
}

/// The teacher and the reference: how much of honest students they leave unexplained, and of themselves in disguise.
fn entries(families: &[Family], bench: &Bench) -> Result<()> {
    println!("\n### The teacher and the reference\n");
    println!("| models | n | unexplained on probes | on fresh items | called a copy |");
    println!("|---|---|---|---|---|");
    let thresholds = Thresholds::of_outputs(Some(&bench.nulls));
    let line = |name: &str, found: &[(Evidence, Option<i32>)]| {
        let copies =
            found.iter().filter(|(e, _)| matches!(relation_to_entry(e, &thresholds), Relation::Copy(_))).count();
        println!(
            "| {name} | {} | {} | {} | {:.0} % |",
            found.len(),
            range(found.iter().map(|(e, _)| e.unexplained_ppm)),
            range(found.iter().map(|(_, fresh)| *fresh)),
            100.0 * copies as f64 / found.len().max(1) as f64
        );
    };
    for (entry, name) in [(&bench.teacher, "teacher"), (&bench.reference, "reference")] {
        let of = bench.see(&entry.files.config_json, &entry.files.weights)?;
        let beside = |seen: &Seen| Ok((bench.compare(&of, seen)?, bench.on_fresh(&of, seen)?.unexplained_ppm));
        for family in families {
            let found = family.students.iter().map(|(_, seen)| beside(seen)).collect::<Result<Vec<_>>>()?;
            line(&format!("{} beside the {name}", family.name), &found);
        }
        let victim = Victim { student: entry, other: entry, seed: 1 };
        for damage in DAMAGES {
            let bytes = damaged(&entry.plan, &entry.weights, damage, 1)?;
            let mut found = vec![beside(&bench.see(&entry.files.config_json, &bytes)?)?];
            for shape in SHAPES {
                let copy = reshaped(&victim, shape).context("a family that can be reshaped")?;
                let bytes = damaged(&copy.config.plan()?, &copy.weights, damage, 1)?;
                found.push(beside(&bench.see(&config_json(&copy.config)?, &bytes)?)?);
            }
            line(&format!("the {name} itself and in four shapes, {damage}"), &found);
        }
    }
    println!("\nthresholds: less than {} unexplained", decimal(thresholds.entry_unexplained_ppm));
    Ok(())
}
