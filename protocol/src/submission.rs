//! A submission's life: its name, its states, and for every end but success a code, whom it blames and a hint.
//!
//! It does not know the database; transitions are values, and the validator applies them in one place.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use ulid::Ulid;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The name of a submission: 26 characters that sort by time (a ULID).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubmissionId(String);

impl SubmissionId {
    /// Makes an id from the time in milliseconds and 80 random bits (the low bits of `entropy`).
    pub fn new(unix_ms: u64, entropy: u128) -> Self {
        Self(Ulid::from_parts(unix_ms, entropy).to_string())
    }
}

impl FromStr for SubmissionId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Other texts stand for the same number; an id has one form.
        let id = Ulid::from_string(text).ok().map(|id| id.to_string()).filter(|id| id == text);
        id.map(Self).ok_or_else(|| "a submission's id is 26 characters of Crockford's base 32".into())
    }
}

impl TryFrom<String> for SubmissionId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<SubmissionId> for String {
    fn from(id: SubmissionId) -> Self {
        id.0
    }
}

impl fmt::Display for SubmissionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialSchema for SubmissionId {
    fn schema() -> RefOr<Schema> {
        let (pattern, example) = ("^[0-9A-HJKMNP-TV-Z]{26}$", "01K9M4T0Q8ZJ5R6V7W8X9Y0ABC");
        crate::schema::text("A submission's name: a ULID, so that names sort by time.", pattern, example)
    }
}

impl ToSchema for SubmissionId {}

/// Where a submission is.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    ToSchema,
    strum::Display,
    strum::EnumString,
    strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = no_state)]
pub enum State {
    /// Announced; its files have not all arrived.
    AwaitingUpload,
    /// Complete; the admission check is due or running.
    Checking,
    /// Admitted; waits for a worker.
    Queued,
    /// A worker has it.
    Evaluating,
    /// Measured and scored. Terminal.
    Scored,
    /// The miner's fault. Terminal.
    Rejected,
    /// Ours, after retries; costs the miner no quota. Terminal.
    Failed,
    /// Never uploaded. Terminal.
    Expired,
    /// Its miner took it back before it was measured. Terminal.
    Withdrawn,
}

impl State {
    /// All states, in the order of the journey.
    pub const ALL: [Self; 9] = [
        Self::AwaitingUpload,
        Self::Checking,
        Self::Queued,
        Self::Evaluating,
        Self::Scored,
        Self::Rejected,
        Self::Failed,
        Self::Expired,
        Self::Withdrawn,
    ];

    /// The name in JSON and in the database.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// Whether it never changes again by itself; an operator may still move it by hand, see [`Self::may_be_moved`].
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Scored | Self::Rejected | Self::Failed | Self::Expired | Self::Withdrawn)
    }

    /// Whether a submission may go from here to `next`. An evaluation that our side lost returns to the queue.
    pub fn may_become(self, next: Self) -> bool {
        use State::{AwaitingUpload, Checking, Evaluating, Expired, Failed, Queued, Rejected, Scored, Withdrawn};
        matches!(
            (self, next),
            (AwaitingUpload, Checking | Expired | Rejected | Withdrawn)
                | (Checking, Queued | Rejected | Failed | Withdrawn)
                | (Queued, Evaluating | Failed | Withdrawn)
                | (Evaluating, Scored | Rejected | Failed | Queued)
        )
    }
}

impl State {
    /// Whether an operator may move a submission from here to `next` by hand, which is stated in the public log: a
    /// failure of ours is tried again from the check on, and what must not compete is disqualified, scored or not.
    pub fn may_be_moved(self, next: Self) -> bool {
        use State::{AwaitingUpload, Checking, Evaluating, Failed, Queued, Rejected, Scored};
        matches!(
            (self, next),
            (Failed, Checking) | (AwaitingUpload | Checking | Queued | Evaluating | Scored, Rejected)
        )
    }
}

fn no_state(text: &str) -> String {
    format!("no state is called {text:?}")
}

/// Whose fault an end is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Blame {
    /// The submitter can mend it.
    Miner,
    /// The validator must mend it; no quota is used.
    Validator,
    /// Neither: something outside, such as a beacon that never came.
    Nobody,
}

/// A reason with the offending value, ready to be stored and shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Rejection {
    /// The stable code.
    pub code: Code,
    /// What was found, in words.
    pub detail: String,
}

macro_rules! codes {
    ($($variant:ident, $blame:ident, $hint:literal;)*) => {
        /// Why a submission ended without a score. Codes are stable: scripts may match on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
        #[derive(strum::Display, strum::EnumString, strum::IntoStaticStr)]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = no_code)]
        pub enum Code {
            $(#[doc = $hint] $variant,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code as text, as in JSON.
            pub fn as_str(self) -> &'static str {
                self.into()
            }

            /// Whose fault it is.
            pub fn blame(self) -> Blame {
                match self { $(Self::$variant => Blame::$blame,)* }
            }

            /// What to do about it.
            pub fn hint(self) -> &'static str {
                match self { $(Self::$variant => $hint,)* }
            }
        }
    };
}

