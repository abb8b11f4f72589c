//! Receipts: a validator's signed statement that binds package, competition, data, engine, host and report.
//!
//! Who holds a receipt can show what was measured, on what and by whom, and the validator can't take it back. The bytes
//! are canonical JSON and nothing else is accepted, so a receipt has one form and one digest.
//!
//! What is signed: [`RECEIPT_CONTEXT`], then the canonical JSON of the receipt without its signature, under sr25519 as
//! wallets use it (signing context `substrate`). The context line keeps the key's other signatures apart: a signed
//! request begins with `btauth/1`, a wallet's message with `<Bytes>`.
//!
//! It does NOT know whether a report is true, what the rules make of it, or where receipts are kept (that is the
//! transparency log's business).

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use crate::auth::{BadSignature, Keypair, Scheme, Signature};
use crate::digest::canonical_json;
use crate::fleet::{Trust, WorkerName};
use crate::report::{Estimate, Report};
use crate::rules::RULES;
use crate::{CompetitionId, Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The format of receipts that this version writes and reads.
pub const RECEIPT_FORMAT: &str = "retort-receipt/2";
/// What stands before the signed JSON.
pub const RECEIPT_CONTEXT: &[u8] = b"retort/receipt/v2\n";
/// A receipt has about 1,500 bytes; more than this isn't parsed.
pub const RECEIPT_BYTES_MAX: usize = 8 * 1024;
/// The longest name of an engine build.
pub const ENGINE_BYTES_MAX: usize = 256;

/// What a validator states about one evaluation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_FORMAT`].
    pub format: String,
    /// The rules that the validator went by, see [`crate::rules`]: what follows from the numbers is judged by these.
    pub rules: u32,
    /// Who states it.
    pub validator: Hotkey,
    /// What was evaluated, and for whom.
    pub subject: Subject,
    /// What was measured, on what and where.
    pub measured: Measured,
    /// When the receipt was issued, in Unix seconds.
    pub issued_at: u64,
}

/// What the report doesn't know: for what an evaluation was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Subject {
    /// The competition.
    pub competition: CompetitionId,
    /// SHA-256 of the competition's canonical JSON: an id may be used again, rules and data may not be swapped under it.
    pub competition_sha256: Digest,
    /// The submission.
    pub submission: SubmissionId,
    /// Its owner.
    pub hotkey: Hotkey,
    /// Which measurement of the submission this is: the public log has its `attempt` entry from before it began.
    pub attempt: u64,
    /// The round that it was measured for; absent where it is the submission's own measurement, on public items.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub round: Option<u64>,
    /// The worker that measured it; absent where the validator's own machine did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub worker: Option<MeasuredBy>,
    /// The root that commits to the evaluation items.
    pub data_root: Digest,
    /// SHA-256 of the object with the outcome of each item.
    pub outcomes_sha256: Digest,
}

/// A worker on another machine, as it was when it measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MeasuredBy {
    /// What the operator calls it.
    pub name: WorkerName,
    /// What it signs with; the public log says when it was let in.
    pub key: Hotkey,
    /// Its machine since that was started.
    pub machine: Digest,
    /// The class of its hardware.
    pub class: String,
    /// Whose machine it is; the validator's where nothing is said.
    #[serde(default, skip_serializing_if = "Trust::is_own")]
    #[schema(required = false)]
    pub trust: Trust,
}

/// What follows from the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Measured {
    /// SHA-256 of the package actually loaded.
    pub package_sha256: Digest,
    /// The items.
    pub data: DataBound,
    /// Version and build of the engine.
    pub engine: String,
    /// SHA-256 of the canonical JSON of the report's host.
    pub host_sha256: Digest,
    /// SHA-256 of all logits, f32 little-endian, in item order.
    pub outputs_sha256: Digest,
    /// Candidate over reference, with its interval.
    pub latency_ratio: Estimate,
    /// SHA-256 of the report's canonical JSON.
    pub report_sha256: Digest,
}

/// The items of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DataBound {
    /// SHA-256 over the input images in evaluation order.
    pub images_sha256: Digest,
    /// Seed of the order of items and latency pairs. As text: RFC 8785 writes numbers as doubles, which would round it.
    #[serde(with = "decimal_text")]
    #[schema(value_type = String, pattern = "^(0|[1-9][0-9]{0,19})$", example = "7")]
    pub seed: u64,
    /// Items evaluated.
    pub items: u32,
}

