//! Types as clients should see them: words without Rust in them, and parts that leave room for one another.
//!
//! It does NOT know any type.

use std::collections::BTreeSet;
use utoipa::openapi::schema::{ArrayItems, Schema};
use utoipa::openapi::{OpenApi, RefOr};

/// Goes over all types.
pub(super) fn tidy(document: &mut OpenApi) {
    let Some(components) = &mut document.components else { return };
    let mut parts = BTreeSet::new();
    for schema in components.schemas.values_mut() {
        words(schema);
        collect_parts(schema, &mut parts);
    }
    // What is a part of something else can't say that there is nothing besides.
    for part in parts {
        if let Some(RefOr::T(Schema::Object(object))) = components.schemas.get_mut(&part) {
            object.additional_properties = None;
        }
    }
}

/// The names of types that others are put together from.
fn collect_parts(schema: &RefOr<Schema>, parts: &mut BTreeSet<String>) {
    let RefOr::T(schema) = schema else { return };
    match schema {
        Schema::AllOf(all) => {
            for item in &all.items {
                if let RefOr::Ref(reference) = item {
                    parts.extend(reference.ref_location.rsplit('/').next().map(str::to_owned));
                }
            }
        }
        Schema::OneOf(one) => one.items.iter().for_each(|item| collect_parts(item, parts)),
        _ => {}
    }
}

/// Tidies a type's words and those of its fields.
fn words(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::Ref(reference) => reference.description = prose(&reference.description),
        RefOr::T(Schema::Object(object)) => {
            object.description = object.description.as_deref().map(prose);
            object.default = object.default.take().filter(|default| !default.is_null());
            object.properties.values_mut().for_each(words);
        }
        RefOr::T(Schema::Array(array)) => {
            array.description = array.description.as_deref().map(prose);
            if let ArrayItems::RefOrSchema(items) = &mut array.items {
                words(items);
            }
        }
        RefOr::T(Schema::OneOf(one)) => {
            one.description = one.description.as_deref().map(prose);
            one.default = one.default.take().filter(|default| !default.is_null());
            one.items.iter_mut().for_each(words);
        }
        RefOr::T(Schema::AllOf(all)) => {
            all.description = all.description.as_deref().map(prose);
            all.items.iter_mut().for_each(words);
        }
        RefOr::T(_) => {}
    }
}

/// A comment for readers of Rust as others read it: lines run on, links to items are their last names, and nothing is null.
pub(super) fn prose(comment: &str) -> String {
    let paragraphs: Vec<String> = comment.split("\n\n").map(|lines| lines.replace('\n', " ")).collect();
    let mut rest = paragraphs.join("\n\n").replace("`None`", "null");
    let mut prose = String::new();
    while let Some((before, link)) = rest.split_once("[`") {
        let Some((path, after)) = link.split_once("`]") else { break };
        let name = path.rsplit("::").next().unwrap_or_default();
        prose.push_str(&format!("{before}`{name}`"));
        rest = after.to_owned();
    }
    prose + &rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_lose_what_is_rust_in_them() {
        let comment = "As [`crate::latency::judge`] says;\n`None` where it doesn't.\n\nSee [`Report`].";
        assert_eq!(prose(comment), "As `judge` says; null where it doesn't.\n\nSee `Report`.");
        assert_eq!(prose("an open [` stays"), "an open [` stays");
    }
}
