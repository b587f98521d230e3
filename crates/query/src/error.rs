//! What can go wrong in a statement: a variant a condition, each with its SQLSTATE and whether a
//! retry can help; and the translation of every lower floor's errors into them.
//!
//! Promises: every error that leaves this crate carries a five-letter SQLSTATE, says what was wrong,
//! and where it can, at which character of the statement and what to do.

use std::fmt;
use thiserror::Error as ThisError;
use traces::{Context, TraceId};

mod place;
mod translate;

pub(crate) use place::{find_word, position_of};
pub(crate) use translate::{from_datafusion, from_parser, nearest};

/// What an error says to its reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What was wrong, in one sentence without a full stop.
    pub message: String,
    /// More about it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// At which character of the statement, from 1.
    pub position: Option<u32>,
    /// The address of the node of a fleet that failed.
    pub node: Option<String>,
    /// The trace that the statement is a part of.
    pub trace: Option<TraceId>,
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident = $state:literal, $retry:literal;)*) => {
        /// A failed statement.
        #[derive(Clone, Debug, PartialEq, Eq, ThisError)]
        pub enum Error {
            $($(#[$doc])* #[error("{0}")] $name(Box<Report>),)*
        }

        impl Error {
            /// The five letters that PostgreSQL's clients know the condition by.
            #[must_use]
            pub fn sqlstate(&self) -> &'static str {
                match self { $(Error::$name(_) => $state,)* }
            }

            /// Whether the same statement may succeed later without being changed.
            #[must_use]
            pub fn may_retry(&self) -> bool {
                match self { $(Error::$name(_) => $retry,)* }
            }

            /// The condition that clients know by these five letters.
            pub(crate) fn of_state(state: &str, report: Report) -> Option<Error> {
                match state {
                    $($state => Some(Error::$name(Box::new(report))),)*
                    _ => None,
                }
            }

            /// What it says.
            #[must_use]
            pub fn report(&self) -> &Report {
                match self { $(Error::$name(report) => report,)* }
            }

            fn report_mut(&mut self) -> &mut Report {
                match self { $(Error::$name(report) => report,)* }
            }
        }
    };
}

conditions! {
    /// The text is not SQL.
    Syntax = "42601", false;
    /// SQL that is not (yet) understood, or would not be done as it says.
    Unsupported = "0A000", false;
    /// No such table.
    UnknownTable = "42P01", false;
    /// No such column.
    UnknownColumn = "42703", false;
    /// A column could be one of several.
    AmbiguousColumn = "42702", false;
    /// No such function, or not with these arguments.
    UnknownFunction = "42883", false;
    /// No such object of another sort (prepared statement, setting).
    UnknownObject = "42704", false;
    /// No such schema.
    UnknownSchema = "3F000", false;
    /// A position in ORDER BY or GROUP BY that the select list does not have.
    ColumnPosition = "42P10", false;
    /// A column is not in GROUP BY.
    Grouping = "42803", false;
    /// A window function where none may stand.
    Windowing = "42P20", false;
    /// A LIMIT below zero.
    Limiting = "2201W", false;
    /// An escape of LIKE that is none, or that escapes nothing.
    InvalidEscape = "22025", false;
    /// A regular expression that is none.
    InvalidRegex = "2201B", false;
    /// Bounds or a count of `width_bucket` that make no buckets.
    Buckets = "2201G", false;
    /// An OFFSET below zero.
    Offsetting = "2201X", false;
    /// A logarithm of what has none.
    Logarithm = "2201E", false;
    /// A power or a root that is no number.
    Power = "2201F", false;
    /// A length of a part of a text below zero.
    Substring = "22011", false;
    /// A bound of a window's frame below zero.
    Frame = "22013", false;
    /// A count of tiles that makes none.
    Tiles = "22014", false;
    /// An array whose parts have different lengths.
    Ragged = "2202E", false;
    /// Types do not fit together.
    Type = "42804", false;
    /// A parameter's type can't be told.
    ParameterType = "42P18", false;
    /// A parameter that was not given, or too many.
    ParameterCount = "08P01", false;
    /// Text that can't be read as the type wanted.
    InvalidText = "22P02", false;
    /// A number outside what its type holds.
    OutOfRange = "22003", false;
    /// Text that is not a date or time.
    InvalidTime = "22007", false;
    /// A date or time outside what can be held.
    TimeOverflow = "22008", false;
    /// A value that is not allowed.
    InvalidParameter = "22023", false;
    /// Division by zero.
    DivisionByZero = "22012", false;
    /// NULL where none may be.
    NullValue = "23502", false;
    /// A tag that is not there.
    UnknownTag = "23503", false;
    /// A tag that is there already.
    DuplicateTag = "23505", false;
    /// A value that breaks a rule of its table.
    Check = "23514", false;
    /// Malformed COPY data.
    CopyFormat = "22P04", false;
    /// Bytes that are no text.
    Encoding = "22021", false;
    /// A value of another kind than its tag.
    Cardinality = "21000", false;
    /// Not allowed in the session's state.
    TransactionState = "25000", false;
    /// There is no transaction block.
    NoTransaction = "25P01", false;
    /// Not inside a transaction block.
    ActiveTransaction = "25001", false;
    /// No such savepoint.
    UnknownSavepoint = "3B001", false;
    /// No such cursor.
    UnknownCursor = "34000", false;
    /// A cursor or portal of that name is open.
    DuplicateCursor = "42P03", false;
    /// No such prepared statement.
    UnknownStatement = "26000", false;
    /// A prepared statement of that name is there.
    DuplicateStatement = "42P05", false;
    /// A parameter where none may stand.
    UnknownParameter = "42P02", false;
    /// The transaction block has failed.
    TransactionFailed = "25P02", false;
    /// A write in a read-only transaction.
    ReadOnly = "25006", false;
    /// Something is not in a state that allows it: a cursor that goes forward only, a write that was lost with an
    /// asynchronous primary.
    NotInState = "55000", false;
    /// A setting can't be changed.
    CantChange = "55P02", false;
    /// A table, tag or setting that this role may not touch.
    Forbidden = "42501", false;
    /// A role that there is not, or that may not come in.
    InvalidRole = "28000", false;
    /// A role that there is already.
    DuplicateObject = "42710", false;
    /// A name that is kept for something else.
    ReservedName = "42939", false;
    /// Something that can't be granted, or not to this role.
    InvalidGrant = "0LP01", false;
    /// Others depend on what was to go.
    Depended = "2BP01", false;
    /// Something that is used right now.
    InUse = "55006", false;
    /// Cancelled by the user, by another session or by a time limit.
    Cancelled = "57014", true;
    /// The server is stopping.
    ShuttingDown = "57P01", true;
    /// No node of the fleet may serve this now.
    Unavailable = "57P03", true;
    /// A node of the fleet was lost in the middle of a statement.
    Unreachable = "08006", true;
    /// The statement was planned for slices that have moved since.
    Stale = "40001", true;
    /// Queries' share of the memory budget is used up.
    OutOfMemory = "53200", true;
    /// The disk is full.
    DiskFull = "53100", true;
    /// A configured limit was reached.
    Limit = "53400", false;
    /// A statement too large or too deep.
    TooComplex = "54001", false;
    /// A write beyond what one commit may hold, a value beyond what one may have.
    TooLarge = "54000", false;
    /// Reading or writing a file failed.
    Io = "58030", true;
    /// A file is damaged.
    Damaged = "XX001", false;
    /// A fault of ours.
    Internal = "XX000", false;
}

