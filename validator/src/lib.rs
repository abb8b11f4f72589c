//! The service of a validator: HTTP API, pages, intake, jobs, rounds and the board.
//!
//! A submission's way reads: [`publish`] made the competition; `api` takes the request; `intake` announces, receives,
//! completes and checks; `jobs` evaluates through the narrow [`evaluator`]; [`board`] ranks and shows; [`rounds`] pays.
//! What is done is stated in the public [`log`], which others [`witness`].
//!
//! Invariant: this crate deserialises no model and links no ML crate. Everything that measures lies behind
//! [`evaluator::Evaluator`], which the binary implements. State lives in the database; objects are immutable.

pub mod administration;
pub mod amend;
mod api;
pub mod app;
pub mod appeals;
pub mod audit;
mod auth;
pub mod backup;
mod ballast;
pub mod blocks;
pub mod board;
mod breaker;
pub mod clock;
mod conditional;
pub mod config;
pub mod copies;
pub mod db;
mod deliver;
mod disk;
pub mod doctor;
mod error;
pub mod evaluator;
mod expected;
pub mod failpoints;
mod feed;
mod guard;
mod heavy;
mod hub;
mod intake;
mod jobs;
pub mod ledger;
pub mod log;
pub mod materials;
mod metrics;
pub mod objects;
mod operator;
mod pages;
pub mod publish;
pub mod relay;
mod rooted;
pub mod rounds;
mod router;
mod routes;
pub mod secret;
mod serve;
mod shares;
mod supervise;
pub mod sweep;
#[cfg(feature = "otel")]
pub mod telemetry;
mod views;
mod webhooks;
pub mod why;
pub mod witness;

pub use api::document as openapi;
pub use app::{App, OpenError};
pub use clock::Clock;
pub use config::{Config, Home};
pub use evaluator::{Evaluator, Machine, Progress, ProgressFn, ScriptedEvaluator};
pub use serve::{ServeError, run, work};
