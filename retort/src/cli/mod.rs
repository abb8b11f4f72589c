//! The command line, as `--help` teaches it. It says what can be asked, and does nothing.

mod examples;
mod fleet;
mod miner;
mod tools;
mod validator;
mod verify;

pub(crate) use examples::{asked, command};
pub(crate) use fleet::*;
pub(crate) use miner::*;
pub(crate) use tools::*;
pub(crate) use validator::*;
pub(crate) use verify::*;

use ::validator::config::DIR_DEFAULT;
use clap::{Args, Parser, Subcommand, ValueEnum};
use miner_template::client::{LOCAL, address};
pub(crate) use miner_template::paths::at_home;
use models::DeviceKind;
use protocol::standing::Division;
use protocol::{CompetitionId, Hotkey, SubmissionId};
use std::fmt;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::str::FromStr;
use transparency::LogKey;

/// The arena for distilled models.
///
/// A validator publishes a teacher and an evaluation set, miners submit small models distilled from it, the engine
/// measures accuracy and CPU latency, and the board ranks them. `retort demo` shows all of it on this machine.
#[derive(Parser)]
#[command(
    version,
    after_help = "Exit codes: 0 done, 1 failed, 2 wrong use; of `verify` 1 is a lie alone, and 2 all that wasn't checked.\nBegin with: retort demo"
)]
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
    /// A whole subnet on this machine, on real data, in two or three minutes of a release build
    ///
    /// A debug build takes some minutes more, and so does a machine that others use. The story goes to standard output as it
    /// happens, bars and warnings to standard error.
    Demo(DemoArgs),
    /// Run the service: make a directory for it, publish competitions, serve
    #[command(subcommand)]
    Validator(ValidatorCommand),
    /// Examine this host and the validator in a directory: the same as `retort validator doctor`
    Doctor {
        #[command(flatten)]
        home: Home,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure on this machine for a validator elsewhere
    ///
    /// On the validator's machine `retort fleet enrol NAME` prints the command that lets it in. It asks for work by HTTPS, needs nothing
    /// but the validator's address and a key of its own, and holds neither labels nor any key of the validator's. One worker a machine:
    /// two would spoil each other's times. SIGTERM lets it end what it measures; it exits with 75 where the validator runs another
    /// version of `retort`.
    Worker(WorkerArgs),
    /// The machines that measure for a validator: let one in, list them, give one no more work, shut one out
    #[command(subcommand)]
    Fleet(FleetCommand),
    /// Check, submit and follow packages, from any trainer
    #[command(subcommand)]
    Miner(MinerCommand),
    /// What a validator has published
    Competitions(CompetitionsArgs),
    /// What was entered, the last first
    Submissions(SubmissionsArgs),
    /// The leaderboard, with error bars
    Board(BoardArgs),
    /// Download a champion or a submission, and verify it
    Pull(PullArgs),
    /// Write a model in another form
    #[command(subcommand)]
    Model(ModelCommand),
    /// Run a downloaded model on images
    Predict(PredictArgs),
    /// Cosign validators' public logs, so that they can't tell two histories, and entries have times that aren't their own
    ///
    /// A witness remembers the largest checkpoint that it cosigned of each log and cosigns the next only if it continues that one
    /// (C2SP tlog-witness). Its folder is its memory: one that is lost or put back from an old copy must get a new key.
    ///
    /// It prints its verifier key: an operator writes `witnesses = ["http://HOST:PORT KEY"]` into validator.toml, a manifest names
    /// the key under `[log] witnesses`, and whoever checks passes `--witness KEY`. It says most where somebody else than the
    /// validator's operator runs it.
    Witness(WitnessArgs),
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
        #[arg(value_parser = at_home)]
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

/// An address to listen at; names such as `localhost` are looked up.
pub(crate) fn listening(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/');
    let found = bare.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| "write HOST:PORT, such as 127.0.0.1:7070".to_owned())
}

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Where everything is kept; a new temporary folder unless given
    #[arg(long, value_parser = at_home)]
    pub(crate) dir: Option<PathBuf>,
    /// Where the API and the pages listen; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_parser = listening)]
    pub(crate) listen: SocketAddr,
    /// Leave the validator running when the story is over
    #[arg(long)]
    pub(crate) serve: bool,
    /// Print one JSON object on standard output, and the story on standard error
    #[arg(long)]
    pub(crate) json: bool,
}

