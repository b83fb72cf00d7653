//! The first stage: one TOML file, over it the environment, over that the flags.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;

use super::ConfigError;

/// Between the parts of a key in a variable's name: `ROCHDALE_PDS__PORT` is `pds.port`.
const SEPARATOR: &str = "__";

/// Reads `file` (if given), then variables that begin with `prefix`, then `overrides`.
///
/// # Errors
/// A file that cannot be read, or a key that is unknown or of the wrong kind, by name, with what is
/// allowed.
pub fn load<T: DeserializeOwned>(
    file: Option<&Path>,
    prefix: &str,
    overrides: toml::Table,
) -> Result<T, ConfigError> {
    let mut figment = Figment::new();
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|cause| {
            ConfigError::Unreadable(format!("cannot read {}: {cause}", file.display()))
        })?;
        figment = figment.merge(Toml::string(&text));
    }
    figment = figment.merge(Env::prefixed(prefix).split(SEPARATOR));
    figment = figment.merge(Serialized::defaults(overrides));
    figment.extract().map_err(|error| unreadable(&error, file))
}

fn unreadable(error: &figment::Error, file: Option<&Path>) -> ConfigError {
    let key = error.path.join(".");
    let place = match (&error.metadata, file) {
        (Some(metadata), Some(file)) if metadata.name.contains("TOML") => {
            format!(" in {}", file.display())
        }
        (Some(metadata), _) if metadata.name.contains("environment") => {
            " in the environment".to_owned()
        }
        _ => String::new(),
    };
    let at = if key.is_empty() {
        String::new()
    } else {
        format!(" at {key}")
    };
    ConfigError::Unreadable(format!("configuration error{place}{at}: {}", error.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::io::Write as _;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Section {
        port: u16,
        name: String,
    }

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Raw {
        pds: Section,
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    }

    #[test]
    fn flags_win_over_the_file() {
        let file = file("[pds]\nport = 1\nname = 'co-op'\n");
        let overrides: toml::Table = toml::from_str("[pds]\nport = 2\n").unwrap();
        let raw: Raw = load(Some(file.path()), "ROCHDALE_TEST_NONE_", overrides).unwrap();
        assert_eq!(
            raw.pds,
            Section {
                port: 2,
                name: "co-op".to_owned()
            }
        );
    }

    #[test]
    fn unknown_keys_and_wrong_kinds_are_named() {
        for (text, named) in [
            ("[pds]\nprot = 1\n", "prot"),
            ("[pds]\nport = 'high'\n", "pds.port"),
            ("[pds]\nport = 70000\n", "pds.port"),
            ("[sdp]\n", "sdp"),
            ("[pds\n", "TOML"),
        ] {
            let file = file(text);
            let error = load::<Raw>(Some(file.path()), "ROCHDALE_TEST_NONE_", toml::Table::new())
                .unwrap_err()
                .to_string();
            assert!(error.contains(named), "{text:?}: {error}");
        }
        let error = load::<Raw>(Some(Path::new("/nowhere.toml")), "X_", toml::Table::new());
        assert!(error.unwrap_err().to_string().contains("/nowhere.toml"));
    }
}
