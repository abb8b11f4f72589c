//! The pages that people see: competitions, boards, submissions, miners. Server-rendered HTML and SVG; a small script
//! keeps them fresh, and everything works without it.
//!
//! Each page is a pure function from the messages of `protocol::api` to a string, in a file of its own; the handlers
//! here fetch those messages. Pages show what the API says and know neither the database nor the store.

mod assets;
mod axis;
mod badge;
mod cache;
mod competition;
mod confusion;
mod copies;
mod docs;
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
mod query;
mod round;
#[cfg(test)]
pub(crate) mod sample;
mod scatter;
mod submission;
mod timeline;

pub(crate) use cache::PageCache;
pub(crate) use handlers::routes;
pub(crate) use pictures::pictures;
