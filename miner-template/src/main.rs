//! The template's own command line. `retort miner` checks and submits what this makes.

use anyhow::{Context, Result, anyhow};
use clap::{Args, Parser, Subcommand, ValueEnum};
use datasets::published::answers_table;
use miner_template::checkpoint::Checkpoint;
use miner_template::distil::{self, Options};
use miner_template::outputs;
use miner_template::paths::{at_home, quoted};
use miner_template::progress::{Display, Preparation};
use miner_template::recipe::{Changes, Loss, Plain, Recipe};
use miner_template::source::Assets;
use miner_template::students::{DEFAULT_STUDENT, STUDENTS, student};
use miner_template::teacher;
use models::DeviceKind;
use rand::{RngExt, rng};
use std::path::PathBuf;

/// Distil a small model from a competition's teacher.
///
/// The recipe is miner-template/src/recipe.rs: change it, run `distil`, look at the accuracy, submit with
/// `retort miner submit`.
#[derive(Parser)]
#[command(version, after_help = "Example: cargo run --release -p miner-template -- distil --epochs 4 --out my-student")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Train a student and write a package
    Distil(DistilArgs),
    /// Compare cross-entropy, plain and logit-standardised distillation over several seeds
    Compare(CompareArgs),
    /// Write the teacher's logits on the training images, for a manifest's `training_teacher_logits`
    TeacherLogits(TeacherLogitsArgs),
    /// List the students that `--student` knows
    Students,
}

#[derive(Args)]
struct TeacherLogitsArgs {
    /// A competition.toml on this machine
    #[arg(long, default_value = "competitions/fashion-mnist/competition.toml")]
    competition: String,
    /// Where to compute: flex, wgpu or tch [default: the fastest that this build has]
    #[arg(long)]
    device: Option<DeviceKind>,
    /// The file
    #[arg(value_parser = at_home)]
    out: PathBuf,
}

#[derive(Args, Clone)]
struct Common {
    /// A validator's competition (http://HOST:PORT/competitions/ID) or a competition.toml on this machine
    #[arg(long, default_value = "competitions/fashion-mnist/competition.toml")]
    competition: String,
    /// A name from `students`, or a JSON file with an architecture
    #[arg(long, default_value = DEFAULT_STUDENT)]
    student: String,
    /// Passes over the training images [default: 10, or more where images are few]
    #[arg(long)]
    epochs: Option<u32>,
    /// Where to compute: flex, wgpu or tch [default: the fastest that this build has]
    #[arg(long)]
    device: Option<DeviceKind>,
    /// Train on N fixed views of each image (as it is, mirrored, shifted) and not on what hidden rounds show
    #[arg(long, value_name = "N")]
    views: Option<usize>,
    /// Use only the first N training images
    #[arg(long, value_name = "N")]
    images: Option<u32>,
    /// The highest learning rate
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Decoupled weight decay
    #[arg(long)]
    weight_decay: Option<f64>,
    /// Images are shifted by up to this many pixels and mirrored; not what hidden rounds show
    #[arg(long)]
    shift: Option<u8>,
}

#[derive(Args)]
struct DistilArgs {
    #[command(flatten)]
    common: Common,
    /// What the student learns from
    #[arg(long, value_enum, default_value_t = LossName::Plain)]
    loss: LossName,
    /// Side of a square that is blanked at a random place (only with `--loss cross-entropy` and `--shift`)
    #[arg(long, default_value_t = 0, requires = "shift")]
    erase: u8,
    /// Begin with the weights of this package instead of random ones
    #[arg(long, value_name = "PACKAGE", value_parser = at_home)]
    start_from: Option<PathBuf>,
    /// Random unless given: students from one seed look like copies of each other
    #[arg(long)]
    seed: Option<u64>,
    /// The folder for the package; an interrupted run in it goes on
    #[arg(long, default_value = "student", value_parser = at_home)]
    out: PathBuf,
}

#[derive(Args)]
struct CompareArgs {
    #[command(flatten)]
    common: Common,
    /// Seeds 1 to N
    #[arg(long, default_value_t = 3)]
    seeds: u64,
    /// The folder for the packages
    #[arg(long, default_value = "target/compare", value_parser = at_home)]
    out: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum LossName {
    /// The labels alone
    CrossEntropy,
    /// Plain knowledge distillation
    Plain,
    /// Distillation of standardised logits
    Standardised,
}

impl LossName {
    fn loss(self) -> Loss {
        match self {
            Self::CrossEntropy => Loss::CrossEntropy,
            Self::Plain => Loss::plain(),
            Self::Standardised => Loss::standardised(),
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::CrossEntropy => "cross-entropy",
            Self::Plain => "plain KD",
            Self::Standardised => "standardised KD",
        }
    }
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Distil(args) => distil_one(&args),
        Command::Compare(args) => compare(&args),
        Command::TeacherLogits(args) => teacher_logits(&args),
        Command::Students => {
            STUDENTS.iter().for_each(|(name, what, json)| println!("{name:12} {what}\n{:12} {json}", ""));
            Ok(())
        }
    }
}

