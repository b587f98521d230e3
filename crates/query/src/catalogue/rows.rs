//! The rows of `pg_catalog`'s tables that are the same for every session.

use super::cells::{Cell, Row, row};
use super::types::{self, TYPES};
use super::{Catalogue, DATABASE_NUMBER, NAMESPACES, OWNER, Object, TABLESPACE, namespace_number};
use crate::context::DATABASE;

/// What a text is compared by.
const DEFAULT_COLLATION: i64 = 100;
/// The numbers of the access methods.
const BTREE: i64 = 403;
/// The number of the language that functions of the engine are written in.
const INTERNAL: i64 = 12;
/// The number of the catalogue's table of relations, and of those of functions and schemas.
const OF_CLASSES: i64 = 1259;
const OF_PROCEDURES: i64 = 1255;
const OF_NAMESPACES: i64 = 2615;

/// The rows of a table.
pub(super) fn of(name: &str, catalogue: &Catalogue) -> Vec<Row> {
    match name {
        "pg_am" => [("heap", 2_i64, "t"), ("btree", BTREE, "i")]
            .map(|(name, oid, kind)| row! { oid = oid, amname = name, amtype = kind })
            .to_vec(),
        "pg_attrdef" => defaults(catalogue),
        "pg_attribute" => catalogue.objects.iter().flat_map(attributes).collect(),
        "pg_class" => catalogue.objects.iter().map(|object| class(catalogue, object)).collect(),
        "pg_collation" => collations(),
        "pg_constraint" => catalogue.constraints.iter().map(|constraint| key(catalogue, constraint)).collect(),
        "pg_database" => vec![database()],
        "pg_description" => descriptions(catalogue),
        "pg_index" => catalogue.indexes.iter().map(index).collect(),
        "pg_language" => [("internal", INTERNAL), ("c", 13), ("sql", 14)]
            .map(
                |(name, oid)| row! { oid = oid, lanname = name, lanowner = OWNER, lanispl = false, lanpltrusted = name == "sql" },
            )
            .to_vec(),
        "pg_namespace" => NAMESPACES.map(|(name, oid, _)| row! { oid = oid, nspname = name, nspowner = OWNER }).to_vec(),
        "pg_proc" => catalogue.routines.iter().map(routine).collect(),
        "pg_stat_database" => vec![row! { datid = DATABASE_NUMBER, datname = DATABASE }],
        "pg_stat_user_tables" => {
            let ours = catalogue.objects.iter().filter(|object| object.is_writable());
            ours.map(|table| row! { relid = table.oid, schemaname = table.schema, relname = table.name.as_str() }).collect()
        }
        "pg_tablespace" => vec![row! { oid = TABLESPACE, spcname = "pg_default", spcowner = OWNER }],
        "pg_type" => TYPES.iter().map(kind).collect(),
        _ => Vec::new(),
    }
}

fn class(catalogue: &Catalogue, object: &Object) -> Row {
    let keyed = catalogue.indexes.iter().any(|index| index.table == object.oid);
    // PostgreSQL keeps foreign keys by triggers, of both tables; psql looks for keys only where there are some.
    let refers = |key: &super::Constraint| key.refers.as_ref().is_some_and(|to| key.table == object.oid || to.0 == object.oid);
    let foreign = catalogue.constraints.iter().any(refers);
    row! {
        oid = object.oid, relname = object.name.as_str(), relnamespace = object.namespace(), relowner = OWNER,
        relam = if object.kind == "i" { BTREE } else { 0 }, relfilenode = 0_i64, reltuples = -1_i64, relhasindex = keyed, relhastriggers = foreign,
        relpersistence = "p", relkind = object.kind, relnatts = object.columns.len(), relispopulated = true,
        relreplident = if keyed { "d" } else { "n" },
    }
}

fn attributes(object: &Object) -> Vec<Row> {
    let one = |(at, column): (usize, &super::objects::Column)| {
        let of = types::by_number(column.kind);
        let word = |at: usize| of.map_or("", |of| of.words[at]);
        let text = ["text", "name", "varchar", "bpchar"].contains(&word(0));
        row! {
            attrelid = object.oid, attname = column.name.as_str(), atttypid = column.kind, attnum = at + 1,
            attlen = word(2).parse::<i64>().unwrap_or(-1), atttypmod = -1_i64, attndims = i64::from(word(5) == "A"),
            attbyval = word(3) == "t", attalign = word(13), attstorage = word(14), attcompression = "",
            attnotnull = !column.nullable, atthasdef = column.default.is_some(), attidentity = "", attgenerated = "",
            attislocal = true, attstattarget = -1_i64, attcollation = if text { DEFAULT_COLLATION } else { 0 }, attcacheoff = -1_i64,
        }
    };
    object.columns.iter().enumerate().map(one).collect()
}

