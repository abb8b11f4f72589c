//! `retort bench nulls`: how alike honest students of a competition are, as the `[nulls]` of its manifest.
//!
//! Packages that were trained independently are asked about probes and about items that are drawn and changed as a hidden
//! round's are, through the engine that measures them, and each is compared with each. It does NOT train them, and takes
//! their owner's word that none was made from another.

use crate::cli::BenchNullsArgs;
use crate::commands::print_json;
use crate::engine::{engine, evaluated};
use crate::progress::Phases;
use anyhow::{Context, Result, ensure};
use copies::{Fingerprint, OutputEvidence, PROBES_DEFAULT, ProbeLogits, compare, compare_outputs, probes};
use datasets::Images;
use datasets::hidden::{DrawSpec, draw, render};
use eval::Engine;
use miner_template::files::PackageFiles;
use miner_template::source::Assets;
use models::DeviceKind;
use protocol::competition::BY_ANSWERS_ONLY;
use protocol::evaluation::{EvaluationRequest, Items, Order, PackageBytes, Scope};
use protocol::nulls::{FamilyNull, Nulls};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use validator::config::LatencyEffort;

/// Anyone can draw them again: these probes are nobody's secret.
const PROBE_SEED: [u8; 32] = *b"retort nulls: probes, not secret";
const DRAW_SEEDS: [[u8; 32]; 2] = [[2; 32], [3; 32]];
/// Five students make ten pairs.
const STUDENTS_MIN: usize = 5;
/// The longest that one student may take.
const WALL_SECONDS_MAX: u64 = 3_600;
const MEMORY_BYTES_MAX: u64 = 4 << 30;

/// The section of a manifest.
#[derive(Serialize)]
struct Section {
    nulls: Nulls,
}

pub(super) fn run(args: &BenchNullsArgs) -> Result<()> {
    ensure!(
        args.packages.len() >= STUDENTS_MIN,
        "{} packages: at least {STUDENTS_MIN}, trained independently from different seeds, say what luck brings",
        args.packages.len()
    );
    let assets = Assets::open(&args.competition).context("open the competition")?;
    let bench = Bench::new(&assets, args.items)?;
    let phases = Phases::on_terminal("nulls");
    let mut students: Vec<Seen> = Vec::new();
    for (number, folder) in args.packages.iter().enumerate() {
        phases.at("students", number as u64, args.packages.len() as u64);
        students.push(bench.student(folder).with_context(|| format!("ask {}", folder.display()))?);
    }
    phases.finish();
    let section = Section { nulls: bench.nulls(&students)? };
    match args.json {
        true => print_json(&section.nulls),
        false => {
            print!("{}", toml::to_string(&section)?);
            Ok(())
        }
    }
}

/// What students are asked, and what the teacher says to it.
struct Bench<'a> {
    assets: &'a Assets,
    engine: Engine,
    items: Images,
    probes: Arc<[u8]>,
    teacher: PackageBytes,
    said: Said,
}

/// Logits of the items and of the probes.
struct Said {
    items: Vec<f32>,
    probes: Vec<f32>,
}

/// What was kept of a student.
struct Seen {
    folder: PathBuf,
    print: Fingerprint,
    on_items: Vec<f32>,
}

impl<'a> Bench<'a> {
    fn new(assets: &'a Assets, items: u32) -> Result<Self> {
        let pool = &assets.evaluation;
        let spec = DrawSpec::of_family(items.min(pool.count), assets.family);
        let [seed, fixed] = &DRAW_SEEDS;
        let items = render(pool, &draw(seed, fixed, pool.count, &spec)?)?;
        let teacher = assets.teacher.as_ref().with_context(|| match assets.training_logits {
            Some(_) => format!("{BY_ANSWERS_ONLY}, and this version measures nulls beside a model alone"),
            None => "the competition's teacher isn't there".to_owned(),
        })?;
        let teacher = PackageBytes {
            config_json: serde_json::to_vec(&teacher.config)?.into(),
            weights: teacher.weights.clone().into(),
        };
        let mut bench = Self {
            probes: probes(&PROBE_SEED, assets.input.shape(), PROBES_DEFAULT).into(),
            engine: engine(DeviceKind::Flex, LatencyEffort::Quick)?,
            said: Said { items: Vec::new(), probes: Vec::new() },
            assets,
            items,
            teacher: teacher.clone(),
        };
        bench.said = bench.ask(teacher).context("ask the teacher")?;
        Ok(bench)
    }