/// Makes an error of a condition: `raise(Error::Syntax, "..")`.
pub(crate) fn raise(condition: fn(Box<Report>) -> Error, message: impl Into<String>) -> Error {
    condition(Box::new(Report { message: message.into(), ..Report::default() }))
}

impl Error {
    /// An error for a statement or a format that the caller can't do; for the floors above.
    #[must_use]
    pub fn unsupported(message: impl Into<String>) -> Error {
        raise(Error::Unsupported, message)
    }

    /// An array whose parts have different lengths; for the floors above.
    #[must_use]
    pub fn ragged() -> Error {
        raise(Error::Ragged, "multidimensional arrays must have array expressions with matching dimensions")
    }

    /// No node of the fleet may serve this now; for the floors above.
    #[must_use]
    pub fn unavailable(message: impl Into<String>) -> Error {
        raise(Error::Unavailable, message)
    }

    /// What a session wrote was lost with a primary that had not sent it on; for the floors above.
    #[must_use]
    pub fn lost_write(message: impl Into<String>) -> Error {
        raise(Error::NotInState, message).with_hint(
            "the slice is replicated asynchronously; read what is there with SET read_consistency = 'primary', and write again what is missing",
        )
    }

    /// A node of the fleet was lost; for the floors above.
    #[must_use]
    pub fn unreachable(message: impl Into<String>) -> Error {
        raise(Error::Unreachable, message)
    }

    /// A file could not be written; for the floors above.
    #[must_use]
    pub fn io(message: impl Into<String>) -> Error {
        raise(Error::Io, message)
    }

    /// A value that is not allowed; for the floors above.
    #[must_use]
    pub fn invalid(message: impl Into<String>) -> Error {
        raise(Error::InvalidParameter, message)
    }

    /// A slice is not what the statement was planned for; for the floors above.
    #[must_use]
    pub fn stale(message: impl Into<String>) -> Error {
        raise(Error::Stale, message)
    }

    /// What was wrong.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.report().message
    }

    /// More about it.
    #[must_use]
    pub fn detail(&self) -> Option<&str> {
        self.report().detail.as_deref()
    }

    /// What to do.
    #[must_use]
    pub fn hint(&self) -> Option<&str> {
        self.report().hint.as_deref()
    }

    /// At which character of the statement, from 1.
    #[must_use]
    pub fn position(&self) -> Option<u32> {
        self.report().position
    }

    /// The same error, of a trace.
    #[must_use]
    pub(crate) fn traced(mut self, trace: Option<Context>) -> Error {
        if let Some(trace) = trace {
            self.report_mut().trace = Some(trace.trace);
        }
        self
    }

    /// The same error with a hint.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Error {
        self.report_mut().hint = Some(hint.into());
        self
    }

    /// The same error with a detail.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Error {
        self.report_mut().detail = Some(detail.into());
        self
    }

    /// The same error with the address of the node that failed, unless it has one already.
    pub(crate) fn at_node(mut self, node: &str) -> Error {
        self.report_mut().node.get_or_insert_with(|| node.to_owned());
        self
    }

    /// The same error at a character of the statement, from 1, unless it has a place already.
    #[must_use]
    pub fn at(mut self, position: Option<u32>) -> Error {
        let report = self.report_mut();
        report.position = report.position.or(position);
        self
    }

    /// The same error, its place moved by the characters that stand before the statement.
    #[must_use]
    pub fn shifted(mut self, characters: u32) -> Error {
        if let Some(position) = &mut self.report_mut().position {
            *position += characters;
        }
        self
    }
}

impl From<Error> for datafusion::error::DataFusionError {
    fn from(error: Error) -> Self {
        datafusion::error::DataFusionError::External(Box::new(error))
    }
}
