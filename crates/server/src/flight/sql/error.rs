//! Errors of statements as gRPC knows them: a code that clients act on, and in the message and in the trailer `sqlstate` the
//! five letters that SQL knows the condition by.

use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

/// The trailer that holds the SQLSTATE.
pub(crate) const TRAILER: &str = "sqlstate";

/// An engine's error.
pub(crate) fn of(error: &query::Error) -> Status {
    let mut message = error.message().to_owned();
    for (what, text) in [("detail", error.detail()), ("hint", error.hint())] {
        if let Some(text) = text {
            message.push_str(&format!("; {what}: {text}"));
        }
    }
    if let Some(position) = error.position() {
        message.push_str(&format!("; at character {position}"));
    }
    with(code(error.sqlstate()), error.sqlstate(), &message)
}

/// An error of this door.
pub(crate) fn new(sqlstate: &'static str, message: impl AsRef<str>) -> Status {
    with(code(sqlstate), sqlstate, message.as_ref())
}

/// A message that can't be understood.
pub(crate) fn malformed(what: impl std::fmt::Display) -> Status {
    let shown: String = what.to_string().chars().take(200).collect();
    with(Code::InvalidArgument, "08P01", &format!("malformed message: {shown}"))
}

/// An error of the columnar door, which names no SQLSTATE, with the one of its sort.
pub(crate) fn named(status: Status) -> Status {
    if status.metadata().get(TRAILER).is_some() {
        return status;
    }
    let sqlstate = match status.code() {
        Code::InvalidArgument => "22023",
        Code::NotFound => "23503",
        Code::PermissionDenied => "42501",
        Code::AlreadyExists => "23505",
        Code::ResourceExhausted => "53100",
        Code::Unauthenticated if status.message().starts_with("password") => "28P01",
        Code::Unauthenticated => "28000",
        Code::Unimplemented => "0A000",
        Code::Unavailable => "57P03",
        Code::Aborted => "40001",
        Code::Cancelled => "57014",
        _ => "XX000",
    };
    with(status.code(), sqlstate, status.message())
}

fn with(code: Code, sqlstate: &'static str, message: &str) -> Status {
    let mut status = Status::new(code, format!("{message} (SQLSTATE {sqlstate})"));
    status.metadata_mut().insert(TRAILER, MetadataValue::from_static(sqlstate));
    status
}

/// What clients act on.
fn code(sqlstate: &str) -> Code {
    match sqlstate {
        "0A000" => Code::Unimplemented,
        "23503" | "26000" | "42P01" | "42704" => Code::NotFound,
        "23505" | "42P05" => Code::AlreadyExists,
        "25006" | "42501" => Code::PermissionDenied,
        "57014" => Code::Cancelled,
        "XX001" => Code::DataLoss,
        _ => match &sqlstate[..2] {
            "08" if sqlstate == "08P01" => Code::InvalidArgument,
            "08" | "57" | "58" => Code::Unavailable,
            "28" => Code::Unauthenticated,
            "25" | "55" => Code::FailedPrecondition,
            "40" => Code::Aborted,
            "53" => Code::ResourceExhausted,
            "XX" => Code::Internal,
            _ => Code::InvalidArgument,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sort_of_error_has_its_code() {
        for (sqlstate, expected) in [
            ("42601", Code::InvalidArgument),
            ("42P01", Code::NotFound),
            ("0A000", Code::Unimplemented),
            ("53200", Code::ResourceExhausted),
            ("57P03", Code::Unavailable),
            ("08P01", Code::InvalidArgument),
            ("08006", Code::Unavailable),
            ("40001", Code::Aborted),
            ("XX000", Code::Internal),
        ] {
            let status = new(sqlstate, "what");
            assert_eq!((status.code(), status.message()), (expected, format!("what (SQLSTATE {sqlstate})").as_str()));
            assert_eq!(status.metadata().get(TRAILER).map(|value| value.as_bytes()), Some(sqlstate.as_bytes()));
        }
    }

    #[test]
    fn what_has_a_sqlstate_keeps_it() {
        let status = named(named(Status::not_found("row 3: there is no tag \"x\"")));
        assert_eq!(status.message(), "row 3: there is no tag \"x\" (SQLSTATE 23503)");
    }
}
