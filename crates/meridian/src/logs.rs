//! The program's own log: structured, to stderr; text on a terminal, JSON elsewhere or by option.
//!
//! Promises: a log that nobody reads any more (a collector that died) keeps nothing from being done.

use crate::Error;
use crate::config::{Config, LogFormat};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

/// Starts the log. Once a process.
///
/// # Errors
/// `Error::Usage` where `log_level` is no filter.
pub fn start(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.log_level)
        .map_err(|error| Error::Usage(format!("setting log_level: \"{}\" is no filter: {error}", config.log_level)))?;
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
