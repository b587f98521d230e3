//! The rows of `information_schema`'s views that tell of relations, keys and functions: each role is told of its own.

use super::cells::{Cell, Row, row};
use super::objects::Column;
use super::told::Told;
use super::types::{self, format_type};
use super::{Catalogue, Constraint, Object};
use crate::context::DATABASE;

/// The views of which each role has rows of its own.
pub(super) const BOUNDED: [&str; 10] = [
    "tables",
    "views",
    "columns",
    "element_types",
    "table_constraints",
    "key_column_usage",
    "constraint_column_usage",
    "constraint_table_usage",
    "referential_constraints",
    "routines",
];

/// The rows of a view.
pub(super) fn of(name: &str, catalogue: &Catalogue, told: &Told) -> Vec<Row> {
    let relations = || catalogue.objects.iter().filter(|object| object.kind != "i" && told.of_table(object));
    let constraints = |told: &dyn Fn(&Object) -> bool, rows: &dyn Fn(&Object, &Constraint) -> Vec<Row>| -> Vec<Row> {
        let of = |constraint: &Constraint| {
            let object = catalogue.object(constraint.table).filter(|object| told(object));
            object.map(|object| rows(object, constraint)).unwrap_or_default()
        };
        catalogue.constraints.iter().flat_map(of).collect()
    };
    let (rules, own) = (|object: &Object| told.of_rules(object), |_: &Object| told.of_own());
    match name {
        "information_schema_catalog_name" => vec![row! { catalog_name = DATABASE }],
        "character_sets" => vec![row! {
            character_set_name = "UTF8", character_repertoire = "UCS", form_of_use = "UTF8", default_collate_catalog = DATABASE,
            default_collate_schema = "pg_catalog", default_collate_name = "C",
        }],
        "tables" => relations().map(table).collect(),
        "views" => relations().filter(|object| object.kind == "v").map(view).collect(),
        "columns" => relations().flat_map(columns).collect(),
        "element_types" => relations().flat_map(elements).collect(),
        "table_constraints" => constraints(&rules, &|object, constraint| {
            vec![row! {
                constraint_catalog = DATABASE, constraint_schema = object.schema, constraint_name = constraint.name.as_str(),
                table_catalog = DATABASE, table_schema = object.schema, table_name = object.name.as_str(),
                constraint_type = if constraint.refers.is_some() { "FOREIGN KEY" } else { "PRIMARY KEY" },
                is_deferrable = "NO", initially_deferred = "NO", enforced = "YES",
            }]
        }),
        "key_column_usage" => constraints(&|object| told.of_table(object), &keys),
        "constraint_column_usage" => constraints(&own, &|object, constraint| used(catalogue, object, constraint)),
        "constraint_table_usage" => constraints(&own, &|object, constraint| {
            let table = constraint.refers.as_ref().and_then(|(table, _)| catalogue.object(*table)).unwrap_or(object);
            vec![row! {
                table_catalog = DATABASE, table_schema = table.schema, table_name = table.name.as_str(),
                constraint_catalog = DATABASE, constraint_schema = object.schema, constraint_name = constraint.name.as_str(),
            }]
        }),
        "referential_constraints" => constraints(&rules, &|object, constraint| {
            let unique = catalogue.index(constraint.index).map(|index| index.name.clone());
            let rule = |_: &(i64, Vec<i64>)| {
                row! {
                    constraint_catalog = DATABASE, constraint_schema = object.schema, constraint_name = constraint.name.as_str(),
                    unique_constraint_catalog = DATABASE, unique_constraint_schema = object.schema,
                    unique_constraint_name = unique.clone(), match_option = "NONE", update_rule = "CASCADE", delete_rule = "CASCADE",
                }
            };
            constraint.refers.iter().map(rule).collect()
        }),
        "routines" => catalogue.routines.iter().filter(|of| told.of_routine(of)).map(routine).collect(),
        _ => Vec::new(),
    }
}

fn yes(flag: bool) -> &'static str {
    if flag { "YES" } else { "NO" }
}

fn table(object: &Object) -> Row {
    row! {
        table_catalog = DATABASE, table_schema = object.schema, table_name = object.name.as_str(),
        table_type = if object.kind == "v" { "VIEW" } else { "BASE TABLE" }, is_insertable_into = yes(object.is_writable()),
        is_typed = "NO",
    }
}

fn view(object: &Object) -> Row {
    row! {
        table_catalog = DATABASE, table_schema = object.schema, table_name = object.name.as_str(), check_option = "NONE",
        is_updatable = "NO", is_insertable_into = "NO", is_trigger_updatable = "NO", is_trigger_deletable = "NO",
        is_trigger_insertable_into = "NO",
    }
}