fn defaults(catalogue: &Catalogue) -> Vec<Row> {
    let mut rows = Vec::new();
    for object in &catalogue.objects {
        for (at, column) in object.columns.iter().enumerate() {
            let Some(default) = column.default else { continue };
            rows.push(row! { oid = 18_000 + rows.len(), adrelid = object.oid, adnum = at + 1, adbin = default });
        }
    }
    rows
}

fn collations() -> Vec<Row> {
    let one = |(name, oid, provider): (&'static str, i64, &'static str)| {
        row! {
            oid = oid, collname = name, collnamespace = 11_i64, collowner = OWNER, collprovider = provider,
            collisdeterministic = true, collencoding = -1_i64, collcollate = "C", collctype = "C",
        }
    };
    [("default", DEFAULT_COLLATION, "d"), ("C", 950, "c"), ("POSIX", 951, "c")].map(one).to_vec()
}

fn key(catalogue: &Catalogue, of: &super::Constraint) -> Row {
    let namespace = catalogue.object(of.table).map_or(0, Object::namespace);
    let mut row = row! {
        oid = of.oid, conname = of.name.as_str(), connamespace = namespace, contype = of.kind(), conrelid = of.table,
        conindid = of.index, convalidated = true, conislocal = true, connoinherit = true, conkey = of.places.clone(),
    };
    let word = |text: &str| Cell::from(text);
    let (update, delete, matched) = if of.refers.is_some() { ("c", "c", "s") } else { (" ", " ", " ") };
    row.extend([("confupdtype", word(update)), ("confdeltype", word(delete)), ("confmatchtype", word(matched))]);
    if let Some((table, places)) = &of.refers {
        row.extend([("confrelid", Cell::from(*table)), ("confkey", Cell::from(places.clone()))]);
    }
    row
}

fn index(of: &super::Index) -> Row {
    let same = |number: i64| vec![number; of.places.len()];
    row! {
        indexrelid = of.oid, indrelid = of.table, indnatts = of.places.len(), indnkeyatts = of.places.len(), indisunique = true,
        indisprimary = true, indimmediate = true, indisvalid = true, indisready = true, indislive = true,
        indkey = of.places.clone(), indcollation = same(0), indclass = same(0), indoption = same(0),
    }
}

fn database() -> Row {
    row! {
        oid = DATABASE_NUMBER, datname = DATABASE, datdba = OWNER, encoding = 6_i64, datlocprovider = "c", datistemplate = false,
        datallowconn = true, datconnlimit = -1_i64, dattablespace = TABLESPACE, datcollate = "C", datctype = "C",
    }
}

fn descriptions(catalogue: &Catalogue) -> Vec<Row> {
    let row = |oid: i64, class: i64, place: usize, text: &str| row! { objoid = oid, classoid = class, objsubid = place, description = text };
    let mut rows: Vec<Row> = Vec::new();
    for object in &catalogue.objects {
        rows.extend(object.comment.map(|text| row(object.oid, OF_CLASSES, 0, text)));
        for (at, column) in object.columns.iter().enumerate() {
            rows.extend(column.comment.map(|text| row(object.oid, OF_CLASSES, at + 1, text)));
        }
    }
    for routine in &catalogue.routines {
        rows.extend(routine.comment.as_deref().map(|text| row(routine.oid, OF_PROCEDURES, 0, text)));
    }
    rows.extend(NAMESPACES.iter().map(|(_, oid, text)| row(*oid, OF_NAMESPACES, 0, text)));
    rows
}

fn routine(of: &super::Routine) -> Row {
    let gives = of.gives.and_then(types::type_number).unwrap_or(0);
    let count = of.takes.map_or(0, |takes| takes.split(',').filter(|word| !word.trim().is_empty()).count());
    row! {
        oid = of.oid, proname = of.name.as_str(), pronamespace = namespace_number(of.schema), proowner = OWNER, prolang = INTERNAL,
        procost = 1_i64, prokind = of.kind, provolatile = "s", proparallel = "s", pronargs = count, prorettype = gives,
        prosrc = of.name.as_str(), proargtypes = Vec::<i64>::new(),
    }
}

fn kind(of: &types::Type) -> Row {
    let number = |at: usize| of.words[at].parse::<i64>().unwrap_or(0);
    row! {
        oid = of.oid, typname = of.name, typnamespace = 11_i64, typowner = OWNER, typlen = number(2), typbyval = of.words[3] == "t",
        typtype = of.words[4], typcategory = of.words[5], typispreferred = of.words[6] == "t", typisdefined = true, typdelim = ",",
        typelem = of.element, typarray = of.array, typinput = number(9), typoutput = number(10), typreceive = number(11),
        typsend = number(12), typalign = of.words[13], typstorage = of.words[14], typcollation = number(15),
        typsubscript = number(16), typmodin = number(17), typmodout = number(18), typtypmod = -1_i64,
    }
}
