//! The service through its public door: HTTP requests to a server on a free port.
//!
//! Needs no network, no model and no order. The evaluator is a script.

#![expect(clippy::unwrap_used, reason = "a test that can't go on should fail where it stands")]

mod addresses;
mod administration;
mod another_engine;
mod answers;
mod appeals;
mod audit;
mod auth;
mod bad_input;
mod beacons;
mod board;
mod breaker;
mod browser;
mod copies;
mod crash;
mod door;
mod edge;
mod engines;
mod events;
mod fleet;
mod forms;
mod graphs;
mod hardening;
mod hub;
mod journey;
mod latency;
mod lifecycle;
mod log;
mod machine;
mod names;
mod openapi;
mod operating;
mod overdue;
mod own_data;
mod pools;
mod publishing;
mod queue;
mod quotas;
mod replays;
mod rounds;
mod s3;
mod secrets;
mod siege;
mod stores;
mod support;
#[cfg(feature = "otel")]
mod telemetry;
mod trust;
mod turns;
mod watchdog;
mod webhooks;
mod weights;
mod witnesses;
