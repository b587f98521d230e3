//! Enough of PostgreSQL's own catalogue for clients that ask which tables and columns there are.
//!
//! The tables are made from the schemas of ours when a session opens; numbers of objects are the
//! same in every session.

mod nothing;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result;
use std::sync::Arc;

/// The number of the first table; those below belong to PostgreSQL.
pub(crate) const FIRST_OID: i64 = 16_384;

/// The number of the one tablespace, PostgreSQL's own for it.
const TABLESPACE: i64 = 1663;

const NAMESPACES: [(&str, i64); 4] = [("pg_catalog", 11), ("public", 2200), ("meridian", 16_380), ("information_schema", 16_381)];

/// The tables that have rows.
const FILLED: [&str; 16] = [
    "pg_namespace",
    "pg_class",
    "pg_attribute",
    "pg_type",
    "pg_database",
    "pg_roles",
    "pg_authid",
    "pg_user",
    "pg_shadow",
    "pg_group",
    "pg_auth_members",
    "pg_tablespace",
    "pg_settings",
    "pg_stat_activity",
    "pg_prepared_statements",
    "pg_cursors",
];

/// Name, SQL's name, number, length, category, and the number of its array (of an array: of its element).
type TypeRow = (&'static str, &'static str, i64, i32, &'static str, i64);

#[rustfmt::skip]
const TYPES: [TypeRow; 32] = [
    ("bool", "boolean", 16, 1, "B", 1000),
    ("bytea", "bytea", 17, -1, "U", 1001),
    ("name", "name", 19, 64, "S", 1003),
    ("int8", "bigint", 20, 8, "N", 1016),
    ("int2", "smallint", 21, 2, "N", 1005),
    ("int4", "integer", 23, 4, "N", 1007),
    ("text", "text", 25, -1, "S", 1009),
    ("oid", "oid", 26, 4, "N", 1028),
    ("float4", "real", 700, 4, "N", 1021),
    ("float8", "double precision", 701, 8, "N", 1022),
    ("varchar", "character varying", 1043, -1, "S", 1015),
    ("date", "date", 1082, 4, "D", 1182),
    ("time", "time without time zone", 1083, 8, "D", 1183),
    ("timestamp", "timestamp without time zone", 1114, 8, "D", 1115),
    ("timestamptz", "timestamp with time zone", 1184, 8, "D", 1185),
    ("interval", "interval", 1186, 16, "T", 1187),
    ("numeric", "numeric", 1700, -1, "N", 1231),
    ("_bool", "boolean[]", 1000, -1, "A", 16),
    ("_bytea", "bytea[]", 1001, -1, "A", 17),
    ("_int8", "bigint[]", 1016, -1, "A", 20),
    ("_int2", "smallint[]", 1005, -1, "A", 21),
    ("_int4", "integer[]", 1007, -1, "A", 23),
    ("_text", "text[]", 1009, -1, "A", 25),
    ("_float4", "real[]", 1021, -1, "A", 700),
    ("_float8", "double precision[]", 1022, -1, "A", 701),
    ("_varchar", "character varying[]", 1015, -1, "A", 1043),
    ("_date", "date[]", 1182, -1, "A", 1082),
    ("_time", "time without time zone[]", 1183, -1, "A", 1083),
    ("_timestamp", "timestamp without time zone[]", 1115, -1, "A", 1114),
    ("_timestamptz", "timestamp with time zone[]", 1185, -1, "A", 1184),
    ("_interval", "interval[]", 1187, -1, "A", 1186),
    ("_numeric", "numeric[]", 1231, -1, "A", 1700),
];

/// The name of a type by its number.
pub(crate) fn type_name(oid: i64) -> String {
    TYPES
        .iter()
        .find(|(_, _, number, ..)| *number == oid)
        .map_or_else(|| "unknown".to_owned(), |(_, name, ..)| (*name).to_owned())
}

/// The name of the type that values of a column have.
#[must_use]
pub fn type_name_of(kind: &DataType) -> String {
    type_name(type_oid(kind))
}

fn type_oid(kind: &DataType) -> i64 {
    match kind {
        DataType::Boolean => 16,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => 17,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => 21,
        DataType::UInt16 | DataType::Int32 => 23,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => 20,
        DataType::Decimal128(..) | DataType::Decimal256(..) => 1700,
        DataType::Float32 => 700,
        DataType::Float64 => 701,
        DataType::Date32 | DataType::Date64 => 1082,
        DataType::Time32(_) | DataType::Time64(_) => 1083,
        DataType::Timestamp(_, None) => 1114,
        DataType::Timestamp(..) => 1184,
        DataType::Interval(_) => 1186,
        DataType::List(item) | DataType::LargeList(item) => {
            let of = type_oid(item.data_type());
            TYPES.iter().find(|(_, _, number, ..)| *number == of).map_or(1009, |(.., array)| *array)
        }
        _ => 25,
    }
}

/// One of our tables: its schema's name, its own and its columns.
pub(crate) type Known = (&'static str, &'static str, SchemaRef);

fn table(columns: Vec<(&'static str, ArrayRef)>) -> Result<Arc<dyn TableProvider>> {
    let fields: Vec<Field> = columns.iter().map(|(name, array)| Field::new(*name, array.data_type().clone(), true)).collect();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.into_iter().map(|(_, array)| array).collect())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

pub(super) fn texts<S: Into<String>>(values: impl IntoIterator<Item = S>) -> ArrayRef {
    Arc::new(StringArray::from_iter_values(values.into_iter().map(Into::into)))
}

pub(super) fn numbers(values: impl IntoIterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn all_text(value: &str, rows: usize) -> ArrayRef {
    texts(std::iter::repeat_n(value, rows))
}

fn all_number(value: i64, rows: usize) -> ArrayRef {
    numbers(std::iter::repeat_n(value, rows))
}

fn all_false(rows: usize) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![false; rows]))
}

