//! `retort verify`: what anybody asks who believes nobody.

use super::{Validator, Which};
use clap::{Args, Subcommand};
use protocol::Hotkey;
use std::path::PathBuf;
use transparency::{LogKey, WitnessKey};

/// Whatever a validator states can be checked by anyone, with this program or another.
///
/// `retort verify RECEIPT` is short for `retort verify receipt RECEIPT`.
///
/// Status 0: every check holds. 1: a lie (BAD), and nothing else. 2: nothing is shown to be wrong, and not everything
/// was checked: a check can't be made here (?), nobody answers, what was asked for isn't there, or the command was typed
/// wrongly.
#[derive(Args)]
#[command(arg_required_else_help = true)]
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
    /// Audit a finished round: do all of it again, hold it against log and ledger, run its models
    ///
    /// Status 0: every check holds. 1: a lie (BAD). 2: nothing is wrong, and not everything can be checked: this machine can't
    /// make a check (?), or nothing of the round can be checked, and the log doesn't show that as a lie: a version before this
    /// one judged it, or it was abandoned, or it isn't revealed yet. Or nobody answers, or there is no such round.
    Round(VerifyRoundArgs),
    /// Follow a validator: audit each round as it is over, and end with an error at the first lie
    ///
    /// Status 0: every check of every round up to --until holds. 1: a lie (BAD), at once, a round that was made uncheckable or
    /// never revealed among them. 2: a round that can't be checked at all (?) and isn't shown to be a lie, such as one of a
    /// version before this; it goes no further, and --from says where to go on; or, at the end of --until, checks that this
    /// machine can't make (?). An abandoned round (-) decided nothing and is passed. A validator that doesn't answer is asked
    /// again.
    Watch(VerifyWatchArgs),
    /// Compare two submissions again from their packages; their errors on the probes too once the competition is over
    Copy(VerifyCopyArgs),
}

#[derive(Args, Clone)]
pub(crate) struct VerifyCopyArgs {
    /// One submission
    pub(crate) first: Which,
    /// The other, of the same competition; in any order
    pub(crate) second: Which,
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
    #[command(flatten)]
    pub(crate) options: AuditOptions,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Whose word counts for when something was in the log.
#[derive(Args, Clone, Default)]
pub(crate) struct TrustedWitnesses {
    /// The verifier key of a witness to believe, NAME+ID+BASE64, instead of those that the manifest names; repeat for more:
    /// more than half of them have to vouch
    #[arg(long = "witness", value_name = "VKEY")]
    pub(crate) witnesses: Vec<WitnessKey>,
}

/// How a round is audited.
#[derive(Args, Clone)]
pub(crate) struct AuditOptions {
    /// Run all screened submissions again; ten at random unless given, beside the champion and its challengers
    #[arg(long)]
    pub(crate) all: bool,
    /// The log's verifier key, NAME+ID+BASE64; asked of the validator unless given
    #[arg(long, value_name = "VKEY")]
    pub(crate) key: Option<LogKey>,
    /// The hotkey that must have signed; the validator's own unless given
    #[arg(long, value_name = "HOTKEY")]
    pub(crate) signer: Option<Hotkey>,
    #[command(flatten)]
    pub(crate) trusted: TrustedWitnesses,
}

#[derive(Args, Clone)]
pub(crate) struct VerifyWatchArgs {
    /// The competition: an id or http://HOST/competitions/ID
    pub(crate) competition: String,
    #[command(flatten)]
    pub(crate) validator: Validator,
    #[command(flatten)]
    pub(crate) options: AuditOptions,
    /// The first round to audit
    #[arg(long, default_value_t = 1, value_name = "ROUND")]
    pub(crate) from: u64,
    /// End once this round was audited
    #[arg(long, value_name = "ROUND")]
    pub(crate) until: Option<u64>,
    /// Seconds between looks
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..), value_name = "SECONDS")]
    pub(crate) every: u64,
    /// POST a JSON object here where it ends: event (`lie` or `unchecked`), validator, competition, detail
    #[arg(long, value_name = "URL")]
    pub(crate) webhook: Option<String>,
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
    #[arg(long, value_name = "FILE", value_parser = super::at_home)]
    pub(crate) previous: Option<PathBuf>,
    /// Keep the checkpoint for the next time, if all is well
    #[arg(long, value_name = "FILE", value_parser = super::at_home)]
    pub(crate) save: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) trusted: TrustedWitnesses,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
