//! The referee of rounds: who is screened, who takes the seat, how everybody stands and what is paid.
//!
//! Pure functions of what was measured and of a manifest's rules. The validator's rounds, its board and `retort verify
//! round` call the same ones, so that nobody has to believe a judgement. It reads no clock, no store and no ledger, and it
//! does NOT know how anything was measured.
//!
//! [`evidence`]: what is known of a model on fresh items, over rounds. [`screening`]: who is decided. [`bout`]: one challenger
//! against the champion. [`round`]: the judgement. [`record`]: what a validator is bound to by it. [`simulate`]: how often these rules err. [`market`]: what
//! strategies earn under them. [`preview`]: what other rules would have paid.

#![warn(missing_docs)]

pub mod bout;
pub mod evidence;
mod field;
pub mod market;
pub mod merit;
pub mod preview;
pub mod record;
pub mod round;
pub mod screening;
pub mod simulate;

pub use evidence::{Drawn, Evidence, Sheet, Stage};
pub use merit::Merit;
pub use record::{RecordedItems, RecordedMember, RoundRecord};
pub use round::{Contestant, Decision, Judgement, Referee, Stand};
pub use screening::{Candidate, Selection};
