//! `retort validator`: what an operator asks.

use super::{Home, Which};
use clap::{ArgGroup, Args, Subcommand, ValueEnum};
use protocol::competition::OfficialEngine;
use protocol::{CompetitionId, Hotkey};
use std::net::SocketAddr;
use std::path::PathBuf;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use validator::blocks::Whom;

#[derive(Subcommand)]
pub(crate) enum ValidatorCommand {
    /// Make a validator's directory: settings, a hotkey, and the key of its public log
    Init {
        #[command(flatten)]
        home: Home,
        /// Use this Bittensor hotkey file instead of making a hotkey
        #[arg(long, value_parser = super::at_home)]
        hotkey: Option<PathBuf>,
    },
    /// Look at data before publishing it: classes, sizes, duplicates, rows that can't be read, error bars
    Inspect {
        #[command(flatten)]
        data: Data,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Write a manifest for data of your own and a teacher, with what was measured on the data in comments
    New(NewCompetition),
    /// Write the built-in competition into a folder, to be changed: its manifest, teacher and reference
    Example {
        /// The folder; it is made if it isn't there
        #[arg(value_parser = super::at_home)]
        dir: PathBuf,
    },
    /// Publish a competition from its manifest
    Publish {
        /// The manifest (TOML), or `fashion-mnist` for the competition that is built in
        #[arg(value_parser = super::at_home)]
        manifest: PathBuf,
        #[command(flatten)]
        home: Home,
        /// Publish nothing: say in seconds everything that is wrong, then play for minutes what each attacker would earn by these
        /// rules
        #[arg(long)]
        check: bool,
        /// With --check: play nothing, and end once it is known what is wrong
        #[arg(long, requires = "check")]
        no_market: bool,
    },
    /// Serve the API and the pages, and evaluate
    Serve {
        #[command(flatten)]
        home: Home,
        /// Overrides the settings
        #[arg(long, value_parser = super::listening)]
        listen: Option<SocketAddr>,
    },
    /// Print a link that opens the operator's page: its token lies behind the #, so that no log has it
    Operator {
        #[command(flatten)]
        home: Home,
        /// Overrides the settings, as it does for serve
        #[arg(long, value_parser = super::listening)]
        listen: Option<SocketAddr>,
    },
    /// Make codes that let one hotkey in each, where the settings say registration = "invite"; they are printed once
    Invite {
        /// How many
        #[arg(value_parser = clap::value_parser!(u32).range(1..=1000))]
        count: u32,
        #[command(flatten)]
        home: Home,
    },
    /// Register a hotkey in this validator's ledger, so that it may submit where the settings say registration = "required"; works
    /// beside a serving validator
    Register {
        /// The hotkey's address
        hotkey: Hotkey,
        /// The coldkey that owns it: an owner has one place in a round, whatever its hotkeys are [default: itself]
        #[arg(long)]
        owner: Option<Hotkey>,
        #[command(flatten)]
        home: Home,
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
        #[arg(value_parser = super::at_home)]
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
        #[arg(value_parser = super::at_home)]
        from: PathBuf,
        #[command(flatten)]
        home: Home,
    },
    /// Say what space could be freed: files of rejected submissions, and what nothing names; with --yes, free it
    Prune {
        #[command(flatten)]
        home: Home,
        /// Remove it
        #[arg(long)]
        yes: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Show, close, drive rounds: a serving validator drives them by itself
    #[command(subcommand)]
    Round(RoundCommand),
    /// What finished rounds paid, and what they would have paid under other rules
    Rewards(RewardsArgs),
    /// Change what hurts nobody about a published competition; the public log will say so, and why
    ///
    /// Title, description, contact and place in lists at any time. A later end is stated at least 24 hours before the old one; an early end
    /// is that of the round after the one that runs, and takes nothing from who has submitted. Quotas only rise, from the next round on. Another engine measures
    /// from the next round on, or a later one: everybody is timed again by it. End, quota and engine change three times at most. Rewards change by `retort validator rewards --announce`.
    Amend(AmendArgs),
    /// Try a submission again that failed through the validator's fault; the public log will say so
    Requeue(ActArgs),
    /// Take a submission out of its competition; the public log will say so, and why
    Disqualify(ActArgs),
    /// Refuse all requests of a hotkey or a network from now on; the public log will say so, and why
    Block(BlockArgs),
    /// Let a hotkey or a network come again that was blocked; the public log will say so, and why
    Allow(BlockArgs),
    /// List who is blocked
    Blocks {
        #[command(flatten)]
        home: Home,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Answer a miner's appeal, once: the public log will say so (retort miner why shows appeals)
    AnswerAppeal {
        /// The submission
        submission: Which,
        /// The appeal's number
        number: u64,
        /// The answer, in one line that everybody will be able to read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        home: Home,
    },
}

#[derive(Args)]
pub(crate) struct AmendArgs {
    /// The competition
    pub(crate) competition: CompetitionId,
    #[command(flatten)]
    pub(crate) wish: WishArgs,
    /// The first round that --engine counts for; the next unless it is said
    #[arg(long, value_name = "ROUND", requires = "engine")]
    pub(crate) from_round: Option<u64>,
    /// Why, in one line that everybody will be able to read
    #[arg(long)]
    pub(crate) reason: String,
    /// Do it, where it would only be said: an early end
    #[arg(long)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) home: Home,
}

/// One change at a time.
#[derive(Args)]
#[group(required = true, multiple = false)]
pub(crate) struct WishArgs {
    /// Another title
    #[arg(long)]
    pub(crate) title: Option<String>,
    /// Another description
    #[arg(long)]
    pub(crate) description: Option<String>,
    /// Where questions go from now on: a mail address or an https URL
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) contact: Option<String>,
    /// Leave it out of lists
    #[arg(long)]
    pub(crate) hide: bool,
    /// Put it back into lists
    #[arg(long)]
    pub(crate) show: bool,
    /// A later end: a date with its zone, such as 2027-01-31T12:00:00Z
    #[arg(long, value_name = "DATE", value_parser = date)]
    pub(crate) closes_at: Option<u64>,
    /// End it as early as can be, when the round after the one that runs is over: what is entered by then is still measured,
    /// decided and paid. Without --yes it only says when that would be
    #[arg(long)]
    pub(crate) close_early: bool,
    /// More submissions a day for each hotkey
    #[arg(long, value_name = "COUNT")]
    pub(crate) submissions_per_day: Option<u32>,
    /// What models are measured on from a later round on: rten, onnxruntime or burn, as this machine has it. Everybody is timed
    /// again by it
    #[arg(long, value_name = "ENGINE")]
    pub(crate) engine: Option<OfficialEngine>,
}

/// Unix seconds of a date with its zone.
fn date(text: &str) -> Result<u64, String> {
    let wrong = || "write a date with its zone, such as 2027-01-31T12:00:00Z".to_owned();
    let at = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| wrong())?;
    u64::try_from(at.unix_timestamp()).map_err(|_| wrong())
}

#[derive(Args)]
pub(crate) struct ActArgs {
    /// The submission
    pub(crate) submission: Which,
    /// Why, in one line that everybody will be able to read
    #[arg(long)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) home: Home,
}

#[derive(Args)]
pub(crate) struct BlockArgs {
    /// A hotkey, an address, or a network like 203.0.113.0/24 or 2001:db8::/48; the public log will show it
    #[arg(value_name = "HOTKEY|CIDR")]
    pub(crate) whom: Whom,
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
    /// Close the open round now, which the public log will say; works beside a serving validator
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
        #[arg(value_parser = super::at_home)]
        file: PathBuf,
    },
}

