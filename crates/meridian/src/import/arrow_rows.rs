//! Arrow batches, of whatever file, as rows of text cells.
//!
//! Promises: numbers become the shortest text that reads back to the same number; times keep their
//! microseconds; a NULL is an empty cell that says it is one. Only flat columns: a nested one is refused by name, but for
//! lists of plain values where they are asked for.

use super::source::Row;
use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Float32Type, Float64Type, SchemaRef, TimeUnit, TimestampMicrosecondType};
use arrow::error::ArrowError;
use query::text;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows that are made text at once.
pub const BATCH_ROWS: usize = 8192;

/// How far a file is read.
pub enum Extent {
    /// Of so many rows.
    Rows(u64),
    /// Of so many bytes, so many of which were read.
    Bytes(Arc<AtomicU64>, u64),
}

/// What is wanted of a file.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The column of times, which are taken as they are.
    pub time_column: &'a str,
    /// Whether lists of plain values are taken, as PostgreSQL writes arrays.
    pub lists: bool,
}

/// Batches as a file's reader gives them.
pub type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

/// A file of batches.
pub struct ArrowRows {
    path: PathBuf,
    batches: Batches,
    heads: Vec<String>,
    time_column: Option<usize>,
    extent: Extent,
    done: u64,
    /// What is left of the batch that was read last.
    batch: Option<RecordBatch>,
    texts: Option<Texts>,
}

/// A piece of a batch whose columns are text, and its times.
struct Texts {
    columns: Vec<StringArray>,
    times: Option<ArrayRef>,
    rows: usize,
    next: usize,
}

/// Does what a reader of other people's files does; those that it panics over are damaged.
///
/// # Errors
/// `Error::Input`.
pub fn guarded<T>(path: &Path, work: impl FnOnce() -> Result<T, ArrowError>) -> Result<T, Error> {
    let input = |problem: String| Error::Input { path: path.to_path_buf(), problem };
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => done.map_err(|error| input(error.to_string())),
        Err(_) => Err(input("it is damaged".to_owned())),
    }
}

impl ArrowRows {
    /// The rows of batches.
    ///
    /// # Errors
    /// `Error::Input` where a column is nested.
    pub fn over(path: &Path, schema: &SchemaRef, batches: Batches, extent: Extent, wanted: Wanted) -> Result<ArrowRows, Error> {
        let heads: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
        for field in schema.fields() {
            let kind = field.data_type();
            let plain_list = matches!(kind, DataType::List(item) if !item.data_type().is_nested());
            if kind.is_nested() && !matches!(kind, DataType::RunEndEncoded(..)) && !(wanted.lists && plain_list) {
                let problem = format!("column \"{}\" is nested ({kind}); only flat columns can be imported", field.name());
                return Err(Error::Input { path: path.to_path_buf(), problem });
            }
        }
        let time_column = heads.iter().position(|head| head == wanted.time_column);
        let path = path.to_path_buf();
        Ok(ArrowRows { path, batches, heads, time_column, extent, done: 0, batch: None, texts: None })
    }

    /// The columns' names.
    pub fn heads(&self) -> &[String] {
        &self.heads
    }

    /// (done, in all), and in which unit.
    pub fn position(&self) -> (u64, u64, &'static str) {
        match &self.extent {
            Extent::Rows(total) => (self.done, *total, "rows"),
            Extent::Bytes(read, total) => (read.load(Ordering::Relaxed), *total, "bytes"),
        }
    }

    /// Reads the next row; false at the end.
    ///
    /// # Errors
    /// `Error::Input`.
    pub fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        loop {
            if let Some(texts) = &mut self.texts
                && texts.next < texts.rows
            {
                texts.fill(row);
                self.done += 1;
                row.number = self.done;
                return Ok(true);
            }
            let batch = match self.batch.take().filter(|batch| batch.num_rows() > 0) {
                Some(batch) => batch,
                None => match guarded(&self.path, || self.batches.next().transpose())? {
                    Some(batch) => batch,
                    None => return Ok(false),
                },
            };
            let rows = batch.num_rows().min(BATCH_ROWS);
            let piece = batch.slice(0, rows);
            self.texts = Some(guarded(&self.path, || Texts::of(&piece, self.time_column))?);
            self.batch = Some(batch.slice(rows, batch.num_rows() - rows));
        }
    }
}

impl Texts {
    fn of(batch: &RecordBatch, time_column: Option<usize>) -> Result<Texts, ArrowError> {
        let times = time_column.map(|column| as_times(batch.column(column))).transpose()?.flatten();
        let columns: Result<Vec<StringArray>, ArrowError> = batch.columns().iter().map(as_texts).collect();
        Ok(Texts { columns: columns?, times, rows: batch.num_rows(), next: 0 })
    }

    fn fill(&mut self, row: &mut Row) {
        row.cells.clear();
        row.nulls.clear();
        for (index, texts) in self.columns.iter().enumerate() {
            if texts.is_null(self.next) {
                row.cells.push_field(b"");
                row.nulls.push(index);
            } else {
                row.cells.push_field(texts.value(self.next).as_bytes());
            }
        }
        row.time = self.times.as_ref().and_then(|times| {
            let times = times.as_primitive::<TimestampMicrosecondType>();
            times.is_valid(self.next).then(|| times.value(self.next))
        });
        self.next += 1;
    }
}