codes! {
    FileMissing, Miner, "Put config.json and model.safetensors, or model.onnx, into the package.";
    FileUnexpected, Miner, "Send config.json, model.safetensors or model.onnx, and optionally README.md and expected.safetensors, nothing else.";
    FileTooLarge, Miner, "Choose a smaller model; F16 or BF16 take half of what F32 does, and no less than that.";
    SizeMismatch, Miner, "Upload the very bytes that were announced, or submit again.";
    DigestMismatch, Miner, "Upload the very bytes that were announced, or submit again.";
    ConfigTooLarge, Miner, "Keep config.json to the documented fields.";
    ConfigInvalid, Miner, "Compare config.json with the README; unknown fields are errors.";
    InputMismatch, Miner, "Copy `input` from the competition's manifest.";
    LabelsMismatch, Miner, "Copy `labels` from the competition's manifest, in its order.";
    ArchitectureInvalid, Miner, "Correct the architecture in config.json.";
    OverLimit, Miner, "Choose a smaller architecture; the limits are in the manifest.";
    NotSafetensors, Miner, "Save with safetensors.torch.save_file(model.state_dict(), ...).";
    HeaderTooLarge, Miner, "Save only the state_dict, without large metadata.";
    HeaderInvalid, Miner, "Save with safetensors.torch.save_file(model.state_dict(), ...).";
    DataLength, Miner, "The file is cut off or has extra bytes: write and upload it again.";
    TensorMissing, Miner, "Name tensors as PyTorch's state_dict does for this architecture.";
    TensorUnexpected, Miner, "Remove tensors that the architecture doesn't imply.";
    TensorShape, Miner, "Make config.json describe the model that was saved; its last layer has an output for each of the competition's labels.";
    TensorDtype, Miner, "Save the weights as F32, F16 or BF16.";
    TensorNotFinite, Miner, "The training diverged: lower the learning rate.";
    TensorOutOfRange, Miner, "The training diverged: lower the learning rate or add weight decay.";
    OnnxUnreadable, Miner, "The file is cut off or is no ONNX: write it anew with torch.onnx.export(model.eval(), (x,), \"model.onnx\").";
    OnnxUnknownField, Miner, "The file has a field that ONNX 1.23 doesn't know: write it anew with onnx.save of a released version.";
    OnnxIrVersion, Miner, "Load the file with a current `onnx` and save it again; IR versions 7 to 13 are read.";
    OnnxOpset, Miner, "Export with opset_version=18, or convert with onnx.version_converter.convert_version(model, 18); opsets 13 to 24 of ai.onnx are read.";
    OnnxDomain, Miner, "Use operators of ai.onnx alone: export for no particular engine, and save before onnxruntime optimises.";
    OnnxFunction, Miner, "Inline functions before saving: onnx.inliner.inline_local_functions(model).";
    OnnxControlFlow, Miner, "Export without If, Loop and Scan: with fixed shapes, without branches on values, and with nn.Embedding and a mean instead of nn.EmbeddingBag.";
    OnnxExternalData, Miner, "Put the weights into the file itself: torch.onnx.export(..., external_data=False), or onnx.save(onnx.load(path), path).";
    OnnxSparse, Miner, "Write sparse tensors out as dense ones.";
    OnnxTraining, Miner, "Export the model for inference: model.eval() before torch.onnx.export.";
    OnnxOperator, Miner, "Use another operator: docs/ONNX.md lists them. Post-processing, such as non-maximum suppression, isn't the model's.";
    OnnxAttribute, Miner, "Write the attribute as the operator's documentation says, or leave it out for its default.";
    OnnxArity, Miner, "Give the operator the inputs and outputs that its documentation lists; optional outputs beside the first aren't taken.";
    OnnxDtype, Miner, "Use float32, float16, int64, int32, int8, uint8 or bool; bfloat16 for weights that are cast.";
    OnnxName, Miner, "Name values with at most 256 printable ASCII characters.";
    OnnxDuplicateName, Miner, "Give each value its own name: exporters do, so look at what edited the file.";
    OnnxUndefinedValue, Miner, "Each input of a node must be an input of the graph, an initialiser or another node's output.";
    OnnxCycle, Miner, "A node's output mustn't lead back to it: unroll the recurrence.";
    OnnxUnusedInitialiser, Miner, "Remove initialisers that no node reads, for example with onnxsim or onnxruntime's optimiser at level basic.";
    OnnxUnreachableNode, Miner, "Remove nodes that lead to no output, for example with onnx.utils.Extractor.";
    OnnxInitialiser, Miner, "The tensor's data must have as many bytes as its shape and type say, in raw_data.";
    OnnxShape, Miner, "The operator can't take these shapes: try the file with onnx.checker.check_model(path, full_check=True).";
    OnnxDynamicShape, Miner, "A shape depends on what the input holds and not on its size alone: export with fixed shapes, without nonzero, masks as indices or a length that is computed.";
    OnnxInput, Miner, "Give the model the competition's inputs: their names, types and sizes, batch first.";
    OnnxOutput, Miner, "Give the model the competition's outputs: their names, types and sizes, batch first, and computed from the input.";
    OnnxTooMany, Miner, "The graph is larger than any that a student needs: export for inference, without unrolled loops.";
    OnnxGraphTooLarge, Miner, "Numbers belong into initialisers: attributes and small constants may take 200 bytes a node.";
    KindNotTaken, Miner, "`models` in the manifest lists the kinds of models that this competition takes.";
    OutputsInvalid, Miner, "The model gives NaN or infinity on real images: check it with `retort predict`.";
    EngineRefused, Miner, "The engine that this competition measures on doesn't run the graph, though it is admitted: the detail names the operator. Use another one, or export in float32.";
    ExpectedInvalid, Miner, "Write expected.safetensors with `retort_miner.save`, or leave it out.";
    ExpectedDiffers, Miner, "The model that was saved is another function here: say in config.json what shapes don't show (activation, norm_epsilon_ppb, padding, pooling; see the README), or write expected.safetensors anew.";
    EvaluationTimeout, Miner, "The model used more than three times the processor time that its architecture needs.";
    EvaluationQuit, Miner, "The worker ended twice without an answer, which no model makes it do. If your package is an ordinary one, tell the operator.";
    EvaluationOutOfMemory, Miner, "The model needs more memory than the competition allows.";
    EvaluationCrashed, Validator, "The operator sees the worker's last words in the log.";
    SandboxViolation, Miner, "The worker tried what no model needs, and the kernel ended it. If your package is an ordinary one, tell the operator: that is a bug or an attack, and both want to be known.";
    LatencyBreach, Miner, "The detail names the check: a model must behave the same when it is timed. docs/LATENCY.md tells how it is checked.";
    LatencyUnconfirmed, Validator, "Nothing to do: what one measurement finds may be chance, so latency is measured again; no quota is used for it. Only the same finding in a second measurement rejects.";
    EngineMissing, Validator, "Nothing to do: nothing that this validator has runs such a model, which its operator is told; no quota is used for it.";
    HostUnstable, Validator, "Nothing to do: latency is measured again when the host is calmer; no quota is used for it.";
    Infrastructure, Validator, "Nothing to do: the validator failed and will tell its operator.";
    UploadExpired, Miner, "The files didn't arrive in time: submit again; no quota was used.";
    Withdrawn, Nobody, "You took it back yourself; enter another when you like. What it drew on your quota stays spent.";
    Disqualified, Miner, "The operator took it out of the competition; the reason stands in the public log, where it can't be taken back.";
}