/// A submission by its id, by the end of it, as tables and pages show it (`…RCVER4C`), or by the address of its page.
#[derive(Clone, Debug)]
pub(crate) struct Which {
    /// The id or its end.
    id: String,
    /// Whose it is, where an address was written.
    at: Option<String>,
}

/// A shorter end of an id is too many submissions'.
const TAIL_CHARS_MIN: usize = 6;

impl Which {
    /// The id, if all of it was written.
    pub(crate) fn whole(&self) -> Option<SubmissionId> {
        self.id.parse().ok()
    }

    /// Whether a submission may be meant.
    pub(crate) fn may_mean(&self, id: &SubmissionId) -> bool {
        id.to_string().ends_with(&self.id)
    }

    /// The validator that has it: the one of its address, or else this.
    pub(crate) fn validator<'a>(&'a self, otherwise: &'a str) -> &'a str {
        self.at.as_deref().unwrap_or(otherwise)
    }
}

impl fmt::Display for Which {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.id)
    }
}

impl FromStr for Which {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let page = text.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/').rsplit_once("/submissions/");
        let (at, id) = page.map_or((None, text), |(at, id)| (Some(at.trim_end_matches("/api/v1").to_owned()), id));
        let id = id.trim_start_matches(['\u{2026}', '.']).to_ascii_uppercase();
        match id.bytes().all(|byte| byte.is_ascii_alphanumeric()) && (TAIL_CHARS_MIN..=26).contains(&id.len()) {
            true => Ok(Self { id, at }),
            false => {
                Err("write a submission's id, its last 6 characters or more, as the board shows them, or the address \
                          of its page"
                    .into())
            }
        }
    }
}

/// Where the validator's files are.
#[derive(Args, Clone)]
pub(crate) struct Home {
    /// The validator's directory
    #[arg(long, env = "RETORT_HOME", default_value = DIR_DEFAULT, value_parser = at_home)]
    pub(crate) dir: PathBuf,
}

#[derive(Args)]
pub(crate) struct WitnessArgs {
    /// Where its key and its memory are; made at the first start
    #[arg(long, env = "RETORT_WITNESS_DIR", default_value = "retort-witness", value_parser = at_home)]
    pub(crate) dir: PathBuf,
    /// The verifier key of a log to witness, NAME+ID+BASE64, as http://VALIDATOR/log/key has it; repeat for more
    #[arg(long = "log", value_name = "VKEY", required = true)]
    pub(crate) logs: Vec<LogKey>,
    /// The witness's name, a schema-less URL by custom, for the key that the first start makes; the listening address unless
    /// given
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Where it listens; put a reverse proxy with TLS in front of a public address
    #[arg(long, default_value = "127.0.0.1:7071", value_parser = listening)]
    pub(crate) listen: SocketAddr,
}

/// Which validator to talk to.
#[derive(Args, Clone)]
pub(crate) struct Validator {
    /// The validator's address
    #[arg(long, env = "RETORT_VALIDATOR", default_value = LOCAL, global = true, value_parser = address)]
    pub(crate) validator: String,
}

