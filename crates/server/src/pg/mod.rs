//! The PostgreSQL door: protocol 3.0, simple and extended, COPY, cancelling, SCRAM, TLS.
//!
//! ```text
//! listener -> a thread's own runtime -> startup -> Connection: frames in, one write a Sync out
//!                                                    |  point statements run here, inline
//!                                                    +- all others: Job on the query runtime,
//!                                                       rows come back through a bounded channel
//! ```
//!
//! Its own loop and codec stand where pgwire's could (docs/decisions/0005-postgresql-loop.md says why); SCRAM is
//! pgwire's. It knows statements only through `query`.

mod connection;
mod copy;
pub(crate) mod encode;
pub(crate) mod error;
mod extended;
mod frame;
mod job;
pub(crate) mod listen;
mod output;
mod parameters;
mod point;
mod simple;
pub(crate) mod socket;
mod startup;
pub(crate) mod types;
mod value;

use error::{Report, Severity};

/// An engine's error as clients are told.
pub(crate) fn report_of(error: &query::Error) -> Report {
    Report {
        severity: Severity::Error,
        sqlstate: error.sqlstate().into(),
        message: error.message().to_owned(),
        detail: error.detail().map(str::to_owned),
        hint: error.hint().map(str::to_owned),
        position: error.position(),
        trace: error.report().trace.map(Box::new),
    }
}

/// An engine's notice as clients are told.
fn notice_of(notice: &query::Notice) -> Report {
    Report {
        severity: if notice.severity == "WARNING" { Severity::Warning } else { Severity::Notice },
        sqlstate: notice.sqlstate.into(),
        message: notice.message.clone(),
        detail: None,
        hint: notice.hint.clone(),
        position: None,
        trace: None,
    }
}
