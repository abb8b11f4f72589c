//! What the Hub's clients are told and what they send, field by field as the Hub names them: [`read`] of repositories,
//! [`write`] of uploads. Here is what both have.
//!
//! It does not know where any of it comes from.

pub(crate) mod read;
pub(crate) mod write;

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};

/// What the Hub has and we don't: always false.
pub(crate) struct Never;

/// What went well: always true.
pub(crate) struct Always;

/// A list that has nothing here.
pub(crate) struct Nothing;

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

/// A time as the Hub writes it.
pub(crate) fn date(unix_seconds: u64) -> String {
    let seconds = i64::try_from(unix_seconds).unwrap_or_default();
    let time = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    // Clients want milliseconds.
    let text = time.format(&Rfc3339).unwrap_or_default();
    text.replace('Z', ".000Z")
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_time_is_written_as_the_hub_writes_it() {
        assert_eq!(super::date(1_800_000_000), "2027-01-15T08:00:00.000Z");
    }
}
