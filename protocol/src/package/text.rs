//! `config.json` as a text: what keeps it from being JSON, told by what was found and what to do.
//!
//! Editors save other encodings, people write comments and copy from pages. It does NOT know what the JSON means.

/// The text in UTF-8, without the byte order mark that editors on Windows write before it.
///
/// # Errors
/// What it is instead, and what to do.
pub(super) fn utf8(bytes: &[u8]) -> Result<&str, String> {
    let text = match bytes {
        [0xef, 0xbb, 0xbf, text @ ..] => text,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => {
            return Err("it begins with the byte order mark of UTF-16: save it as UTF-8".into());
        }
        // JSON begins with two ASCII characters, one of two bytes being zero in UTF-16 (three of four in UTF-32).
        [0, _, ..] | [_, 0, ..] => {
            return Err("it looks like UTF-16 without a byte order mark: save it as UTF-8".into());
        }
        text => text,
    };
    str::from_utf8(text).map_err(|error| {
        let line = text.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count().saturating_add(1);
        format!("line {line} has bytes that are no UTF-8, as of Latin-1 or Windows-1252: save it as UTF-8")
    })
}

/// What an error means for `text`.
pub(super) fn told(text: &str, error: &serde_json::Error) -> String {
    if text.trim().is_empty() {
        return "the file is empty".into();
    }
    match found(text, error) {
        Some(what) => format!("{what}, at line {} column {}", error.line(), error.column()),
        None => error.to_string(),
    }
}

/// What stands where JSON ended, if it is of a known kind.
fn found(text: &str, error: &serde_json::Error) -> Option<String> {
    if !error.is_syntax() {
        return None;
    }
    // Columns count bytes, and name the last that was read: it or the one before begins what is wrong.
    let line = text.split('\n').nth(error.line().checked_sub(1)?)?;
    let mut at = error.column().saturating_sub(1).min(line.len());
    while !line.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    let rest = line.get(at..)?;
    let first = rest.chars().next()?;
    let begins = |word: &&str| {
        rest.starts_with(*word) || line.get(at.saturating_sub(1)..).is_some_and(|rest| rest.starts_with(*word))
    };
    let what = match first {
        _ if ["//", "/*", "#"].iter().any(|start| rest.starts_with(start)) => {
            "JSON has no comments: take them out".to_owned()
        }
        '\u{feff}' => "a byte order mark (U+FEFF), which JSON doesn't take: delete it".to_owned(),
        char if char.is_whitespace() && !char.is_ascii() => {
            format!(
                "a space that JSON doesn't take (U+{:04X}, as in texts copied from pages): write an ordinary one",
                u32::from(char)
            )
        }
        '\u{200b}'..='\u{200d}' | '\u{2060}' => {
            format!("a character that nobody sees (U+{:04X}): delete it", u32::from(first))
        }
        '\u{201c}'..='\u{201f}' | '\u{2018}'..='\u{201b}' | '\u{ab}' | '\u{bb}' | '\'' => {
            "JSON's quotes are \" alone".to_owned()
        }
        _ if ["True", "False", "None"].iter().any(begins) => {
            "Python's True, False and None are true, false and null in JSON".to_owned()
        }
        _ if ["NaN", "Infinity", "-Infinity"].iter().any(begins) => "JSON has no NaN and no Infinity".to_owned(),
        _ => return None,
    };
    Some(what)
}