/// Rows of one's own.
#[derive(Args)]
pub(crate) struct Data {
    /// A folder of class folders (train/cat/1.png, or cat/1.png), or Parquet with pictures in it: a file, or a folder of files
    #[arg(value_parser = super::at_home)]
    pub(crate) data: PathBuf,
    /// The part to train on [default: train]
    #[arg(long)]
    pub(crate) training: Option<String>,
    /// The part that items are taken from [default: test, else validation]
    #[arg(long)]
    pub(crate) evaluation: Option<String>,
    /// The column of pictures, where there are several
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// The column of labels, where there are several
    #[arg(long)]
    pub(crate) label: Option<String>,
}

/// What a manifest is made from.
#[derive(Args)]
#[command(group(ArgGroup::new("taught").required(true).args(["teacher", "answers"])))]
pub(crate) struct NewCompetition {
    #[command(flatten)]
    pub(crate) data: Data,
    /// The teacher's package: its config.json says which inputs it takes and what its labels are
    #[arg(long, value_parser = super::at_home)]
    pub(crate) teacher: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) answers: NewAnswers,
    /// The reference student's package; every latency is a ratio to it [default: distilled from the teacher into the folder
    /// `reference` beside the manifest, by the template's default recipe: minutes for some ten thousand pictures]
    #[arg(long, value_parser = super::at_home)]
    pub(crate) reference: Option<PathBuf>,
    /// The student to distil as the reference: mlp, resnet-tiny, resnet-half, resnet-8, depthwise, mobilenet, vit, or a JSON
    /// file with an architecture of the README's catalogue, as `{"kind":"mlp","hidden":[64]}`
    #[arg(long, default_value = "resnet-tiny", conflicts_with = "reference")]
    pub(crate) student: String,
    /// The competition's name in addresses: lower case letters, digits and hyphens
    #[arg(long)]
    pub(crate) id: CompetitionId,
    /// The pictures and labels of the hidden part are known to nobody else
    #[arg(long)]
    pub(crate) private: bool,
    /// What becomes of pictures of another size than the teacher's
    #[arg(long, value_enum)]
    pub(crate) fit: Option<PictureFit>,
    /// Where to write it; paths in it are relative to its folder
    #[arg(long, default_value = "competition.toml", value_parser = super::at_home)]
    pub(crate) out: PathBuf,
}

/// A teacher that is known by its answers only.
#[derive(Args)]
pub(crate) struct NewAnswers {
    /// The teacher's answers instead of the teacher: the column of the data's Parquet that has them, or PART=FILE for each part
    /// that is used, such as train=train.safetensors; hidden rounds show items as they are then, so the pool is private
    #[arg(long, value_name = "COLUMN|PART=FILE", requires = "made_by", requires = "license", requires = "link")]
    pub(crate) answers: Vec<String>,
    /// With --answers: which model answered
    #[arg(long, value_name = "TEXT", requires = "answers")]
    pub(crate) made_by: Option<String>,
    /// With --answers: the licence that the model is used under
    #[arg(long, value_name = "TEXT", requires = "answers")]
    pub(crate) license: Option<String>,
    /// With --answers: where more is said of the model
    #[arg(long, value_name = "URL", requires = "answers")]
    pub(crate) link: Option<String>,
    /// With --answers: the model's learned values; without them no distance to the teacher is kept
    #[arg(long, value_name = "N", requires = "answers", requires = "macs")]
    pub(crate) parameters: Option<u64>,
    /// With --answers: its multiply-accumulates of one inference
    #[arg(long, value_name = "N", requires = "answers", requires = "parameters")]
    pub(crate) macs: Option<u64>,
}

/// `protocol::competition::Fit`, as it is written on the command line.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum PictureFit {
    /// Take the middle
    Crop,
    /// Put black beside it
    Pad,
    /// Take the model's size, whatever the proportions
    Stretch,
}
