//! Casts between text and what PostgreSQL writes otherwise than Arrow: floats, times, intervals.

use super::typed::{Typed, call};
use crate::copy::print::write_value;
use crate::error::{Error, raise};
use crate::schema::{local_type, time_type};
use crate::time::{Zone, parse, parse_local};
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::{Expr, ScalarUDF};
use std::sync::{Arc, LazyLock};

/// The name of `read_time` that the rewriting of statements calls.
pub(crate) const TIME_AT_RUN: &str = "read_time_at_run";

static SHOWN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |given: &[DataType]| (given.len() == 1).then(|| given.to_vec());
    Typed { name: "shown", aliases: &[], takes, gives: |_| DataType::Utf8, body: show_all }.udf()
});

static READ_TIME: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |_: &[DataType]| Some(vec![DataType::Utf8]);
    Typed { name: "read_time", aliases: &[], takes, gives: |_| time_type(), body: read_all }.udf()
});

/// `read_time`, where DataFusion would compute it too early (`rewrite/moments.rs`).
pub(super) static READ_TIME_AT_RUN: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |_: &[DataType]| Some(vec![DataType::Utf8]);
    Typed { name: TIME_AT_RUN, aliases: &[], takes, gives: |_| time_type(), body: read_all }.udf_at_run()
});

static READ_LOCAL: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let takes = |_: &[DataType]| Some(vec![DataType::Utf8]);
    Typed { name: "read_local", aliases: &[], takes, gives: |_| local_type(), body: |args, _| read_each(args, parse_local) }.udf()
});

/// Those that rules put into plans.
pub(super) fn of_rules() -> [Arc<ScalarUDF>; 3] {
    [&SHOWN, &READ_TIME, &READ_LOCAL].map(|function| Arc::clone(function))
}

/// A value as text.
pub(crate) fn shown(value: Expr) -> Expr {
    call(&SHOWN, vec![value])
}

/// Text as a moment, by the session's clocks where it names no zone.
pub(crate) fn read_time(text: Expr) -> Expr {
    call(&READ_TIME, vec![text])
}

/// Text as a clock's time.
pub(crate) fn read_local(text: Expr) -> Expr {
    call(&READ_LOCAL, vec![text])
}

fn show_all(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let values = &args[0];
    let mut out = StringBuilder::with_capacity(values.len(), values.len() * 16);
    let mut text = Vec::new();
    for row in 0..values.len() {
        if values.is_null(row) {
            out.append_null();
            continue;
        }
        text.clear();
        write_value(values, row, zone, &mut text)?;
        out.append_value(std::str::from_utf8(&text).map_err(|error| raise(Error::Internal, error.to_string()))?);
    }
    Ok(Arc::new(out.finish()))
}

fn read_all(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let times = read_each(args, |text| parse(text, zone))?;
    Ok(Arc::new(times.as_primitive::<TimestampMicrosecondType>().clone().with_timezone("UTC")))
}

fn read_each(args: &[ArrayRef], read: impl Fn(&str) -> std::result::Result<i64, Error>) -> Result<ArrayRef> {
    let texts = args[0].as_string::<i32>().iter();
    let times = texts.map(|text| text.map(&read).transpose()).collect::<std::result::Result<Vec<_>, _>>()?;
    Ok(Arc::new(TimestampMicrosecondArray::from(times)))
}
