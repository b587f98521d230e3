//! Reading samples and events for a plan: which tags and times a filter names, and the plan nodes
//! that read them from the kernel in parts side by side.

pub(crate) mod batches;
pub(crate) mod condition;
pub(crate) mod labelled;
pub(crate) mod node;
pub(crate) mod parts;
pub(crate) mod selection;

use crate::engine::Engine;
use crate::schema;
use arrow::datatypes::SchemaRef;
use kernel::{Snapshot, TagSelection};
use std::sync::Arc;
use types::{Kind, TimeRange};

/// Which samples a table shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Sort {
    /// All numeric kinds as doubles: `samples`.
    Doubles,
    /// Integer kinds as they are: `integers`.
    Integers,
    /// Text: `events`.
    Texts,
}

impl Sort {
    /// The table's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Sort::Doubles => "samples",
            Sort::Integers => "integers",
            Sort::Texts => "events",
        }
    }

    /// The sort of the table of that name.
    pub(crate) fn named(name: &str) -> Option<Sort> {
        [Sort::Doubles, Sort::Integers, Sort::Texts].into_iter().find(|sort| sort.name() == name)
    }

    /// The table's columns.
    pub(crate) fn schema(self) -> &'static SchemaRef {
        match self {
            Sort::Doubles => &schema::SAMPLES,
            Sort::Integers => &schema::INTEGERS,
            Sort::Texts => &schema::EVENTS,
        }
    }

    /// Whether tags of a kind are in the table.
    pub(crate) fn holds(self, kind: Kind) -> bool {
        match self {
            Sort::Doubles => !kind.is_text(),
            Sort::Integers => kind.is_integer(),
            Sort::Texts => kind.is_text(),
        }
    }
}

/// What is read, whoever reads it.
#[derive(Clone)]
pub(crate) struct Target {
    pub engine: Arc<Engine>,
    pub snapshot: Snapshot,
    pub sort: Sort,
    pub tags: TagSelection,
    pub range: TimeRange,
    /// Only samples whose quality is good (192 and above).
    pub good_only: bool,
}

impl Target {
    /// How many tags are meant, for EXPLAIN.
    pub(crate) fn tags_shown(&self) -> String {
        match &self.tags {
            TagSelection::All => "all".to_owned(),
            TagSelection::List(list) => format!("{} of {}", list.len(), self.engine.catalog.len()),
        }
    }

    /// Whether nothing can be found.
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_empty() || matches!(&self.tags, TagSelection::List(list) if list.is_empty())
    }
}
