//! What is said of settings: the docs page, a file to begin with, and the values in force.
//!
//! Promises: each holds every setting of the table, once, and nothing else.

use super::settings::{SETTINGS, Setting};
use super::sources::{Loaded, Origin};
use super::values::Secret;
use std::fmt::Write;

/// What is said of the units of values.
const UNITS: &str =
    "Sizes are written with B, KiB, MiB, GiB or TiB (KB, MB and GB mean the same); durations with us, ms, s, min, h, d or w.";
/// Where the store lies in the file to begin with: the one setting that has no default which `serve` can use.
const EXAMPLE_DIR: &str = "/var/lib/meridian";
/// Characters of a line in that file.
const EXAMPLE_WIDTH: usize = 100;

/// The page docs/configuration.md, made by `meridian config-docs`.
#[must_use]
pub fn docs_page() -> String {
    let mut page = String::from(
        "# Configuration\n\n\
         <!-- Made by `meridian config-docs` from the declarations in crates/meridian/src/config/settings.rs; a test compares them. -->\n\n\
         Every setting has one name everywhere: `memory_bytes` in a file, `MERIDIAN_MEMORY_BYTES` in the environment, \
         `--memory-bytes` as a flag of `meridian serve`. A flag stands above the environment, the environment above the \
         file, the file above the default. `meridian serve --print-config` shows the values in force and where each came \
         from, in a form that can be used as a file.\n\n\
         A file is named by `--config FILE` or `MERIDIAN_CONFIG`:\n\n\
         ```toml\n# meridian.toml\ndir = \"/var/lib/meridian\"\npg = \"0.0.0.0:5432\"\nmemory_bytes = \"8GiB\"\n```\n\n",
    );
    let _ = writeln!(
        page,
        "{UNITS} An unknown key in a file is an error. `meridian config-docs --example` prints a file with all settings in it, \
         commented out (the Debian package installs it as `/etc/meridian/meridian.toml`)."
    );
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(
                page,
                "\n## {section}\n\n| setting | default | what may stand there | range | what it does |\n|---|---|---|---|---|\n"
            );
        }
        let range = setting.range.map_or_else(String::new, |(low, high)| format!("{low} to {high}"));
        let (name, default) = (setting.name, setting.default);
        let _ = writeln!(page, "| `{name}` | `{default}` | {} | {range} | {} |", setting.unit, setting.paragraph());
    }
    page
}

/// A file to begin with: every setting with its default, commented out, but the store's directory.
#[must_use]
pub fn example_file() -> String {
    let mut file = String::new();
    paragraph(&mut file, "Meridian's configuration (`meridian serve --config FILE`): every setting with its default.");
    paragraph(
        &mut file,
        "A flag of `meridian serve` stands above the environment (MERIDIAN_NAME), the environment above this file, this file \
         above the default. `meridian serve --config FILE --print-config` shows the values in force.",
    );
    paragraph(&mut file, UNITS);
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(file, "\n## {section}\n");
        }
        let range = setting.range.map_or_else(String::new, |(low, high)| format!(", {low} to {high}"));
        file.push('\n');
        paragraph(&mut file, &format!("{} ({}{range})", setting.paragraph(), setting.unit));
        let _ = match setting.name {
            "dir" => writeln!(file, "{}", assignment("dir", EXAMPLE_DIR)),
            name => writeln!(file, "#{}", assignment(name, setting.default)),
        };
    }
    file
}

/// Adds a text as comment lines.
fn paragraph(file: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        if line.chars().count() + 1 + word.chars().count() > EXAMPLE_WIDTH {
            let _ = writeln!(file, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(word);
    }
    let _ = writeln!(file, "{line}");
}

/// A setting as TOML: a number or a truth stands bare, everything else is a string.
fn assignment(name: &str, value: &str) -> String {
    let bare = value.parse::<i64>().is_ok() || value == "true" || value == "false";
    // A JSON string is a TOML string too.
    if bare { format!("{name} = {value}") } else { format!("{name} = {}", serde_json::Value::from(value)) }
}

/// A flag's help text in `--help`.
#[must_use]
pub fn flag_help(setting: &Setting) -> String {
    let range = setting.range.map_or_else(String::new, |(low, high)| format!(", {low} to {high}"));
    format!("{} [default: {}{range}] [env: {}]", setting.paragraph(), setting.default, setting.variable())
}

/// The values in force, as TOML with the origin of each as a comment.
#[must_use]
pub fn print_config(loaded: &Loaded) -> String {
    let shown = loaded.config.shown();
    let line = |name: &str, value: &str| {
        // A secret is not shown.
        if value == Secret::HIDDEN { format!("# {name} = {value}") } else { assignment(name, value) }
    };
    let lines: Vec<(String, String)> = shown
        .iter()
        .map(|(name, value)| {
            let setting = super::settings::find(name).expect("every value shown is of a setting in the table");
            let worked_out = setting.default != value && loaded.origins[name] == Origin::Default;
            let origin = if worked_out { format!("default {}", setting.default) } else { loaded.origins[name].to_string() };
            (line(name, value), origin)
        })
        .collect();
    let width = lines.iter().map(|(line, _)| line.len()).max().unwrap_or(0);
    let mut out = String::new();
    for (line, origin) in lines {
        let _ = writeln!(out, "{line:<width$}  # {origin}");
    }
    out
}
