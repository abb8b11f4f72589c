//! What the Hub's clients are told and what they send, field by field as the Hub names them: [`read`] of repositories,
//! [`write`] of uploads. Here is what both have.
//!
//! It does not know where any of it comes from.

pub(super) mod read;
pub(super) mod write;

use serde::{Serialize, Serializer};
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

/// What the Hub has and we don't: always false.
pub(super) struct Never;

/// What went well: always true.
pub(super) struct Always;

/// A list that has nothing here.
pub(super) struct Nothing;

impl Serialize for Never {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(false)
    }
}

impl Serialize for Always {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bool(true)
    }
}

impl Serialize for Nothing {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq::<[(); 0]>([])
    }
}

fn constant(value: bool) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::Boolean).enum_values(Some([value])).into()
}

fn never() -> RefOr<Schema> {
    constant(false)
}

fn always() -> RefOr<Schema> {
    constant(true)
}

fn nothing() -> RefOr<Schema> {
    ArrayBuilder::new().items(ObjectBuilder::new()).max_items(Some(0)).into()
}
