//! Tests of the engines against known answers, and of the suite against engines that break its promises.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod suite;

#[cfg(feature = "rten")]
mod rten;

#[cfg(feature = "ort")]
mod ort;

#[cfg(feature = "burn")]
mod burn;

mod data;