/// A receipt with its signature: what is stored, logged and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignedReceipt {
    /// What is stated.
    pub receipt: Receipt,
    /// By `receipt.validator`.
    pub signature: Signature,
}

/// Why bytes are not a receipt that counts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptError {
    /// More bytes than any receipt has.
    #[error("a receipt of {bytes} bytes, more than {RECEIPT_BYTES_MAX}")]
    TooLarge {
        /// How many.
        bytes: usize,
    },
    /// Not the JSON of a receipt: a syntax error, a field too many or too few, a value of another type.
    #[error("not a receipt: {problem}")]
    Malformed {
        /// What the parser found, and where.
        problem: String,
    },
    /// JSON of a receipt, in other bytes than the canonical ones.
    #[error("the receipt is not in canonical form from byte {offset} on")]
    NotCanonical {
        /// The first byte that differs.
        offset: usize,
    },
    /// A version that this one doesn't know.
    #[error("receipt format {found:?}, not {RECEIPT_FORMAT:?}")]
    Format {
        /// The format named.
        found: String,
    },
    /// A name that is empty, too long or holds more than printable ASCII.
    #[error("engine {found:?} is not 1 to {ENGINE_BYTES_MAX} printable characters")]
    Engine {
        /// The engine named.
        found: String,
    },
    /// A number that canonical JSON can't hold exactly.
    #[error("the receipt holds a number beyond 2^53, which JSON rounds")]
    NumberTooLarge,
    /// The receipt names a validator that the reader doesn't trust.
    #[error("the receipt is signed for {found}, which is not a known validator")]
    UnknownKey {
        /// The validator named.
        found: Hotkey,
    },
    /// The receipt or its signature was changed after signing, or another key made it.
    #[error("the receipt was changed, or not signed by {}", .0.hotkey)]
    Changed(#[from] BadSignature),
    /// A receipt of another competition, or of another version of this one.
    #[error("the receipt belongs to competition {found} ({}), not to {expected} ({})", found_sha256.short(), expected_sha256.short())]
    ForeignCompetition {
        /// The competition that it was shown for.
        expected: CompetitionId,
        /// The digest of that competition.
        expected_sha256: Digest,
        /// The competition that it names.
        found: CompetitionId,
        /// The digest that it names.
        found_sha256: Digest,
    },
    /// The report shown with the receipt is another one.
    #[error("the receipt doesn't cover this report: {field} differs")]
    OtherReport {
        /// The first field that differs.
        field: &'static str,
    },
}

impl Receipt {
    /// States and signs what `report` measured for `subject`.
    ///
    /// # Errors
    /// When the report holds what no receipt may: an unprintable engine name or a number that JSON rounds.
    pub fn issue(
        keypair: &Keypair,
        subject: Subject,
        report: &Report,
        issued_at: u64,
    ) -> Result<SignedReceipt, ReceiptError> {
        let (format, validator) = (RECEIPT_FORMAT.to_owned(), keypair.hotkey());
        let measured = Measured::of(report)?;
        let receipt = Self { format, rules: RULES, validator, subject, measured, issued_at };
        let signature = keypair.sign(&receipt.signed_bytes()?);
        let signed = SignedReceipt { receipt, signature };
        // What can't be read back exactly as it was stated doesn't leave this function.
        match SignedReceipt::parse(&signed.to_json()?)? == signed {
            true => Ok(signed),
            false => Err(ReceiptError::NumberTooLarge),
        }
    }

    /// Reads a receipt that one of `validators` signed for a competition, given by its id and digest.
    ///
    /// # Errors
    /// The first of: not a receipt, unknown key, changed, foreign competition.
    pub fn verify(
        bytes: &[u8],
        validators: &[Hotkey],
        competition: (&CompetitionId, Digest),
    ) -> Result<Self, ReceiptError> {
        let SignedReceipt { receipt, signature } = SignedReceipt::parse(bytes)?;
        if !validators.contains(&receipt.validator) {
            return Err(ReceiptError::UnknownKey { found: receipt.validator });
        }
        receipt.validator.verify(Scheme::Sr25519, &receipt.signed_bytes()?, &signature)?;
        receipt.belongs_to(competition)?;
        Ok(receipt)
    }

