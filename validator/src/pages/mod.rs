//! The pages that people see: competitions, boards, submissions. Server-rendered HTML and SVG, no script.
//!
//! Each page is a pure function from the messages of `protocol::api` to a string, in a file of its own; the handlers
//! here fetch those messages. Pages show what the API says and know neither the database nor the store.

mod assets;
mod axis;
mod competition;
mod confusion;
mod copies;
mod figures;
mod handlers;
mod home;
mod labels;
mod layout;
mod operator;
mod pareto;
mod problem;
mod round;
#[cfg(test)]
mod sample;
mod scatter;
mod submission;

pub(crate) use handlers::routes;
