//! PostgreSQL's own catalogue as its clients ask it: `pg_catalog` and `information_schema`, over what is here.
//!
//! Promises: every relation that SQL sees is told of, with its columns, types, keys, defaults and comments, under numbers
//! that are the same in every session; the tables have PostgreSQL 16's columns, so that a client's question finds each
//! that it names; of what is not here (operators, triggers, ..) there is a table without rows.
//! It doesn't know how clients write their questions (`rewrite/catalogue`), nor decides who may do what (`access`): it tells
//! of roles and grants as they stand, and `information_schema` tells each of what it may do something with.
//!
//! The tables and their columns are data: `pg_catalog.txt`, `information_schema.txt`, `types.txt`, `procedures.txt`.

pub(crate) mod activity;
mod cells;
mod constraints;
mod declared;
mod described;
mod granted;
mod information;
mod objects;
mod of_user;
mod roles;
mod routines;
mod rows;
mod schemas;
mod told;
mod types;

pub(crate) use declared::{is_empty, is_table, number_of};
pub(crate) use objects::{Known, Object};
pub(crate) use routines::Known as Function;
pub(crate) use schemas::{Once, Shared, catalogue, register};
pub use types::PG_TYPE;
pub use types::type_name_of;
pub(crate) use types::{format_type, type_number};

use constraints::{Constraint, Index};
use routines::Routine;

/// The number of the role that owns everything.
pub(crate) const OWNER: i64 = crate::access::role::BOOTSTRAP_ID as i64;

/// The number of the one database.
const DATABASE_NUMBER: i64 = 1;

/// The number of the one tablespace, PostgreSQL's own for it.
const TABLESPACE: i64 = 1663;

/// Schemas by name and number.
pub(crate) const NAMESPACES: [(&str, i64, &str); 4] = [
    ("pg_catalog", 11, "system catalog schema"),
    ("public", 2200, "tags, samples, events and newest values"),
    ("meridian", 16_380, "what the node, and its fleet, say of themselves"),
    ("information_schema", 16_381, "the standard's views of what is here"),
];

/// What is here, by number and by name. One for all sessions.
pub(crate) struct Catalogue {
    objects: Vec<Object>,
    indexes: Vec<Index>,
    constraints: Vec<Constraint>,
    routines: Vec<Routine>,
}

impl Catalogue {
    /// Of the tables that are here and the functions.
    pub(crate) fn of(known: &[Known], functions: &[Function]) -> Catalogue {
        let mut objects = objects::ours(known);
        let indexes = constraints::indexes(&objects);
        let constraints = constraints::constraints(&objects, &indexes);
        objects.extend(indexes.iter().map(|index| index.object(&objects)).collect::<Vec<_>>());
        objects.extend(objects::declared());
        Catalogue { objects, indexes, constraints, routines: routines::all(functions) }
    }

    /// A relation by its number.
    pub(crate) fn object(&self, oid: i64) -> Option<&Object> {
        self.objects.iter().find(|object| object.oid == oid)
    }

    /// A relation by its name, with or without its schema, as it is written in SQL.
    pub(crate) fn relation(&self, name: &str) -> Option<&Object> {
        let (schema, own) = schema_and_own(name);
        let fits = |object: &&Object| object.name == own && schema.as_ref().map_or(object.is_visible(), |s| *s == object.schema);
        self.objects.iter().find(fits)
    }

    /// The number of a function by its name, with or without its schema and arguments.
    pub(crate) fn routine(&self, name: &str) -> Option<&Routine> {
        let (_, own) = schema_and_own(name.split('(').next().unwrap_or(name));
        self.routines.iter().find(|routine| routine.name == own)
    }

    /// A function by its number.
    pub(crate) fn routine_of(&self, oid: i64) -> Option<&Routine> {
        self.routines.iter().find(|routine| routine.oid == oid)
    }

    /// An index by its number.
    fn index(&self, oid: i64) -> Option<&Index> {
        self.indexes.iter().find(|index| index.oid == oid)
    }

    /// The statement that would make an index; of a column of it, from 1, that column.
    pub(crate) fn index_definition(&self, oid: i64, column: i64) -> Option<String> {
        let index = self.index(oid)?;
        index.definition(self.object(index.table)?, column)
    }

    /// A constraint as it is written in CREATE TABLE.
    pub(crate) fn constraint_definition(&self, oid: i64) -> Option<String> {
        let constraint = self.constraints.iter().find(|constraint| constraint.oid == oid)?;
        constraint.definition(|oid| self.object(oid))
    }

    /// What a function takes, as SQL writes it.
    pub(crate) fn arguments(&self, oid: i64) -> Option<String> {
        self.routine_of(oid).map(|routine| routine.takes.unwrap_or_default().to_owned())
    }

    /// What it gives; None where that depends on what it is given.
    pub(crate) fn result(&self, oid: i64) -> Option<String> {
        self.routine_of(oid).and_then(|routine| routine.gives).map(str::to_owned)
    }

    /// A statement that tells what a function is.
    pub(crate) fn routine_definition(&self, oid: i64) -> Option<String> {
        let of = self.routine_of(oid)?;
        let returns = of.gives.map(|gives| format!("\n RETURNS {gives}")).unwrap_or_default();
        let (schema, name, takes) = (of.schema, quoted(&of.name), of.takes.unwrap_or_default());
        Some(format!(
            "CREATE OR REPLACE FUNCTION {schema}.{name}({takes}){returns}\n LANGUAGE internal\nAS $function${}$function$\n",
            of.name
        ))
    }

    /// What is said of an object: of a relation or one of its columns, a function, a schema, the database.
    pub(crate) fn comment(&self, oid: i64, column: i64, of: Option<&str>) -> Option<&str> {
        let is = |name: &str| of.is_none_or(|of| of == name);
        if is("pg_class")
            && let Some(object) = self.object(oid)
        {
            let at = usize::try_from(column - 1).ok();
            return if column == 0 { object.comment } else { object.columns.get(at?)?.comment };
        }
        if is("pg_proc")
            && let Some(routine) = self.routine_of(oid)
        {
            return routine.comment.as_deref();
        }
        if is("pg_namespace") {
            let found = NAMESPACES.iter().find(|(_, number, _)| *number == oid);
            return found.map(|(.., comment)| *comment);
        }
        None
    }
}

/// A written name as its schema, where it has one, and its own.
fn schema_and_own(name: &str) -> (Option<String>, String) {
    let mut parts = parts(name);
    let own = parts.pop().unwrap_or_default();
    (parts.pop(), own)
}

/// The parts of a written name: `public."Samples"`.
pub(crate) fn parts(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in name.trim().chars() {
        match letter {
            '"' => quoted = !quoted,
            '.' if !quoted => words.push(String::new()),
            letter => {
                let letter = if quoted { letter } else { letter.to_ascii_lowercase() };
                words.last_mut().into_iter().for_each(|word| word.push(letter));
            }
        }
    }
    words
}

/// The number of a schema.
pub(crate) fn namespace_number(name: &str) -> Option<i64> {
    NAMESPACES.iter().find(|(known, ..)| *known == name).map(|(_, oid, _)| *oid)
}

/// A name as it must be written.
pub(crate) fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && !routines::is_reserved(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// The words of the language: each with its sort and whether it may be a label without AS.
pub(crate) fn keywords() -> impl Iterator<Item = (&'static str, &'static str, bool)> {
    routines::KEYWORDS.iter().copied()
}
