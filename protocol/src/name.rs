//! What a hotkey calls itself: a few plain characters, so that no name looks like another or like a key.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// Longer names are nobody's.
const CHARS_MAX: usize = 32;

/// A display name: 1 to 32 letters, digits, dots, underscores, hyphens and single spaces of ASCII, a letter or digit at both
/// ends. It is shown beside the short key, never in its place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, pattern = "^[A-Za-z0-9]([A-Za-z0-9._ -]{0,30}[A-Za-z0-9])?$", example = "small nets")]
pub struct DisplayName(String);

impl DisplayName {
    /// What names that look alike have in common: small letters without separators, and the digits that look like letters as
    /// those.
    pub fn folded(&self) -> String {
        let plain = self.0.chars().filter(char::is_ascii_alphanumeric).map(|char| char.to_ascii_lowercase());
        plain
            .map(|char| match char {
                '0' => 'o',
                '1' | 'i' => 'l',
                '5' => 's',
                other => other,
            })
            .collect()
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DisplayName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_inner = |char: char| char.is_ascii_alphanumeric() || "._- ".contains(char);
        let at_ends = |text: &str| [text.chars().next(), text.chars().next_back()];
        let fits = (1..=CHARS_MAX).contains(&text.len())
            && text.chars().all(is_inner)
            && at_ends(text).iter().all(|end| end.is_some_and(|char| char.is_ascii_alphanumeric()))
            && !text.contains("  ");
        match fits {
            true => Ok(Self(text.to_owned())),
            false => Err(
                "a name has 1 to 32 of A-Z, a-z, 0-9, `.`, `_`, `-` and single spaces, a letter or digit at both ends",
            ),
        }
    }
}

impl TryFrom<String> for DisplayName {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<DisplayName> for String {
    fn from(name: DisplayName) -> Self {
        name.0
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain_and_those_that_look_alike_are_one() {
        for good in ["a", "small nets", "Retort-2.0", &"x".repeat(32)] {
            assert!(good.parse::<DisplayName>().is_ok(), "{good}");
        }
        for bad in ["", " a", "a ", "-a", "two  spaces", "näme", "<b>", "a\nb", "\u{202e}a", &"x".repeat(33)] {
            assert!(bad.parse::<DisplayName>().is_err(), "{bad:?}");
        }
        let folded = |text: &str| text.parse::<DisplayName>().unwrap().folded();
        assert_eq!(folded("Small Nets"), folded("smal1-nets"));
        assert_ne!(folded("small nets"), folded("tall nets"));
    }
}
