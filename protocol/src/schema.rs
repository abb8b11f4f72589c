//! How types that are text in JSON describe themselves in an OpenAPI document.
//!
//! It does NOT know the document: each type stands for itself, beside its own serde.

use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

/// Text of a form that a regular expression gives (ECMA-262), with an example of it.
pub(crate) fn text(description: &str, pattern: &str, example: &str) -> RefOr<Schema> {
    let text = ObjectBuilder::new().schema_type(Type::String).description(Some(description));
    text.pattern(Some(pattern)).examples([serde_json::Value::from(example)]).into()
}
