//! The program's own log: structured, to stderr; text on a terminal, JSON elsewhere or by option. And the audit log, where a file
//! is given for it: who came in, who was refused, who changed what (`query::AUDIT`), a line of JSON each.
//!
//! Promises: a log that nobody reads any more (a collector that died) keeps nothing from being done; the audit log is only appended
//! to, and opened anew on SIGHUP, so that it can be moved away; what could not be written there is said on stderr.

use crate::Error;
use crate::config::{Config, LogFormat};
use parking_lot::Mutex;
use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

static AUDIT: OnceLock<Audit> = OnceLock::new();

/// Starts the logs. Once a process.
///
/// # Errors
/// `Error::Usage` where `log_level` is no filter, `Error::File` where the audit log can't be opened.
pub fn start(config: &Config) -> Result<(), Error> {
    let filter = filter(&config.log_level)?;
    let told = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        // What a client's bytes made Arrow's reader assert is told to that client; it must not fill the log.
        if !server::flight::is_reading() {
            told(panic);
        }
    }));
    let terminal = std::io::stderr().is_terminal();
    let json = match config.log_format {
        LogFormat::Json => true,
        LogFormat::Text => false,
        LogFormat::Auto => !terminal,
    };
    let audit = config.audit_log.as_deref().map(Audit::open).transpose()?;
    let told_apart = audit.is_some();
    let audit = audit.map(|audit| {
        let audit = AUDIT.get_or_init(|| audit);
        let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).json().flatten_event(true);
        layer
            .with_level(false)
            .with_target(false)
            .with_writer(audit.clone())
            .with_filter(Targets::new().with_target(query::AUDIT, LevelFilter::TRACE))
    });
    // Where nobody reads the log any more, telling that there would end the process.
    let layer = tracing_subscriber::fmt::layer().log_internal_errors(false).with_writer(std::io::stderr);
    let layer = if json {
        layer.json().flatten_event(true).boxed()
    } else {
        layer.with_ansi(terminal && std::env::var_os("NO_COLOR").is_none()).with_target(false).boxed()
    };
    let not_apart = tracing_subscriber::filter::filter_fn(move |event| !told_apart || event.target() != query::AUDIT);
    let started = tracing_subscriber::registry().with(layer.with_filter(not_apart).with_filter(filter)).with(audit).try_init();
    started.map_err(|error| Error::Usage(format!("the log can't be started: {error}")))
}

/// Opens the audit log's file anew, where there is one.
pub fn reopen() {
    if let Some(audit) = AUDIT.get()
        && let Err(cause) = audit.reopen()
    {
        tracing::error!(%cause, "the audit log goes on in the file that was open");
    }
}

/// The audit log's file.
#[derive(Clone)]
struct Audit {
    path: Arc<PathBuf>,
    file: Arc<Mutex<File>>,
}

impl Audit {
    fn open(path: &Path) -> Result<Audit, Error> {
        Ok(Audit { path: Arc::new(path.to_path_buf()), file: Arc::new(Mutex::new(appended(path)?)) })
    }

    fn reopen(&self) -> Result<(), Error> {
        *self.file.lock() = appended(&self.path)?;
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "a log of the program, not of the store")]
fn appended(path: &Path) -> Result<File, Error> {
    use std::os::unix::fs::OpenOptionsExt;
    let opened = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    opened.map_err(|cause| Error::File { path: path.to_path_buf(), cause })
}

impl<'a> MakeWriter<'a> for Audit {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line(self)
    }
}

/// Writes an event, which comes as a whole line.
struct Line<'a>(&'a Audit);

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Err(cause) = self.0.file.lock().write_all(bytes) {
            // Whoever reads stderr keeps the line; there is nobody else to tell.
            let told = format!("the audit log {}: {cause}: ", self.0.path.display());
            let mut stderr = std::io::stderr().lock();
            drop(stderr.write_all(told.as_bytes()).and_then(|()| stderr.write_all(bytes)));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
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
