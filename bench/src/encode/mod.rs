//! Batches in the forms that doors take.

mod lines;
mod remote_write;

pub use lines::lines;
pub use remote_write::remote_write;

use crate::grid::name;
use meridian::grid::Columns;
use std::fmt::Write;

/// COPY's text with tags by name.
pub fn copy_by_name(columns: &Columns, prefix: &str) -> String {
    copy(columns, |out, tag| {
        let _ = write!(out, "{prefix}{}", name(tag));
    })
}

/// COPY's text with tags by number.
pub fn copy_by_number(columns: &Columns) -> String {
    copy(columns, |out, tag| {
        let _ = write!(out, "{tag}");
    })
}

fn copy(columns: &Columns, put_tag: impl Fn(&mut String, u64)) -> String {
    let mut out = String::with_capacity(columns.len() * 56);
    for row in 0..columns.len() {
        put_tag(&mut out, columns.tags[row]);
        out.push('\t');
        meridian::write_time(&mut out, types::Timestamp(columns.times[row]));
        let _ = writeln!(out, "\t{}\t{}", columns.values[row], columns.qualities[row]);
    }
    out
}