/// The longest detail: enough for any reason, and little where a stranger chose the words.
const DETAIL_CHARS_MAX: usize = 1_000;

impl Code {
    /// The code with what was found. A detail often quotes what a stranger sent, and goes to logs, pages and terminals:
    /// what isn't printable is written as an escape, and what is too long is cut off.
    pub fn because(self, detail: String) -> Rejection {
        let plain = detail.len() <= DETAIL_CHARS_MAX && detail.chars().all(|char| !needs_escape(char));
        Rejection { code: self, detail: if plain { detail } else { escaped(&detail) } }
    }
}

/// Whether a character could steer a terminal, forge a line or turn text around.
fn needs_escape(char: char) -> bool {
    // Quotes and backslashes are harmless, and details are full of them.
    !matches!(char, '"' | '\'' | '\\') && char.escape_debug().len() > 1
}

/// At most [`DETAIL_CHARS_MAX`] characters of what is shown, escapes counted as they are written.
fn escaped(detail: &str) -> String {
    let (mut shown, mut room) = (String::new(), DETAIL_CHARS_MAX);
    for char in detail.chars() {
        let escape = needs_escape(char).then(|| char.escape_debug());
        let Some(left) = room.checked_sub(escape.as_ref().map_or(1, |escape| escape.len())) else {
            shown.push_str("..");
            break;
        };
        room = left;
        match escape {
            Some(escape) => shown.extend(escape),
            None => shown.push(char),
        }
    }
    shown
}

fn no_code(text: &str) -> String {
    format!("no code is called {text:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_one_short_printable_line() {
        let detail = |text: &str| Code::ConfigInvalid.because(text.to_owned()).detail;
        assert_eq!(detail("`1.weight`[3] is \"NaN\", limit ±1000000"), "`1.weight`[3] is \"NaN\", limit ±1000000");
        assert_eq!(detail("a\nb\u{1b}[2J\u{202e}\0"), "a\\nb\\u{1b}[2J\\u{202e}\\0");
        let long = detail(&"\u{7}".repeat(200_000));
        assert!(long.chars().count() <= DETAIL_CHARS_MAX + 2 && !long.contains('\u{7}'), "{}", long.len());
        assert_eq!(detail(&"é".repeat(2_000)).chars().count(), DETAIL_CHARS_MAX + 2);
    }
}
