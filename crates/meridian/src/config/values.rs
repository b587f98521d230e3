//! The types that a setting can have: each knows how it is written, read and measured.
//!
//! Promises: what `show` writes, `parse` reads back to an equal value; `measure` orders values of
//! one type as their size does, and is what a setting's range is held against.

use super::units::{parse_size, parse_span, show_size, show_span};
use std::path::PathBuf;
use std::time::Duration;

/// A type of setting.
pub trait Value: Sized {
    /// What a person should write, for --help and the docs.
    const UNIT: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    /// What was wrong and what is understood, for a person.
    fn parse(text: &str) -> Result<Self, String>;

    /// Writes the value as it can be read back.
    fn show(&self) -> String;

    /// Its size, where it has one; compared with the ends of a range.
    fn measure(&self) -> Option<f64> {
        None
    }
}

/// Bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Value for Bytes {
    const UNIT: &'static str = "size (512MiB, 4GiB)";

    fn parse(text: &str) -> Result<Self, String> {
        parse_size(text).map(Bytes)
    }

    fn show(&self) -> String {
        show_size(self.0)
    }

    fn measure(&self) -> Option<f64> {
        Some(self.0 as f64)
    }
}

/// Bytes, or "auto": worked out from other settings and the machine when the configuration is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoBytes(pub Option<u64>);

impl AutoBytes {
    /// The bytes, once worked out (0 before).
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0.unwrap_or_default()
    }
}

impl Value for AutoBytes {
    const UNIT: &'static str = "size (512MiB, 4GiB) or auto";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("auto") { Ok(AutoBytes(None)) } else { parse_size(text).map(|b| AutoBytes(Some(b))) }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), show_size)
    }

    fn measure(&self) -> Option<f64> {
        self.0.map(|bytes| bytes as f64)
    }
}

/// A number, or "auto".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoCount(pub Option<u32>);

impl Value for AutoCount {
    const UNIT: &'static str = "number or auto";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("auto") { Ok(AutoCount(None)) } else { u32::parse(text).map(|n| AutoCount(Some(n))) }
    }

    fn show(&self) -> String {
        self.0.map_or_else(|| "auto".to_owned(), |n| n.to_string())
    }

    fn measure(&self) -> Option<f64> {
        self.0.map(f64::from)
    }
}

impl Value for Duration {
    const UNIT: &'static str = "duration (200ms, 30s, 1d)";

    fn parse(text: &str) -> Result<Self, String> {
        parse_span(text)
    }

    fn show(&self) -> String {
        show_span(*self)
    }

    fn measure(&self) -> Option<f64> {
        Some(self.as_secs_f64())
    }
}

/// A duration, or "never" / "none".
impl Value for Option<Duration> {
    const UNIT: &'static str = "duration (12h, 30d) or never";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "never" | "none" => Ok(None),
            _ => parse_span(text).map(Some),
        }
    }

    fn show(&self) -> String {
        self.map_or_else(|| "never".to_owned(), show_span)
    }

    fn measure(&self) -> Option<f64> {
        self.map(|span| span.as_secs_f64())
    }
}

macro_rules! whole_number {
    ($($inner:ty),*) => {$(
        impl Value for $inner {
            const UNIT: &'static str = "number";

            fn parse(text: &str) -> Result<Self, String> {
                text.trim().replace('_', "").parse().map_err(|_| format!("\"{text}\" is not a whole number that can be used here"))
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn measure(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )*};
}
whole_number!(u32, u64);

impl Value for bool {
    const UNIT: &'static str = "true or false";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "on" | "yes" | "1" => Ok(true),
            "false" | "off" | "no" | "0" => Ok(false),
            _ => Err(format!("\"{text}\" is neither true nor false")),
        }
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Option<PathBuf> {
    const UNIT: &'static str = "path or none";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(if text.is_empty() || text == "none" { None } else { Some(PathBuf::from(text)) })
    }

    fn show(&self) -> String {
        self.as_ref().map_or_else(|| "none".to_owned(), |path| path.display().to_string())
    }
}

impl Value for String {
    const UNIT: &'static str = "text";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> String {
        self.clone()
    }
}

/// Where a door listens: HOST:PORT, or "none" for a door that stays shut. Port 0 = any free one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen(pub Option<String>);

impl Value for Listen {
    const UNIT: &'static str = "HOST:PORT or none";

    fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text == "none" {
            return Ok(Listen(None));
        }
        let wrong = || format!("\"{text}\" is not an address; write HOST:PORT, such as 127.0.0.1:5432 or [::1]:0, or none");
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().map_err(|_| wrong())?;
        if host.is_empty() || (host.contains(':') && !(host.starts_with('[') && host.ends_with(']'))) {
            return Err(wrong());
        }
        Ok(Listen(Some(text.to_owned())))
    }

    fn show(&self) -> String {
        self.0.clone().unwrap_or_else(|| "none".to_owned())
    }
}

/// When a commit is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DurabilitySetting(pub kernel::Durability);

impl Value for DurabilitySetting {
    const UNIT: &'static str = "commit, or a duration (200ms)";

    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().eq_ignore_ascii_case("commit") {
            return Ok(DurabilitySetting(kernel::Durability::Commit));
        }
        let span = parse_span(text).map_err(|_| format!("\"{text}\" is neither commit nor a duration such as 200ms"))?;
        Ok(DurabilitySetting(kernel::Durability::Interval(span)))
    }

    fn show(&self) -> String {
        match self.0 {
            kernel::Durability::Commit => "commit".to_owned(),
            kernel::Durability::Interval(span) => show_span(span),
        }
    }

    fn measure(&self) -> Option<f64> {
        match self.0 {
            kernel::Durability::Commit => None,
            kernel::Durability::Interval(span) => Some(span.as_secs_f64()),
        }
    }
}

/// How the program's own log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// Lines for a person.
    Text,
    /// One JSON object a line.
    Json,
}

impl Value for LogFormat {
    const UNIT: &'static str = "auto, text or json";

    fn parse(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "auto" => Ok(LogFormat::Auto),
            "text" => Ok(LogFormat::Text),
            "json" => Ok(LogFormat::Json),
            _ => Err(format!("\"{text}\" is not a log format; there are auto, text and json")),
        }
    }

    fn show(&self) -> String {
        match self {
            LogFormat::Auto => "auto",
            LogFormat::Text => "text",
            LogFormat::Json => "json",
        }
        .to_owned()
    }
}

/// A word that is never shown again: not by --print-config, not in a log.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub Option<String>);

impl Secret {
    /// What is shown in place of a secret that was given.
    pub const HIDDEN: &'static str = "(hidden)";
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(&self.show())
    }
}

impl Value for Secret {
    const UNIT: &'static str = "text or none";

    fn parse(text: &str) -> Result<Self, String> {
        Ok(Secret((!text.is_empty() && text != "none").then(|| text.to_owned())))
    }

    fn show(&self) -> String {
        self.0.as_ref().map_or("none", |_| Secret::HIDDEN).to_owned()
    }
}
