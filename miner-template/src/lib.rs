//! What a miner copies and edits: fetch a competition, distil a student from its teacher, pack it.
//!
//! Start with [`recipe`]: it is the file that invites change. The story of a run is [`distil`]. Nothing here judges: the
//! admission check is `protocol`'s and the measuring engine's is `eval`.

#![warn(missing_docs)]

pub mod augment;
pub mod checkpoint;
pub mod client;
pub mod distil;
pub mod files;
pub mod outputs;
pub mod pack;
pub mod paths;
pub mod progress;
pub mod recipe;
pub mod source;
pub mod students;
pub mod teacher;
pub mod train;
