//! What a validator does: takes submissions in, has them evaluated, ranks, closes rounds, pays, and states all of it in the
//! log. It stands over the validator's store.
//!
//! A submission's way reads: `publishing`, the room above, made the competition; [`intake`] announces, receives, completes and checks;
//! [`jobs`] evaluates through the narrow [`evaluator`]; [`board`] ranks; [`rounds`] pays. Errors are by meaning: it knows no HTTP status and no page, deserialises no model and links no engine.

pub mod administration;
pub mod amend;
pub mod app;
pub mod appeals;
pub mod ballast;
pub mod blocks;
pub mod board;
pub mod breaker;
pub mod copies;
pub mod doctor;
pub mod engines;
pub mod evaluator;
pub mod expected;
pub mod fleet;
pub mod forms;
pub mod guard;
pub mod heavy;
pub mod intake;
pub mod jobs;
pub mod ledger;
pub mod materials;
pub mod open;
pub mod refusal;
pub mod relay;
pub mod rounds;
pub mod shares;
pub mod state;
pub mod sweep;
pub mod views;
pub mod wanted;
pub mod why;
pub mod witness;

pub use app::App;
pub use evaluator::{Evaluator, Machine, Progress, ProgressFn};
pub use open::OpenError;
