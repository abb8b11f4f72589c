//! The real service as a process that is killed, stopped, starved of disk and put back from a copy; nothing may be lost.
//!
//! `scripted-validator` (validator/src/bin) is what runs: the real database, store, ledger, log and HTTP, with a scripted
//! engine whose evaluations are real child processes.

mod acts;
mod audit;
mod backup;
mod beside;
mod campaign;
pub(crate) mod disk;
mod fleet;
pub(crate) mod miners;
pub(crate) mod service;
mod soak;
mod workers;
