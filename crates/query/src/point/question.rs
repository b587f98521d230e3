//! What can be asked on the point path: tables, columns, operands, and the questions made of them.

use crate::access::Access;
use crate::engine::Engine;
use crate::scan::Sort;
use crate::schema;
use arrow::datatypes::SchemaRef;
use datafusion::common::ScalarValue;
use kernel::Bins;
use std::sync::Arc;
use types::Kind;

/// A table of the point path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Table {
    Samples,
    Integers,
    Events,
    Latest,
    ValuesAt,
}

impl Table {
    pub(crate) fn named(name: &str) -> Option<Table> {
        Some(match name {
            "samples" => Table::Samples,
            "integers" => Table::Integers,
            "events" => Table::Events,
            "latest" => Table::Latest,
            _ => return None,
        })
    }

    pub(crate) fn schema(self) -> &'static SchemaRef {
        match self {
            Table::Samples => &schema::SAMPLES,
            Table::Integers => &schema::INTEGERS,
            Table::Events => &schema::EVENTS,
            Table::Latest => &schema::LATEST,
            Table::ValuesAt => &schema::VALUES_AT,
        }
    }

    /// The table's name, with its schema's; of `values_at` that of the table that most of its rows are of.
    pub(super) fn full_name(self) -> &'static str {
        match self {
            Table::Samples | Table::ValuesAt => "public.samples",
            Table::Integers => "public.integers",
            Table::Events => "public.events",
            Table::Latest => "public.latest",
        }
    }

    /// Which samples it shows, where it is a table of samples.
    pub(super) fn sort(self) -> Option<Sort> {
        match self {
            Table::Samples => Some(Sort::Doubles),
            Table::Integers => Some(Sort::Integers),
            Table::Events => Some(Sort::Texts),
            Table::Latest | Table::ValuesAt => None,
        }
    }

    /// Whether tags of a kind are in the table.
    pub(super) fn holds(self, kind: Kind) -> bool {
        self.sort().is_none_or(|sort| sort.holds(kind))
    }
}

/// A column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    Tag,
    At,
    Time,
    Value,
    Text,
    Quality,
    Age,
}

impl Column {
    pub(crate) fn of(name: &str) -> Option<Column> {
        Some(match name {
            "tag" => Column::Tag,
            "at" => Column::At,
            "time" => Column::Time,
            "value" => Column::Value,
            "text" => Column::Text,
            "quality" => Column::Quality,
            "age" => Column::Age,
            _ => return None,
        })
    }
}

/// A value written in the statement, or a parameter by its number from 0.
#[derive(Clone, Debug)]
pub(crate) enum Operand<T> {
    Value(T),
    Parameter(usize),
}

/// A moment of a condition.
#[derive(Clone, Debug)]
pub(crate) enum Moment {
    Given(Operand<i64>),
    /// So many microseconds after the statement's own moment.
    FromNow(i64),
}

/// One end of a range of time.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub moment: Moment,
    pub strict: bool,
}

/// LIMIT.
#[derive(Clone, Debug)]
pub(crate) enum Limit {
    Rows(u64),
    Parameter(usize),
}

/// Which tags.
#[derive(Clone, Debug)]
pub(crate) enum Tags {
    One(Operand<String>),
    Listed(Vec<Operand<String>>),
    Array(Operand<ScalarValue>),
}

/// ORDER BY of rows of samples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Free,
    Time {
        descending: bool,
    },
    /// By tag, then time.
    Tag {
        descending: bool,
    },
}

impl Order {
    /// Whether each tag's newest rows come first.
    pub(super) fn is_newest_first(self) -> bool {
        matches!(self, Order::Time { descending: true } | Order::Tag { descending: true })
    }
}

/// Samples of some tags in a range of time.
pub(crate) struct Range {
    pub tags: Tags,
    pub lows: Vec<Bound>,
    pub highs: Vec<Bound>,
    pub order: Order,
    pub limit: Option<Limit>,
}

/// A column of totals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Item {
    Tag,
    Bin,
    Count,
    Sum,
    Average,
    Least,
    Greatest,
    FirstTime,
    LastTime,
    First,
    Last,
}

impl Item {
    /// Whether it is made of values.
    pub(super) fn is_of_values(self) -> bool {
        matches!(self, Item::Sum | Item::Average | Item::Least | Item::Greatest | Item::First | Item::Last)
    }
}

/// Aggregates of samples of some tags in a range of time, by bins of it, by tag, by both or of all.
pub(crate) struct Totals {
    pub tags: Tags,
    pub lows: Vec<Bound>,
    pub highs: Vec<Bound>,
    pub bins: Option<Bins>,
    pub by_tag: bool,
    pub items: Vec<Item>,
    /// ORDER BY: the tag or the bin, and whether descending.
    pub order: Vec<(Item, bool)>,
    pub limit: Option<Limit>,
}

impl Totals {
    /// Whether there are groups; else there is one row, whatever there is.
    pub(super) fn is_grouped(&self) -> bool {
        self.by_tag || self.bins.is_some()
    }
}

/// What is asked.
pub(crate) enum Question {
    Latest(Operand<String>),
    LatestMany(Tags),
    Range(Range),
    Totals(Totals),
    ValuesAt { tags: Operand<ScalarValue>, times: Operand<ScalarValue> },
}

/// A recognised question.
pub(crate) struct Plan {
    pub engine: Arc<Engine>,
    pub access: Arc<Access>,
    pub table: Table,
    /// Of rows that are no totals.
    pub columns: Vec<Column>,
    pub question: Question,
}
