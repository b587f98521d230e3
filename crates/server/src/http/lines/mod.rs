//! InfluxDB's line protocol, written as samples and events.
//!
//! Each field of a series (a measurement and its tags) is a tag here, named `measurement,key=value,.. field`, with the line's
//! tags as its labels, and `_measurement` and `_field`. `docs/http.md` says how lines are read.
//! Promises: a line is kept whole or not at all; the lines of a body that can't be kept are named with their number and why,
//! and the others are kept; what is answered 204 is as durable as the store's setting says; no allocation is made for a line
//! whose series is known; memory of a request is bounded, whatever its body has.
//!
//! ```text
//! body, piece by piece -> cursor (syntax) -> reader: series known? -> columns -> session.submit, some at a time
//!                                            | unknown: wanted ------> catalog (found or created) -> series
//! ```

mod answer;
mod columns;
mod cursor;
mod names;
mod reader;
mod series;
#[cfg(test)]
mod tests;
mod wanted;

pub(crate) use answer::answer;
pub(crate) use series::Series;
