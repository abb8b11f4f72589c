//! Settings as they are read: from `validator.toml`, overridden by variables, checked once.

use super::{Config, ConfigError, Home};
use ipnet::IpNet;
use std::net::SocketAddr;
use std::{fs, io};

/// What variables that override settings begin with: `RETORT_LISTEN`, `RETORT_LIMITS_PENDING_MAX`.
pub const ENV_PREFIX: &str = "RETORT_";

/// What is said of a setting that other versions had.
const REPLACED: &str = "require_registration is no setting any more: write registration = \"required\" for true, and \
                        registration = \"open\" for false (\"invite\" lets in whoever has a code)";

impl Home {
    /// Reads and validates the settings; `variables` are the process's environment.
    ///
    /// # Errors
    /// When the directory isn't initialised or a setting makes no sense.
    pub fn load(&self, variables: impl IntoIterator<Item = (String, String)>) -> Result<Config, ConfigError> {
        let path = self.config();
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ConfigError::NotInitialised { path: self.path().to_owned() });
            }
            Err(source) => return Err(ConfigError::Io { path, doing: "read it", source }),
        };
        let setting = |problem: String| ConfigError::Setting { origin: path.display().to_string(), problem };
        let mut table: toml::Table = text.parse().map_err(|error: toml::de::Error| setting(error.to_string()))?;
        if table.contains_key("require_registration") {
            return Err(setting(REPLACED.into()));
        }
        override_from(&mut table, variables)?;
        check_addresses(&table).map_err(setting)?;
        let config: Config = table.try_into().map_err(|error: toml::de::Error| setting(error.to_string()))?;
        config.check().map_err(setting)?;
        Ok(config)
    }
}

/// Writes `RETORT_*` variables over the settings they name. Others of that prefix, such as `RETORT_LOG`, belong to
/// somebody else.
fn override_from(
    table: &mut toml::Table,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let defaults = toml::Table::try_from(Config::default()).expect("a table, because the settings are a struct");
    for (name, text) in variables {
        let Some(field) = name.strip_prefix(ENV_PREFIX).map(str::to_lowercase) else { continue };
        let problem = |problem: String| ConfigError::Setting { origin: name.clone(), problem };
        if let Some(default) = defaults.get(&field).filter(|default| !default.is_table()) {
            table.insert(field, parse_like(default, &text).map_err(problem)?);
        } else if let Some((section, field)) = field.split_once('_')
            && let Some(default) = defaults.get(section).and_then(|section| section.get(field))
        {
            let value = parse_like(default, &text).map_err(problem)?;
            let section = table.entry(section).or_insert_with(|| toml::Table::new().into());
            if let Some(section) = section.as_table_mut() {
                section.insert(field.to_owned(), value);
            }
        }
    }
    Ok(())
}

/// Reads `text` as a value of the default's type.
fn parse_like(default: &toml::Value, text: &str) -> Result<toml::Value, String> {
    match default {
        toml::Value::Integer(_) => text.parse().map(toml::Value::Integer).map_err(|_| format!("{text:?} is no number")),
        toml::Value::Boolean(_) => {
            text.parse().map(toml::Value::Boolean).map_err(|_| format!("{text:?} is neither `true` nor `false`"))
        }
        toml::Value::Array(_) => {
            let words = text.split(',').map(str::trim).filter(|word| !word.is_empty());
            Ok(toml::Value::Array(words.map(|word| toml::Value::String(word.to_owned())).collect()))
        }
        _ => Ok(toml::Value::String(text.to_owned())),
    }
}

/// Says which value is no address, and what to write: who reads addresses doesn't know it.
fn check_addresses(table: &toml::Table) -> Result<(), String> {
    if let Some(listen) = table.get("listen").and_then(toml::Value::as_str)
        && listen.parse::<SocketAddr>().is_err()
    {
        return Err(format!("listen: {listen:?} is no address with a port; write one such as \"127.0.0.1:7070\""));
    }
    let proxies = table.get("trusted_proxies").and_then(toml::Value::as_array).into_iter().flatten();
    match proxies.filter_map(toml::Value::as_str).find(|text| text.parse::<IpNet>().is_err()) {
        Some(text) => Err(format!("trusted_proxies: {text:?} is no network; write some such as [\"127.0.0.1/32\"]")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::home::TEMPLATE;
    use super::*;

    fn load(toml: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::new(dir.path());
        fs::write(home.config(), toml).unwrap();
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        home.load(variables).map_err(|error| error.to_string())
    }

    #[test]
    fn a_setting_that_was_replaced_says_by_which() {
        let refused = load("require_registration = true", &[]).unwrap_err();
        assert!(refused.contains("registration = \"required\""), "{refused}");
    }

    #[test]
    fn variables_win_over_the_file() {
        let config = load(
            "listen = \"127.0.0.1:1\"\n[limits]\nuploads_max = 4",
            &[
                ("RETORT_REGISTRATION", "invite"),
                ("RETORT_LISTEN", "0.0.0.0:80"),
                ("RETORT_LIMITS_PENDING_MAX", "7"),
                ("RETORT_LOG", "debug"),
            ],
        )
        .unwrap();
        assert_eq!(config.listen, SocketAddr::from(([0, 0, 0, 0], 80)));
        assert_eq!((config.limits.uploads_max, config.limits.pending_max), (4, 7));
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        for (toml, variable, word) in [
            ("lisen = \"127.0.0.1:1\"", ("A", ""), "lisen"),
            ("public_url = \"validator.example\"", ("A", ""), "public_url"),
            ("drand_url = \"https://api.drand.sh/chains\"", ("A", ""), "drand_url"),
            ("", ("RETORT_LATENCY", "slow"), "quick"),
            ("", ("RETORT_CONTROL_GROUPS", "perhaps"), "required"),
            ("operator_token = \"short\"", ("A", ""), "operator_token"),
            ("metrics_listen = \"9090\"", ("A", ""), "127.0.0.1:9090"),
            ("[limits]\nuploads_max = 0", ("A", ""), "uploads_max"),
            ("", ("RETORT_REGISTRATION", "maybe"), "required"),
            ("listen = \"0.0.0.0:80\"", ("A", ""), "registration must be written"),
            ("public_url = \"https://validator.example\"", ("A", ""), "registration must be written"),
            ("trusted_proxies = [\"127.0.0.1/32\"]", ("A", ""), "registration must be written"),
            ("trusted_proxies = [\"somebody\"]", ("A", ""), "trusted_proxies: \"somebody\" is no network"),
            ("accuracy_device = \"gpu\"", ("A", ""), "write flex, wgpu, tch"),
            ("listen = \"localhost\"", ("A", ""), "\"127.0.0.1:7070\""),
            ("witnesses = [\"http://127.0.0.1:7071\"]", ("A", ""), "URL KEY"),
            ("witnesses = [\"ftp://127.0.0.1/ a+b+c\"]", ("A", ""), "https://witness.example/"),
            ("", ("RETORT_WITNESSES", "http://127.0.0.1:7071 retort.test/log+1+A"), "the key of the witness"),
        ] {
            let error = load(toml, &[variable]).unwrap_err();
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn an_empty_file_and_the_template_mean_the_defaults() {
        assert_eq!(load("", &[]).unwrap(), Config::default());
        assert_eq!(load(TEMPLATE, &[]).unwrap(), Config::default());
    }
}
