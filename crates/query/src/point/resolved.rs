//! Arrays of names, and of (name, time) pairs, once their tags are looked up.

use super::question::Table;
use crate::access::{Privileges, Rights};
use crate::engine::Engine;
use crate::error::{Error, raise};
use crate::schema;
use crate::time::{Zone, parse};
use arrow::array::{Array, ArrayRef, AsArray, StringArray, TimestampMicrosecondArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use std::sync::Arc;
use types::{Kinds, TagId, Timestamp};

/// Tags of an array of names: a set, so each comes once, as from a plan.
pub(super) struct Many {
    names: StringArray,
    /// Which names, in the order of `tags`: that of the names.
    rows: Vec<usize>,
    pub tags: Vec<TagId>,
}

impl Many {
    /// Those that are there, are of the table's kinds, and may be read.
    pub(super) fn of(engine: &Engine, rights: Option<&Rights>, table: Table, names: StringArray) -> Many {
        let mut wanted: Vec<(&str, usize)> =
            names.iter().enumerate().filter_map(|(row, name)| name.map(|name| (name, row))).collect();
        wanted.sort_unstable();
        wanted.dedup_by_key(|(name, _)| *name);
        let texts: Vec<&str> = wanted.iter().map(|(name, _)| *name).collect();
        let found = engine.catalog.find_many(&texts);
        let seen = |name: &str, tag: &TagId| {
            let held = table.sort().is_none() || engine.catalog.kind(*tag).is_some_and(|kind| table.holds(kind));
            held && rights.is_none_or(|rights| rights.has_tag(&engine.catalog, table.full_name(), Privileges::SELECT, *tag, name))
        };
        let known = wanted.iter().zip(found).filter_map(|((name, row), tag)| Some((*row, tag.filter(|tag| seen(name, tag))?)));
        let (rows, tags) = known.unzip();
        Many { rows, tags, names }
    }

    pub(super) fn one(name: &str, tag: TagId) -> Many {
        Many { names: StringArray::from(vec![name]), rows: vec![0], tags: vec![tag] }
    }

    /// The name of a tag.
    pub(super) fn name(&self, index: usize) -> &str {
        self.names.value(self.rows[index])
    }
}

/// Pairs of a name and a time, and the questions that they are.
pub(super) struct Pairs {
    names: StringArray,
    times: TimestampMicrosecondArray,
    /// Of pairs without NULL whose tags there are.
    pub questions: Vec<(TagId, Timestamp)>,
    /// Which question a pair is.
    pub places: Vec<Option<usize>>,
}

impl Default for Pairs {
    fn default() -> Self {
        let (names, times) = (StringArray::new_null(0), TimestampMicrosecondArray::new_null(0));
        Pairs { names, times, questions: Vec::new(), places: Vec::new() }
    }
}

impl Pairs {
    /// None where an array is NULL.
    pub(super) fn of(
        engine: &Engine,
        rights: Option<&Rights>,
        names: Option<ArrayRef>,
        times: Option<ArrayRef>,
    ) -> Result<Option<Pairs>, Error> {
        let (Some(names), Some(times)) = (names, times) else { return Ok(None) };
        if names.len() != times.len() {
            let message = format!("values_at: {} tags but {} times", names.len(), times.len());
            return Err(raise(Error::InvalidParameter, message).with_hint("the two arrays are pairs: give them the same length"));
        }
        let names = texts(&names)?.as_string::<i32>().clone();
        let times = cast(&times, &schema::time_type())?.as_primitive::<TimestampMicrosecondType>().clone();
        let wanted: Vec<&str> = names.iter().map(Option::unwrap_or_default).collect();
        let mut questions = Vec::with_capacity(wanted.len());
        let mut places = vec![None; wanted.len()];
        let rights = rights.filter(|rights| !rights.is_unbound());
        let seen = |name: &str, tag: TagId| {
            let reads = |rights: &Rights| {
                let kind = engine.catalog.kind(tag);
                kind.is_some_and(|kind| rights.reads_kind(&engine.catalog, kind, tag, name))
            };
            rights.is_none_or(reads)
        };
        for (row, tag) in engine.catalog.find_many(&wanted).into_iter().enumerate() {
            let asked = names.is_valid(row) && times.is_valid(row);
            if let Some(tag) = tag.filter(|tag| asked && seen(wanted[row], *tag)) {
                places[row] = Some(questions.len());
                questions.push((tag, Timestamp(times.value(row))));
            }
        }
        Ok(Some(Pairs { names, times, questions, places }))
    }

    pub(super) fn rows(&self) -> usize {
        self.places.len()
    }

    /// Name and time of a pair as they are shown.
    pub(super) fn shown(&self, row: usize) -> (&str, i64) {
        let name = if self.names.is_valid(row) { self.names.value(row) } else { "" };
        (name, if self.times.is_valid(row) { self.times.value(row) } else { 0 })
    }
}

/// Times as moments, also where they come as text.
pub(super) fn moments(times: &ArrayRef, zone: Zone) -> Result<ArrayRef, Error> {
    if !matches!(times.data_type(), DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) {
        return Ok(Arc::clone(times));
    }
    let read = texts(times)?;
    let read = read.as_string::<i32>().iter().map(|text| text.map(|text| parse(text, zone)).transpose());
    Ok(Arc::new(TimestampMicrosecondArray::from(read.collect::<Result<Vec<_>, _>>()?).with_timezone("UTC")))
}

pub(super) fn texts(array: &ArrayRef) -> Result<ArrayRef, Error> {
    if array.data_type() == &DataType::Utf8 { Ok(Arc::clone(array)) } else { Ok(cast(array, &DataType::Utf8)?) }
}
