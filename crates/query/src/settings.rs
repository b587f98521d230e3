//! The settings of a session (SET, SHOW, RESET): which there are, what they may be, what they do.
//!
//! Settings that PostgreSQL's clients send and that change nothing here are taken and shown; ones
//! whose effect would be missed are refused.

use crate::error::{Error, raise};
use crate::limits;
use crate::session::SessionSettings;
use crate::store::Consistency;
use crate::time::Zone;
use std::collections::BTreeMap;
use traces::Context;

/// How a setting may be changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// To anything.
    Free,
    /// Never.
    Fixed,
    /// To a time zone.
    Zone,
    /// To on or off.
    Switch,
    /// To a whole number, perhaps with a unit of time.
    Milliseconds,
    /// To a whole number.
    Number,
    /// To UTF8.
    Encoding,
    /// To a style that starts with ISO.
    DateStyle,
    /// To how fresh what is read must be.
    Consistency,
    /// To a size in bytes, perhaps with a unit; 0 = no limit. Not above what its role has.
    Memory,
    /// To so many rows a second; the same.
    Rate,
    /// To a place in a trace, or to nothing.
    Trace,
}

/// Units of time, in milliseconds.
const TIMES: &[(&str, u64)] = &[("d", 86_400_000), ("h", 3_600_000), ("min", 60_000), ("s", 1000), ("ms", 1)];
/// Units of memory, in bytes.
const SIZES: &[(&str, u64)] = &[("TB", 1 << 40), ("GB", 1 << 30), ("MB", 1 << 20), ("kB", 1 << 10), ("B", 1)];

impl Rule {
    /// The unit in which values are kept, and PostgreSQL's word for what they are.
    pub(crate) fn kept(self) -> (Option<&'static str>, &'static str) {
        match self {
            Rule::Milliseconds => (Some("ms"), "integer"),
            Rule::Memory => (Some("B"), "integer"),
            Rule::Number | Rule::Rate => (None, "integer"),
            Rule::Switch => (None, "bool"),
            _ => (None, "string"),
        }
    }

    /// A value as PostgreSQL shows it: in the largest unit of which it is a whole number.
    fn shown(self, value: &str) -> String {
        match self {
            Rule::Milliseconds => in_units(value, TIMES),
            Rule::Memory => in_units(value, SIZES),
            _ => value.to_owned(),
        }
    }
}

fn in_units(value: &str, units: &[(&str, u64)]) -> String {
    let number = value.parse::<u64>().unwrap_or(0);
    let unit = units.iter().find(|(_, size)| number > 0 && number % size == 0);
    unit.map_or_else(|| value.to_owned(), |(unit, size)| format!("{}{unit}", number / size))
}

/// How a setting may be changed; None of one that is not declared.
pub(crate) fn rule_of(name: &str) -> Option<Rule> {
    DECLARED.iter().find(|setting| setting.name.eq_ignore_ascii_case(name)).map(|setting| setting.rule)
}

struct Declared {
    name: &'static str,
    default: &'static str,
    rule: Rule,
    reported: bool,
}

const fn declared(name: &'static str, default: &'static str, rule: Rule, reported: bool) -> Declared {
    Declared { name, default, rule, reported }
}

