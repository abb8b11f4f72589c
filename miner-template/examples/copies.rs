//! The null of copies and the table of recall: docs/COPIES.md's figures.
//!
//! Reads the packages that `scripts/copies-null.sh FOLDER` trained, disguises copies of them, compares everything with
//! everything and prints Markdown. `--write copies/calibration` keeps the fingerprints of the independent students.
//!
//! Usage: cargo run --release -p miner-template --example copies -- FOLDER [--write FOLDER]

use anyhow::{Context, Result, ensure};
use clap::Parser;
use copies::disguise::{self, Encoding};
use copies::{Evidence, Fingerprint, PROBES_DEFAULT, ProbeLogits, Relation, Thresholds, Tier, compare, relation};
use datasets::Images;
use miner_template::augment::Augmentation;
use miner_template::files::PackageFiles;
use miner_template::source::Assets;
use miner_template::teacher;
use models::{DeviceKind, Weights};
use protocol::architecture::Plan;
use protocol::package::PackageConfig;
use std::path::{Path, PathBuf};
use std::{fs, iter};

/// The probes of the calibration: anyone can draw them again.
const SEED: [u8; 32] = *b"retort copies, calibration, 2026";

#[derive(Parser)]
struct Cli {
    /// Where `scripts/copies-null.sh` put the packages
    folder: PathBuf,
    /// Keep the fingerprints of the independent students here
    #[arg(long)]
    write: Option<PathBuf>,
    #[arg(long, default_value = "competitions/fashion-mnist/competition.toml")]
    competition: String,
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    let bench = Bench::new(&cli.competition)?;
    let mut families = Vec::new();
    for family in ["mlp", "resnet", "depthwise_cnn", "mobilenet_v2", "vit"] {
        let folder = cli.folder.join(family);
        if folder.exists() {
            let family = Family::measure(family, &folder, &bench)?;
            family.print();
            if let Some(out) = &cli.write {
                family.write(out)?;
            }
            families.push(family);
        }
    }
    across(&families);
    Ok(())
}

/// What runs a student on the probes.
struct Bench {
    device: burn::tensor::Device,
    scale: Vec<[f32; 256]>,
    probes: Images,
    teacher: Vec<f32>,
}

impl Bench {
    fn new(competition: &str) -> Result<Self> {
        let assets = Assets::open(competition).context("open the competition")?;
        let shape = assets.input.shape();
        let probes = Images {
            count: PROBES_DEFAULT,
            channels: shape.channels,
            height: shape.height,
            width: shape.width,
            pixels: copies::probes(&SEED, shape, PROBES_DEFAULT),
            labels: Vec::new(),
        };
        let mut bench =
            Self { device: DeviceKind::Flex.open()?, scale: assets.input.normalisation(), probes, teacher: Vec::new() };
        let teacher = assets.teacher.as_ref().context("the competition has a teacher")?;
        bench.teacher = bench.logits(&teacher.config.plan()?, &teacher.weights)?;
        Ok(bench)
    }

    fn logits(&self, plan: &Plan, weights: &[u8]) -> Result<Vec<f32>> {
        let network = teacher::load(plan, weights, &self.device)?;
        Ok(teacher::logits(&network, &self.probes, Augmentation::default(), &self.scale, &self.device, |_| {}))
    }

    fn fingerprint(&self, config_json: &[u8], weights: &[u8]) -> Result<Fingerprint> {
        let student = self.logits(&PackageConfig::from_json(config_json)?.plan()?, weights)?;
        let probes = ProbeLogits { student: &student, teacher: &self.teacher };
        Ok(Fingerprint::new(config_json, weights, Some(probes))?)
    }
}

/// A group of comparisons that the table shows in one row.
struct Row {
    name: &'static str,
    evidence: Vec<Evidence>,
}

struct Family {
    name: &'static str,
    students: Vec<(String, Fingerprint)>,
    null: Row,
    rows: Vec<Row>,
}

/// A package on disk, with its weights read.
struct Student {
    name: String,
    files: PackageFiles,
    plan: Plan,
    weights: Weights,
}

impl Student {
    fn all(folder: &Path, prefix: &str) -> Result<Vec<Self>> {
        let folders = (1..).map(|n| folder.join(format!("{prefix}-{n}"))).take_while(|f| f.exists());
        folders
            .map(|folder| {
                let files = PackageFiles::read(&folder)?;
                let plan = PackageConfig::from_json(&files.config_json)?.plan()?;
                let weights = Weights::from_safetensors(&files.weights, &plan)?;
                let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
                Ok(Self { name, files, plan, weights })
            })
            .collect()
    }

