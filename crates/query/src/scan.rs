//! Reading samples and events for a plan: which tags and times a filter names, and the plan nodes
//! that read them from the kernel in parts side by side.

pub(crate) mod batches;
pub(crate) mod condition;
pub(crate) mod labelled;
pub(crate) mod leaf;
mod newest;
pub(crate) mod node;
pub(crate) mod parts;
pub(crate) mod selection;

use crate::engine::Engine;
use crate::fleet::{Away, Part};
use crate::schema;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use kernel::{Snapshot, TagSelection};
use std::sync::Arc;
use types::{Kind, TagId, TimeRange};

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

    /// The table's name, with its schema's.
    pub(crate) fn full_name(self) -> &'static str {
        match self {
            Sort::Doubles => "public.samples",
            Sort::Integers => "public.integers",
            Sort::Texts => "public.events",
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

/// Where what is read lies.
#[derive(Clone)]
pub(crate) enum Place {
    /// In the kernel of this process, as of a snapshot; and the tag table is here too.
    Here(Arc<Engine>, Snapshot),
    /// On a fleet's nodes: planned as it stands, and cut into parts before it runs.
    Fleet(Arc<Away>),
    /// On one node of a fleet: this one, where the part came to be read.
    Node(Arc<Part>),
}

/// What is read, whoever reads it.
#[derive(Clone)]
pub(crate) struct Target {
    pub place: Place,
    pub sort: Sort,
    pub tags: TagSelection,
    pub range: TimeRange,
    /// Only samples whose quality is good (192 and above).
    pub good_only: bool,
    /// About how many rows a batch has.
    pub batch_rows: usize,
    /// Whether the role may not see all tags: then EXPLAIN tells of nothing but those that it may.
    pub bound: bool,
}

/// What is known of the tags of runs of rows.
pub(crate) struct RunTags {
    /// Their names; None where only ordinals are known, which are then shown instead.
    pub names: Option<Vec<String>>,
    /// Whether their rows are shown: not of dropped tags, nor of kinds that are not of the table.
    pub shown: Vec<bool>,
}

impl Target {
    /// How many tags are meant, for EXPLAIN.
    pub(crate) fn tags_shown(&self) -> String {
        let known = match &self.place {
            _ if self.bound => None,
            Place::Here(engine, _) => Some(engine.catalog.len()),
            Place::Fleet(away) => Some(away.engine.catalog.len()),
            Place::Node(_) => None,
        };
        match (&self.tags, known) {
            (TagSelection::All, _) => "all".to_owned(),
            (TagSelection::List(list), Some(known)) => format!("{} of {known}", list.len()),
            (TagSelection::List(list), None) => list.len().to_string(),
        }
    }

    /// The tags of runs of rows.
    pub(crate) fn run_tags(&self, runs: impl Iterator<Item = (TagId, Kind)>) -> RunTags {
        let (ids, kinds): (Vec<TagId>, Vec<Kind>) = runs.unzip();
        let holds = |kind: &Kind| self.sort.holds(*kind);
        match &self.place {
            Place::Here(engine, _) => {
                let mut names = Vec::with_capacity(ids.len());
                let mut shown: Vec<bool> = kinds.iter().map(holds).collect();
                engine.catalog.names(&ids, |name| {
                    shown[names.len()] &= name.is_some();
                    names.push(name.unwrap_or_default().to_owned());
                });
                RunTags { names: Some(names), shown }
            }
            Place::Fleet(away) => RunTags { names: None, shown: away.dropped.shown(&ids, kinds.iter().map(holds)) },
            Place::Node(part) => RunTags { names: None, shown: part.dropped.shown(&ids, kinds.iter().map(holds)) },
        }
    }

    /// Which of these runs are shown, added to `shown`, for whoever does not need their names.
    pub(crate) fn shown_runs(&self, tags: &[TagId], kinds: &[Kind], shown: &mut Vec<bool>) {
        let (from, holds) = (shown.len(), |kind: &Kind| self.sort.holds(*kind));
        match &self.place {
            Place::Here(engine, _) => {
                engine.catalog.names(tags, |name| shown.push(name.is_some()));
                shown[from..].iter_mut().zip(kinds).for_each(|(shown, kind)| *shown &= holds(kind));
            }
            Place::Fleet(away) => shown.extend(away.dropped.shown(tags, kinds.iter().map(holds))),
            Place::Node(part) => shown.extend(part.dropped.shown(tags, kinds.iter().map(holds))),
        }
    }

    /// The type of the column `tag`: names where they are known, ordinals where they come later.
    pub(crate) fn tag_type(&self) -> DataType {
        if matches!(self.place, Place::Here(..)) { DataType::Utf8View } else { DataType::UInt64 }
    }

    /// A table's schema with the column `tag` as it is read.
    pub(crate) fn schema_read(&self, schema: &Schema) -> SchemaRef {
        let field = |field: &Arc<Field>| {
            if field.name() == "tag" {
                Arc::new(field.as_ref().clone().with_data_type(self.tag_type()))
            } else {
                Arc::clone(field)
            }
        };
        Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
    }

    /// Whether nothing can be found.
    pub(crate) fn is_empty(&self) -> bool {
        self.range.is_empty() || matches!(&self.tags, TagSelection::List(list) if list.is_empty())
    }
}
