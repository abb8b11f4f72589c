//! The command line, as `--help` teaches it. It says what can be asked, and does nothing.

use clap::{Args, Parser, Subcommand, ValueEnum};
use models::DeviceKind;
use protocol::standing::Division;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use std::net::SocketAddr;
use std::path::PathBuf;
use transparency::LogKey;

/// The arena for distilled models.
///
/// A validator publishes a teacher and an evaluation set, miners submit small models distilled from it, the engine
/// measures accuracy and CPU latency, and the board ranks them. `retort demo` shows all of it on this machine.
#[derive(Parser)]
#[command(version, after_help = "Exit codes: 0 done, 1 failed, 2 wrong use.\nBegin with: retort demo")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
    /// Run models without the sandbox, on a host that has no Landlock, seccomp or user namespaces: only models that you
    /// trust
    #[arg(long, global = true)]
    pub(crate) insecure_sandbox: bool,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// A whole subnet on this machine, on real data, in about three minutes
    Demo(DemoArgs),
    /// Run the service: make a directory for it, publish competitions, serve
    #[command(subcommand)]
    Validator(ValidatorCommand),
    /// Evaluate jobs of a validator's directory (runs inside `validator serve` by default)
    Worker(WorkerArgs),
    /// Check, submit and follow packages, from any trainer
    #[command(subcommand)]
    Miner(MinerCommand),
    /// The leaderboard, with error bars
    Board(BoardArgs),
    /// Download a champion or a submission, and verify it
    Pull(PullArgs),
    /// Run a downloaded model on images
    Predict(PredictArgs),
    /// Check what a validator states: re-run an evaluation, read its public log
    Verify(Box<VerifyArgs>),
    /// Check the rules on made-up models: how often they err, and how much they see
    #[command(subcommand)]
    Simulate(SimulateCommand),
    /// Print a shell's completions: `retort completions bash > ~/.local/share/bash-completion/completions/retort`
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual, one page a command: `retort man ~/.local/share/man/man1`
    Man {
        /// The folder; it is made if it isn't there
        dir: PathBuf,
    },
    /// Make and show hotkeys; reads Bittensor wallet files
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Measure how well this machine measures
    #[command(subcommand)]
    Bench(BenchCommand),
    /// The child of an evaluation (internal)
    #[command(name = "__worker", hide = true)]
    EvaluationWorker,
    /// A busy process of `bench latency --load` (internal)
    #[command(name = "__burn", hide = true)]
    Burn,
}

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Where everything is kept; a new temporary folder unless given
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Where the API and the pages listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Leave the validator running when the story is over
    #[arg(long)]
    pub(crate) serve: bool,
    /// Print one JSON object on standard output, progress on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where the validator's files are.
#[derive(Args, Clone)]
pub(crate) struct Home {
    /// The validator's directory
    #[arg(long, env = "RETORT_HOME", default_value = "retort-validator")]
    pub(crate) dir: PathBuf,
}

