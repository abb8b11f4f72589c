//! `retort simulate` and `retort bench`: what a designer of rules and a doubter of clocks ask.

use clap::{Args, Subcommand, ValueEnum};
use protocol::competition::EngineName;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum SimulateCommand {
    /// False crowns and power of rules that dethrone a champion
    ///
    /// Challengers as good as the champion, noisy clones of it, and truly better ones are made up, pass every public test,
    /// and are screened, decided and judged by the real rules over rounds. Repetition i is a function of seed and i, so
    /// threads change nothing but the time.
    Dethrone(DethroneArgs),
    /// What strategies earn under the rules: memorisers, cloners, splitters, sandbaggers and others beside honest models
    ///
    /// Each plays rounds on the stored answers of real packages, judged and paid by the real rules, and its earnings are
    /// held against the plain use of its own best model.
    Market(MarketArgs),
}

#[derive(Args)]
pub(crate) struct MarketArgs {
    /// A manifest with the rules to play under [default: the default rules, each policy in a column]
    #[arg(long, value_parser = super::at_home)]
    pub(crate) manifest: Option<PathBuf>,
    /// How many rounds a game has
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) rounds: u32,
    /// How many games, each with other draws
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) games: u32,
    /// Fresh items of a round in all [default: the manifest's, or 3,500]
    #[arg(long, value_parser = clap::value_parser!(u32).range(100..=10_000))]
    pub(crate) items: Option<u32>,
    /// Threads [default: one a core]
    #[arg(long)]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Another seed draws other items
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct DethroneArgs {
    /// Challengers exactly as good as the champion, all there from the first round on
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) equals: u32,
    /// Noisy clones of the champion, in one round
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clones: u32,
    /// How often each game is played
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,
    /// Fresh items of a round in all, those of the screening included
    #[arg(long, value_delimiter = ',', default_value = "3500,10000",
        value_parser = clap::value_parser!(u32).range(100..=1_048_576))]
    pub(crate) items: Vec<u32>,
    /// Which games to play [default: all]
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<DethroneRow>,
    /// Level of the test on fresh items, shared by those that a round decides [default: the rules']
    #[arg(long, value_parser = share_ppm)]
    pub(crate) alpha_hidden: Option<u32>,
    /// By how much of the composite a challenger must be better [default: the rules']
    #[arg(long, value_parser = share_ppm)]
    pub(crate) epsilon: Option<u32>,
    /// Threads [default: one a core]
    #[arg(long)]
    pub(crate) threads: Option<std::num::NonZeroUsize>,
    /// Another seed plays other repetitions
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DethroneRow {
    /// Equals of the champion over 30 rounds
    Equals,
    /// Noisy clones of the champion
    Clones,
    /// Better ones alone, by half a point, a point and two, after 1, 3 and 10 rounds
    Better,
    /// The same beside the equals
    Beside,
    /// Three better ones beside the equals: by when they are decided
    Decided,
}

/// A share of 1 such as 0.01 in parts per million.
fn share_ppm(text: &str) -> Result<u32, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok((share * 1e6).round() as u32) } else { Err("not from 0 to 1".into()) }
}

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Items per second on each backend that this host has, and how far its answers are off the official engine's
    ///
    /// A validator computes answers to public items on one of them where `accuracy_device` in validator.toml names it and the
    /// competition's `[backends]` allow it. A GPU needs a build with `--features wgpu`, LibTorch one with `--features tch`.
    Backends(BenchBackendsArgs),
    /// Measure known latency ratios: how often the interval holds, how wide it is, and what it finds
    Latency(BenchLatencyArgs),
    /// How soon a cancelled measurement gives the machine back, and whether the engine keeps its other promises
    ///
    /// Holds this machine's engine, with real jailed processes, to everything that a validator rests on: answers about what
    /// was asked, one at a time, and an end within a second of being told to. Ends with an error where a promise is broken.
    Door(BenchDoorArgs),
    /// How alike independently trained students are: prints the `[nulls]` of a manifest
    ///
    /// Likeness is judged on a scale that depends on the data and the teacher. Train at least five students of a competition from
    /// different seeds, in the architectures and widths that you expect (two widths and five seeds of each are a good null),
    /// to the end of the recipe, none from another. Put what this prints at the end of the manifest before it is published.
    Nulls(BenchNullsArgs),
}

