//! The HTTP edge: what whoever answers a request needs, whatever is asked. Problem documents, signed requests, bodies within their
//! limits, tags and compression, objects by range.
//!
//! It knows no route; those of the Hub's protocol and of the face stand above it.

pub mod auth;
mod binary;
pub mod conditional;
pub mod deliver;
pub mod error;

pub use binary::Binary;
