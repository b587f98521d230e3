//! INSERT into samples, integers and events.

use super::WritePlan;
use super::literals::{Literal, bound, parameter_types, rows_of};
use super::rows::{Columns, Given, Row, at_row, push};
use crate::error::{Error, find_word, raise};
use crate::ingest::Ingest;
use crate::query::{planned, stream};
use crate::rewrite;
use crate::scan::Sort;
use crate::session::Session;
use crate::time::{Zone, parse};
use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::sqlparser::ast::{
    self, CastKind, Expr, Insert, Query, SetExpr, Statement as Tree, TimezoneInfo, TypedString, Value,
};
use futures::StreamExt;
use std::sync::Arc;

/// A planned INSERT. `places` says at which place of a row stand tag, time, value and quality.
pub(crate) struct Plan {
    sort: Sort,
    places: [Option<usize>; 4],
    source: Source,
}

enum Source {
    Literals(Vec<Vec<Literal>>),
    Query(Box<LogicalPlan>),
}

/// Plans it.
pub(crate) async fn plan(
    session: &Arc<Session>,
    sort: Sort,
    insert: Insert,
    types: &[Option<DataType>],
    sql: &str,
) -> Result<(WritePlan, Vec<DataType>), Error> {
    if insert.on.is_some() {
        return Err(raise(Error::Unsupported, format!("ON CONFLICT is not supported on {}", sort.name()))
            .with_hint("a second write of the same (tag, time) replaces the first"));
    }
    let Some(mut source) = insert.source else {
        return Err(raise(Error::Unsupported, "INSERT needs VALUES or a query"));
    };
    let columns = columns_of(sort, &insert.columns, sql)?;
    let mut places = [None; 4];
    for (place, column) in columns.iter().enumerate() {
        places[*column] = Some(place);
    }
    if let Some(missing) = [0, 2].into_iter().find(|column| places[*column].is_none() && !insert.columns.is_empty()) {
        let name = sort.schema().field(missing).name();
        return Err(raise(Error::NullValue, format!("column \"{name}\" has no default: give it a value")));
    }
    let wanted: Vec<DataType> = columns.iter().map(|column| column_type(sort, *column)).collect();
    if let Some(rows) = rows_of(&source) {
        for (index, row) in rows.iter().enumerate() {
            check_width(row.len(), columns.len(), insert.columns.is_empty()).map_err(|error| at_row(error, index as u64 + 1))?;
        }
        if let Some(parameters) = parameter_types(&rows, &wanted, types) {
            return Ok((WritePlan::Insert(Plan { sort, places, source: Source::Literals(rows) }), parameters));
        }
    }
    as_columns(&mut source, &places);
    let mut tree = Tree::Query(source);
    rewrite::tree(&mut tree)?;
    let (plan, parameters) = planned(session, tree, types, sql).await?;
    check_width(plan.schema().fields().len(), columns.len(), insert.columns.is_empty())?;
    Ok((WritePlan::Insert(Plan { sort, places, source: Source::Query(Box::new(plan)) }), parameters))
}

/// What a parameter in a column is unless the client says otherwise.
fn column_type(sort: Sort, column: usize) -> DataType {
    match (column, sort) {
        (1, _) => crate::schema::time_type(),
        (2, Sort::Doubles) => DataType::Float64,
        (2, Sort::Integers) => DataType::Int64,
        (3, _) => DataType::Int16,
        _ => DataType::Utf8,
    }
}

/// The table's columns that an INSERT names, or all.
fn columns_of(sort: Sort, names: &[ast::ObjectName], sql: &str) -> Result<Vec<usize>, Error> {
    if names.is_empty() {
        return Ok(vec![0, 1, 2, 3]);
    }
    let mut out = Vec::new();
    for name in names {
        let name = name.0.last().and_then(|part| part.as_ident()).map(|part| part.value.to_lowercase()).unwrap_or_default();
        let column = sort.schema().index_of(&name).map_err(|_| unknown_column(sort, &name, sql))?;
        if out.contains(&column) {
            return Err(raise(Error::AmbiguousColumn, format!("column \"{name}\" specified more than once")));
        }
        out.push(column);
    }
    Ok(out)
}