    /// Through the engine, in the jail: packages may be anybody's.
    fn ask(&self, candidate: PackageBytes) -> Result<Said> {
        let Items { inputs, truth } = self.items.clone().asked(&self.assets.input, self.items.count, None);
        let order = Order {
            candidate,
            reference: self.teacher.clone(),
            inputs,
            probes: Arc::clone(&self.probes),
            expected: None,
            engine: Default::default(),
            backends: Vec::new(),
            scope: Scope::OutputsOnly,
            seed: 0,
            wall_seconds_max: WALL_SECONDS_MAX,
            memory_bytes_max: MEMORY_BYTES_MAX,
        };
        let evaluation = evaluated(&self.engine, &EvaluationRequest::new(order, truth), &|_| {})?;
        Ok(Said { items: evaluation.logits, probes: evaluation.probe_logits })
    }

    fn student(&self, folder: &Path) -> Result<Seen> {
        let files = PackageFiles::read(folder)?;
        let package = PackageBytes { config_json: files.config_json.into(), weights: files.weights.into() };
        let said = self.ask(package.clone())?;
        let logits = ProbeLogits { student: &said.probes, teacher: &self.said.probes };
        let ports = (self.assets.input.shape(), self.assets.labels.len());
        let print = Fingerprint::of_package(&package.config_json, &package.weights, ports, Some(logits))?;
        Ok(Seen { folder: folder.to_owned(), print, on_items: said.items })
    }

    fn beside(&self, first: &[f32], second: &[f32]) -> Result<OutputEvidence> {
        Ok(compare_outputs(first, second, &self.said.items, self.assets.labels.len() as u32)?)
    }

    /// The largest and smallest values of all pairs.
    fn nulls(&self, students: &[Seen]) -> Result<Nulls> {
        let largest =
            |most: &mut u32, found: Option<i32>| *most = found.map_or(*most, |ppm| (*most).max(ppm.max(0) as u32));
        let (mut pairs, mut rc, mut fresh, mut families) = (0, 0, 0, BTreeMap::<String, FamilyNull>::new());
        for (index, first) in students.iter().enumerate() {
            for second in &students[index + 1..] {
                let evidence = compare(&first.print, &second.print);
                let both = || format!("{} and {}", first.folder.display(), second.folder.display());
                let same = evidence.same_package || evidence.same_canonical || evidence.same_symmetric;
                ensure!(!same, "{} are one model: independent students are needed", both());
                largest(&mut rc, evidence.residual_correlation_ppm);
                largest(&mut fresh, self.beside(&first.on_items, &second.on_items)?.residual_correlation_ppm);
                if evidence.weight_match_ppm.is_some() {
                    let none = FamilyNull { weight_match_max_ppm: 0, residual_correlation_max_ppm: 0 };
                    let null = families.entry(first.print.family().to_owned()).or_insert(none);
                    largest(&mut null.weight_match_max_ppm, evidence.weight_match_ppm);
                    largest(&mut null.residual_correlation_max_ppm, evidence.residual_correlation_ppm);
                }
                pairs += 1;
            }
        }
        let [on_probes, on_items] = self.unexplained(students)?;
        Ok(Nulls {
            pairs,
            source: format!("retort bench nulls of {} students, {} items", students.len(), self.items.count),
            residual_correlation_max_ppm: rc,
            fresh_residual_correlation_max_ppm: fresh,
            unexplained_min_ppm: on_probes,
            fresh_unexplained_min_ppm: on_items,
            families,
        })
    }

    /// The least that the teacher leaves unexplained of a student, on probes and on items, ppm.
    fn unexplained(&self, students: &[Seen]) -> Result<[u32; 2]> {
        let logits = ProbeLogits { student: &self.said.probes, teacher: &self.said.probes };
        let ports = (self.assets.input.shape(), self.assets.labels.len());
        let teacher = Fingerprint::of_package(&self.teacher.config_json, &self.teacher.weights, ports, Some(logits))?;
        let mut least = [u32::MAX; 2];
        for student in students {
            let found = [
                compare(&teacher, &student.print).unexplained_ppm,
                self.beside(&self.said.items, &student.on_items)?.unexplained_ppm,
            ];
            for (least, found) in least.iter_mut().zip(found) {
                *least = found.map_or(*least, |ppm| (*least).min(ppm.max(0) as u32));
            }
        }
        Ok(least)
    }
}