fn distil_one(args: &DistilArgs) -> Result<()> {
    distil::check_out_folder(&args.out)?;
    eprintln!("reading the competition {}", args.common.competition);
    let assets = Assets::open(&args.common.competition).context("open the competition")?;
    let seed = seed_of(args)?;
    let mut options = options(&args.common, &assets, args.loss, seed, args.out.clone())?;
    if let Changes::Plain(plain) = &mut options.recipe.changes {
        plain.erase = args.erase;
    }
    options.start_from = args.start_from.clone();
    let Recipe { epochs, batch, .. } = options.recipe;
    eprintln!("learning in {epochs} passes by batches of {batch} images");
    eprintln!("what the teacher answers is kept in {}", options.cache.display());
    let mut display = Display::new(&args.common.student);
    let made = distil::distil(&assets, &options, |event| display.event(event))?;
    println!(
        "{}: {} parameters, {:.2} % ({} of {}) on evaluation images, {} s on {}, seed {seed}",
        args.out.display(),
        made.parameters,
        100.0 * made.right as f64 / made.items as f64,
        made.right,
        made.items,
        made.seconds,
        options.device
    );
    // Of a competition on this machine nobody knows which validator will have it.
    let competition = if args.common.competition.contains("://") {
        format!(" --competition {}", quoted(&args.common.competition))
    } else {
        String::new()
    };
    println!("next: retort miner check {}{competition}", quoted(&args.out.display().to_string()));
    Ok(())
}

/// The seed given, that of the interrupted run, or a random one.
fn seed_of(args: &DistilArgs) -> Result<u64> {
    let saved = Checkpoint::in_folder(&args.out).history()?.map(|history| history.seed);
    match (args.seed, saved) {
        (Some(given), Some(saved)) if given != saved => Err(anyhow!(
            "{} holds a run with seed {saved}: leave --seed out to go on with it, or choose another --out",
            args.out.display()
        )),
        (given, saved) => Ok(given.or(saved).unwrap_or_else(|| rng().random())),
    }
}

fn compare(args: &CompareArgs) -> Result<()> {
    let assets = Assets::open(&args.common.competition).context("open the competition")?;
    println!("| loss | mean accuracy | spread (sd) | runs |\n|---|---|---|---|");
    for loss in [LossName::CrossEntropy, LossName::Plain, LossName::Standardised] {
        let mut shares = Vec::new();
        for seed in 1..=args.seeds {
            let out = args.out.join(format!("{}-{seed}", loss.label().replace(' ', "-")));
            let options = options(&args.common, &assets, loss, seed, out)?;
            let mut display = Display::new(&format!("{} seed {seed}", loss.label()));
            let made = distil::distil(&assets, &options, |event| display.event(event))?;
            shares.push(100.0 * made.right as f64 / made.items as f64);
        }
        let mean = shares.iter().sum::<f64>() / shares.len() as f64;
        let variance = shares.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (shares.len().max(2) - 1) as f64;
        let runs: Vec<String> = shares.iter().map(|share| format!("{share:.2}")).collect();
        println!("| {} | {mean:.2} % | {:.2} | {} |", loss.label(), variance.sqrt(), runs.join(", "));
    }
    Ok(())
}

fn teacher_logits(args: &TeacherLogitsArgs) -> Result<()> {
    outputs::try_file(&args.out).with_context(|| format!("{} can't be written", args.out.display()))?;
    let assets = Assets::open(&args.competition).context("open the competition")?;
    let device = args.device.unwrap_or_else(DeviceKind::fastest_for_training).open()?;
    let mut display = Display::new("teacher");
    let logits =
        teacher::training_logits(&assets, &device, |done, all| display.preparing(Preparation::Teacher, done, all))?;
    std::fs::write(&args.out, answers_table(&logits)?).with_context(|| format!("write {}", args.out.display()))?;
    let right = teacher::count_right(&logits.values, &assets.training.labels);
    println!("{}: {right} of {} training images right", args.out.display(), assets.training.len());
    Ok(())
}

fn options(common: &Common, assets: &Assets, loss: LossName, seed: u64, out: PathBuf) -> Result<Options> {
    let images = common.images.map_or(assets.training.count, |most| most.min(assets.training.count));
    let standard = Recipe::for_images(images);
    let changes = match (common.views, common.shift) {
        (None, None) => Changes::Rounds { family: assets.family },
        (_, shift) => Changes::Plain(Plain::shifted(shift.unwrap_or(1))),
    };
    Ok(Options {
        architecture: student(&common.student).map_err(|problem| anyhow!(problem))?,
        recipe: Recipe {
            loss: loss.loss(),
            epochs: common.epochs.unwrap_or(standard.epochs),
            learning_rate_peak: common.learning_rate.unwrap_or(standard.learning_rate_peak),
            weight_decay: common.weight_decay.unwrap_or(standard.weight_decay),
            changes,
            ..standard
        },
        views: common.views.unwrap_or(4).max(1),
        images_max: common.images,
        start_from: None,
        seed,
        device: common.device.unwrap_or_else(DeviceKind::fastest_for_training),
        out,
        cache: distil::default_cache(),
        command: command_line(),
    })
}

/// The command for the model card, without this machine's paths to programs.
fn command_line() -> String {
    let args: Vec<String> = std::env::args().skip(1).map(|word| quoted(&word)).collect();
    format!("cargo run --release -p miner-template -- {}", args.join(" "))
}