pub(crate) fn unknown_column(sort: Sort, name: &str, sql: &str) -> Error {
    let known: Vec<&str> = sort.schema().fields().iter().map(|field| field.name().as_str()).collect();
    raise(Error::UnknownColumn, format!("column \"{name}\" of relation \"{}\" does not exist", sort.name()))
        .with_hint(format!("columns are {}", known.join(", ")))
        .at(find_word(sql, name))
}

fn check_width(found: usize, wanted: usize, may_be_less: bool) -> Result<(), Error> {
    if found > wanted {
        return Err(raise(Error::Syntax, "INSERT has more expressions than target columns"));
    }
    // Without a list of columns only quality, the last, may be left out.
    if found < wanted && !(may_be_less && found + 1 == wanted) {
        return Err(raise(Error::Syntax, "INSERT has more target columns than expressions"));
    }
    Ok(())
}

/// What VALUES mean in their columns, whatever the other rows have there: a text in the time column is a time, and numbers in
/// the other columns become texts, so that one double among them rounds no integer.
fn as_columns(source: &mut Query, places: &[Option<usize>; 4]) {
    let SetExpr::Values(values) = source.body.as_mut() else { return };
    let take = |expr: &mut Expr| std::mem::replace(expr, Expr::Value(Value::Null.into()));
    for row in &mut values.rows {
        if let Some(expr) = places[1].and_then(|place| row.content.get_mut(place)) {
            *expr = match take(expr) {
                Expr::Value(value) if matches!(value.value, Value::SingleQuotedString(_)) => {
                    let data_type = ast::DataType::Timestamp(None, TimezoneInfo::Tz);
                    Expr::TypedString(TypedString { data_type, value, uses_odbc_syntax: false })
                }
                other => other,
            };
        }
        // A quality may be a name in one row and a number in another, a tag's name a number in one.
        for place in [places[0], places[2], places[3]].into_iter().flatten() {
            if let Some(expr) = row.content.get_mut(place) {
                let (kind, data_type) = (CastKind::Cast, ast::DataType::Text);
                *expr = Expr::Cast { kind, expr: Box::new(take(expr)), data_type, array: false, format: None };
            }
        }
    }
}

/// Runs it; how many rows were written.
pub(crate) async fn run(
    session: &Arc<Session>,
    plan: &Plan,
    params: Vec<ScalarValue>,
    types: &[DataType],
    sql: &str,
) -> Result<u64, Error> {
    let mut ingest = Ingest::new(session, plan.sort)?;
    let (zone, now_us) = (session.time_zone(), session.engine.settings.clock.wall_us());
    match &plan.source {
        Source::Literals(rows) => {
            let params = bound(params, types)?;
            for (index, row) in rows.iter().enumerate() {
                literal_row(&mut ingest, plan, row, &params, zone, now_us).map_err(|error| at_row(error, index as u64 + 1))?;
            }
        }
        Source::Query(query) => {
            let mut batches = stream(session, query, params, types, sql).await?;
            while let Some(batch) = batches.next().await {
                let batch = batch?;
                let mut places = plan.places;
                places[3] = places[3].filter(|place| *place < batch.num_columns());
                let before = ingest.rows() as u64;
                Columns::of(&batch, &places, zone, now_us)?.push_all(&mut ingest, before)?;
                bounded(&ingest)?;
                ingest.hold()?;
            }
        }
    }
    session.pace_written(ingest.rows() as u64).await;
    ingest.commit().await
}

/// One statement is one commit, so it must fit into memory.
fn bounded(ingest: &Ingest) -> Result<(), Error> {
    let limit = ingest.engine().settings.copy_bytes_max;
    if ingest.bytes() > limit {
        return Err(raise(Error::TooLarge, format!("one INSERT may hold {limit} bytes; nothing of it was kept"))
            .with_hint("cut it into several by tag or time"));
    }
    Ok(())
}

