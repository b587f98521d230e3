//! Other floors' errors in our words: kernel, catalog, DataFusion, Arrow and the parser.
//!
//! DataFusion's variants name who failed, not what was wrong, so its texts are matched here and
//! nowhere else; what no rule knows becomes XX000 with the text kept, never a guess.

use super::place::{begins_word, find_relation, find_word, position_of};
use super::{Error, Report, raise};
use arrow::error::ArrowError;
use datafusion::common::{Diagnostic, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::sql::sqlparser::parser::ParserError;

impl From<kernel::Error> for Error {
    fn from(error: kernel::Error) -> Error {
        let text = error.to_string();
        match error {
            kernel::Error::UnknownTag(_) => raise(Error::UnknownTag, text),
            kernel::Error::WrongKind { .. } => raise(Error::Type, text),
            kernel::Error::TooLarge { .. } => raise(Error::TooLarge, text).with_hint("send fewer rows in one statement"),
            kernel::Error::RuleIsSet => raise(Error::CantChange, text),
            kernel::Error::Rule(_) => raise(Error::InvalidParameter, text),
            kernel::Error::DiskFull(_) => raise(Error::DiskFull, text).with_hint("nothing was kept; make room and send it again"),
            kernel::Error::Damaged(_) => raise(Error::Damaged, text)
                .with_hint("stop the server and run `meridian check`; `--repair` keeps everything that is whole"),
            kernel::Error::Poisoned(_) | kernel::Error::Read(_) | kernel::Error::Open(_) => raise(Error::Io, text),
            // SQL numbers no batches.
            kernel::Error::Behind { .. } => raise(Error::Internal, text),
            kernel::Error::Led { .. } => raise(Error::Internal, text),
            kernel::Error::Closed => raise(Error::ShuttingDown, text),
        }
    }
}

impl From<catalog::Error> for Error {
    fn from(error: catalog::Error) -> Error {
        let text = error.to_string();
        match error {
            catalog::Error::Exists(_) => raise(Error::DuplicateTag, text),
            catalog::Error::Unknown(_) => raise(Error::UnknownTag, text),
            catalog::Error::Invalid { .. } => raise(Error::Check, text),
            catalog::Error::Damaged(_) => raise(Error::Damaged, text),
            catalog::Error::DiskFull(_) => raise(Error::DiskFull, text),
            catalog::Error::Poisoned(_) | catalog::Error::Open(_) => raise(Error::Io, text),
            // The doors of a fleet ask a scheduler.
            catalog::Error::Led | catalog::Error::Own | catalog::Error::Unreadable(_) => raise(Error::Internal, text),
            catalog::Error::Torn => raise(Error::Unavailable, text),
            catalog::Error::Closed => raise(Error::ShuttingDown, text),
        }
    }
}

impl From<world::Abandoned> for Error {
    fn from(error: world::Abandoned) -> Error {
        raise(Error::ShuttingDown, error.to_string())
    }
}

/// The error in our words; `sql` is the statement, for places in it.
pub(crate) fn from_datafusion(error: &DataFusionError, sql: &str) -> Error {
    let position = error.diagnostic().and_then(|diagnostic: &Diagnostic| diagnostic.span).and_then(|span| {
        position_of(sql, span.start.line, span.start.column) //
    });
    // What the parser noted is the exact place; of words that we put into the statement it noted none, or a wrong one.
    let noted = position.filter(|position| begins_word(sql, *position));
    let mut error = translated(error, sql);
    if noted.is_some() {
        error.report_mut().position = noted;
    }
    error
}

fn translated(error: &DataFusionError, sql: &str) -> Error {
    match error {
        DataFusionError::External(inner) => external(inner.as_ref(), sql),
        DataFusionError::Shared(inner) => translated(inner, sql),
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => from_datafusion(inner, sql),
        DataFusionError::Collection(all) => {
            all.first().map_or_else(|| internal("an empty collection of errors"), |first| from_datafusion(first, sql))
        }
        DataFusionError::ArrowError(inner, _) => from_arrow(inner, sql),
        DataFusionError::SQL(inner, _) => from_parser(inner, sql),
        DataFusionError::SchemaError(inner, _) => from_schema(inner, sql),
        DataFusionError::ResourcesExhausted(text) => from_exhausted(text),
        DataFusionError::IoError(inner) => from_io(inner),
        DataFusionError::NotImplemented(text) if text.contains("WindowFunction(") => from_text(text, sql),
        DataFusionError::NotImplemented(text) => raise(Error::Unsupported, first_line(text)),
        DataFusionError::Plan(text) | DataFusionError::Execution(text) | DataFusionError::Configuration(text) => {
            crate::fleet::told(text).unwrap_or_else(|| from_text(text, sql))
        }
        DataFusionError::Internal(text) => from_internal(text, sql),
        other => from_text(&other.strip_backtrace(), sql),
    }
}

fn external(inner: &(dyn std::error::Error + Send + Sync + 'static), sql: &str) -> Error {
    if let Some(ours) = inner.downcast_ref::<Error>() {
        return ours.clone();
    }
    if let Some(theirs) = inner.downcast_ref::<DataFusionError>() {
        return from_datafusion(theirs, sql);
    }
    if let Some(arrow) = inner.downcast_ref::<ArrowError>() {
        return from_arrow(arrow, sql);
    }
    let text = inner.to_string();
    if text.starts_with("regex parse error") || text.starts_with("Compiled regex exceeds size limit") {
        return bad_regex(&text);
    }
    internal(&text)
}

fn from_arrow(error: &ArrowError, sql: &str) -> Error {
    match error {
        ArrowError::ExternalError(inner) => external(inner.as_ref(), sql),
        ArrowError::DivideByZero => raise(Error::DivisionByZero, "division by zero"),
        ArrowError::ArithmeticOverflow(text) => raise(Error::OutOfRange, text.clone()),
        ArrowError::NotYetImplemented(text) => raise(Error::Unsupported, first_line(text)),
        ArrowError::MemoryError(text) => raise(Error::OutOfMemory, text.clone()),
        ArrowError::IoError(_, inner) => from_io(inner),
        ArrowError::CastError(text) | ArrowError::ParseError(text) | ArrowError::ComputeError(text) => from_text(text, sql),
        ArrowError::InvalidArgumentError(text) => from_text(text, sql),
        other => internal(&other.to_string()),
    }
}

fn from_io(error: &std::io::Error) -> Error {
    if error.to_string().contains("max_temp_directory_size") {
        return spilled_too_much(&error.to_string());
    }
    if error.kind() == std::io::ErrorKind::StorageFull {
        return raise(Error::DiskFull, format!("no room for a query's spilled data: {error}"));
    }
    raise(Error::Io, error.to_string())
}

fn from_exhausted(text: &str) -> Error {
    if text.contains("max_temp_directory_size")
        || text.contains("during the spilling process")
        || text.contains("disk usage")
        || text.contains("spilled")
    {
        return spilled_too_much(text);
    }
    // Who holds most stands on lines of its own.
    let detail = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    if detail.contains(crate::limits::MEMORY) {
        return raise(Error::OutOfMemory, "out of memory: the role's or the session's memory_limit is reached")
            .with_detail(detail)
            .with_hint(
                "narrow the query, wait until the role's other statements have ended, or have a superuser raise the limit",
            );
    }
    raise(Error::OutOfMemory, "out of memory for queries")
        .with_detail(detail)
        .with_hint("narrow the query, or raise query_bytes_max")
}

fn spilled_too_much(text: &str) -> Error {
    raise(Error::Limit, "queries' spilled data reached their limit")
        .with_detail(first_line(text))
        .with_hint("narrow the query, or raise spill_bytes_max")
}

/// The parser's error, with the place taken from its text.
pub(crate) fn from_parser(error: &ParserError, sql: &str) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => return raise(Error::TooComplex, "the statement is nested too deeply"),
    };
    let (message, place) = text.split_once(" at Line: ").unwrap_or((text, ""));
    let mut numbers = place.split(|c: char| !c.is_ascii_digit()).filter(|part| !part.is_empty());
    let line = numbers.next().and_then(|number| number.parse().ok());
    let column = numbers.next().and_then(|number| number.parse().ok());
    let position = line.zip(column).and_then(|(line, column)| position_of(sql, line, column));
    let unsupported = ["not supported", "unsupported", "not yet"].iter().any(|word| message.to_lowercase().contains(word));
    raise(if unsupported { Error::Unsupported } else { Error::Syntax }, format!("syntax error: {message}")).at(position)
}

