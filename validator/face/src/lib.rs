//! What a validator shows: the HTTP API, pages, live events and webhooks. The uppermost of the validator's
//! rooms, which also lets the Hub's protocol be asked for.
//!
//! It turns requests into calls of the service and what these return into answers; it decides nothing.

pub mod api;
pub mod face;
pub mod feed;
pub mod metrics;
pub mod operator;
pub mod outside;
pub mod pages;
pub mod rooted;
pub mod router;
pub mod routes;
pub mod serve;
pub mod webhooks;
pub mod witness;

pub use routes::document as openapi;
