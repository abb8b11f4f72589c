//! Which fields of answers are always there.
//!
//! Types that are both written and read say what may be left out when they are read. What we send has every field, and
//! null where there is nothing to say; a field that is left out is never null, and its type says so with
//! `#[schema(nullable = false)]`.

use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeSet;
use utoipa::openapi::schema::{ArrayItems, Schema, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr};

/// Marks the fields that may be null, or have a default, of all types that nobody sends to us.
pub(super) fn mark(document: &mut OpenApi) {
    let received = received(document);
    let Some(components) = &mut document.components else { return };
    for (name, schema) in &mut components.schemas {
        if !received.contains(name) {
            mark_schema(schema);
        }
    }
}

fn mark_schema(schema: &mut RefOr<Schema>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::Object(object) => {
            for (name, property) in &mut object.properties {
                if !object.required.contains(name) && is_always_sent(property) {
                    object.required.push(name.clone());
                }
                mark_schema(property);
            }
        }
        Schema::Array(array) => {
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                mark_schema(items);
            }
        }
        Schema::OneOf(one) => one.items.iter_mut().for_each(mark_schema),
        Schema::AllOf(all) => all.items.iter_mut().for_each(mark_schema),
        Schema::AnyOf(any) => any.items.iter_mut().for_each(mark_schema),
        _ => {}
    }
}

/// Whether a field that readers may leave out is sent nevertheless: as null, or as its default.
fn is_always_sent(property: &RefOr<Schema>) -> bool {
    let RefOr::T(property) = property else { return false };
    let is_value = |default: &Option<Value>| default.as_ref().is_some_and(|default| !default.is_null());
    match property {
        Schema::Object(object) => is_value(&object.default) || allows_null(&object.schema_type),
        Schema::Array(array) => is_value(&array.default) || allows_null(&array.schema_type),
        Schema::OneOf(one) => is_value(&one.default) || one.items.iter().any(is_null),
        _ => false,
    }
}

fn is_null(schema: &RefOr<Schema>) -> bool {
    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == SchemaType::Type(Type::Null))
}

fn allows_null(kind: &SchemaType) -> bool {
    matches!(kind, SchemaType::Array(kinds) if kinds.contains(&Type::Null))
}

/// The names of all types that somebody sends to us, whole or as a part.
fn received(document: &OpenApi) -> BTreeSet<String> {
    let items = document.paths.paths.values();
    let operations = items.flat_map(|item| [&item.get, &item.put, &item.post, &item.delete]).flatten();
    let mut todo: Vec<Value> = operations.filter_map(|operation| operation.request_body.as_ref()).map(json).collect();
    let schemas = document.components.as_ref().map(|components| &components.schemas);
    let mut names = BTreeSet::new();
    while let Some(value) = todo.pop() {
        for name in references(&value) {
            if names.insert(name.to_owned()) {
                todo.extend(schemas.and_then(|schemas| schemas.get(name)).map(json));
            }
        }
    }
    names
}

/// The names of all types that a piece of the document refers to.
fn references(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().flat_map(references).collect(),
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str).and_then(|place| place.rsplit('/').next());
            own.into_iter().chain(fields.values().flat_map(references)).collect()
        }
        _ => Vec::new(),
    }
}

fn json(part: &impl Serialize) -> Value {
    serde_json::to_value(part).expect("JSON, because its maps have text for keys")
}
