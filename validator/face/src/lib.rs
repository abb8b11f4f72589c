//! What a validator shows: the HTTP API, pages, the Hub's protocol, live events and webhooks. The uppermost of the
//! validator's three rooms.
//!
//! It turns requests into calls of the service and what these return into answers; it decides nothing.

pub mod api;
pub mod auth;
pub mod conditional;
pub mod deliver;
pub mod error;
pub mod face;
pub mod feed;
pub mod hub;
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
