//! The relations that SQL sees: ours, and PostgreSQL's own.

use super::declared::DECLARED;
use super::described::{self, Described};
use super::types;
use super::{namespace_number, quoted};
use arrow::datatypes::SchemaRef;

/// The number of the first of our tables; those below belong to PostgreSQL.
const FIRST: i64 = 16_384;

/// One of our tables: its schema's name, its own and its columns.
pub(crate) type Known = (&'static str, &'static str, SchemaRef);

/// A relation.
#[derive(Clone)]
pub(crate) struct Object {
    /// Its number.
    pub(crate) oid: i64,
    /// Its schema's name.
    pub(crate) schema: &'static str,
    /// Its own.
    pub(crate) name: String,
    /// `r` a table, `v` a view, `i` an index.
    pub(crate) kind: &'static str,
    /// Its columns in order.
    pub(crate) columns: Vec<Column>,
    /// What it holds.
    pub(crate) comment: Option<&'static str>,
    /// The columns of its primary key.
    pub(super) key: &'static [&'static str],
}

/// A column.
#[derive(Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    /// The number of its type.
    pub(super) kind: i64,
    pub(super) nullable: bool,
    /// What stands in it where nothing is given, as SQL.
    pub(super) default: Option<&'static str>,
    pub(super) comment: Option<&'static str>,
}

impl Object {
    /// The number of its schema.
    pub(super) fn namespace(&self) -> i64 {
        namespace_number(self.schema).unwrap_or(0)
    }

    /// Whether it is found without its schema.
    pub(crate) fn is_visible(&self) -> bool {
        ["public", "pg_catalog"].contains(&self.schema)
    }

    /// Its name, with its schema where it is not found without.
    pub(crate) fn shown(&self) -> String {
        if self.is_visible() { quoted(&self.name) } else { self.full() }
    }

    /// Its name with its schema.
    pub(crate) fn full(&self) -> String {
        format!("{}.{}", self.schema, quoted(&self.name))
    }

    /// Whether everybody may read it.
    pub(super) fn is_open(&self) -> bool {
        ["pg_catalog", "information_schema"].contains(&self.schema) || (self.schema == "meridian" && self.name == "grants")
    }

    /// Whether rows can be written to it.
    pub(crate) fn is_writable(&self) -> bool {
        self.schema == "public" && self.kind == "r"
    }

    /// The place of a column, from 1.
    pub(super) fn place(&self, column: &str) -> i64 {
        self.columns.iter().position(|own| own.name == column).map_or(0, |at| at as i64 + 1)
    }
}

/// Ours.
pub(super) fn ours(known: &[Known]) -> Vec<Object> {
    let one = |(at, (schema, name, columns)): (usize, &Known)| {
        let said: Option<&Described> = described::of(schema, name);
        let column = |field: &arrow::datatypes::FieldRef| {
            let told = said.and_then(|said| said.columns.iter().find(|told| told.name == field.name()));
            Column {
                name: field.name().clone(),
                kind: types::number_of(field.data_type()),
                nullable: field.is_nullable(),
                default: told.and_then(|told| told.default),
                comment: told.map(|told| told.comment),
            }
        };
        Object {
            oid: FIRST + at as i64,
            schema,
            name: (*name).to_owned(),
            kind: said.map_or("v", |said| said.kind),
            columns: columns.fields().iter().map(column).collect(),
            comment: said.map(|said| said.comment),
            key: said.map_or(&[], |said| said.key),
        }
    };
    known.iter().enumerate().map(one).collect()
}

/// PostgreSQL's own, as far as they are here.
pub(super) fn declared() -> impl Iterator<Item = Object> {
    DECLARED.iter().map(|relation| Object {
        oid: relation.oid,
        schema: relation.schema,
        name: relation.name.to_owned(),
        kind: relation.kind,
        columns: relation
            .columns
            .iter()
            .map(|(name, kind)| Column {
                name: (*name).to_owned(),
                kind: types::by_name(kind).map_or(25, |of| of.oid),
                nullable: true,
                default: None,
                comment: None,
            })
            .collect(),
        comment: None,
        key: &[],
    })
}
