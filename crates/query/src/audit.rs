//! What the audit log is told: who changed roles and rights, who operated the node or the fleet, who was refused. The doors add who
//! came in, and who did not.
//!
//! Each is an event of `tracing` with the target `AUDIT`; whoever runs the process says where those go. Promises: an event is told
//! after its outcome is known, with the text of its statement as the register of statements shows it: without passwords.

use crate::access::Access;
use crate::error::{Error, raise};
use crate::session::Session;

/// The target of its events.
pub const AUDIT: &str = "audit";

/// As much of a statement as is told.
const STATEMENT_BYTES_MAX: usize = 4_096;

/// How it ended, as a SQLSTATE.
fn outcome(error: Option<&Error>) -> &'static str {
    error.map_or("00000", Error::sqlstate)
}

/// The trace that is told of: the error's, or that of what is done now.
fn trace(error: Option<&Error>) -> Option<traces::TraceId> {
    error.and_then(|error| error.report().trace).or_else(|| traces::current().map(|context| context.trace))
}

impl Session {
    /// Tells of a statement that was done, or refused.
    pub(crate) fn audit(&self, event: &'static str, sql: &str, error: Option<&Error>) {
        tracing::info!(
            target: AUDIT,
            event,
            session = self.id,
            session_user = &*self.access.session_user(),
            current_user = &*self.access.current_user(),
            client = self.settings.client,
            application = self.settings.application_name,
            sqlstate = outcome(error),
            statement = &sql[..sql.floor_char_boundary(STATEMENT_BYTES_MAX)],
            error = error.map(Error::message),
            trace_id = trace(error).map(tracing::field::display),
        );
    }

    /// Tells of what a door refused for want of a right; `what` names it, for it is no statement.
    pub fn refused(&self, what: &str, message: &str) {
        self.audit_refusal(what, &raise(Error::Forbidden, message));
    }

    /// Tells of a statement that failed for want of a right.
    pub(crate) fn audit_refusal(&self, sql: &str, error: &Error) {
        if matches!(error, Error::Forbidden(_)) {
            self.audit("statement refused", sql, Some(error));
        }
    }
}

/// Tells of a function of whoever operates: a node's, or a fleet's.
pub(crate) fn operated(session: i32, access: &Access, call: &str, done: &Result<String, Error>) {
    tracing::info!(
        target: AUDIT,
        event = "operation",
        session,
        session_user = &*access.session_user(),
        current_user = &*access.current_user(),
        sqlstate = outcome(done.as_ref().err()),
        call,
        answer = done.as_deref().ok(),
        error = done.as_ref().err().map(Error::message),
        trace_id = trace(done.as_ref().err()).map(tracing::field::display),
    );
}