const DECLARED: &[Declared] = &[
    declared("application_name", "", Rule::Free, true),
    declared("backslash_quote", "safe_encoding", Rule::Free, false),
    declared("bytea_output", "hex", Rule::Fixed, false),
    declared("check_function_bodies", "on", Rule::Switch, false),
    declared("client_encoding", "UTF8", Rule::Encoding, true),
    declared("client_min_messages", "notice", Rule::Free, false),
    declared("datestyle", "ISO, MDY", Rule::DateStyle, true),
    declared("default_table_access_method", "", Rule::Free, false),
    declared("default_tablespace", "", Rule::Free, false),
    declared("default_transaction_deferrable", "off", Rule::Switch, false),
    declared("default_transaction_isolation", "read committed", Rule::Free, false),
    declared("default_transaction_read_only", "off", Rule::Switch, true),
    declared("escape_string_warning", "on", Rule::Switch, false),
    declared("extra_float_digits", "1", Rule::Number, false),
    declared("idle_in_transaction_session_timeout", "0", Rule::Milliseconds, false),
    declared("in_hot_standby", "off", Rule::Fixed, true),
    declared("integer_datetimes", "on", Rule::Fixed, true),
    declared("intervalstyle", "postgres", Rule::Fixed, true),
    declared("is_superuser", "on", Rule::Fixed, true),
    declared("jit", "off", Rule::Switch, false),
    declared("lc_collate", "C", Rule::Fixed, false),
    declared("lc_ctype", "C", Rule::Fixed, false),
    declared("lc_messages", "C", Rule::Free, false),
    declared("lc_monetary", "C", Rule::Free, false),
    declared("lc_numeric", "C", Rule::Free, false),
    declared("lc_time", "C", Rule::Free, false),
    declared("lock_timeout", "0", Rule::Milliseconds, false),
    declared("max_identifier_length", "63", Rule::Fixed, false),
    declared("max_index_keys", "32", Rule::Fixed, false),
    declared("meridian.copy_batch_rows", "0", Rule::Number, false),
    declared(limits::MEMORY, "0", Rule::Memory, false),
    declared("password_encryption", "scram-sha-256", Rule::Fixed, false),
    declared("plan_cache_mode", "auto", Rule::Free, false),
    declared("quote_all_identifiers", "off", Rule::Switch, false),
    declared("read_consistency", "primary", Rule::Consistency, false),
    declared("role", "none", Rule::Fixed, false),
    declared("row_security", "on", Rule::Switch, false),
    declared(limits::READ, "0", Rule::Rate, false),
    declared(limits::WRITTEN, "0", Rule::Rate, false),
    declared("search_path", "public", Rule::Free, false),
    declared("server_encoding", "UTF8", Rule::Fixed, true),
    declared("server_version", "16.0", Rule::Fixed, true),
    declared("server_version_num", "160000", Rule::Fixed, false),
    declared("session_authorization", "meridian", Rule::Fixed, true),
    declared("standard_conforming_strings", "on", Rule::Fixed, true),
    declared("statement_timeout", "0", Rule::Milliseconds, false),
    declared("synchronous_commit", "on", Rule::Free, false),
    declared("timezone", "UTC", Rule::Zone, true),
    declared("traceparent", "", Rule::Trace, false),
    declared("transaction_deferrable", "off", Rule::Switch, false),
    declared("transaction_isolation", "read committed", Rule::Free, false),
    declared("transaction_read_only", "off", Rule::Switch, false),
    declared("work_mem", "4MB", Rule::Free, false),
    declared("xmloption", "content", Rule::Free, false),
];

/// How many settings of its own (`app.user`) a client may make, and how long name and value may be together, in bytes.
const OWN_MAX: usize = 64;
const OWN_BYTES_MAX: usize = 8 << 10;

/// How clients spell some of the names.
fn spelled(name: &str) -> &str {
    match name {
        "timezone" => "TimeZone",
        "datestyle" => "DateStyle",
        "intervalstyle" => "IntervalStyle",
        other => other,
    }
}

/// A session's settings.
#[derive(Clone, Debug, Default)]
pub(crate) struct Variables {
    values: BTreeMap<String, String>,
    defaults: BTreeMap<String, String>,
    zone: Option<Zone>,
    /// Whether no limit may be set above its default, which is the role's.
    bounded: bool,
    /// Whether rows that are read are limited.
    pub reads_are_limited: bool,
    trace: Option<Context>,
}

impl Variables {
    /// Those of a new session. A time zone that is none is left as UTC.
    pub(crate) fn of(settings: &SessionSettings) -> Self {
        let mut values: BTreeMap<String, String> =
            DECLARED.iter().map(|setting| (setting.name.to_owned(), setting.default.to_owned())).collect();
        values.insert("application_name".to_owned(), settings.application_name.clone());
        values.insert("session_authorization".to_owned(), settings.user.clone());
        let zone = Zone::parse(&settings.time_zone).ok();
        if zone.is_some() {
            values.insert("timezone".to_owned(), settings.time_zone.clone());
        }
        Variables { defaults: values.clone(), values, zone, bounded: false, reads_are_limited: false, trace: None }
    }

    /// Takes on what a role's sessions begin with, which RESET goes back to. What is no longer a setting is left out.
    pub(crate) fn begin_with(&mut self, settings: &BTreeMap<String, String>) {
        for (name, value) in settings {
            if self.set(name, Some(value)).is_ok() {
                self.defaults.insert(name.clone(), self.values[name].clone());
            }
        }
    }

    /// Writes down what is so; the answer is what clients are told.
    pub(crate) fn tell(&mut self, name: &str, value: &str) -> Option<(String, String)> {
        let before = self.values.insert(name.to_owned(), value.to_owned());
        self.defaults.insert(name.to_owned(), value.to_owned());
        let reported = DECLARED.iter().any(|setting| setting.name == name && setting.reported);
        (reported && before.as_deref() != Some(value)).then(|| (spelled(name).to_owned(), value.to_owned()))
    }