#[derive(Args)]
pub(crate) struct BenchBackendsArgs {
    /// A package folder or an ONNX file; the built-in teacher unless given
    #[arg(value_name = "DIR", value_parser = super::at_home)]
    pub(crate) package: Option<PathBuf>,
    /// How many test images are answered
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) items: u32,
    /// What the others are held against
    #[arg(long, default_value = "burn")]
    pub(crate) official: RuntimeName,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BenchNullsArgs {
    /// Package folders of students that were trained independently
    #[arg(required = true, value_name = "DIR", value_parser = super::at_home)]
    pub(crate) packages: Vec<PathBuf>,
    /// A competition.toml on this machine, or a validator's competition (http://HOST:PORT/competitions/ID)
    #[arg(long)]
    pub(crate) competition: String,
    /// How many items they are asked, drawn and changed as a hidden round's are
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    pub(crate) items: u32,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BenchDoorArgs {
    /// How many measurements are begun and cancelled, half of them among batches and half of them among launches
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) tries: u32,
    /// How soon the machine must be given back, but for one in a hundred; more where others compute beside it
    #[arg(long, default_value_t = 1_000, value_name = "MILLISECONDS")]
    pub(crate) within_ms: u64,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
#[command(arg_required_else_help = true)]
pub(crate) struct BenchLatencyArgs {
    /// A model beside itself: the true ratio is 1
    #[arg(long, required_unless_present_any = ["ab", "same", "checks", "neighbours"],
        conflicts_with_all = ["ab", "same", "checks", "neighbours"])]
    pub(crate) aa: bool,
    /// A model beside itself drawn out by --slow-down-ppm
    #[arg(long, conflicts_with_all = ["same", "checks", "neighbours"])]
    pub(crate) ab: bool,
    /// One model submitted so many times against the reference student: spread and rank groups
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) same: Option<u32>,
    /// Honest models of every family and size in turns, --measurements in all: how often the checks accuse one falsely
    ///
    /// With --effort quick the measurement is short but its checks are whole, since checks of one launch accuse nobody.
    #[arg(long, conflicts_with_all = ["same", "neighbours", "package", "unconfined"])]
    pub(crate) checks: bool,
    /// The model beside itself a little wider and narrower: where the engine's speed has cliffs
    #[arg(long, conflicts_with_all = ["same", "unconfined"])]
    pub(crate) neighbours: bool,
    /// How far --neighbours goes from each width
    #[arg(long, default_value_t = 8, requires = "neighbours", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) reach: u32,
    /// Families that --checks takes
    #[arg(long, value_delimiter = ',', requires = "checks", default_value = "mlp,resnet,depthwise,mobilenet,vit")]
    pub(crate) families: Vec<Family>,
    /// Sizes that --checks takes, in thousands of bytes
    #[arg(long, value_delimiter = ',', requires = "checks", default_value = "2,20,200,2000",
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) sizes_kb: Vec<u32>,
    /// A package folder that --checks takes as well; can be given several times
    #[arg(long, value_name = "DIR", requires = "checks", value_parser = super::at_home)]
    pub(crate) also: Vec<PathBuf>,
    /// By how much --ab draws out each inference, in parts per million
    #[arg(long, default_value_t = 20_000)]
    pub(crate) slow_down_ppm: u32,
    /// A package folder to time, or an ONNX file
    #[arg(long, conflicts_with = "model", value_parser = super::at_home)]
    pub(crate) package: Option<PathBuf>,
    /// What runs both models: rten for an ONNX file and burn for others, unless given
    #[arg(long, default_value = "burn")]
    pub(crate) runtime: RuntimeName,
    /// reference, teacher, or a student of the template (mlp, resnet-tiny, ...) with random weights
    #[arg(long, default_value = "reference")]
    pub(crate) model: String,
    /// How many measurements
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) measurements: u32,
    /// Busy processes to start beside the measurement
    #[arg(long, default_value_t = 0, value_name = "PROCESSES")]
    pub(crate) load: u32,
    /// How long a measurement is
    #[arg(long, default_value = "full")]
    pub(crate) effort: EffortName,
    /// Another length of a launch than the effort's
    #[arg(long, value_name = "MILLISECONDS")]
    pub(crate) launch_ms: Option<u64>,
    /// Another layout over cores than the engine's
    #[arg(long)]
    pub(crate) pin: Option<PinName>,
    /// Let the candidate run without the sandbox: what confinement costs
    #[arg(long, conflicts_with = "same")]
    pub(crate) unconfined: bool,
    /// Don't let timed workers run before ordinary processes
    #[arg(long)]
    pub(crate) ordinary_priority: bool,
    /// The first measurement's seed, each next one's is one more; random unless given
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Write each measurement's raw samples into this folder
    #[arg(long, value_name = "DIR", value_parser = super::at_home)]
    pub(crate) samples: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// What runs models.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RuntimeName {
    /// Packages of the catalogue as modules of this program
    Burn,
    /// Graphs on rten, which is part of this program
    Rten,
    /// Graphs on the library that scripts/onnxruntime.sh lays out
    Onnxruntime,
}

impl From<RuntimeName> for EngineName {
    fn from(name: RuntimeName) -> Self {
        match name {
            RuntimeName::Burn => Self::Burn,
            RuntimeName::Rten => Self::Rten,
            RuntimeName::Onnxruntime => Self::Onnxruntime,
        }
    }
}

/// A length of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum EffortName {
    /// LAT-1 as competitions use it
    Full,
    /// The same protocol in a fifth of the time
    Quick,
}

/// A layout of a measurement's processes over cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum PinName {
    /// As the scheduler likes
    Off,
    /// Workers on one core
    Workers,
    /// Workers on one core, this process on the others
    Apart,
    /// All on one core
    Together,
}

/// A family of the catalogue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Family {
    /// Fully connected layers
    Mlp,
    /// A residual network
    Resnet,
    /// Depthwise-separable convolutions
    Depthwise,
    /// Inverted residuals
    Mobilenet,
    /// A vision transformer
    Vit,
}
