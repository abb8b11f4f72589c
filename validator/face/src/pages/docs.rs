//! The API's documentation as a page: what `openapi.json` says, for people.
//!
//! It shows the document and knows nothing of the API beyond it.

use super::layout::{self, Layout};
use super::prose;
use askama::Template;
use edge::error::PROBLEM_JSON;
use serde_json::Value;

/// Types within types are named so deep.
const DEPTH_MAX: usize = 4;

#[derive(Template)]
#[template(path = "docs.html")]
struct Page {
    layout: Layout,
    summary: String,
    groups: Vec<Group>,
    schemas: Vec<Schema>,
}

/// Operations of one kind.
struct Group {
    name: String,
    about: String,
    operations: Vec<Operation>,
}

/// A method of an address.
struct Operation {
    method: String,
    path: String,
    summary: String,
    description: String,
    /// Who may do it, unless everybody may.
    guard: Option<&'static str>,
    parameters: Vec<Field>,
    body: Option<Body>,
    answers: Vec<Answer>,
}

/// What is sent.
struct Body {
    kind: String,
    shape: String,
    example: Option<String>,
}

/// What comes back.
struct Answer {
    status: String,
    description: String,
    body: Option<Body>,
}

/// A named part of something.
struct Field {
    name: String,
    place: String,
    shape: String,
    required: bool,
    about: String,
}

/// A type.
struct Schema {
    name: String,
    about: String,
    fields: Vec<Field>,
    /// What it is if it has no fields.
    shape: String,
}

/// The page of this document.
pub fn page(document: &[u8]) -> String {
    let document = serde_json::from_slice(document).expect("JSON, because a test reads it");
    layout::render(&Page::new(&document))
}

impl Page {
    fn new(document: &Value) -> Self {
        let mut groups: Vec<Group> = list(&document["tags"])
            .map(|tag| Group { name: text(&tag["name"]), about: text(&tag["description"]), operations: Vec::new() })
            .collect();
        for (path, item) in map(&document["paths"]) {
            for (method, operation) in map(item) {
                let tag = text(&operation["tags"][0]);
                let found = groups.iter_mut().find(|group| group.name == tag);
                if let Some(group) = found {
                    group.operations.push(Operation::new(method, path, operation, document));
                }
            }
        }
        let schemas = map(&document["components"]["schemas"]).map(|(name, schema)| Schema::new(name, schema));
        Self {
            layout: Layout::new("API · Retort", "The HTTP API of this validator."),
            summary: text(&document["info"]["description"]),
            groups,
            schemas: schemas.collect(),
        }
    }
}

impl Operation {
    fn new(method: &str, path: &str, operation: &Value, document: &Value) -> Self {
        let schemes = list(&operation["security"]).flat_map(map).map(|(scheme, _)| scheme);
        let guard = schemes.last().map(|scheme| match scheme {
            "operator" => "operator",
            "token" => "token",
            _ => "signed",
        });
        let parameter = |parameter: &Value| {
            let parameter = resolved(parameter, document);
            Field {
                name: text(&parameter["name"]),
                place: text(&parameter["in"]),
                shape: shape(&parameter["schema"], 0),
                required: parameter["required"] == true,
                about: text(&parameter["description"]),
            }
        };
        let answer = |(status, answer): (&str, &Value)| {
            let answer = resolved(answer, document);
            Answer { status: status.into(), description: text(&answer["description"]), body: Body::of(answer) }
        };
        Self {
            method: method.to_uppercase(),
            path: path.into(),
            summary: text(&operation["summary"]),
            description: text(&operation["description"]),
            guard,
            parameters: list(&operation["parameters"]).map(parameter).collect(),
            body: Body::of(&operation["requestBody"]),
            answers: map(&operation["responses"]).map(answer).collect(),
        }
    }
}

impl Body {
    /// The first kind of content, with its example.
    fn of(holder: &Value) -> Option<Self> {
        let (kind, content) = map(&holder["content"]).next()?;
        let example = content.get("example").or_else(|| map(&content["examples"]).next()?.1.get("value"));
        // Problems look alike; the type says how.
        let example = example.filter(|_| kind != PROBLEM_JSON);
        let example = example.map(|example| match example {
            Value::String(text) => text.clone(),
            value => serde_json::to_string_pretty(value).unwrap_or_default(),
        });
        Some(Self { kind: kind.into(), shape: shape(&content["schema"], 0), example })
    }
}

impl Schema {
    fn new(name: &str, schema: &Value) -> Self {
        let required = parts(schema).flat_map(|part| list(&part["required"])).filter_map(Value::as_str);
        let required: Vec<&str> = required.collect();
        let field = |(name, field): (&str, &Value)| Field {
            name: name.into(),
            place: String::new(),
            shape: shape(field, 0),
            required: required.contains(&name),
            about: text(&field["description"]),
        };
        Self {
            name: name.into(),
            about: text(&schema["description"]),
            fields: parts(schema).flat_map(|part| map(&part["properties"])).map(field).collect(),
            shape: shape(schema, 0),
        }
    }
}

/// A type, and what it is put together from that has no name.
fn parts(schema: &Value) -> impl Iterator<Item = &Value> {
    std::iter::once(schema).chain(list(&schema["allOf"]))
}

/// A type in a few words: `integer`, `Submission[]`, `"asc" or "desc"`.
fn shape(schema: &Value, depth: usize) -> String {
    if depth > DEPTH_MAX {
        return "…".into();
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap_or_default().to_owned();
    }
    for (word, between) in [("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")] {
        let shapes: Vec<String> = list(&schema[word]).map(|schema| shape(schema, depth + 1)).collect();
        if !shapes.is_empty() {
            return shapes.join(between);
        }
    }
    let words: Vec<String> = list(&schema["enum"]).map(Value::to_string).collect();
    if !words.is_empty() {
        return words.join(" or ");
    }
    if let Some(constant) = schema.get("const") {
        return constant.to_string();
    }
    // One of several objects, which are told apart by a word.
    let tags =
        map(&schema["properties"]).filter_map(|(name, field)| match list(&field["enum"]).collect::<Vec<_>>()[..] {
            [word] => Some(format!("{{{name}: {word}, …}}")),
            _ => None,
        });
    if depth > 0
        && let Some(tag) = tags.last()
    {
        return tag;
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec!["anything"],
    };
    let named = |kind: &str| match kind {
        "array" if schema["items"].is_object() => format!("{}[]", shape(&schema["items"], depth + 1)),
        kind => kind.to_owned(),
    };
    kinds.into_iter().map(named).collect::<Vec<_>>().join(" or ")
}

fn resolved<'a>(value: &'a Value, document: &'a Value) -> &'a Value {
    let reference = value["$ref"].as_str().and_then(|reference| reference.strip_prefix('#'));
    reference.and_then(|pointer| document.pointer(pointer)).unwrap_or(value)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn map(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
