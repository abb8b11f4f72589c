//! A moment as a manifest may write it: Unix seconds, or a date with its zone. It reads no clock.

#![deny(clippy::unwrap_used, clippy::indexing_slicing, clippy::arithmetic_side_effects)]

use serde::{Deserialize, Deserializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The end of the year 2100; what lies beyond was written in milliseconds.
pub(super) const MOMENT_MAX: u64 = 4_133_980_799;

/// Unix seconds, or TOML's own date and time with its zone.
pub(super) fn moment<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Seconds(u64),
        Date(toml::value::Datetime),
        Text(String),
    }
    let written = Option::<Written>::deserialize(deserializer)
        .map_err(|_| de::Error::custom("neither Unix seconds nor a date such as 2027-01-01T03:00:00-03:00"))?;
    let date = match written {
        None => return Ok(None),
        Some(Written::Seconds(seconds)) => return Ok(Some(seconds)),
        Some(Written::Date(date)) => date,
        Some(Written::Text(text)) => return Err(de::Error::custom(of_quoted(&text))),
    };
    let text = date.to_string();
    let at = OffsetDateTime::parse(&text, &Rfc3339).ok().and_then(|at| u64::try_from(at.unix_timestamp()).ok());
    at.map(Some).ok_or_else(|| {
        de::Error::custom(format!("{text} is no moment: write a date, a time and a zone, such as 2027-01-01T00:00:00Z"))
    })
}

/// What is wrong with a moment between quotes: mostly those.
fn of_quoted(text: &str) -> String {
    let bare = text.trim();
    match bare.parse::<u64>().is_ok() || bare.parse::<toml::value::Datetime>().is_ok() {
        true => format!("{text:?} is a text because of its quotes: write {bare} without them"),
        false => {
            format!("{text:?} is neither Unix seconds nor a date such as 2027-01-01T03:00:00-03:00, without quotes")
        }
    }
}