fn all_true(rows: usize) -> ArrayRef {
    Arc::new(BooleanArray::from(vec![true; rows]))
}

/// A column of arrays of text, all NULL.
fn no_texts(rows: usize) -> ArrayRef {
    new_null_array(&DataType::new_list(DataType::Utf8, true), rows)
}

fn no_text(rows: usize) -> ArrayRef {
    Arc::new(StringArray::new_null(rows))
}

fn namespace_oid(name: &str) -> i64 {
    NAMESPACES.iter().find(|(known, _)| *known == name).map_or(0, |(_, oid)| *oid)
}

/// `pg_class`: the tables, with what was granted on each.
pub(super) fn classes(known: &[Known], granted: ArrayRef) -> Vec<(&'static str, ArrayRef)> {
    let rows = known.len();
    vec![
        ("oid", numbers((0..rows as i64).map(|at| FIRST_OID + at))),
        ("relname", texts(known.iter().map(|(_, name, _)| *name))),
        ("relnamespace", numbers(known.iter().map(|(schema, ..)| namespace_oid(schema)))),
        ("relkind", texts(known.iter().map(|(schema, ..)| if *schema == "public" { "r" } else { "v" }))),
        ("relowner", all_number(10, rows)),
        ("relam", all_number(0, rows)),
        ("reltype", all_number(0, rows)),
        ("reloftype", all_number(0, rows)),
        ("reltablespace", all_number(0, rows)),
        ("relnatts", numbers(known.iter().map(|(_, _, schema)| schema.fields().len() as i64))),
        ("relchecks", all_number(0, rows)),
        ("relpersistence", all_text("p", rows)),
        ("relreplident", all_text("d", rows)),
        ("reltuples", all_number(-1, rows)),
        ("relhasindex", all_false(rows)),
        ("relhasrules", all_false(rows)),
        ("relhastriggers", all_false(rows)),
        ("relrowsecurity", all_false(rows)),
        ("relforcerowsecurity", all_false(rows)),
        ("relispartition", all_false(rows)),
        ("relacl", granted),
        ("reltoastrelid", all_number(0, rows)),
        ("relpages", all_number(0, rows)),
        ("relhassubclass", all_false(rows)),
        ("reloptions", no_texts(rows)),
        ("relpartbound", no_text(rows)),
    ]
}

fn attributes(known: &[Known]) -> Result<Arc<dyn TableProvider>> {
    let all: Vec<(i64, i64, &Field)> = known
        .iter()
        .enumerate()
        .flat_map(|(at, (_, _, schema))| {
            schema
                .fields()
                .iter()
                .enumerate()
                .map(move |(number, field)| (FIRST_OID + at as i64, number as i64 + 1, field.as_ref()))
        })
        .collect();
    let rows = all.len();
    table(vec![
        ("attrelid", numbers(all.iter().map(|(table, ..)| *table))),
        ("attname", texts(all.iter().map(|(_, _, field)| field.name().clone()))),
        ("atttypid", numbers(all.iter().map(|(_, _, field)| type_oid(field.data_type())))),
        ("attnum", numbers(all.iter().map(|(_, number, _)| *number))),
        ("atttypmod", all_number(-1, rows)),
        ("attlen", all_number(-1, rows)),
        ("attnotnull", Arc::new(BooleanArray::from_iter(all.iter().map(|(_, _, field)| Some(!field.is_nullable()))))),
        ("attisdropped", all_false(rows)),
        ("atthasdef", all_false(rows)),
        ("attcollation", all_number(0, rows)),
        ("attidentity", all_text("", rows)),
        ("attgenerated", all_text("", rows)),
        ("attndims", all_number(0, rows)),
        ("attstorage", all_text("p", rows)),
        ("attcompression", all_text("", rows)),
        ("attstattarget", all_number(-1, rows)),
        ("attoptions", no_texts(rows)),
        ("attfdwoptions", no_texts(rows)),
        ("attacl", no_texts(rows)),
    ])
}

