//! JSON as YAML in block style, which is what front matter looks like.
//!
//! Every string is quoted and every character beyond printable ASCII is escaped, so that no text of a stranger is read
//! as anything but text. It knows no fields.

use serde_json::Value;
use std::fmt::Write;

/// The lines of a value.
pub(super) fn block(value: &Value) -> String {
    let mut text = String::new();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, into: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                into.push_str(&indent);
                into.push_str(name);
                into.push(':');
                follow(value, depth, into);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut lines = String::new();
                write(item, depth + 1, &mut lines);
                // The first line of an item stands beside its dash.
                let first = lines.get(indent.len() + 2..).unwrap_or_default();
                into.push_str(&indent);
                into.push_str("- ");
                into.push_str(first);
            }
        }
        scalar => {
            into.push_str(&indent);
            into.push_str(&inline(scalar));
            into.push('\n');
        }
    }
}

/// What stands behind a field's name.
fn follow(value: &Value, depth: usize, into: &mut String) {
    let empty = value.as_array().is_some_and(Vec::is_empty) || value.as_object().is_some_and(serde_json::Map::is_empty);
    match value {
        Value::Object(_) | Value::Array(_) if !empty => {
            into.push('\n');
            write(value, depth + 1, into);
        }
        scalar => {
            into.push(' ');
            into.push_str(&inline(scalar));
            into.push('\n');
        }
    }
}

fn inline(value: &Value) -> String {
    match value {
        Value::String(text) => quoted(text),
        other => other.to_string(),
    }
}

/// A text in double quotes.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(character);
            }
            ' '..='~' => quoted.push(character),
            other => {
                // Writing to a String doesn't fail.
                let _ = write!(quoted, "\\U{:08x}", u32::from(other));
            }
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_lines() {
        let value = json!({
            "license": "unknown",
            "metrics": ["accuracy"],
            "model-index": [{ "name": "x", "results": [{ "task": { "type": "y" }, "metrics": [{ "value": 0.5 }] }] }],
            "none": [],
        });
        let expected = "license: \"unknown\"\nmetrics:\n  - \"accuracy\"\nmodel-index:\n  - name: \"x\"\n    results:\n      \
                        - metrics:\n          - value: 0.5\n        task:\n          type: \"y\"\nnone: []\n";
        assert_eq!(block(&value), expected);
    }

    #[test]
    fn a_stranger_s_text_stays_a_text() {
        let nasty = "a\": b\n---\n# \u{2028}\u{7f}\\ \u{1f600}";
        let expected = r##"name: "a\": b\U0000000a---\U0000000a# \U00002028\U0000007f\\ \U0001f600""##;
        assert_eq!(block(&json!({ "name": nasty })), format!("{expected}\n"));
    }
}
