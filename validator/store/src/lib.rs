//! What a validator keeps: rows in SQLite, objects in a folder or a bucket, its settings, keys and log, and how all of it is
//! backed up. The lowest of the validator's rooms.
//!
//! It decides nothing and knows no request: what a row means is the service's, how it is shown the face's.

pub mod backup;
pub mod causes;
pub mod clock;
pub mod config;
pub mod db;
pub mod disk;
pub mod failpoints;
pub mod log;
pub mod objects;
pub mod ready;
pub mod secret;

pub use clock::Clock;
pub use config::{Config, Home};
