//! The program's own log: structured, to stderr; text on a terminal, JSON elsewhere or by option.
//!
//! Promises: a log that nobody reads any more (a collector that died) keeps nothing from being done.

use crate::Error;
use crate::config::{Config, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// Starts the log. Once a process.
///
/// # Errors
/// `Error::Usage` where `log_level` is no filter.
pub fn start(config: &Config) -> Result<(), Error> {
    let filter = filter(&config.log_level)?;
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    // Where nobody reads the log any more, telling that there would end the process.
    let builder = tracing_subscriber::fmt().log_internal_errors(false);
    let builder = builder.with_env_filter(filter).with_writer(std::io::stderr);
    let started = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).with_target(false).try_init()
    };
    started.map_err(|error| Error::Usage(format!("the log can't be started: {error}")))
}

/// The filter that a text is.
fn filter(text: &str) -> Result<EnvFilter, Error> {
    // A word alone that is no level would be taken for the name of a module, of which there is none, and nothing be logged.
    if !text.contains(['=', ',', '[']) && text.parse::<LevelFilter>().is_err() {
        return Err(Error::Usage(format!(
            "setting log_level: \"{text}\" is no level; give off, error, warn, info, debug or trace, or a filter such as \"info,kernel=debug\""
        )));
    }
    EnvFilter::try_new(text).map_err(|error| Error::Usage(format!("setting log_level: \"{text}\" is no filter: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_no_level_is_refused_by_naming_those_that_are() {
        for text in ["off", "error", "warn", "info", "debug", "trace", "INFO", "kernel=debug", "info,kernel=debug", "info,bogus"]
        {
            assert!(filter(text).is_ok(), "{text}");
        }
        for text in ["bogus", "inf", "warning", "kernel", " info"] {
            let error = filter(text).unwrap_err().to_string();
            assert!(error.contains("no level; give off, error, warn, info, debug or trace"), "{text}: {error}");
        }
    }
}
