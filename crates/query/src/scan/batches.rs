//! From the kernel's batches to Arrow's.
//!
//! A tag's name is laid down once a batch and pointed at by each row of its run. Rows of tags that
//! are dropped, or of kinds that the table does not show, are left out.

use super::{RunTags, Sort, Target};
use crate::error::{Error, raise};
use crate::functions::one_nan_of;
use crate::point::as_text;
use crate::value;
use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int16Array, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray,
    StringViewBuilder, TimestampMicrosecondArray, UInt64Array, make_view,
};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use kernel::{Run, ScanBatch};
use std::sync::Arc;
use types::Quality;

/// A column of names, each repeated for the rows of its run.
pub(crate) fn names_column(names: &[String], rows: &[u32]) -> StringViewArray {
    let mut bytes = Vec::with_capacity(names.iter().map(String::len).sum());
    let mut views: Vec<u128> = Vec::with_capacity(rows.iter().map(|count| *count as usize).sum());
    for (name, count) in names.iter().zip(rows) {
        let view = make_view(name.as_bytes(), 0, u32::try_from(bytes.len()).expect("a batch's names stay below 4 GiB"));
        bytes.extend_from_slice(name.as_bytes());
        views.extend(std::iter::repeat_n(view, *count as usize));
    }
    // SAFETY: every view was made from the text that lies at its offset of the one buffer, and
    // names are `String`, so UTF-8.
    unsafe { StringViewArray::new_unchecked(ScalarBuffer::from(views), [Buffer::from_vec(bytes)], None) }
}

/// The rows of a kernel batch as the table shows them: only `columns`, in that order.
pub(crate) fn convert(
    target: &Target,
    schema: &SchemaRef,
    columns: &[usize],
    mut batch: ScanBatch,
) -> Result<RecordBatch, Error> {
    let rows = batch.rows();
    let RunTags { mut names, shown } = target.run_tags(batch.runs.iter().map(|run| (run.tag, run.kind)));
    let counts: Vec<u32> = batch.runs.iter().map(|run| run.rows).collect();
    let keep = kept_rows(target, &batch, &shown, rows);
    let times = std::mem::take(&mut batch.times);
    let mut arrays: Vec<ArrayRef> = Vec::with_capacity(columns.len());
    for column in columns {
        arrays.push(match column {
            0 => match names.take() {
                Some(names) => Arc::new(names_column(&names, &counts)),
                None => Arc::new(ordinals(&batch.runs, rows)),
            },
            1 => {
                let times: Vec<i64> = times.iter().map(|time| time.0).collect();
                Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
            }
            2 => values(target.sort, &batch, &shown)?,
            3 => Arc::new(match &batch.qualities {
                Some(qualities) => Int16Array::from_iter_values(qualities.iter().map(|quality| i16::from(*quality))),
                None => Int16Array::from_value(i16::from(Quality::GOOD.0), rows),
            }),
            _ => Arc::new(ordinals(&batch.runs, rows)),
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    let whole = RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?;
    Ok(match keep {
        None => whole,
        Some(keep) => filter_record_batch(&whole, &keep)?,
    })
}

fn kept_rows(target: &Target, batch: &ScanBatch, shown: &[bool], rows: usize) -> Option<BooleanArray> {
    let bad =
        target.good_only && batch.qualities.as_ref().is_some_and(|all| all.iter().any(|quality| !Quality(*quality).is_good()));
    if !bad && shown.iter().all(|shown| *shown) {
        return None;
    }
    let mut keep = Vec::with_capacity(rows);
    for (run, shown) in batch.runs.iter().zip(shown) {
        keep.extend(std::iter::repeat_n(*shown, run.rows as usize));
    }
    if let Some(qualities) = batch.qualities.as_ref().filter(|_| target.good_only) {
        keep.iter_mut().zip(qualities).for_each(|(keep, quality)| *keep &= Quality(*quality).is_good());
    }
    Some(BooleanArray::from(keep))
}

fn values(sort: Sort, batch: &ScanBatch, shown: &[bool]) -> Result<ArrayRef, Error> {
    Ok(match sort {
        Sort::Integers => Arc::new(Int64Array::from_iter_values(batch.bits.iter().map(|bits| *bits as i64))),
        Sort::Doubles => {
            let mut out = Vec::with_capacity(batch.bits.len());
            let mut at = 0;
            for (run, shown) in batch.runs.iter().zip(shown) {
                let bits = &batch.bits[at..at + run.rows as usize];
                at += run.rows as usize;
                if !shown {
                    out.extend(std::iter::repeat_n(0.0, bits.len()));
                } else if run.kind == types::Kind::F64 {
                    out.extend(bits.iter().map(|bits| f64::from_bits(*bits)));
                } else {
                    for bits in bits {
                        out.push(value::double(run.kind, *bits)?);
                    }
                }
            }
            one_nan_of(&(Arc::new(Float64Array::from(out)) as ArrayRef))
        }
        Sort::Texts => {
            let mut out = StringViewBuilder::with_capacity(batch.texts.len());
            for row in 0..batch.texts.len() {
                out.append_value(as_text(batch.texts.get(row))?);
            }
            Arc::new(out.finish())
        }
    })
}

fn ordinals(runs: &[Run], rows: usize) -> UInt64Array {
    let mut out = Vec::with_capacity(rows);
    for run in runs {
        out.extend(std::iter::repeat_n(run.tag.0, run.rows as usize));
    }
    UInt64Array::from(out)
}

/// Kernel batches must have what was asked for; anything else is a fault of ours.
pub(crate) fn check(batch: &ScanBatch) -> Result<(), Error> {
    let runs: u64 = batch.runs.iter().map(|run| u64::from(run.rows)).sum();
    if runs != batch.rows() as u64 {
        return Err(raise(Error::Internal, format!("a batch of {} rows has runs of {runs}", batch.rows())));
    }
    Ok(())
}
