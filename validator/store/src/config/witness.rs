//! A witness as settings name it: where it is asked, and the key that has to sign.
//!
//! One text, `URL KEY`, so that a list of them fits into a variable. It asks nobody.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use transparency::WitnessKey;
use url::Url;

/// A witness to ask.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WitnessSetting {
    /// Where its `add-checkpoint` is: C2SP's submission prefix.
    pub url: Url,
    /// What its cosignatures are held against.
    pub key: WitnessKey,
}

impl FromStr for WitnessSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (url, key) = text.trim().split_once(' ').ok_or("a witness is written as `URL KEY`")?;
        let url: Url = url.parse().map_err(|error| format!("the witness's address {url:?}: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("the witness's address {url} must be like `https://witness.example/`"));
        }
        let key = key.trim().parse().map_err(|error| format!("the key of the witness at {url}: {error}"))?;
        Ok(Self { url, key })
    }
}

impl TryFrom<String> for WitnessSetting {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<WitnessSetting> for String {
    fn from(witness: WitnessSetting) -> Self {
        witness.to_string()
    }
}

impl fmt::Display for WitnessSetting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.url, self.key)
    }
}