    /// A setting's name and value as they are kept, of a session that is yet to come; the default's where no value is given.
    pub(crate) fn checked_value(name: &str, value: Option<&str>) -> Result<(String, String), Error> {
        let mut fresh = Variables::of(&SessionSettings::default());
        let key = name.to_ascii_lowercase();
        if let Some(setting) = DECLARED.iter().find(|setting| setting.name == key)
            && setting.rule == Rule::Fixed
        {
            return Err(raise(Error::CantChange, format!("parameter \"{}\" cannot be changed", spelled(setting.name))));
        }
        fresh.set(&key, value)?;
        let value = fresh.values[&key].clone();
        Ok((key, value))
    }

    /// Follows what a role has of limits: they are the defaults, and where the session is bounded nothing is above them.
    pub(crate) fn bound_by(&mut self, role: &BTreeMap<String, String>, bounded: bool) {
        self.bounded = bounded;
        for name in limits::NAMES {
            let of_role = role.get(name).map_or("0", String::as_str);
            let before = self.defaults.insert(name.to_owned(), of_role.to_owned());
            let follows = |value: &String| before.as_ref() == Some(value) || (bounded && is_above(value, of_role));
            if self.values.get(name).is_none_or(follows) {
                self.values.insert(name.to_owned(), of_role.to_owned());
            }
        }
        self.reads_are_limited = self.values.get(limits::READ).is_some_and(|rate| rate != "0");
    }

    /// Is bounded as others are, whatever it was when it was kept.
    pub(crate) fn bound_as(&mut self, others: &Variables) {
        self.bound_by(&others.defaults, others.bounded);
    }

    pub(crate) fn zone(&self) -> Zone {
        self.zone.unwrap_or(Zone::Utc)
    }

    /// The trace that the session's statements are parts of.
    pub(crate) fn trace(&self) -> Option<Context> {
        self.trace
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.values.get(&name.to_ascii_lowercase()).map(String::as_str)
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("on")
    }

    /// How fresh what is read must be.
    pub(crate) fn consistency(&self) -> Consistency {
        // Only what `checked` took is kept.
        self.get("read_consistency").and_then(|value| Consistency::parse(value).ok()).unwrap_or_default()
    }

    /// A setting that is a whole number.
    pub(crate) fn number(&self, name: &str) -> u64 {
        self.get(name).and_then(|value| value.parse().ok()).unwrap_or(0)
    }

    /// A setting as it is shown to people: `10s`, not `10000`.
    pub(crate) fn shown(&self, name: &str) -> Option<String> {
        let key = name.to_ascii_lowercase();
        let value = self.values.get(&key)?;
        Some(rule_of(&key).map_or_else(|| value.clone(), |rule| rule.shown(value)))
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.values.iter().map(|(name, value)| (spelled(name), value.as_str()))
    }

    pub(crate) fn reported(&self) -> Vec<(String, String)> {
        let shown = |setting: &Declared| (spelled(setting.name).to_owned(), self.values[setting.name].clone());
        DECLARED.iter().filter(|setting| setting.reported).map(shown).collect()
    }

    /// Sets one (None = back to its default). The answer is its new value, where clients are told.
    pub(crate) fn set(&mut self, name: &str, value: Option<&str>) -> Result<Option<(String, String)>, Error> {
        let key = name.to_ascii_lowercase();
        let Some(setting) = DECLARED.iter().find(|setting| setting.name == key) else {
            if key.contains('.') && !key.starts_with("meridian.") {
                return self.set_own(key, value).map(|()| None);
            }
            return Err(raise(Error::UnknownObject, format!("unrecognized configuration parameter \"{name}\"")));
        };
        let value = match value {
            None => self.defaults[&key].clone(),
            Some(value) => checked(setting, value, &self.values[&key])?,
        };
        if self.bounded && matches!(setting.rule, Rule::Memory | Rule::Rate) && is_above(&value, &self.defaults[&key]) {
            let role = setting.rule.shown(&self.defaults[&key]);
            return Err(raise(
                Error::Forbidden,
                format!("permission denied to set parameter \"{key}\" above {role}, which the role has"),
            )
            .with_hint(format!("only less can be set; a superuser can give the role more: ALTER ROLE .. SET {key} = ..")));
        }
        if setting.rule == Rule::Zone {
            self.zone = Some(Zone::parse(&value)?);
        }
        self.reads_are_limited = if key == limits::READ { value != "0" } else { self.reads_are_limited };
        if setting.rule == Rule::Trace {
            self.trace = value.parse().ok();
        }
        self.values.insert(key, value.clone());
        Ok(setting.reported.then(|| (spelled(setting.name).to_owned(), value)))
    }
}