fn databases() -> Result<Arc<dyn TableProvider>> {
    table(vec![
        ("oid", numbers([1])),
        ("datname", texts([crate::context::DATABASE])),
        ("datdba", numbers([10])),
        ("encoding", numbers([6])),
        ("dattablespace", numbers([TABLESPACE])),
        ("datconnlimit", numbers([-1])),
        ("datallowconn", all_true(1)),
        ("datistemplate", all_false(1)),
        ("datlocprovider", texts(["c"])),
        ("datcollate", texts(["C"])),
        ("datctype", texts(["C"])),
        ("daticulocale", no_text(1)),
        ("daticurules", no_text(1)),
        ("datlocale", no_text(1)),
        ("datacl", no_texts(1)),
    ])
}

fn tablespaces() -> Result<Arc<dyn TableProvider>> {
    table(vec![
        ("oid", numbers([TABLESPACE])),
        ("spcname", texts(["pg_default"])),
        ("spcowner", numbers([10])),
        ("spcacl", no_texts(1)),
        ("spcoptions", no_texts(1)),
    ])
}

/// The tables of schema `pg_catalog`.
pub(crate) fn all(known: &[Known]) -> Result<Vec<(&'static str, Arc<dyn TableProvider>)>> {
    let namespaces = table(vec![
        ("oid", numbers(NAMESPACES.map(|(_, oid)| oid))),
        ("nspname", texts(NAMESPACES.map(|(name, _)| name))),
        ("nspowner", all_number(10, NAMESPACES.len())),
        ("nspacl", no_texts(NAMESPACES.len())),
    ])?;
    let count = TYPES.len();
    let types = table(vec![
        ("oid", numbers(TYPES.map(|(_, _, oid, ..)| oid))),
        ("typname", texts(TYPES.map(|(name, ..)| name))),
        ("typnamespace", all_number(11, count)),
        ("typlen", Arc::new(Int32Array::from_iter_values(TYPES.map(|(_, _, _, length, ..)| length)))),
        ("typtype", all_text("b", count)),
        ("typcategory", texts(TYPES.map(|(_, _, _, _, category, _)| category))),
        ("typelem", numbers(TYPES.map(|(.., category, other)| if category == "A" { other } else { 0 }))),
        ("typarray", numbers(TYPES.map(|(.., category, other)| if category == "A" { 0 } else { other }))),
        ("typrelid", all_number(0, count)),
        ("typbasetype", all_number(0, count)),
        ("typcollation", all_number(0, count)),
        ("typtypmod", all_number(-1, count)),
        ("typnotnull", all_false(count)),
        ("typowner", all_number(10, count)),
        ("typacl", no_texts(count)),
        ("typdelim", all_text(",", count)),
    ])?;
    let (databases, tablespaces) = (databases()?, tablespaces()?);
    let mut tables = vec![
        ("pg_namespace", namespaces),
        ("pg_attribute", attributes(known)?),
        ("pg_type", types),
        ("pg_database", databases),
        ("pg_tablespace", tablespaces),
    ];
    for (name, numeric, text) in nothing::EMPTY {
        let numeric = numeric.iter().map(|column| (*column, numbers([])));
        tables.push((name, table(numeric.chain(text.iter().map(|column| (*column, no_text(0)))).collect())?));
    }
    Ok(tables)
}

/// Whether a table of the catalogue never has a row.
pub(crate) fn is_empty(name: &str) -> bool {
    nothing::EMPTY.iter().any(|(empty, ..)| *empty == name)
}

/// Whether the catalogue has a table of this name.
pub(crate) fn is_table(name: &str) -> bool {
    FILLED.contains(&name) || is_empty(name)
}

/// A table's full name by its number: tables are numbered as they are registered.
pub(crate) fn table_of(engine: &Arc<crate::engine::Engine>, oid: i64) -> Option<String> {
    let of = |schema: &'static str| super::names(engine, schema).into_iter().map(move |name| format!("{schema}.{name}"));
    of("public").chain(of("meridian")).nth(usize::try_from(oid - FIRST_OID).ok()?)
}
