//! What hotkeys call themselves. It does not know what a name may be.

use super::{Db, DbError, Tx, int};
use protocol::Hotkey;
use protocol::name::DisplayName;
use std::collections::HashMap;

/// What became of a wish for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// It is the hotkey's.
    Given,
    /// It, or one that looks like it, is another's, or another's model's.
    Taken,
    /// The hotkey has had as many as it may.
    TooMany,
}

/// What boards call rows and seats that are nobody's name, and whoever runs this.
const RESERVED: [&str; 7] = ["teacher", "reference", "champion", "challenger", "validator", "operator", "admin"];

/// Whether a name looks like a word that boards have for something else: in other letter case, with digits for letters, with
/// separators, with an article or a number, or in the plural.
pub fn is_reserved(name: &DisplayName) -> bool {
    let whole = name.as_str();
    let numbered = whole.trim_end_matches(|char: char| !char.is_ascii_alphabetic());
    [whole, numbered].into_iter().map(unmasked).any(|name| {
        let bare = name.strip_prefix("the").unwrap_or(&name);
        let is_word =
            |word: &str| [name.as_str(), bare].iter().any(|name| name.strip_suffix('s').unwrap_or(name) == word);
        RESERVED.iter().any(|word| is_word(&unmasked(word)))
    })
}

/// Letters alone, those for which digits or other letters stand.
fn unmasked(text: &str) -> String {
    let letters = text.chars().filter(char::is_ascii_alphanumeric).map(|char| match char.to_ascii_lowercase() {
        '0' => 'o',
        '1' | 'i' => 'l',
        '2' => 'z',
        '3' => 'e',
        '4' => 'a',
        '5' => 's',
        '6' | '9' => 'g',
        '7' => 't',
        '8' => 'b',
        other => other,
    });
    letters.collect::<String>().replace("rn", "m").replace("vv", "w")
}

/// Gives a hotkey a name, one that it had before or a new one; `names_max` are the most that it may have had.
///
/// # Errors
/// When the database fails.
pub async fn give(
    tx: &mut Tx,
    hotkey: &Hotkey,
    name: &DisplayName,
    names_max: u64,
    now: u64,
) -> Result<Named, DbError> {
    let owner: Option<String> = sqlx::query_scalar("SELECT hotkey FROM names WHERE folded = $1")
        .bind(name.folded())
        .fetch_optional(&mut **tx)
        .await?;
    let model: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM submissions WHERE name_folded = $1 AND hotkey <> $2
         AND state NOT IN ('rejected', 'expired', 'withdrawn'))",
    )
    .bind(name.folded())
    .bind(hotkey.to_string())
    .fetch_one(&mut **tx)
    .await?;
    if model || owner.as_ref().is_some_and(|owner| *owner != hotkey.to_string()) {
        return Ok(Named::Taken);
    }
    let had: i64 = sqlx::query_scalar("SELECT count(*) FROM names WHERE hotkey = $1")
        .bind(hotkey.to_string())
        .fetch_one(&mut **tx)
        .await?;
    if owner.is_none() && had >= int(names_max) {
        return Ok(Named::TooMany);
    }
    // The last one counts: two within a second go by their order here.
    sqlx::query(
        "INSERT INTO names (folded, name, hotkey, at)
         VALUES ($1, $2, $3, max($4, (SELECT coalesce(max(at), 0) + 1 FROM names WHERE hotkey = $3)))
         ON CONFLICT (folded) DO UPDATE SET name = excluded.name, at = excluded.at",
    )
    .bind(name.folded())
    .bind(name.as_str())
    .bind(hotkey.to_string())
    .bind(int(now))
    .execute(&mut **tx)
    .await?;
    Ok(Named::Given)
}

impl Db {
    /// What a hotkey calls itself.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn name_of(&self, hotkey: &Hotkey) -> Result<Option<String>, DbError> {
        let query = "SELECT name FROM names WHERE hotkey = $1 ORDER BY at DESC LIMIT 1";
        Ok(sqlx::query_scalar(query).bind(hotkey.to_string()).fetch_optional(self.pool()).await?)
    }

    /// What all hotkeys call themselves that do.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn names(&self) -> Result<HashMap<String, String>, DbError> {
        let query = "SELECT hotkey, name, max(at) FROM names GROUP BY hotkey";
        let rows = sqlx::query_as(query).fetch_all(self.pool()).await?;
        Ok(rows.into_iter().map(|(hotkey, name, _): (_, _, i64)| (hotkey, name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_boards_are_nobodys_name_however_they_are_written() {
        let is_reserved = |name: &str| is_reserved(&name.parse().unwrap());
        for word in [
            "teacher",
            "Teacher",
            "t3acher",
            "TE4CHER",
            "te-a.cher",
            "teacher 1",
            "teacher2",
            "the teacher",
            "teachers",
            "reference",
            "ref3rence",
            "charnpion",
            "champi0n",
            "champlon",
            "vaIidator",
            "va1idat0r",
            "validator-2",
            "The Va1idator 7",
            "op3rator",
            "adm1n",
            "charnp1on5",
        ] {
            assert!(is_reserved(word), "{word}");
        }
        for name in ["small nets", "teachable", "my champion", "referee", "7", "t", "s", "champ"] {
            assert!(!is_reserved(name), "{name}");
        }
    }
}