#[derive(Args)]
pub(crate) struct CompetitionsArgs {
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct SubmissionsArgs {
    /// Of this competition alone: an id or http://HOST/competitions/ID
    #[arg(conflicts_with = "competition")]
    pub(crate) of: Option<String>,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Of this competition alone
    #[arg(long)]
    pub(crate) competition: Option<CompetitionId>,
    /// Of this hotkey alone, an ss58 address
    #[arg(long)]
    pub(crate) hotkey: Option<Hotkey>,
    /// How many at most
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: usize,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct BoardArgs {
    /// The competition: an id or http://HOST/competitions/ID; the only one there is, or else fashion-mnist, unless given
    pub(crate) competition: Option<String>,
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
    /// The folder for the package; one called as the competition or submission, unless given
    #[arg(value_parser = at_home)]
    pub(crate) dir: Option<PathBuf>,
    /// Put this form of the model beside it, which onnxruntime and others load; champions have all of them, measured
    #[arg(long)]
    pub(crate) format: Option<ModelForm>,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// A form that a model is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModelForm {
    /// Canonical ONNX in float32: onnx/model.onnx; made here where the validator has none
    Onnx,
    /// The same with numbers in float16, half the bytes: onnx/model_fp16.onnx
    #[value(alias = "f16")]
    OnnxF16,
    /// The same in whole numbers of 8 bits, a quarter of the bytes: onnx/model_quantized.onnx
    #[value(alias = "int8")]
    OnnxInt8,
}

impl From<ModelForm> for protocol::api::ModelForm {
    fn from(form: ModelForm) -> Self {
        match form {
            ModelForm::Onnx => Self::Onnx,
            ModelForm::OnnxF16 => Self::OnnxF16,
            ModelForm::OnnxInt8 => Self::OnnxInt8,
        }
    }
}

#[derive(Subcommand)]
pub(crate) enum ModelCommand {
    /// A package as ONNX, batch normalisation folded into convolutions: one image in, its logits out. In int8 it is quantised statically
    /// (QDQ), calibrated on a competition's training images, and what that loses on its public items is printed; the file can be
    /// entered as it is, `retort miner submit FILE`
    Onnx {
        /// The package folder
        #[arg(value_parser = at_home)]
        package: PathBuf,
        /// Which form
        #[arg(long, default_value = "onnx")]
        form: ModelForm,
        /// For int8: the competition whose training images it is calibrated on, http://HOST:PORT/competitions/ID or a competition.toml
        #[arg(long, value_name = "COMPETITION", required_if_eq_any([("form", "onnx-int8"), ("form", "int8")]))]
        competition: Option<String>,
        /// The file; DIR/onnx/model.onnx (model_fp16.onnx, model_quantized.onnx) unless given
        #[arg(long, value_name = "FILE", value_parser = at_home)]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Args)]
pub(crate) struct PredictArgs {
    /// A package folder, as `retort pull` writes it
    #[arg(value_parser = at_home)]
    pub(crate) package: PathBuf,
    /// Pictures (PNG, JPEG, WebP, GIF, BMP) or folders of them, or fashion-mnist:N for the N-th test image. Other sizes are
    /// resized. Of more than a dozen a table is printed; folders that are called as the model's labels say what is right. Models
    /// of Fashion-MNIST know light clothes on black
    #[arg(required = true)]
    pub(crate) inputs: Vec<String>,
    /// The competition of an ONNX model, which says how pictures become its inputs: http://HOST:PORT/competitions/ID, an id
    /// at RETORT_VALIDATOR, or a competition.toml
    #[arg(long)]
    pub(crate) competition: Option<String>,
    /// Turn light and dark round: for what is dark on paper
    #[arg(long)]
    pub(crate) invert: bool,
    /// Where to run the model
    #[arg(long, default_value = "flex")]
    pub(crate) device: DeviceKind,
    /// Print a line for each picture, however many there are
    #[arg(long)]
    pub(crate) each: bool,
    /// Print JSON: all answers, one for each picture
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_submission_is_written_as_it_is_seen() {
        let id = "01KYG8RWP4PT4JQ2H8Z7RCVER4";
        let addressed = format!("http://h:1/a/submissions/{id}/?x#files");
        for text in [id, &id.to_lowercase(), "\u{2026}8z7rcver4", "RCVER4", &addressed] {
            let which: Which = text.parse().unwrap();
            assert!(which.may_mean(&id.parse().unwrap()), "{text}");
            assert_eq!(which.validator("http://v"), if text == addressed { "http://h:1/a" } else { "http://v" });
        }
        for text in ["VER4", "http://h:1/competitions/digits", "a name of something"] {
            assert!(text.parse::<Which>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    /// A literal `~` and `..` come from unit files and containers, where no shell reads them first.
    #[test]
    fn every_path_is_read_in_the_same_way() {
        let mut commands = vec![Cli::command()];
        while let Some(command) = commands.pop() {
            for arg in command.get_arguments() {
                let reader = format!("{:?}", arg.get_value_parser());
                assert!(!reader.contains("path_buf"), "{} {}: {reader}", command.get_name(), arg.get_id());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