    fn fingerprint(&self, bench: &Bench) -> Result<Fingerprint> {
        bench.fingerprint(&self.files.config_json, &self.files.weights)
    }
}

impl Family {
    fn measure(name: &'static str, folder: &Path, bench: &Bench) -> Result<Self> {
        let students = Student::all(folder, "independent")?;
        ensure!(students.len() > 1, "{} holds no two independent students", folder.display());
        let prints = students.iter().map(|s| s.fingerprint(bench)).collect::<Result<Vec<_>>>()?;
        let null = Row { name: "independent", evidence: pairs(&prints) };
        let same_start = Student::all(folder, "same-start")?;
        let same_start = same_start.iter().map(|s| s.fingerprint(bench)).collect::<Result<Vec<_>>>()?;
        let mut rows = vec![Row { name: "same initial weights", evidence: pairs(&same_start) }];
        let tuned = Student::all(folder, "fine-tuned")?;
        for (name, disguise) in disguises() {
            let mut evidence = Vec::new();
            for (index, (student, original)) in students.iter().zip(&prints).enumerate() {
                let other = &students[(index + 1) % students.len()];
                if let Some(bytes) = disguise(&Victim { student, other, tuned: tuned.get(index), seed: index as u64 })?
                {
                    evidence.push(compare(original, &bench.fingerprint(&student.files.config_json, &bytes)?));
                }
            }
            rows.push(Row { name, evidence });
        }
        let students = students.into_iter().map(|s| s.name).zip(prints).collect();
        Ok(Self { name, students, null, rows })
    }

    fn thresholds(&self) -> Thresholds {
        let matches = self.null.evidence.iter().filter_map(|e| e.weight_match_ppm).max();
        let correlations = self.null.evidence.iter().filter_map(|e| e.residual_correlation_ppm).max();
        Thresholds::from_null(matches, correlations.unwrap_or(0))
    }

    fn print(&self) {
        let thresholds = self.thresholds();
        let pairs = self.null.evidence.len();
        println!("\n### {} ({} students, {pairs} independent pairs)\n", self.name, self.students.len());
        println!(
            "null: s_w at most {}, rc at most {}; thresholds: s_w {}, rc alone {}, rc in support of s_w {}\n",
            largest(self.null.evidence.iter().map(|e| e.weight_match_ppm)),
            largest(self.null.evidence.iter().map(|e| e.residual_correlation_ppm)),
            thresholds.weight_match_ppm.map_or("-".into(), decimal),
            decimal(thresholds.residual_correlation_ppm),
            decimal(thresholds.residual_support_ppm)
        );
        println!("| pairs | n | s_w | rc | T0 | T1 | T2 | T3+T4 | one alone | called a copy |");
        println!("|---|---|---|---|---|---|---|---|---|---|");
        iter::once(&self.null).chain(&self.rows).for_each(|row| row.print(&thresholds));
    }

    fn write(&self, out: &Path) -> Result<()> {
        let folder = out.join(self.name);
        fs::create_dir_all(&folder)?;
        for (name, print) in &self.students {
            let path = folder.join(format!("{name}.rtcopy"));
            fs::write(&path, print.to_bytes()?).with_context(|| format!("write {}", path.display()))?;
        }
        Ok(())
    }
}

impl Row {
    fn print(&self, thresholds: &Thresholds) {
        let relations: Vec<Relation> = self.evidence.iter().map(|e| relation(e, thresholds)).collect();
        let count = |wanted: &dyn Fn(&Relation) -> bool| relations.iter().filter(|r| wanted(r)).count();
        let tier = |tier: Tier| count(&|r| *r == Relation::Copy(tier));
        let copies = count(&|r| matches!(r, Relation::Copy(_)));
        println!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {:.0} % |",
            self.name,
            relations.len(),
            range(self.evidence.iter().map(|e| e.weight_match_ppm)),
            range(self.evidence.iter().map(|e| e.residual_correlation_ppm)),
            tier(Tier::Bytes),
            tier(Tier::Canonical),
            tier(Tier::Symmetric),
            tier(Tier::MatchedAndCorrelated),
            count(&|r| matches!(r, Relation::Suspicion(_))),
            100.0 * copies as f64 / relations.len().max(1) as f64
        );
    }
}