fn from_schema(error: &SchemaError, sql: &str) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let name = field.name();
            let known: Vec<&str> = valid_fields.iter().map(|field| field.name()).collect();
            let error = raise(Error::UnknownColumn, format!("column \"{}\" does not exist", field.flat_name()));
            let error = match nearest(name, &known) {
                Some(near) => error.with_hint(format!("perhaps you meant the column \"{near}\"")),
                None if known.is_empty() || known.len() > 40 => error,
                None => error.with_hint(format!("columns are {}", known.join(", "))),
            };
            error.at(find_word(sql, name))
        }
        SchemaError::AmbiguousReference { field } => {
            raise(Error::AmbiguousColumn, format!("column reference \"{}\" is ambiguous", field.name()))
                .at(find_word(sql, field.name()))
        }
        SchemaError::DuplicateQualifiedField { name, .. } | SchemaError::DuplicateUnqualifiedField { name } => {
            raise(Error::AmbiguousColumn, format!("column \"{name}\" is there twice"))
                .with_hint("give one of them another name with AS")
        }
    }
}

/// What stands where it may not.
fn misplaced(line: &str, lower: &str) -> Option<Error> {
    let has = |part: &str| lower.contains(part);
    Some(if has("aggregate functions are not allowed") {
        raise(Error::Grouping, line)
    } else if has("does not support logical expression windowfunction") {
        raise(Error::Windowing, "window functions are not allowed here").with_hint("ask for them in a subquery, or use QUALIFY")
    } else if has("limit must be >= 0") {
        raise(Error::Limiting, "LIMIT must not be negative")
    } else if has("offset must be >= 0") || has("offset must be >=0") {
        raise(Error::Offsetting, "OFFSET must not be negative")
    } else if has("order by column out of bounds") {
        let position = line.split(|c: char| !c.is_ascii_digit()).find(|part| !part.is_empty()).unwrap_or_default();
        raise(Error::ColumnPosition, format!("ORDER BY position {position} is not in the select list"))
    } else if has("order by index starts at 1") {
        raise(Error::ColumnPosition, "ORDER BY position 0 is not in the select list")
    } else if has("cannot find column with position") {
        raise(Error::ColumnPosition, line)
    } else {
        return None;
    })
}