/// A column's values as SQL would be told them.
fn as_texts(column: &ArrayRef) -> Result<StringArray, ArrowError> {
    let write = |null: bool, write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        (!null).then(|| String::from_utf8(out).unwrap_or_default())
    };
    Ok(match column.data_type() {
        DataType::Float64 => {
            let values = column.as_primitive::<Float64Type>();
            (0..values.len()).map(|row| write(values.is_null(row), &|out| double(out, values.value(row)))).collect()
        }
        DataType::Float32 => {
            let values = column.as_primitive::<Float32Type>();
            (0..values.len()).map(|row| write(values.is_null(row), &|out| text::write_f32(out, values.value(row)))).collect()
        }
        // As SQL has it: all of time, where Arrow's own text ends at some year. It has finer digits, though.
        DataType::Timestamp(unit, zone) if *unit != TimeUnit::Nanosecond => match as_times(column)? {
            Some(times) => {
                let times = times.as_primitive::<TimestampMicrosecondType>();
                let moment = |row: usize, out: &mut Vec<u8>| text::write_timestamp(out, times.value(row), zone.is_some());
                (0..times.len()).map(|row| write(times.is_null(row), &|out| moment(row, out))).collect()
            }
            None => cast(column, &DataType::Utf8)?.as_string::<i32>().clone(),
        },
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            (0..days.len()).map(|row| write(days.is_null(row), &|out| text::write_date(out, days.value(row).into()))).collect()
        }
        DataType::List(_) => {
            let lists = column.as_list::<i32>();
            let items = as_texts(lists.values())?;
            let list = |row: usize, out: &mut Vec<u8>| {
                out.push(b'{');
                let (start, end) = (lists.value_offsets()[row] as usize, lists.value_offsets()[row + 1] as usize);
                for at in start..end {
                    if at > start {
                        out.push(b',');
                    }
                    let from = out.len();
                    if items.is_null(at) {
                        out.extend_from_slice(b"NULL");
                    } else {
                        out.extend_from_slice(items.value(at).as_bytes());
                        text::quote_element(out, from);
                    }
                }
                out.push(b'}');
            };
            (0..lists.len()).map(|row| write(lists.is_null(row), &|out| list(row, out))).collect()
        }
        _ => cast(column, &DataType::Utf8)?.as_string::<i32>().clone(),
    })
}

/// A double; whole ones that it holds exactly as integers, so that tags of those kinds take them.
fn double(out: &mut Vec<u8>, value: f64) {
    const WHOLE_MAX: f64 = (1_u64 << 53) as f64;
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX && value != 0.0 {
        text::write_i64(out, value as i64);
    } else {
        text::write_f64(out, value);
    }
}

/// The column as microseconds, where it is one of times or dates.
fn as_times(column: &ArrayRef) -> Result<Option<ArrayRef>, ArrowError> {
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    match column.data_type() {
        // A zone only says how to show a moment, so it is left out; finer digits fall away.
        DataType::Timestamp(unit, _) => cast(&cast(column, &DataType::Timestamp(*unit, None))?, &micros).map(Some),
        DataType::Date64 => cast(column, &micros).map(Some),
        DataType::Date32 => {
            let days = column.as_primitive::<Date32Type>();
            let times = days.unary::<_, TimestampMicrosecondType>(|day| i64::from(day) * 86_400_000_000);
            Ok(Some(Arc::new(times)))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Date32Array, Float32Array, Float64Array, ListBuilder, StringBuilder, TimestampMicrosecondArray};

    fn texts(column: ArrayRef) -> Vec<Option<String>> {
        as_texts(&column).unwrap().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn numbers_become_the_shortest_text_that_reads_back() {
        let values = [0.1, -0.0, 5.0, -9_007_199_254_740_991.0, 1e300, 5e-324, f64::NAN, f64::NEG_INFINITY];
        let shown = texts(Arc::new(Float64Array::from(values.to_vec())));
        let expected = ["0.1", "-0", "5", "-9007199254740991", "1e+300", "5e-324", "NaN", "-Infinity"];
        assert_eq!(shown, expected.map(|text| Some(text.to_owned())));
        for (value, text) in values.iter().zip(expected) {
            assert_eq!(query::parse_double(text).unwrap().to_bits(), value.to_bits(), "{text}");
        }
        assert_eq!(texts(Arc::new(Float32Array::from(vec![Some(0.1), None]))), [Some("0.1".to_owned()), None]);
    }

    #[test]
    fn all_of_time_is_text_as_sql_has_it() {
        let times = TimestampMicrosecondArray::from(vec![Some(i64::MIN), Some(1), None, Some(i64::MAX)]);
        let expected = ["290309-12-21 19:59:05.224192 BC", "1970-01-01 00:00:00.000001", "", "294247-01-10 04:00:54.775807"];
        let expected = expected.map(|text| (!text.is_empty()).then(|| text.to_owned()));
        assert_eq!(texts(Arc::new(times.clone())), expected);
        let zoned = texts(Arc::new(times.with_timezone("+08:00")));
        assert_eq!(zoned[1].as_deref(), Some("1970-01-01 00:00:00.000001+00"));
        let days = Date32Array::from(vec![Some(-719_163), Some(i32::MAX), None]);
        assert_eq!(texts(Arc::new(days)), [Some("0001-12-31 BC".to_owned()), Some("5881580-07-11".to_owned()), None]);
    }

    #[test]
    fn lists_are_arrays_as_postgresql_writes_them() {
        let mut lists = ListBuilder::new(StringBuilder::new());
        lists.append_value([Some("a"), Some("b \"c\""), None, Some("NULL"), Some("")]);
        lists.append_null();
        lists.append_value(Vec::<Option<&str>>::new());
        lists.append_value([Some("x,y")]);
        let whole: ArrayRef = Arc::new(lists.finish());
        let expected = [Some(r#"{a,"b \"c\"",NULL,"NULL",""}"#), None, Some("{}"), Some(r#"{"x,y"}"#)];
        let expected = expected.map(|text| text.map(str::to_owned));
        assert_eq!(texts(whole.clone()), expected);
        assert_eq!(texts(whole.slice(1, 3)), expected[1..]);
    }
}
