//! Prometheus' remote write, version 1: protobuf in one snappy block. Rows of one series stand together.
//!
//! Times are milliseconds there: rows of the data set have whole ones.

use crate::failed;
use crate::grid::{area, name};
use meridian::Error;
use meridian::grid::Columns;
use prost::Message;

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<Series>,
}

/// `prometheus.TimeSeries`.
#[derive(Clone, PartialEq, Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

/// `prometheus.Label`.
#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `prometheus.Sample`.
#[derive(Clone, Copy, PartialEq, Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

/// The body of a request with the rows of a batch, in which each step has the same tags in the same order.
///
/// # Errors
/// `Error::Node` where a block would be too large for snappy.
pub fn remote_write(columns: &Columns, metric: &str) -> Result<Vec<u8>, Error> {
    let first = columns.tags.first().copied();
    let tags = columns.tags.iter().skip(1).position(|tag| Some(*tag) == first).map_or(columns.len(), |at| at + 1);
    let label = |name: &str, value: String| Label { name: name.to_owned(), value };
    let series = (0..tags).map(|i| {
        let tag = columns.tags[i];
        let rows = (i..columns.len()).step_by(tags);
        Series {
            labels: vec![
                label("__name__", metric.to_owned()),
                label("area", format!("{:02}", area(tag))),
                label("tag", name(tag)),
            ],
            samples: rows.map(|row| Sample { value: columns.values[row], timestamp: columns.times[row] / 1000 }).collect(),
        }
    });
    let bytes = WriteRequest { series: series.collect() }.encode_to_vec();
    snap::raw::Encoder::new().compress_vec(&bytes).map_err(|error| failed("encoding remote write", error))
}
