//! The columns of our tables, in one place.

use arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};
use std::sync::{Arc, LazyLock};

/// The type of every `time` column: timestamptz.
pub(crate) fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type of what a clock shows, wherever it hangs: timestamp.
pub(crate) fn local_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, None)
}

/// The type of `age`.
pub(crate) fn span_type() -> DataType {
    DataType::Interval(IntervalUnit::MonthDayNano)
}

/// The type of a list of texts.
pub(crate) fn texts_type() -> DataType {
    DataType::List(Arc::new(Field::new("item", DataType::Utf8, true)))
}

fn schema(columns: &[(&str, DataType, bool)]) -> SchemaRef {
    let fields: Vec<Field> = columns.iter().map(|(name, kind, nullable)| Field::new(*name, kind.clone(), *nullable)).collect();
    Arc::new(Schema::new(fields))
}

/// `samples`: numeric kinds as doubles.
pub(crate) static SAMPLES: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("tag", DataType::Utf8View, false),
        ("time", time_type(), false),
        ("value", DataType::Float64, false),
        ("quality", DataType::Int16, false),
    ])
});

/// `integers`: integer kinds, exactly.
pub(crate) static INTEGERS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("tag", DataType::Utf8View, false),
        ("time", time_type(), false),
        ("value", DataType::Int64, false),
        ("quality", DataType::Int16, false),
    ])
});

/// `events`: text kinds.
pub(crate) static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("tag", DataType::Utf8View, false),
        ("time", time_type(), false),
        ("text", DataType::Utf8View, false),
        ("quality", DataType::Int16, false),
    ])
});

/// `latest`: the snapshot value of every tag that has one.
pub(crate) static LATEST: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("tag", DataType::Utf8View, false),
        ("time", time_type(), false),
        ("value", DataType::Float64, true),
        ("text", DataType::Utf8View, true),
        ("quality", DataType::Int16, false),
        ("age", span_type(), false),
    ])
});

/// `values_at(tags, times)`: a row a question, in order.
pub(crate) static VALUES_AT: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("tag", DataType::Utf8View, true),
        ("at", time_type(), true),
        ("time", time_type(), true),
        ("value", DataType::Float64, true),
        ("text", DataType::Utf8View, true),
        ("quality", DataType::Int16, true),
    ])
});

/// `tags`: the tag table.
pub(crate) static TAGS: LazyLock<SchemaRef> = LazyLock::new(|| {
    schema(&[
        ("name", DataType::Utf8View, false),
        ("description", DataType::Utf8View, false),
        ("unit", DataType::Utf8View, false),
        ("kind", DataType::Utf8View, false),
        ("states", texts_type(), true),
        ("labels", DataType::Utf8View, false),
        ("low_low", DataType::Float64, true),
        ("low", DataType::Float64, true),
        ("high", DataType::Float64, true),
        ("high_high", DataType::Float64, true),
        ("cadence", span_type(), true),
        ("compression", DataType::Utf8View, false),
        ("deviation", DataType::Float64, true),
        ("span", span_type(), true),
        ("created", time_type(), false),
        ("changed", time_type(), false),
        ("ordinal", DataType::Int64, false),
    ])
});
