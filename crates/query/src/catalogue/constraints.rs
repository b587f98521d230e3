//! Keys: the primary key of each table that is written to, and that a sample's tag is one of `tags`.

use super::objects::{Column, Object};
use super::quoted;

/// The numbers of the first index, and of the first constraint.
const FIRST_INDEX: i64 = 17_000;
const FIRST_CONSTRAINT: i64 = 17_500;

/// What finds rows by a key.
pub(crate) struct Index {
    pub(super) oid: i64,
    pub(super) name: String,
    /// The number of its table.
    pub(super) table: i64,
    /// The places of its columns in the table, from 1.
    pub(super) places: Vec<i64>,
}

/// A primary or foreign key.
pub(crate) struct Constraint {
    pub(super) oid: i64,
    pub(super) name: String,
    /// The number of its table, and the places of its columns in it.
    pub(super) table: i64,
    pub(super) places: Vec<i64>,
    /// The index that holds it, or that it refers to.
    pub(super) index: i64,
    /// Of a foreign key: the table and the places of the columns that it refers to.
    pub(super) refers: Option<(i64, Vec<i64>)>,
}

/// One for each table with a key.
pub(super) fn indexes(objects: &[Object]) -> Vec<Index> {
    let keyed = objects.iter().filter(|object| !object.key.is_empty());
    let index = |(at, object): (usize, &Object)| Index {
        oid: FIRST_INDEX + at as i64,
        name: format!("{}_pkey", object.name),
        table: object.oid,
        places: object.key.iter().map(|column| object.place(column)).collect(),
    };
    keyed.enumerate().map(index).collect()
}

/// The keys of all tables.
pub(super) fn constraints(objects: &[Object], indexes: &[Index]) -> Vec<Constraint> {
    let primary = |(at, index): (usize, &Index)| Constraint {
        oid: FIRST_CONSTRAINT + at as i64,
        name: index.name.clone(),
        table: index.table,
        places: index.places.clone(),
        index: index.oid,
        refers: None,
    };
    let mut all: Vec<Constraint> = indexes.iter().enumerate().map(primary).collect();
    let Some(tags) = objects.iter().find(|object| object.schema == "public" && object.name == "tags") else { return all };
    let Some(of_tags) = indexes.iter().find(|index| index.table == tags.oid) else { return all };
    for object in objects.iter().filter(|object| object.is_writable() && object.key.contains(&"tag")) {
        all.push(Constraint {
            oid: FIRST_CONSTRAINT + all.len() as i64,
            name: format!("{}_tag_fkey", object.name),
            table: object.oid,
            places: vec![object.place("tag")],
            index: of_tags.oid,
            refers: Some((tags.oid, of_tags.places.clone())),
        });
    }
    all
}

/// Columns by their places, as SQL writes them.
fn listed(object: &Object, places: &[i64]) -> String {
    let name = |place: &i64| object.columns.get(usize::try_from(place - 1).ok()?).map(|column| quoted(&column.name));
    places.iter().filter_map(name).collect::<Vec<_>>().join(", ")
}

impl Index {
    /// As a relation.
    pub(super) fn object(&self, objects: &[Object]) -> Object {
        let table = objects.iter().find(|object| object.oid == self.table);
        let column = |place: &i64| -> Option<Column> {
            let own = table?.columns.get(usize::try_from(place - 1).ok()?)?;
            Some(Column { nullable: true, default: None, comment: None, ..own.clone() })
        };
        Object {
            oid: self.oid,
            schema: table.map_or("public", |table| table.schema),
            name: self.name.clone(),
            kind: "i",
            columns: self.places.iter().filter_map(column).collect(),
            comment: None,
            key: &[],
        }
    }

    /// The statement that would make it; of one column, from 1, that column.
    pub(super) fn definition(&self, table: &Object, column: i64) -> Option<String> {
        if column > 0 {
            let place = self.places.get(usize::try_from(column - 1).ok()?)?;
            return Some(listed(table, &[*place]));
        }
        let columns = listed(table, &self.places);
        Some(format!("CREATE UNIQUE INDEX {} ON {} USING btree ({columns})", quoted(&self.name), table.full()))
    }
}

impl Constraint {
    /// `p` a primary key, `f` a foreign one.
    pub(super) fn kind(&self) -> &'static str {
        if self.refers.is_some() { "f" } else { "p" }
    }

    /// As it is written in CREATE TABLE.
    pub(super) fn definition<'a>(&self, object: impl Fn(i64) -> Option<&'a Object>) -> Option<String> {
        let own = listed(object(self.table)?, &self.places);
        let Some((table, places)) = &self.refers else { return Some(format!("PRIMARY KEY ({own})")) };
        let other = object(*table)?;
        let columns = listed(other, places);
        Some(format!("FOREIGN KEY ({own}) REFERENCES {}({columns}) ON UPDATE CASCADE ON DELETE CASCADE", other.shown()))
    }
}
