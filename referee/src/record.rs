//! The record of a judged round: everything that its judgement rests on and all that it decided, in one object.
//!
//! The public log has its digest in the leaf `judged`, so a validator is bound to every answer, receipt and place before
//! anybody asks. It is believed nowhere: whoever verifies a round computes each line again. It does NOT hold answers, only
//! their digests.

use crate::round::Stand;
use protocol::competition::ObjectRef;
use protocol::dethrone::Verdict;
use protocol::evaluation::Screened;
use protocol::reward::{PastRound, Weight};
use protocol::round::{Cut, EntryRole};
use protocol::score::Ceiling;
use protocol::{CompetitionId, Digest, Hotkey, SubmissionId};
use serde::{Deserialize, Serialize};

/// The format of records that this version writes and reads.
pub const RECORD_FORMAT: &str = "retort-round/2";
/// No record is larger: some 600 bytes a member.
pub const RECORD_BYTES_MAX: u64 = 16 << 20;

/// A judged round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundRecord {
    /// [`RECORD_FORMAT`].
    pub format: String,
    /// Whose round.
    pub competition: CompetitionId,
    /// Its number.
    pub round: u64,
    /// When it closed, in Unix seconds.
    pub closed_at: u64,
    /// What was measured on.
    pub items: RecordedItems,
    /// Who held the seat when the items were drawn.
    pub champion_before: Option<SubmissionId>,
    /// The first round that evidence against it is pooled from.
    pub reign_began: u64,
    /// How long it had reigned at the close: what the margin depends on.
    pub champion_age_seconds: u64,
    /// How many challengers shared the level.
    pub shared_by: u32,
    /// Everybody who was in time and not put out for good, the champion first.
    pub members: Vec<RecordedMember>,
    /// Who holds the seat now.
    pub champion: Option<SubmissionId>,
    /// When the holder took it, in Unix seconds; 0 while it is empty.
    pub crowned_at: u64,
    /// The round that gave it; 0 while it is empty.
    pub crowned_in: u64,
    /// The margin that a new champion is paid by.
    pub margin_ppm: Option<i64>,
    /// Everybody's place by fresh items.
    pub stands: Vec<Stand>,
    /// Hotkeys that the ledger couldn't pay.
    pub not_registered: Vec<Hotkey>,
    /// What later rounds are paid by.
    pub past: PastRound,
    /// Who is paid what.
    pub weights: Vec<Weight>,
}

/// A round's items as files, and where they are cut.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedItems {
    /// Images and labels (`RTIMG1`), fixed ones first.
    pub images: ObjectRef,
    /// The teacher's answers (`RTLOG1`).
    pub teacher_logits: ObjectRef,
    /// The reference's answers (`RTOUT1`).
    pub reference_outcomes: ObjectRef,
    /// How many are fixed.
    pub fixed: u32,
    /// The round's seed, which the draw and resampling follow from.
    pub seed: Digest,
    /// Where fresh ones are cut.
    pub cut: Cut,
    /// The teacher on public and fixed items.
    pub known_ceiling: Ceiling,
    /// The teacher on fresh items.
    pub fresh_ceiling: Ceiling,
}

/// A member of a round.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedMember {
    /// Which.
    pub submission: SubmissionId,
    /// Whose.
    pub hotkey: Hotkey,
    /// Who owned that hotkey by the ledger.
    pub owner: Hotkey,
    /// Order of commitment.
    pub arrival: u64,
    /// What it was measured for.
    pub role: EntryRole,
    /// Its answers to screening items.
    pub screening: Option<Screened>,
    /// The signed receipt of its measurement in full.
    pub receipt: Option<ObjectRef>,
    /// Why it has none, where it should.
    pub failure: Option<String>,
    /// What the rules make of it.
    pub verdict: Option<Verdict>,
    /// The earlier model that it counts as.
    pub copy_of: Option<SubmissionId>,
    /// `teacher` or `reference`, where it is one of these in disguise: those take part as themselves.
    pub is_entry: Option<String>,
}