    /// Whether `report` is the one that the receipt was issued for.
    ///
    /// # Errors
    /// [`ReceiptError::OtherReport`] with the first field that differs.
    pub fn covers(&self, report: &Report) -> Result<(), ReceiptError> {
        let (ours, theirs) = (&self.measured, Measured::of(report)?);
        let fields = [
            ("package", ours.package_sha256 == theirs.package_sha256),
            ("data", ours.data == theirs.data),
            ("engine", ours.engine == theirs.engine),
            ("host", ours.host_sha256 == theirs.host_sha256),
            ("outputs", ours.outputs_sha256 == theirs.outputs_sha256),
            ("latency ratio", ours.latency_ratio == theirs.latency_ratio),
            ("report", ours.report_sha256 == theirs.report_sha256),
        ];
        let differing = fields.into_iter().find(|(_, same)| !same);
        differing.map_or(Ok(()), |(field, _)| Err(ReceiptError::OtherReport { field }))
    }

    fn belongs_to(&self, (id, sha256): (&CompetitionId, Digest)) -> Result<(), ReceiptError> {
        let Subject { competition, competition_sha256, .. } = &self.subject;
        if (competition, *competition_sha256) == (id, sha256) {
            return Ok(());
        }
        Err(ReceiptError::ForeignCompetition {
            expected: id.clone(),
            expected_sha256: sha256,
            found: competition.clone(),
            found_sha256: *competition_sha256,
        })
    }

    fn signed_bytes(&self) -> Result<Vec<u8>, ReceiptError> {
        Ok([RECEIPT_CONTEXT, &canonical_json(self)?].concat())
    }
}

impl SignedReceipt {
    /// Reads a receipt. Whether its signature verifies is another question: see [`Receipt::verify`].
    ///
    /// # Errors
    /// When the bytes are not the canonical JSON of a receipt.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        if bytes.len() > RECEIPT_BYTES_MAX {
            return Err(ReceiptError::TooLarge { bytes: bytes.len() });
        }
        let signed: Self = serde_json::from_slice(bytes)?;
        let Receipt { format, measured, .. } = &signed.receipt;
        if format != RECEIPT_FORMAT {
            return Err(ReceiptError::Format { found: format.chars().take(80).collect() });
        }
        measured.check_engine()?;
        let canonical = signed.to_json()?;
        match canonical == bytes {
            true => Ok(signed),
            false => Err(ReceiptError::NotCanonical { offset: common_prefix(&canonical, bytes) }),
        }
    }

    /// The canonical bytes: what is stored, logged and shown.
    ///
    /// # Errors
    /// None for a receipt that was issued or parsed.
    pub fn to_json(&self) -> Result<Vec<u8>, ReceiptError> {
        Ok(canonical_json(self)?)
    }
}

impl Measured {
    /// What a receipt holds of a report.
    ///
    /// # Errors
    /// When the engine's name is empty, too long or unprintable.
    pub fn of(report: &Report) -> Result<Self, ReceiptError> {
        let data =
            DataBound { images_sha256: report.data.images_sha256, seed: report.data.seed, items: report.data.items };
        let measured = Self {
            package_sha256: report.package_sha256,
            data,
            engine: report.engine.clone(),
            host_sha256: Digest::of_json(&report.host)?,
            outputs_sha256: report.outputs_sha256,
            latency_ratio: report.latency.ratio,
            report_sha256: Digest::of_json(report)?,
        };
        measured.check_engine()?;
        Ok(measured)
    }

    fn check_engine(&self) -> Result<(), ReceiptError> {
        let printable = self.engine.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        match printable && (1..=ENGINE_BYTES_MAX).contains(&self.engine.len()) {
            true => Ok(()),
            false => Err(ReceiptError::Engine { found: self.engine.chars().take(80).collect() }),
        }
    }
}

impl From<serde_json::Error> for ReceiptError {
    fn from(error: serde_json::Error) -> Self {
        Self::Malformed { problem: error.to_string() }
    }
}

fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// A number as decimal digits in a string, in its one shortest form.
mod decimal_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(value: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