/// Bits, radix and scale of a number.
fn precision(name: &str) -> (Option<i64>, Option<i64>, Option<i64>) {
    match name {
        "int2" => (Some(16), Some(2), Some(0)),
        "int4" => (Some(32), Some(2), Some(0)),
        "int8" => (Some(64), Some(2), Some(0)),
        "float4" => (Some(24), Some(2), None),
        "float8" => (Some(53), Some(2), None),
        "numeric" => (None, Some(10), None),
        _ => (None, None, None),
    }
}

fn columns(object: &Object) -> Vec<Row> {
    let one = |(at, column): (usize, &Column)| {
        let of = types::by_number(column.kind);
        let name = of.map_or("text", |of| of.name);
        let (bits, radix, scale) = precision(name);
        let shown = if of.is_some_and(|of| of.words[5] == "A") { "ARRAY".to_owned() } else { format_type(column.kind, None) };
        let text = ["text", "varchar", "bpchar"].contains(&name);
        let timed = ["timestamp", "timestamptz", "time", "interval"].contains(&name);
        let moment = if timed { Some(6_i64) } else { (name == "date").then_some(0) };
        row! {
            table_catalog = DATABASE, table_schema = object.schema, table_name = object.name.as_str(),
            column_name = column.name.as_str(), ordinal_position = at + 1, column_default = column.default,
            is_nullable = yes(column.nullable), data_type = shown, character_octet_length = text.then_some(1_073_741_824_i64),
            numeric_precision = bits, numeric_precision_radix = radix, numeric_scale = scale, datetime_precision = moment,
            udt_catalog = DATABASE, udt_schema = "pg_catalog", udt_name = name, dtd_identifier = (at + 1).to_string(),
            is_self_referencing = "NO", is_identity = "NO", identity_cycle = "NO", is_generated = "NEVER",
            is_updatable = yes(object.is_writable()),
        }
    };
    object.columns.iter().enumerate().map(one).collect()
}

fn elements(object: &Object) -> Vec<Row> {
    let one = |(at, column): (usize, &Column)| {
        let of = types::by_number(column.kind).filter(|of| of.words[5] == "A")?;
        let element = types::by_number(of.element)?;
        Some(row! {
            object_catalog = DATABASE, object_schema = object.schema, object_name = object.name.as_str(), object_type = "TABLE",
            collection_type_identifier = (at + 1).to_string(), data_type = format_type(element.oid, None), udt_catalog = DATABASE,
            udt_schema = "pg_catalog", udt_name = element.name, dtd_identifier = format!("a{}", at + 1),
        })
    };
    object.columns.iter().enumerate().filter_map(one).collect()
}

fn keys(object: &Object, constraint: &Constraint) -> Vec<Row> {
    let one = |(at, place): (usize, &i64)| {
        let column = object.columns.get(usize::try_from(place - 1).ok()?)?;
        let unique = constraint.refers.is_some().then_some(at + 1);
        Some(row! {
            constraint_catalog = DATABASE, constraint_schema = object.schema, constraint_name = constraint.name.as_str(),
            table_catalog = DATABASE, table_schema = object.schema, table_name = object.name.as_str(),
            column_name = column.name.as_str(), ordinal_position = at + 1, position_in_unique_constraint = unique,
        })
    };
    constraint.places.iter().enumerate().filter_map(one).collect()
}

fn used(catalogue: &Catalogue, object: &Object, constraint: &Constraint) -> Vec<Row> {
    let own = (object, &constraint.places);
    let other = constraint.refers.as_ref().and_then(|(table, places)| Some((catalogue.object(*table)?, places)));
    let (table, places) = other.unwrap_or(own);
    let one = |place: &i64| {
        let column = table.columns.get(usize::try_from(place - 1).ok()?)?;
        Some(row! {
            table_catalog = DATABASE, table_schema = table.schema, table_name = table.name.as_str(),
            column_name = column.name.as_str(), constraint_catalog = DATABASE, constraint_schema = object.schema,
            constraint_name = constraint.name.as_str(),
        })
    };
    places.iter().filter_map(one).collect()
}

fn routine(of: &super::Routine) -> Row {
    let given = of.gives.map_or(Cell::Null, Cell::from);
    let mut row = row! {
        specific_catalog = DATABASE, specific_schema = of.schema, specific_name = format!("{}_{}", of.name, of.oid),
        routine_catalog = DATABASE, routine_schema = of.schema, routine_name = of.name.as_str(),
        routine_body = "EXTERNAL", external_language = "INTERNAL", security_type = "INVOKER",
        routine_type = (of.kind == "f").then_some("FUNCTION"),
    };
    row.push(("data_type", given));
    row
}