/// Whom a copier copies, and what else he has.
struct Victim<'a> {
    student: &'a Student,
    other: &'a Student,
    tuned: Option<&'a Student>,
    seed: u64,
}

/// The bytes of `model.safetensors` under a disguise; nothing where the means for it are missing.
type Disguise = Box<dyn Fn(&Victim<'_>) -> Result<Option<Vec<u8>>>>;

fn disguises() -> Vec<(&'static str, Disguise)> {
    fn changed(change: impl Fn(&Victim<'_>) -> Weights + 'static) -> Disguise {
        Box::new(move |victim| Ok(Some(change(victim).to_safetensors()?)))
    }
    fn encoded(encoding: Encoding) -> Disguise {
        Box::new(move |victim| Ok(Some(disguise::encoded(&victim.student.weights, encoding)?)))
    }
    let noisy = |share| changed(move |v| disguise::noisy(&v.student.plan, &v.student.weights, share, v.seed));
    let permuted = |v: &Victim<'_>| disguise::permuted(&v.student.plan, &v.student.weights, v.seed);
    vec![
        ("exact", Box::new(|v: &Victim<'_>| Ok(Some(v.student.files.weights.clone()))) as Disguise),
        ("re-encoded f16", encoded(Encoding::F16)),
        ("re-encoded bf16", encoded(Encoding::Bf16)),
        ("permuted", changed(permuted)),
        ("rescaled", changed(|v| disguise::rescaled(&v.student.plan, &v.student.weights, v.seed))),
        (
            "permuted, rescaled, bf16",
            Box::new(move |v: &Victim<'_>| {
                let weights = disguise::rescaled(&v.student.plan, &permuted(v), v.seed);
                Ok(Some(disguise::encoded(&weights, Encoding::Bf16)?))
            }),
        ),
        ("noise 1 %", noisy(0.01)),
        ("noise 10 %", noisy(0.1)),
        ("noise 30 %", noisy(0.3)),
        ("pruned 30 %", changed(|v| disguise::pruned(&v.student.plan, &v.student.weights, 0.3))),
        ("int8 round trip", changed(|v| disguise::through_int8(&v.student.plan, &v.student.weights))),
        (
            "permuted, noise 10 %, pruned 30 %",
            changed(move |v| {
                let noisy = disguise::noisy(&v.student.plan, &permuted(v), 0.1, v.seed);
                disguise::pruned(&v.student.plan, &noisy, 0.3)
            }),
        ),
        ("fine-tuned, 1 epoch", Box::new(|v: &Victim<'_>| Ok(v.tuned.map(|tuned| tuned.files.weights.clone())))),
        (
            "averaged with its fine-tuned self",
            Box::new(|v: &Victim<'_>| {
                let averaged = v.tuned.map(|t| disguise::averaged(&v.student.weights, &t.weights, 0.5));
                Ok(averaged.map(|weights| weights.to_safetensors()).transpose()?)
            }),
        ),
        ("80 % + 20 % of another", changed(|v| disguise::averaged(&v.student.weights, &v.other.weights, 0.8))),
    ]
}

fn pairs(prints: &[Fingerprint]) -> Vec<Evidence> {
    let later = |index: usize| prints[index + 1..].iter().map(move |b| (index, b));
    (0..prints.len()).flat_map(later).map(|(a, b)| compare(&prints[a], b)).collect()
}

/// Students of different architectures: outputs alone.
fn across(families: &[Family]) {
    let mut correlations = Vec::new();
    for (index, a) in families.iter().enumerate() {
        for b in &families[index + 1..] {
            let both = a.students.iter().flat_map(|x| b.students.iter().map(move |y| (x, y)));
            correlations.extend(both.map(|(x, y)| compare(&x.1, &y.1).residual_correlation_ppm));
        }
    }
    println!("\nacross families: {} pairs, rc {}", correlations.len(), range(correlations.into_iter()));
}

fn range(values: impl Iterator<Item = Option<i32>>) -> String {
    let values: Vec<i32> = values.flatten().collect();
    match (values.iter().min(), values.iter().max()) {
        (Some(min), Some(max)) => format!("{} .. {}", decimal(*min), decimal(*max)),
        _ => "-".into(),
    }
}

fn largest(values: impl Iterator<Item = Option<i32>>) -> String {
    values.flatten().max().map_or("-".into(), |value| format!("{} ({value} ppm)", decimal(value)))
}

fn decimal(ppm: i32) -> String {
    format!("{:.3}", f64::from(ppm) / 1e6)
}
