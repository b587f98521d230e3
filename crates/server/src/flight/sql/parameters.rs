//! Parameters of prepared statements: the schema that clients are told, and rows of Arrow columns as the values that
//! statements take.
//!
//! Promises: a value becomes the parameter's type as it is or not at all: a number that does not fit, a text that is none of the type,
//! is an error with its SQLSTATE; times without a zone are read in the session's, as everywhere in SQL.

use super::error;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use query::{ScalarValue, Session};
use tonic::Status;

/// Rows of parameters.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bound {
    batches: Vec<RecordBatch>,
    rows: usize,
    bytes: usize,
}

impl Bound {
    /// Adds rows; they must have a column for each parameter.
    pub(crate) fn push(&mut self, batch: RecordBatch, wanted: &[DataType]) -> Result<(), Status> {
        if batch.num_columns() != wanted.len() {
            let (given, wanted) = (batch.num_columns(), wanted.len());
            return Err(error::new("08P01", format!("{given} parameters were given, but the statement has {wanted}")));
        }
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push(batch);
        Ok(())
    }

    /// How many there are.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// About how many bytes they take.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// A row's values; none beyond the last.
    pub(crate) fn values(&self, row: usize, wanted: &[DataType], session: &Session) -> Result<Option<Vec<ScalarValue>>, Status> {
        let mut at = row;
        for batch in &self.batches {
            if at >= batch.num_rows() {
                at -= batch.num_rows();
                continue;
            }
            let values = batch.columns().iter().zip(wanted).enumerate().map(|(number, (column, wanted))| {
                let place = |message: &str| format!("parameter ${}: {message}", number + 1);
                value(column, at, wanted, session).map_err(|wrong| match wrong {
                    Wrong::Engine(cause) => error::new(cause.sqlstate(), place(cause.message())),
                    Wrong::Here(sqlstate, message) => error::new(sqlstate, place(&message)),
                })
            });
            return values.collect::<Result<_, _>>().map(Some);
        }
        Ok(None)
    }
}

/// What clients are told of a statement's parameters.
pub(crate) fn schema(types: &[DataType]) -> Schema {
    let field = |(at, wanted): (usize, &DataType)| Field::new(format!("${}", at + 1), wanted.clone(), true);
    Schema::new(types.iter().enumerate().map(field).collect::<Vec<_>>())
}

enum Wrong {
    Engine(query::Error),
    Here(&'static str, String),
}

impl From<query::Error> for Wrong {
    fn from(cause: query::Error) -> Self {
        Wrong::Engine(cause)
    }
}

/// A value of a column as a parameter's type.
fn value(column: &dyn Array, row: usize, wanted: &DataType, session: &Session) -> Result<ScalarValue, Wrong> {
    let refused = |cause: datafusion::error::DataFusionError| Wrong::Here("22P02", cause.strip_backtrace());
    let mut given = ScalarValue::try_from_array(column, row).map_err(refused)?;
    while let ScalarValue::Dictionary(_, inner) = given {
        given = *inner;
    }
    if given.is_null() {
        return ScalarValue::try_from(wanted).map_err(refused);
    }
    if given.data_type() == *wanted {
        return Ok(given);
    }
    match &given {
        ScalarValue::Utf8(Some(text)) | ScalarValue::LargeUtf8(Some(text)) | ScalarValue::Utf8View(Some(text)) => {
            return Ok(session.parse_text(wanted, text)?);
        }
        ScalarValue::Float64(Some(number)) if wanted.is_integer() => whole(*number, wanted)?,
        ScalarValue::Float32(Some(number)) if wanted.is_integer() => whole(f64::from(*number), wanted)?,
        ScalarValue::Int64(Some(number)) if *wanted == DataType::Float64 && !is_exact(*number) => {
            return Err(Wrong::Here("22003", format!("integer {number} can't be held exactly by a double")));
        }
        _ => {}
    }
    let without_zone = matches!(given.data_type(), DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64);
    if without_zone && matches!(wanted, DataType::Timestamp(_, Some(_))) {
        let local = given.cast_to(&DataType::Timestamp(TimeUnit::Microsecond, None)).map_err(refused)?;
        if let ScalarValue::TimestampMicrosecond(Some(us), None) = local {
            let moment = ScalarValue::TimestampMicrosecond(Some(session.time_zone().moment(us)), Some("UTC".into()));
            return moment.cast_to(wanted).map_err(refused);
        }
    }
    given.cast_to(wanted).map_err(|_| {
        let shown: String = given.to_string().chars().take(64).collect();
        let state = if given.data_type().is_numeric() && wanted.is_numeric() { "22003" } else { "42804" };
        Wrong::Here(state, format!("value {shown} of type {} does not fit type {}", given.data_type(), query::type_name(wanted)))
    })
}

fn whole(number: f64, wanted: &DataType) -> Result<(), Wrong> {
    if number.fract() == 0.0 {
        return Ok(());
    }
    Err(Wrong::Here("22P02", format!("{number} is no {}", query::type_name(wanted))))
}

fn is_exact(number: i64) -> bool {
    // A double beyond the range of i64 would be cut off to it.
    let double = number as f64;
    double < 9_223_372_036_854_775_808.0 && double as i64 == number
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_hold_small_integers() {
        for exact in [0, 1 << 53, -(1 << 53), i64::MIN, 1 << 62] {
            assert!(is_exact(exact), "{exact}");
        }
        for inexact in [(1 << 53) + 1, i64::MAX, -(1 << 53) - 1] {
            assert!(!is_exact(inexact), "{inexact}");
        }
    }
}
