//! Where values come from, and which one stands: flag over environment over file over default.
//!
//! Promises: as `config` says; what it found is told for every setting.

use super::ConfigError;
use super::settings::{Config, SETTINGS};
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// A configuration file.
    File(PathBuf),
    /// An environment variable.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => out.write_str("default"),
            Origin::File(path) => write!(out, "file {}", path.display()),
            Origin::Environment(name) => write!(out, "environment {name}"),
            Origin::Flag(name) => write!(out, "flag --{name}"),
        }
    }
}

/// A configuration, and where each value came from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The values in force.
    pub config: Config,
    /// Their origins, by name.
    pub origins: BTreeMap<&'static str, Origin>,
    /// What deserves a word in the log: variables that look like settings and are none.
    pub warnings: Vec<String>,
}

/// Makes the configuration. `flags` are those that were given, by setting name; `file` is the
/// file to read, if any; `environment` is all of it.
///
/// # Errors
/// `ConfigError`: the first thing that is wrong.
pub fn load(
    file: Option<&Path>,
    environment: &HashMap<String, String>,
    flags: &HashMap<&'static str, String>,
) -> Result<Loaded, ConfigError> {
    let mut texts: BTreeMap<&'static str, (String, Origin)> =
        SETTINGS.iter().map(|setting| (setting.name, (setting.default.to_owned(), Origin::Default))).collect();
    if let Some(path) = file {
        for (name, text) in read_file(path)? {
            texts.insert(name, (text, Origin::File(path.to_path_buf())));
        }
    }
    for setting in SETTINGS {
        let variable = setting.variable();
        if let Some(text) = environment.get(&variable) {
            texts.insert(setting.name, (text.clone(), Origin::Environment(variable)));
        }
        if let Some(text) = flags.get(setting.name) {
            texts.insert(setting.name, (text.clone(), Origin::Flag(setting.flag())));
        }
    }
    let read = Config::read(|name| texts[name].0.clone()).and_then(Config::settle);
    let config = read.map_err(|cause| with_origin(cause, &texts))?;
    let origins = texts.into_iter().map(|(name, (_, origin))| (name, origin)).collect();
    Ok(Loaded { config, origins, warnings: strangers(environment) })
}

fn with_origin(cause: ConfigError, texts: &BTreeMap<&'static str, (String, Origin)>) -> ConfigError {
    match &cause {
        ConfigError::Value { name, .. } if texts[name].1 != Origin::Default => {
            let origin = texts[name].1.to_string();
            ConfigError::From { cause: Box::new(cause), origin }
        }
        _ => cause,
    }
}

/// Variables of ours that are not settings.
const VARIABLES: [&str; 2] = ["MERIDIAN_CONFIG", "MERIDIAN_HISTORY"];

fn strangers(environment: &HashMap<String, String>) -> Vec<String> {
    let mut names: Vec<&String> = environment.keys().filter(|name| name.starts_with("MERIDIAN_")).collect();
    names.sort();
    let known = |name: &str| VARIABLES.contains(&name) || SETTINGS.iter().any(|setting| setting.variable() == name);
    names
        .into_iter()
        .filter(|name| !known(name))
        .map(|name| {
            let key = name.trim_start_matches("MERIDIAN_").to_ascii_lowercase();
            format!("environment variable {name} is no setting{}", suggestion(&key))
        })
        .collect()
}

fn read_file(path: &Path) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let text = std::fs::read_to_string(path).map_err(|cause| ConfigError::File { path: path.to_path_buf(), cause })?;
    parse_file(path, &text)
}

/// The settings in a file's text.
///
/// # Errors
/// `ConfigError::Syntax`, `ConfigError::UnknownKey`, `ConfigError::Value` for a value that is neither text, number nor truth.
pub(super) fn parse_file(path: &Path, text: &str) -> Result<Vec<(&'static str, String)>, ConfigError> {
    let table: toml::Table = text.parse().map_err(|error: toml::de::Error| ConfigError::Syntax {
        path: path.to_path_buf(),
        problem: error.to_string().trim_end().to_owned(),
    })?;
    let mut found = Vec::new();
    for (key, value) in table {
        let Some(setting) = SETTINGS.iter().find(|setting| setting.name == key) else {
            let suggestion = suggestion(&key);
            return Err(ConfigError::UnknownKey { path: path.to_path_buf(), key, suggestion });
        };
        let text = match value {
            toml::Value::String(text) => text,
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(truth) => truth.to_string(),
            other => {
                let problem = format!("a {} can't stand here; write {}", other.type_str(), setting.unit);
                return Err(ConfigError::Value { name: setting.name, problem });
            }
        };
        found.push((setting.name, text));
    }
    Ok(found)
}

/// "; did you mean X?" for the nearest setting, where one is near.
fn suggestion(key: &str) -> String {
    let key = key.to_ascii_lowercase().replace('-', "_");
    let nearest = SETTINGS
        .iter()
        .map(|setting| (distance(&key, setting.name), setting.name))
        .chain(SETTINGS.iter().filter(|setting| key.len() >= 4 && setting.name.contains(&key)).map(|setting| (1, setting.name)))
        .min();
    match nearest {
        Some((far, name)) if far <= 1 + name.len() / 3 => format!("; did you mean \"{name}\"?"),
        _ => "; `meridian serve --print-config` lists all of them".to_owned(),
    }
}

/// Levenshtein's distance of two short ASCII names.
fn distance(a: &str, b: &str) -> usize {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