impl Variables {
    /// A setting of the client's own, which means nothing here and is kept for it, as in PostgreSQL.
    fn set_own(&mut self, key: String, value: Option<&str>) -> Result<(), Error> {
        let Some(value) = value else {
            self.values.remove(&key);
            return Ok(());
        };
        let own = self.values.keys().filter(|key| key.contains('.') && !key.starts_with("meridian.")).count();
        if key.len() + value.len() > OWN_BYTES_MAX || (own >= OWN_MAX && !self.values.contains_key(&key)) {
            let message = format!("a session may have {OWN_MAX} settings of its own, each of {OWN_BYTES_MAX} bytes");
            return Err(raise(Error::Limit, message));
        }
        self.values.insert(key, value.to_owned());
        Ok(())
    }
}

/// Whether a limit allows more than another one; 0 = no limit.
fn is_above(value: &str, other: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok().filter(|limit| *limit > 0).unwrap_or(u64::MAX);
    number(value) > number(other)
}

fn checked(setting: &Declared, value: &str, now: &str) -> Result<String, Error> {
    let wrong = |hint: &str| {
        let message = format!("invalid value for parameter \"{}\": \"{value}\"", spelled(setting.name));
        Err(raise(Error::InvalidParameter, message).with_hint(hint))
    };
    match setting.rule {
        Rule::Free => Ok(value.to_owned()),
        Rule::Fixed if value.eq_ignore_ascii_case(now) => Ok(now.to_owned()),
        Rule::Fixed => Err(raise(Error::CantChange, format!("parameter \"{}\" cannot be changed", spelled(setting.name)))),
        Rule::Zone => Zone::parse(value).map(|_| value.to_owned()),
        Rule::Switch => match value.to_ascii_lowercase().as_str() {
            "on" | "true" | "yes" | "1" => Ok("on".to_owned()),
            "off" | "false" | "no" | "0" => Ok("off".to_owned()),
            _ => wrong("on or off"),
        },
        Rule::Number | Rule::Rate => value.parse::<u64>().map(|number| number.to_string()).or_else(|_| wrong("a whole number")),
        Rule::Milliseconds => {
            milliseconds(value).map_or_else(|| wrong("a whole number of ms, or with a unit: 10s, 5min"), |ms| Ok(ms.to_string()))
        }
        Rule::Memory => bytes(value)
            .map_or_else(|| wrong("a whole number of bytes, or with a unit: 64MB, 2GB"), |bytes| Ok(bytes.to_string())),
        Rule::Consistency => Consistency::parse(value).map(|known| known.to_string()),
        Rule::Trace if value.is_empty() => Ok(String::new()),
        Rule::Trace => match value.parse::<Context>() {
            Ok(_) => Ok(value.trim().to_owned()),
            Err(malformed) => wrong(&malformed.to_string()),
        },
        Rule::Encoding if is_utf8(value) => Ok("UTF8".to_owned()),
        Rule::Encoding => wrong("only UTF8 is supported"),
        Rule::DateStyle if value.to_ascii_lowercase().starts_with("iso") => Ok(now.to_owned()),
        Rule::DateStyle => wrong("only ISO is supported"),
    }
}

/// Whether a name of an encoding means UTF-8: as in PostgreSQL only its letters and digits count (asyncpg sends `'utf-8'`).
fn is_utf8(name: &str) -> bool {
    let letters: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    ["utf8", "unicode"].contains(&letters.to_ascii_lowercase().as_str())
}

/// A size: with PostgreSQL's units, or with those of the configuration (`MiB`); each is a power of 1024.
fn bytes(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let unit = value[digits..].trim();
    let is = |name: &str| {
        name.eq_ignore_ascii_case(unit) || (name.len() == 2 && format!("{}iB", &name[..1]).eq_ignore_ascii_case(unit))
    };
    let size = if unit.is_empty() { 1 } else { SIZES.iter().find(|(name, _)| is(name))?.1 };
    number.checked_mul(size)
}

fn milliseconds(value: &str) -> Option<u64> {
    let value = value.trim();
    let digits = value.find(|c: char| !c.is_ascii_digit()).unwrap_or(value.len());
    let number: u64 = value[..digits].parse().ok()?;
    let unit = match value[digits..].trim() {
        "" => "ms",
        unit => unit,
    };
    let (_, size) = TIMES.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*size)
}
