//! What a client is told when something went wrong, or is worth knowing: severity, SQLSTATE,
//! message, detail, hint and position.

use super::frame::FrameError;
use std::borrow::Cow;
use traces::TraceId;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The connection ends.
    Fatal,
    /// The statement failed.
    Error,
    /// It may not be what was meant.
    Warning,
    /// Worth knowing.
    Notice,
}

impl Severity {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Severity::Fatal => "FATAL",
            Severity::Error => "ERROR",
            Severity::Warning => "WARNING",
            Severity::Notice => "NOTICE",
        }
    }
}

/// An error or notice for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) severity: Severity,
    pub(crate) sqlstate: Cow<'static, str>,
    pub(crate) message: String,
    pub(crate) detail: Option<String>,
    pub(crate) hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub(crate) position: Option<u32>,
    /// The trace that the statement is a part of; apart, so that answers which may be an error stay small.
    pub(crate) trace: Option<Box<TraceId>>,
}

impl Report {
    pub(crate) fn new(severity: Severity, sqlstate: &'static str, message: impl Into<String>) -> Report {
        Report {
            severity,
            sqlstate: sqlstate.into(),
            message: message.into(),
            detail: None,
            hint: None,
            position: None,
            trace: None,
        }
    }

    pub(crate) fn error(sqlstate: &'static str, message: impl Into<String>) -> Report {
        Report::new(Severity::Error, sqlstate, message)
    }

    pub(crate) fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Report {
        Report::new(Severity::Fatal, sqlstate, message)
    }

    #[cfg(test)]
    pub(crate) fn at(mut self, position: usize) -> Report {
        self.position = u32::try_from(position).ok();
        self
    }

    pub(crate) fn hinted(mut self, hint: impl Into<String>) -> Report {
        self.hint = Some(hint.into());
        self
    }

    /// Whether the machine or the server is at fault: resources (53), the system (58), what must not be (XX).
    pub(crate) fn concerns_the_operator(&self) -> bool {
        self.sqlstate != "53300" && ["53", "58", "XX"].iter().any(|class| self.sqlstate.starts_with(class))
    }

    /// The client asked for it to stop.
    pub(crate) fn cancelled() -> Report {
        Report::error("57014", "canceling statement due to user request")
    }

    /// Somebody has ended the session.
    pub(crate) fn terminated() -> Report {
        Report::fatal("57P01", "terminating connection due to administrator command")
    }

    /// The server stops.
    pub(crate) fn stopping() -> Report {
        Report::fatal("57P01", "terminating connection: the server is shutting down")
    }
}

impl From<FrameError> for Report {
    fn from(error: FrameError) -> Report {
        match error {
            FrameError::Malformed(what) => Report::fatal("08P01", format!("invalid message: {what}")),
            FrameError::TooLong { bytes, limit } => {
                Report::fatal("54000", format!("a message of {bytes} bytes is more than the {limit} that one may have")).hinted(
                    "send the data in smaller parts (COPY takes any amount in pieces), or raise the setting message_bytes_max",
                )
            }
        }
    }
}
