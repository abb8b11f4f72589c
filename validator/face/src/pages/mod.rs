//! The pages that people see: competitions, boards, submissions, miners. Server-rendered HTML and SVG; a small script
//! keeps them fresh, and everything works without it.
//!
//! Each page is a pure function from the messages of `protocol::api` to a string, in a file of its own; the handlers
//! here fetch those messages. Pages show what the API says and know neither the database nor the store.

mod assets;
mod axis;
mod badge;
mod competition;
mod confusion;
mod copies;
pub mod docs;
mod figures;
mod handlers;
mod histogram;
mod home;
mod labels;
mod layout;
mod miner;
mod operator;
mod pareto;
mod pictures;
mod problem;
mod prose;
mod query;
mod round;
#[cfg(test)]
pub mod sample;
mod scatter;
mod submission;
mod timeline;

pub use handlers::{of_problem, routes};
pub use pictures::pictures;
