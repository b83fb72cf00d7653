//! The first stage: what the program proposes, over it one TOML file, over that the environment, over
//! that the flags.

use std::path::Path;

use figment::Figment;
use figment::providers::{Env, Format, Serialized, Toml};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ConfigError;

/// Between the parts of a key in a variable's name: `ROCHDALE_PDS__PORT` is `pds.port`.
const SEPARATOR: &str = "__";

/// A key with dots between its parts, such as `pds.port`, and its value.
pub type Setting = (&'static str, Value);

/// Where settings come from, besides the environment. What stands further down wins.
#[derive(Debug, Default)]
pub struct Sources<'a> {
    /// What the program proposes instead of the defaults of the keys.
    pub proposed: Vec<Setting>,
    /// The configuration file. Variables win over it.
    pub file: Option<&'a Path>,
    /// What flags of the command line say. They win over variables.
    pub flags: Vec<Setting>,
}

/// Reads `sources`, and between its file and its flags the variables that begin with `prefix`.
///
/// # Errors
/// A file that cannot be read, or a key that is unknown or of the wrong kind, by name, with what is
/// allowed.
pub fn load<T: DeserializeOwned>(prefix: &str, sources: Sources<'_>) -> Result<T, ConfigError> {
    let Sources {
        proposed,
        file,
        flags,
    } = sources;
    let mut figment = merge(Figment::new(), proposed);
    if let Some(file) = file {
        let text = std::fs::read_to_string(file).map_err(|cause| {
            ConfigError::Unreadable(format!("cannot read {}: {cause}", file.display()))
        })?;
        figment = figment.merge(Toml::string(&text));
    }
    figment = figment.merge(Env::prefixed(prefix).split(SEPARATOR));
    merge(figment, flags)
        .extract()
        .map_err(|error| unreadable(&error, file))
}

fn merge(figment: Figment, settings: Vec<Setting>) -> Figment {
    let merge = |figment: Figment, (key, value)| figment.merge(Serialized::default(key, value));
    settings.into_iter().fold(figment, merge)
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
    use serde_json::json;
    use std::io::Write as _;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields, default)]
    struct Section {
        port: u16,
        name: String,
        open: bool,
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
    fn the_file_wins_over_what_is_proposed_and_flags_win_over_both() {
        let file = file("[pds]\nport = 2\nname = 'co-op'\n");
        let sources = Sources {
            proposed: vec![
                ("pds.port", json!(1)),
                ("pds.name", json!("proposed")),
                ("pds.open", json!(true)),
            ],
            file: Some(file.path()),
            flags: vec![("pds.port", json!(3))],
        };
        let raw: Raw = load("ROCHDALE_TEST_NONE_", sources).unwrap();
        assert_eq!((raw.pds.port, raw.pds.open), (3, true));
        assert_eq!(raw.pds.name, "co-op");
    }

    #[test]
    fn unknown_keys_and_wrong_kinds_are_named() {
        let from = |file: &Path| {
            let sources = Sources {
                file: Some(file),
                ..Sources::default()
            };
            let read = load::<Raw>("ROCHDALE_TEST_NONE_", sources);
            read.unwrap_err().to_string()
        };
        for (text, named) in [
            ("[pds]\nprot = 1\n", "prot"),
            ("[pds]\nport = 'high'\n", "pds.port"),
            ("[pds]\nport = 70000\n", "pds.port"),
            ("[sdp]\n", "sdp"),
            ("[pds\n", "TOML"),
        ] {
            let error = from(file(text).path());
            assert!(error.contains(named), "{text:?}: {error}");
        }
        assert!(from(Path::new("/nowhere.toml")).contains("/nowhere.toml"));
    }
}
