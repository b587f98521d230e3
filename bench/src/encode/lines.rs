//! InfluxDB's line protocol: one series a tag, with its area and its name.

use crate::grid::{area, name};
use meridian::grid::Columns;
use std::fmt::Write;

/// `measurement,area=07,tag=t000123 value=220.05 1767225600000000000`, a line a row.
pub fn lines(columns: &Columns, measurement: &str) -> Vec<u8> {
    let mut out = String::with_capacity(columns.len() * 64);
    for row in 0..columns.len() {
        let tag = columns.tags[row];
        let (area, name) = (area(tag), name(tag));
        let _ = writeln!(out, "{measurement},area={area:02},tag={name} value={} {}000", columns.values[row], columns.times[row]);
    }
    out.into_bytes()
}
