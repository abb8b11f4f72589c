//! `retort miner` and `retort keys`: what somebody who enters a model asks.

use super::{Validator, Which};
use clap::{Args, Subcommand};
use models::DeviceKind;
use protocol::name::DisplayName;
use std::path::PathBuf;

#[derive(Subcommand)]
pub(crate) enum MinerCommand {
    /// Check a package with the validator's own rules and engine, and predict its rank
    Check {
        /// The package: config.json, model.safetensors or model.onnx, optionally README.md; or an ONNX file alone
        #[arg(value_parser = super::at_home)]
        package: PathBuf,
        /// The competition: an id, http://HOST/competitions/ID, or a competition.toml for the rules alone; the only one there
        /// is, or else fashion-mnist, unless given
        #[arg(long)]
        competition: Option<String>,
        #[command(flatten)]
        validator: Validator,
        /// Only check admission: no engine, no prediction
        #[arg(long)]
        rules_only: bool,
        /// Where to run the model
        #[arg(long, default_value = "flex")]
        device: DeviceKind,
        /// Write the package into this folder as it would be sent: what belongs to an ONNX file is put beside or into it
        #[arg(long, value_name = "DIR", value_parser = super::at_home)]
        out: Option<PathBuf>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Sign and upload a package
    Submit(SubmitArgs),
    /// Make a token that submits for a hotkey: HF_TOKEN for `hf upload`, see docs/HUB.md
    Token {
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signs (`retort keys new` makes one; Bittensor wallets work)
        #[arg(long, env = "RETORT_HOTKEY", value_parser = super::at_home)]
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
        /// The submission, the end of its id, or the address of its page
        submission: Which,
        #[command(flatten)]
        validator: Validator,
        /// Tell each change until it has ended
        #[arg(long)]
        follow: bool,
        /// Print JSON; with --follow one line for each change
        #[arg(long)]
        json: bool,
    },
    /// Why a submission ended as it did: admission, gate, copies, each round, pay, and what was said about it
    Why {
        /// The submission, the end of its id, or the address of its page
        submission: Which,
        #[command(flatten)]
        validator: Validator,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what you are called: boards show it beside your short key
    ///
    /// A name stays yours for good, and nobody takes one that looks like it. You may have five, of which the last said counts.
    Name {
        /// 1 to 32 letters, digits, dots, underscores, hyphens and single spaces
        name: DisplayName,
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signs
        #[arg(long, env = "RETORT_HOTKEY", value_parser = super::at_home)]
        hotkey: PathBuf,
    },
    /// Take back a submission that isn't measured yet: an upload that broke off, or a mistake
    ///
    /// It frees the place that it holds; what it drew on the day's quota stays spent, and the public log says that you took it
    /// back. Possible until its evaluation begins or its round closes, whichever comes first.
    Withdraw {
        /// The submission, the end of its id, or the address of its page
        submission: Which,
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signed the submission
        #[arg(long, env = "RETORT_HOTKEY", value_parser = super::at_home)]
        hotkey: PathBuf,
    },
    /// Object to what became of your submission: the public log will say so, and the operator's answer (three each)
    Appeal {
        /// The submission, the end of its id, or the address of its page
        submission: Which,
        /// Why, in one line that everybody will be able to read
        #[arg(long)]
        text: String,
        #[command(flatten)]
        validator: Validator,
        /// The hotkey file that signed the submission
        #[arg(long, env = "RETORT_HOTKEY", value_parser = super::at_home)]
        hotkey: PathBuf,
    },
}

/// A package and who sends it.
#[derive(Args)]
pub(crate) struct SubmitArgs {
    /// The package, or an ONNX file
    #[arg(value_parser = super::at_home)]
    pub(crate) package: PathBuf,
    /// The competition: an id or http://HOST/competitions/ID; the only one there is, or else fashion-mnist, unless given
    #[arg(long)]
    pub(crate) competition: Option<String>,
    #[command(flatten)]
    pub(crate) validator: Validator,
    /// The hotkey file that signs (`retort keys new` makes one; Bittensor wallets work)
    #[arg(long, env = "RETORT_HOTKEY", value_parser = super::at_home)]
    pub(crate) hotkey: PathBuf,
    /// Send it without trying it by the competition's rules and on its public items first
    #[arg(long)]
    pub(crate) unchecked: bool,
    /// A code of the validator's operator, where it asks for one; needed once for a hotkey
    #[arg(long, value_name = "CODE")]
    pub(crate) invite: Option<String>,
    /// What the model is called here, beside its short id: 1 to 32 letters, digits, dots, underscores, hyphens and single
    /// spaces, unlike every other name. The same package submitted again may say it later
    #[arg(long)]
    pub(crate) name: Option<DisplayName>,
    /// Wait for the score, and until it was compared with everybody's entries: a copy has no rank
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Make a hotkey file that only you can read
    New {
        /// The file
        #[arg(value_parser = super::at_home)]
        path: PathBuf,
    },
    /// Show the public part of a hotkey file
    Show {
        /// The file: ours, or ~/.bittensor/wallets/NAME/hotkeys/KEY
        #[arg(value_parser = super::at_home)]
        path: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}
