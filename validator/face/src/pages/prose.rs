//! Our sentences as HTML: what is to be typed stands between backticks in them, for terminals and clients alike.
//!
//! It does not know which sentences those are; whatever is in them is escaped.

/// A sentence with what is to be typed as code.
pub(super) fn html(text: &str) -> String {
    let parts: Vec<&str> = text.split('`').collect();
    let mut out = String::with_capacity(text.len());
    for (place, part) in parts.iter().enumerate() {
        let part = escaped(part);
        match place % 2 {
            0 => out.push_str(&part),
            // Nothing ends it: it was a backtick and no more.
            _ if place + 1 == parts.len() => out.push_str(&format!("`{part}")),
            _ => out.push_str(&format!("<code>{part}</code>")),
        }
    }
    out
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => out.push_str("&#60;"),
            '>' => out.push_str("&#62;"),
            '&' => out.push_str("&#38;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_to_be_typed_is_code_and_all_else_is_escaped() {
        for (text, expected) in [
            ("plain", "plain"),
            ("run `a <b>` & go", "run <code>a &#60;b&#62;</code> &#38; go"),
            ("`a`, `b`", "<code>a</code>, <code>b</code>"),
            ("one ` only", "one ` only"),
            ("`a` and ` more", "<code>a</code> and ` more"),
            ("<script>`", "&#60;script&#62;`"),
            ("", ""),
        ] {
            assert_eq!(html(text), expected, "{text}");
        }
    }
}