#[derive(Subcommand)]
pub(crate) enum ValidatorCommand {
    /// Make a validator's directory: settings, a hotkey, a database
    Init {
        #[command(flatten)]
        home: Home,
        /// Use this Bittensor hotkey file instead of making a hotkey
        #[arg(long)]
        hotkey: Option<PathBuf>,
    },
    /// Publish a competition from its manifest
    Publish {
        /// The manifest (TOML)
        manifest: PathBuf,
        #[command(flatten)]
        home: Home,
    },
    /// Serve the API and the pages, and evaluate
    Serve {
        #[command(flatten)]
        home: Home,
        /// Overrides the settings
        #[arg(long)]
        listen: Option<SocketAddr>,
    },
    /// Check the settings, the store, the database, and how calm this machine is
    Doctor {
        #[command(flatten)]
        home: Home,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Copy a validator's directory as it is at this moment into a new folder; works beside a serving validator
    Backup {
        /// The new folder
        to: PathBuf,
        #[command(flatten)]
        home: Home,
        /// Copy the hotkey and the log's key, too: whoever has the folder then is this validator
        #[arg(long)]
        with_keys: bool,
        /// List objects instead of copying them, where the object store is backed up by other means
        #[arg(long)]
        list_objects: bool,
    },
    /// Put a backup back into a new directory
    Restore {
        /// The folder that `backup` made
        from: PathBuf,
        #[command(flatten)]
        home: Home,
    },
    /// Show, close, drive rounds: a serving validator drives them by itself
    #[command(subcommand)]
    Round(RoundCommand),
    /// What finished rounds paid, and what they would have paid under other rules
    Rewards(RewardsArgs),
    /// Try a submission again that failed through the validator's fault; the public log will say so
    Requeue(ActArgs),
    /// Take a submission out of its competition; the public log will say so, and why
    Disqualify(ActArgs),
}

#[derive(Args)]
pub(crate) struct ActArgs {
    /// The submission
    pub(crate) submission: SubmissionId,
    /// Why, in one line that everybody will be able to read
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

#[derive(Args)]
pub(crate) struct RewardsArgs {
    #[command(flatten)]
    pub(crate) home: Home,
    /// The competition
    pub(crate) competition: CompetitionId,
    /// Other rules to compare with: winner_takes_all, ladder, last_champions, frontier, or a TOML file with a reward table
    #[arg(long, num_args = 1..)]
    pub(crate) preview: Vec<String>,
    /// Announce other rules, named as for --preview, from the round that --from-round names
    #[arg(long, requires = "from_round", conflicts_with = "preview")]
    pub(crate) announce: Option<String>,
    /// The first round that is paid by the announced rules; a later one than the round that runs
    #[arg(long, requires = "announce")]
    pub(crate) from_round: Option<u64>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A round is committed to when it opens, gets its beacon when it closes, and is then drawn, measured, judged, paid and
/// revealed. `retort verify round` lets anybody do it again.
#[derive(Subcommand)]
pub(crate) enum RoundCommand {
    /// The rounds of a competition, newest first
    Status {
        #[command(flatten)]
        home: Home,
        /// The competition
        competition: CompetitionId,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Close the open round now; works beside a serving validator
    Close {
        #[command(flatten)]
        home: Home,
        /// The competition
        competition: CompetitionId,
    },
    /// Close the open round and do all that follows, for a validator that isn't serving
    Run {
        #[command(flatten)]
        home: Home,
        /// The competition
        competition: CompetitionId,
    },
    /// Give a round that is bound to drand its beacon, in the JSON that drand publishes
    Beacon {
        #[command(flatten)]
        home: Home,
        /// The competition
        competition: CompetitionId,
        /// The file
        file: PathBuf,
    },
}

#[derive(Args)]
pub(crate) struct WorkerArgs {
    #[command(flatten)]
    pub(crate) home: Home,
}

/// Which validator to talk to.
#[derive(Args, Clone)]
pub(crate) struct Validator {
    /// The validator's address
    #[arg(long, env = "RETORT_VALIDATOR", default_value = "http://127.0.0.1:7070")]
    pub(crate) validator: String,
}

#[derive(Subcommand)]
pub(crate) enum MinerCommand {
    /// Check a package with the validator's own rules and engine, and predict its rank
    Check {
        /// The package: config.json, model.safetensors, optionally README.md
        package: PathBuf,
        /// The competition: an id, http://HOST/competitions/ID, or a competition.toml for the rules alone
        #[arg(long, default_value = "fashion-mnist")]
        competition: String,
        #[command(flatten)]
        validator: Validator,
        /// Only check admission: no engine, no prediction
        #[arg(long)]
        rules_only: bool,
        /// Where to run the model
        #[arg(long, default_value = "flex")]
        device: DeviceKind,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign and upload a package
    Submit {
        /// The package
        package: PathBuf,
        /// The competition: an id or http://HOST/competitions/ID
        #[arg(long, default_value = "fashion-mnist")]
        competition: String,
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signs (`retort keys new` makes one; Bittensor wallets work)
        #[arg(long, env = "RETORT_HOTKEY")]
        hotkey: PathBuf,
        /// Wait for the score
        #[arg(long)]
        wait: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a token that submits for a hotkey: HF_TOKEN for `hf upload`, see docs/HUB.md
    Token {
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signs (`retort keys new` makes one; Bittensor wallets work)
        #[arg(long, env = "RETORT_HOTKEY")]
        hotkey: PathBuf,
        /// What you call it
        #[arg(long, default_value = "hub")]
        label: String,
        /// Days until it ends
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=365))]
        days: u64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Where a submission is, and why
    Status {
        /// The submission
        submission: SubmissionId,
        #[command(flatten)]
        validator: Validator,
        /// Tell each change until it has ended
        #[arg(long)]
        follow: bool,
        /// Print JSON; with --follow one line for each change
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct BoardArgs {
    /// The competition: an id or http://HOST/competitions/ID
    #[arg(default_value = "fashion-mnist")]
    pub(crate) competition: String,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Only a division, in its own order: c99 (at least 99 % of the teacher's accuracy, by latency), c97, open (by score)
    #[arg(long, conflicts_with = "csv")]
    pub(crate) division: Option<Division>,
    /// Say below the table why each is where it is, what the seat would take, and what its last attempt came to
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub(crate) why: bool,
    /// Show it anew whenever it changes, until interrupted
    #[arg(long, conflicts_with = "csv")]
    pub(crate) watch: bool,
    /// Print JSON; with --watch one line for each change
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Args)]
pub(crate) struct PullArgs {
    /// A competition (its champion) or a submission
    pub(crate) what: String,
    /// The folder for the package
    pub(crate) dir: PathBuf,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct PredictArgs {
    /// A package folder, as `retort pull` writes it
    pub(crate) package: PathBuf,
    /// PNG files of the model's size, or fashion-mnist:N for the N-th test image
    #[arg(required = true)]
    pub(crate) inputs: Vec<String>,
    /// Where to run the model
    #[arg(long, default_value = "flex")]
    pub(crate) device: DeviceKind,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whatever a validator states can be checked by anyone, with this program or another.
///
/// `retort verify RECEIPT` is short for `retort verify receipt RECEIPT`.
#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, arg_required_else_help = true)]
pub(crate) struct VerifyArgs {
    #[command(subcommand)]
    pub(crate) command: Option<VerifyCommand>,
    /// A receipt: a file, a submission, or an address such as http://HOST/submissions/ID
    pub(crate) receipt: Option<String>,
    #[command(flatten)]
    pub(crate) options: ReceiptOptions,
}

#[derive(Subcommand)]
pub(crate) enum VerifyCommand {
    /// Check a receipt: signature, every digest, its place in the log; run the evaluation again and compare
    Receipt {
        /// A file, a submission, or an address such as http://HOST/submissions/ID
        receipt: String,
        #[command(flatten)]
        options: ReceiptOptions,
    },
    /// Read all of the public log: finds a changed bit, a hole, a rewritten past, a split view
    Log(LogOptions),
    /// Do a finished round again: commitment, beacon, draw, items, the teacher's answers, verdicts, champion
    Round(VerifyRoundArgs),
    /// Compare two submissions again from their packages; their errors on the probes too once the competition is over
    Copy(VerifyCopyArgs),
}

#[derive(Args, Clone)]
pub(crate) struct VerifyCopyArgs {
    /// One submission
    pub(crate) first: SubmissionId,
    /// The other, of the same competition; in any order
    pub(crate) second: SubmissionId,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone)]
pub(crate) struct VerifyRoundArgs {
    /// The competition: an id or http://HOST/competitions/ID
    pub(crate) competition: String,
    /// The round's number
    pub(crate) round: u64,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Clone)]
pub(crate) struct ReceiptOptions {
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// The log's verifier key, NAME+ID+BASE64; asked of the validator unless given
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<LogKey>,
    /// The hotkey that must have signed; the validator's own unless given
    #[arg(long, value_name = "HOTKEY")]
    pub(crate) signer: Option<Hotkey>,
    /// Compare outputs alone: no latency, a few seconds instead of many
    #[arg(long)]
    pub(crate) outputs_only: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct LogOptions {
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// The log's verifier key, NAME+ID+BASE64; asked of the validator unless given
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<LogKey>,
    /// A checkpoint seen earlier, or by somebody else: the log must begin with all that it covers
    #[arg(long, value_name = "FILE")]
    pub(crate) previous: Option<PathBuf>,
    /// Keep the checkpoint for the next time, if all is well
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum SimulateCommand {
    /// False crowns and power of rules that dethrone a champion
    ///
    /// Challengers as good as the champion, noisy clones of it, and truly better ones are made up and judged by the real
    /// rules. Repetition i is a function of seed and i, so threads change nothing but the time.
    Dethrone(DethroneArgs),
}

#[derive(Args)]
pub(crate) struct DethroneArgs {
    /// Challengers exactly as good as the champion
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(30..=100_000))]
    pub(crate) challengers: u32,
    /// Noisy clones of the champion, in one round
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) clones: u32,
    /// How often each row is played
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) repetitions: u32,
    /// Public items, and as many hidden ones
    #[arg(long, value_delimiter = ',', default_value = "2000,10000",
        value_parser = clap::value_parser!(u32).range(100..=1_048_576))]
    pub(crate) items: Vec<u32>,
    /// Which rows to play [default: all]. Equals of 10,000 items take 300 repetitions in a quarter of an hour
    #[arg(long, value_delimiter = ',')]
    pub(crate) only: Vec<DethroneRow>,
    /// Level of the test on public items [default: the rules']
    #[arg(long, value_parser = share_ppm)]
    pub(crate) alpha_public: Option<u32>,
    /// Level of the test on hidden items, shared by those that reach it [default: the rules']
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

/// What a row of the table of rules plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DethroneRow {
    /// Equals of the champion, all in one round
    Equals,
    /// As many equals over 30 rounds
    Rounds,
    /// Noisy clones of the champion
    Clones,
    /// Better ones, by half a point, a point and two
    Better,
}

/// A share of 1 such as 0.01 in parts per million.
fn share_ppm(text: &str) -> Result<u32, String> {
    let share: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if (0.0..=1.0).contains(&share) { Ok((share * 1e6).round() as u32) } else { Err("not from 0 to 1".into()) }
}

#[derive(Subcommand)]
pub(crate) enum BenchCommand {
    /// Measure known latency ratios: how often the interval holds, how wide it is, and what it finds
    Latency(BenchLatencyArgs),
}

#[derive(Args)]
pub(crate) struct BenchLatencyArgs {
    /// A model beside itself: the true ratio is 1
    #[arg(long, required_unless_present_any = ["ab", "same"], conflicts_with_all = ["ab", "same"])]
    pub(crate) aa: bool,
    /// A model beside itself drawn out by --slow-down-ppm
    #[arg(long, conflicts_with = "same")]
    pub(crate) ab: bool,
    /// One model submitted so many times against the reference student: spread and rank groups
    #[arg(long, value_name = "TIMES", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub(crate) same: Option<u32>,
    /// By how much --ab draws out each inference, in parts per million
    #[arg(long, default_value_t = 20_000)]
    pub(crate) slow_down_ppm: u32,
    /// A package folder to time
    #[arg(long, conflicts_with = "model")]
    pub(crate) package: Option<PathBuf>,
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
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
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

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a hotkey file that only you can read
    New {
        /// The file
        path: PathBuf,
    },
    /// Show the public part of a hotkey file
    Show {
        /// The file: ours, or ~/.bittensor/wallets/NAME/hotkeys/KEY
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
