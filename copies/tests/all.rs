//! The one integration test binary of `copies`: a list of modules. It does NOT hold tests itself.

#![expect(clippy::unwrap_used, reason = "a test whose setting up fails has failed")]

mod calibration;
mod clusters;
mod disguises;
mod fingerprints;
mod models;
mod probes;
mod shapes;
mod sketches;