fn literal_row(
    ingest: &mut Ingest,
    plan: &Plan,
    row: &[Literal],
    params: &[ScalarValue],
    zone: Zone,
    now_us: i64,
) -> Result<(), Error> {
    let at = |column: usize| plan.places[column].and_then(|place| row.get(place));
    let tag = at(0).map_or(Ok(Given::Null), |literal| given(literal, params))?;
    let mut numbered = String::new();
    let tag = match tag {
        Given::Text(name) => Some(name),
        Given::Null => None,
        Given::Integer(number) => {
            numbered.push_str(&number.to_string());
            Some(numbered.as_str())
        }
        Given::Double(_) => return Err(raise(Error::Type, "column \"tag\" is of type text")),
    };
    let time = match at(1) {
        None | Some(Literal::Default | Literal::Now) => Some(now_us),
        Some(literal) => moment(literal, params, zone)?,
    };
    let value = at(2).map_or(Ok(Given::Null), |literal| given(literal, params))?;
    let quality = match at(3) {
        None | Some(Literal::Default) => None,
        Some(literal) => Some(given(literal, params)?),
    };
    push(ingest, &Row { tag, time, value, quality })
}

fn moment(literal: &Literal, params: &[ScalarValue], zone: Zone) -> Result<Option<i64>, Error> {
    if let Literal::Parameter(number) = literal {
        match params.get(*number) {
            Some(ScalarValue::TimestampMicrosecond(us, _)) => return Ok(*us),
            Some(ScalarValue::Date32(days)) => return Ok(days.map(|days| i64::from(days) * 86_400_000_000)),
            _ => {}
        }
    }
    match given(literal, params)? {
        Given::Null => Ok(None),
        Given::Text(text) => parse(text, zone).map(Some),
        Given::Integer(_) | Given::Double(_) => {
            Err(raise(Error::Type, "column \"time\" is of type timestamp with time zone but expression is a number")
                .with_hint("to_timestamp_micros(n) makes a time of microseconds since 1970"))
        }
    }
}

/// What a literal or a parameter gives. Numbers stay text until the tag's kind is known.
fn given<'a>(literal: &'a Literal, params: &'a [ScalarValue]) -> Result<Given<'a>, Error> {
    Ok(match literal {
        Literal::Null => Given::Null,
        Literal::Number(text) | Literal::Text(text) => Given::Text(text),
        Literal::Bool(value) => Given::Integer(i64::from(*value)),
        Literal::Default | Literal::Now => return Err(raise(Error::Type, "now() and DEFAULT fit column \"time\" only")),
        Literal::Parameter(number) => match params.get(*number) {
            None => return Err(raise(Error::ParameterCount, format!("parameter ${} is missing", number + 1))),
            Some(value) if value.is_null() => Given::Null,
            Some(ScalarValue::Utf8(Some(text)) | ScalarValue::Utf8View(Some(text)) | ScalarValue::LargeUtf8(Some(text))) => {
                Given::Text(text)
            }
            Some(ScalarValue::Float64(Some(value))) => Given::Double(*value),
            Some(ScalarValue::Float32(Some(value))) => Given::Double(f64::from(*value)),
            Some(ScalarValue::Int64(Some(value))) => Given::Integer(*value),
            Some(ScalarValue::Int32(Some(value))) => Given::Integer(i64::from(*value)),
            Some(ScalarValue::Int16(Some(value))) => Given::Integer(i64::from(*value)),
            Some(ScalarValue::Boolean(Some(value))) => Given::Integer(i64::from(*value)),
            Some(other) => {
                let message = format!("parameter ${} of type {} is not supported here", number + 1, other.data_type());
                return Err(raise(Error::Type, message).with_hint("send it as text, a whole number or a double"));
            }
        },
    })
}
