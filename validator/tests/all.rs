//! The service through its public door: HTTP requests to a server on a free port.
//!
//! Needs no network, no model and no order. The evaluator is a script.

mod auth;
mod bad_input;
mod edge;
mod journey;
mod lifecycle;
mod publishing;
mod stores;
mod support;