/// An argument that a function of DataFusion's refuses, by the condition that PostgreSQL has for it.
fn refused_argument(line: &str, lower: &str) -> Option<Error> {
    let has = |part: &str| lower.contains(part);
    Some(if has("negative count not allowed") || has("overlay start position must be") {
        raise(Error::Substring, "negative substring length not allowed").with_detail(line)
    } else if has("zero raised to a negative power") || has("cannot take square root") {
        raise(Error::Power, line)
    } else if has("ntile requires a positive integer") {
        raise(Error::Tiles, "argument of ntile must be greater than zero")
    } else if has("frame offsets for rows / groups must be non negative") {
        raise(Error::Frame, "the offset of a frame must not be negative")
    } else if has("percentile value must be between") || has("is too large to store in a decimal") {
        raise(Error::OutOfRange, line)
    } else if has("invalid unicode scalar value: -") {
        raise(Error::InvalidParameter, "character number must be positive")
    } else if has("invalid unicode scalar value") {
        raise(Error::TooLarge, "requested character not valid for encoding").with_detail(line)
    } else if has("unable to parse date from") || has("month value '") || has("day value '") || has("year value '") {
        raise(Error::TimeOverflow, "date field value out of range").with_detail(line)
    } else {
        return None;
    })
}

/// A regular expression that is none. One of the lines about it says why, the others show where.
fn bad_regex(text: &str) -> Error {
    let text = text.trim();
    let bare = text.strip_prefix("Regular expression did not compile: ").unwrap_or(text);
    let why = text.lines().find_map(|line| line.strip_prefix("error: ")).unwrap_or(bare);
    raise(Error::InvalidRegex, format!("invalid regular expression: {why}")).with_detail(text)
}

/// A text that could not be read as what it should be. Told first, for the text itself stands in the message and may
/// hold any word that others are known by.
fn unreadable(text: &str, line: &str, lower: &str) -> Option<Error> {
    if let Some(error) = unread_cast(line) {
        return Some(error);
    }
    if lower.contains("regular expression did not compile") || lower.contains("regex parse error") {
        return Some(bad_regex(text));
    }
    lower.contains("invalid input syntax for type interval").then(|| raise(Error::InvalidTime, line))
}

/// A cast of a text to a boolean or a number.
fn unread_cast(line: &str) -> Option<Error> {
    let (text, kind) = line.strip_prefix("Cannot cast ")?.strip_suffix(" type")?.rsplit_once("' to value of ")?;
    let text = text.strip_prefix("string '").or_else(|| text.strip_prefix("value '"))?.trim();
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let is_integer = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match kind {
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" if is_integer => {
            Some(raise(Error::OutOfRange, line))
        }
        "Int8" | "Int16" | "Int32" | "Int64" | "UInt8" | "UInt16" | "UInt32" | "UInt64" | "Float16" | "Float32" | "Float64"
        | "Boolean" => Some(raise(Error::InvalidText, line)),
        _ => None,
    }
}

/// A function that is not there, or not with these arguments.
fn unknown_function(line: &str, lower: &str, sql: &str) -> Option<Error> {
    if let Some(name) = line.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        let error = raise(Error::UnknownFunction, format!("function {name} does not exist"));
        return Some(error.at(find_word(sql, name)));
    }
    let said = ["invalid function", "could not find a matching", "no function matches", "failed to coerce arguments"];
    said.iter().any(|part| lower.contains(part)).then(|| raise(Error::UnknownFunction, line))
}

