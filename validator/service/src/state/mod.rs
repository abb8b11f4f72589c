//! What a running validator keeps in memory: plain data that the rooms above share. Nothing here knows who uses it, and
//! nothing takes the whole [`App`](crate::App).

pub mod asked;
pub mod board;
pub mod breaker;
pub mod counters;
pub mod fleet;
pub mod line;
pub mod materials;
pub mod signals;