fn from_text(text: &str, sql: &str) -> Error {
    let line = first_line(text);
    let lower = line.to_lowercase();
    let has = |part: &str| lower.contains(part);
    if line.starts_with("Non Panic Task error") {
        // A task that did not panic was ended with its runtime.
        return raise(Error::Unreachable, "the statement was cut off: a process that worked on it is stopping");
    }
    if let Some(error) = unreadable(text, &line, &lower) {
        return error;
    }
    if let Some(name) = line.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found")) {
        let name = name.strip_prefix("meridian.").unwrap_or(name);
        let bare = name.rsplit('.').next().unwrap_or(name);
        return raise(Error::UnknownTable, format!("relation \"{}\" does not exist", name.trim_start_matches("public.")))
            .at(find_relation(sql, bare));
    }
    if let Some(error) = unknown_function(&line, &lower, sql) {
        return error;
    }
    if has("schema error: no field named") || has("no field named") {
        return raise(Error::UnknownColumn, line);
    }
    if let Some(error) = misplaced(&line, &lower).or_else(|| refused_argument(&line, &lower)) {
        return error;
    }
    if has("must appear in the group by") || has("could not be resolved from available columns") || has("must be in group by") {
        return raise(Error::Grouping, line);
    }
    if ["not supported", "unsupported", "not implemented", "not yet", "does not support escape_char"].into_iter().any(has) {
        return raise(Error::Unsupported, line);
    }
    if has("resources exhausted") {
        return from_exhausted(&line);
    }
    if has("divide by zero") || has("division by zero") {
        return raise(Error::DivisionByZero, "division by zero");
    }
    if (has("timestamp") || has("date") || has("time")) && (has("parsing") || has("parse") || has("cannot cast string")) {
        return raise(Error::InvalidTime, line);
    }
    if (has("timestamp") || has("date") || has("to interval(")) && (has("overflow") || has("out of range")) {
        return raise(Error::TimeOverflow, line);
    }
    if has("can't cast value") || has("overflow") || has("out of range") {
        return raise(Error::OutOfRange, line);
    }
    if has("cannot cast string") || has("invalid input") || has("error parsing") || has("failed to parse") {
        return raise(Error::InvalidText, line);
    }
    if has("cannot coerce") || has("cannot infer common argument type") || has("no coercion") || has("type_coercion") {
        return raise(Error::Type, line);
    }
    if has("no value found for placeholder") || has("placeholder type could not be resolved") {
        return raise(Error::ParameterType, line).with_hint("say its type: $1::text");
    }
    if has("more than one row") || has("should only return one") {
        return raise(Error::Cardinality, "more than one row returned by a subquery used as an expression");
    }
    if has("regular expression") {
        return raise(Error::InvalidParameter, text.trim().to_owned());
    }
    raise(Error::InvalidParameter, line)
}

fn from_internal(text: &str, sql: &str) -> Error {
    let line = first_line(text);
    if line.to_lowercase().contains("cast") {
        return from_text(&line, sql);
    }
    internal(text)
}

fn internal(text: &str) -> Error {
    raise(Error::Internal, format!("internal error: {}", first_line(text)))
        .with_detail(text.trim())
        .with_hint("this is a fault of Meridian's; please report the statement that caused it")
}

/// An error without the wordings that DataFusion wraps around it.
fn first_line(text: &str) -> String {
    let mut line = text.lines().next().unwrap_or_default().trim();
    for prefix in ["Error during planning: ", "Execution error: ", "Arrow error: ", "type_coercion\ncaused by\n", "Cast error: "]
    {
        line = line.strip_prefix(prefix).unwrap_or(line);
    }
    line.trim_end_matches('.').to_owned()
}

/// The known name that a mistyped one probably meant.
pub(crate) fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let allowed = (name.chars().count() / 3).max(1);
    known
        .iter()
        .map(|candidate| (distance(&name.to_lowercase(), candidate), *candidate))
        .filter(|(away, _)| *away <= allowed)
        .min()
        .map(|(_, candidate)| candidate)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut corner = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let change = corner + usize::from(x != *y);
            corner = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(corner + 1);
        }
    }
    row[b.len()]
}

impl From<DataFusionError> for Error {
    fn from(error: DataFusionError) -> Error {
        from_datafusion(&error, "")
    }
}

impl From<ArrowError> for Error {
    fn from(error: ArrowError) -> Error {
        from_arrow(&error, "")
    }
}

impl From<Report> for Error {
    fn from(report: Report) -> Error {
        Error::Internal(Box::new(report))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_ends_with_its_process_may_be_asked_for_again() {
        let error = from_datafusion(&DataFusionError::Execution("Non Panic Task error: task 157 was cancelled".to_owned()), "");
        assert_eq!((error.sqlstate(), error.may_retry()), ("08006", true), "{error:?}");
    }
}
