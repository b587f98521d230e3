//! Functions that clients ask PostgreSQL's catalogue with: what is visible, defined, described, and numbers by names.

use super::simple::Simple;
use crate::access::Access;
use crate::access::role::RoleId;
use crate::catalogue::{self, Catalogue, Object};
use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, Int64Array, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The arguments of a call, as numbers and as texts.
struct Args<'a>(&'a [ArrayRef]);

/// One argument in one row.
enum Arg {
    Null,
    Number(i64),
    Text(String),
    /// True or false; none of these functions asks which.
    Flag,
}

impl Args<'_> {
    fn at(&self, place: usize, row: usize) -> Arg {
        let Some(array) = self.0.get(place) else { return Arg::Null };
        if array.is_null(row) {
            return Arg::Null;
        }
        match array.data_type() {
            DataType::Boolean => Arg::Flag,
            DataType::Int64 => Arg::Number(array.as_primitive::<Int64Type>().value(row)),
            _ => Arg::Text(array.as_string::<i32>().value(row).to_owned()),
        }
    }

    fn number(&self, place: usize, row: usize) -> Option<i64> {
        match self.at(place, row) {
            Arg::Number(number) => Some(number),
            Arg::Text(text) => text.trim().parse().ok(),
            Arg::Null | Arg::Flag => None,
        }
    }

    fn text(&self, place: usize, row: usize) -> Option<String> {
        match self.at(place, row) {
            Arg::Text(text) => Some(text),
            Arg::Number(number) => Some(number.to_string()),
            Arg::Null | Arg::Flag => None,
        }
    }
}

/// Whole numbers as i64, booleans as they are, anything else as text.
fn plain(args: &[ArrayRef]) -> Result<Vec<ArrayRef>> {
    let plain = |array: &ArrayRef| {
        let kind = match array.data_type() {
            DataType::Boolean => return Ok(Arc::clone(array)),
            kind if kind.is_integer() => DataType::Int64,
            _ => DataType::Utf8,
        };
        Ok(cast_with_options(array, &kind, &CastOptions { safe: true, ..CastOptions::default() })?)
    };
    args.iter().map(plain).collect()
}

fn taking(arity: RangeInclusive<usize>) -> Signature {
    let one = |count: usize| if count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(count) };
    Signature::one_of(arity.map(one).collect(), Volatility::Stable)
}

/// A function of text.
fn text(
    name: &'static str,
    arity: RangeInclusive<usize>,
    catalogue: &Arc<Catalogue>,
    body: impl Fn(&Catalogue, &dyn Fn(usize) -> Option<i64>, &dyn Fn(usize) -> Option<String>) -> Result<Option<String>, Error>
    + Send
    + Sync
    + 'static,
) -> ScalarUDF {
    let catalogue = Arc::clone(catalogue);
    Simple::any_of(name, taking(arity), DataType::Utf8, move |args, rows| {
        let args = plain(args)?;
        let args = Args(&args);
        let one = |row: usize| body(&catalogue, &|place| args.number(place, row), &|place| args.text(place, row));
        Ok(Arc::new((0..rows).map(one).collect::<Result<StringArray, Error>>()?))
    })
}

/// A function of numbers.
fn number(
    name: &'static str,
    arity: RangeInclusive<usize>,
    catalogue: &Arc<Catalogue>,
    body: impl Fn(&Catalogue, Arg) -> Result<Option<i64>, Error> + Send + Sync + 'static,
) -> ScalarUDF {
    let catalogue = Arc::clone(catalogue);
    Simple::any_of(name, taking(arity), DataType::Int64, move |args, rows| {
        let args = plain(args)?;
        let args = Args(&args);
        let one = |row: usize| body(&catalogue, args.at(0, row));
        Ok(Arc::new((0..rows).map(one).collect::<Result<Int64Array, Error>>()?))
    })
}

/// A question to be answered by yes or no; NULL asked of NULL.
fn whether(
    name: &'static str,
    arity: RangeInclusive<usize>,
    catalogue: &Arc<Catalogue>,
    body: impl Fn(&Catalogue, i64) -> bool + Send + Sync + 'static,
) -> ScalarUDF {
    let catalogue = Arc::clone(catalogue);
    Simple::any_of(name, taking(arity), DataType::Boolean, move |args, rows| {
        let args = plain(args)?;
        let args = Args(&args);
        let one = |row: usize| args.number(0, row).map(|oid| body(&catalogue, oid));
        Ok(Arc::new((0..rows).map(one).collect::<BooleanArray>()))
    })
}

/// What there is none of: NULL.
fn nothing(name: &'static str, arity: RangeInclusive<usize>, gives: DataType) -> ScalarUDF {
    let none = gives.clone();
    Simple::any_of(name, taking(arity), gives, move |_, rows| Ok(arrow::array::new_null_array(&none, rows)))
}

/// Those that answer every user the same.
pub(super) fn of_all(catalogue: &Arc<Catalogue>) -> Vec<ScalarUDF> {
    let mut out = definitions(catalogue);
    out.extend(visible(catalogue));
    out.extend(sizes());
    out
}

fn unknown(what: &str, name: &str) -> Error {
    let condition = match what {
        "relation" => Error::UnknownTable,
        "schema" => Error::UnknownSchema,
        "function" => Error::UnknownFunction,
        _ => Error::UnknownObject,
    };
    raise(condition, format!("{what} \"{name}\" does not exist"))
}

/// The number of an object of a sort by its name; of a number itself.
fn number_of(sort: &str, access: &Access, catalogue: &Catalogue, name: &str) -> Option<i64> {
    match sort {
        "class" => catalogue.relation(name).map(|object| object.oid),
        "type" => catalogue::type_number(name),
        "proc" => catalogue.routine(name).map(|routine| routine.number()),
        "namespace" => catalogue::namespace_number(name.trim_matches('"')),
        "role" => {
            let parts = catalogue::parts(name);
            let roster = access.roles().roster();
            parts.last().and_then(|name| roster.named(name)).map(|role| i64::from(role.id))
        }
        _ => None,
    }
}

/// The name of an object of a sort by its number.
fn name_of(sort: &str, access: &Access, catalogue: &Catalogue, oid: i64) -> Option<String> {
    match sort {
        "class" => catalogue.object(oid).map(Object::shown),
        "type" => Some(catalogue::format_type(oid, None)).filter(|name| name != "???"),
        "proc" => catalogue.routine_of(oid).map(|routine| routine.name.clone()),
        "namespace" => catalogue::NAMESPACES.iter().find(|(_, number, _)| *number == oid).map(|(name, ..)| (*name).to_owned()),
        "role" => {
            let roster = access.roles().roster();
            RoleId::try_from(oid).ok().and_then(|id| roster.role(id)).map(|role| catalogue::quoted(&role.name))
        }
        _ => None,
    }
}

/// Each sort of objects that are known by number and name: its name in `reg..`, how it is called, its functions here.
pub(crate) const SORTS: [(&str, &str, &str, &str, &str); 5] = [
    ("class", "relation", "__number_of_class", "__name_of_class", "to_regclass"),
    ("type", "type", "__number_of_type", "__name_of_type", "to_regtype"),
    ("proc", "function", "__number_of_proc", "__name_of_proc", "to_regproc"),
    ("namespace", "schema", "__number_of_namespace", "__name_of_namespace", "to_regnamespace"),
    ("role", "role", "__number_of_role", "__name_of_role", "to_regrole"),
];

/// Objects by number and by name; roles are those of the moment.
pub(super) fn names(catalogue: &Arc<Catalogue>, access: &Arc<Access>) -> Vec<ScalarUDF> {
    let mut out = Vec::new();
    for (sort, what, number_name, name_name, lenient) in SORTS {
        let (one, two, three) = (Arc::clone(access), Arc::clone(access), Arc::clone(access));
        let found = move |catalogue: &Catalogue, access: &Access, arg: Arg| match arg {
            Arg::Number(oid) => Ok(Some(oid)),
            Arg::Text(name) if name.trim() == "-" => Ok(Some(0)),
            Arg::Text(name) => match name.trim().parse() {
                Ok(oid) => Ok(Some(oid)),
                Err(_) => number_of(sort, access, catalogue, &name).map(Some).ok_or_else(|| unknown(what, &name)),
            },
            Arg::Null | Arg::Flag => Ok(None),
        };
        out.push(number(number_name, 1..=1, catalogue, move |catalogue, arg| found(catalogue, &one, arg)));
        out.push(text(name_name, 1..=1, catalogue, move |catalogue, number, text| {
            let arg = match (number(0), text(0)) {
                (Some(oid), _) => Arg::Number(oid),
                (None, Some(name)) => Arg::Text(name),
                (None, None) => Arg::Null,
            };
            let named = |oid: i64| match oid {
                0 => "-".to_owned(),
                oid => name_of(sort, &two, catalogue, oid).unwrap_or_else(|| oid.to_string()),
            };
            Ok(found(catalogue, &two, arg)?.map(named))
        }));
        out.push(text(lenient, 1..=1, catalogue, move |catalogue, _, text| {
            let oid = text(0).and_then(|name| number_of(sort, &three, catalogue, &name));
            Ok(oid.and_then(|oid| name_of(sort, &three, catalogue, oid)))
        }));
    }
    out
}

fn definitions(catalogue: &Arc<Catalogue>) -> Vec<ScalarUDF> {
    let text = |name, arity, body| text(name, arity, catalogue, body);
    type Body = fn(&Catalogue, &dyn Fn(usize) -> Option<i64>, &dyn Fn(usize) -> Option<String>) -> Result<Option<String>, Error>;
    let all: Vec<(&'static str, RangeInclusive<usize>, Body)> = vec![
        ("obj_description", 1..=2, |c, n, t| {
            let of = t(1);
            Ok(n(0).and_then(|oid| c.comment(oid, 0, of.as_deref())).map(str::to_owned))
        }),
        ("col_description", 2..=2, |c, n, _| {
            let (oid, column) = (n(0), n(1).filter(|column| *column > 0));
            Ok(oid.zip(column).and_then(|(oid, column)| c.comment(oid, column, Some("pg_class"))).map(str::to_owned))
        }),
        ("pg_get_constraintdef", 1..=2, |c, n, _| Ok(n(0).and_then(|oid| c.constraint_definition(oid)))),
        ("pg_get_indexdef", 1..=3, |c, n, _| Ok(n(0).and_then(|oid| c.index_definition(oid, n(1).unwrap_or(0))))),
        ("pg_get_expr", 2..=3, |_, _, t| Ok(t(0))),
        ("pg_get_function_arguments", 1..=1, |c, n, _| Ok(n(0).and_then(|oid| c.arguments(oid)))),
        ("pg_get_function_identity_arguments", 1..=1, |c, n, _| Ok(n(0).and_then(|oid| c.arguments(oid)))),
        ("pg_get_function_result", 1..=1, |c, n, _| Ok(n(0).and_then(|oid| c.result(oid)))),
        ("pg_get_functiondef", 1..=1, |c, n, _| Ok(n(0).and_then(|oid| c.routine_definition(oid)))),
        ("format_type", 2..=2, |_, n, _| Ok(n(0).map(|oid| catalogue::format_type(oid, n(1))))),
        ("getdatabaseencoding", 0..=0, |_, _, _| Ok(Some("UTF8".to_owned()))),
        ("pg_encoding_to_char", 1..=1, |_, n, _| Ok(n(0).map(|code| if code == 6 { "UTF8" } else { "" }.to_owned()))),
    ];
    all.into_iter().map(|(name, arity, body)| text(name, arity, body)).collect()
}

fn visible(catalogue: &Arc<Catalogue>) -> Vec<ScalarUDF> {
    let mut out = vec![
        whether("pg_table_is_visible", 1..=1, catalogue, |c, oid| c.object(oid).is_some_and(Object::is_visible)),
        whether("pg_relation_is_publishable", 1..=1, catalogue, |_, _| false),
        whether("pg_is_other_temp_schema", 1..=1, catalogue, |_, _| false),
        number("pg_my_temp_schema", 0..=0, catalogue, |_, _| Ok(Some(0))),
        number("pg_char_to_encoding", 1..=1, catalogue, |_, arg| {
            Ok(match arg {
                Arg::Text(name) if ["utf8", "utf-8", "unicode"].contains(&name.to_ascii_lowercase().as_str()) => Some(6),
                Arg::Text(_) => Some(-1),
                _ => None,
            })
        }),
        number("pg_relation_is_updatable", 2..=2, catalogue, |c, arg| {
            let Arg::Number(oid) = arg else { return Ok(None) };
            // Bits of what may be done: 4 UPDATE, 8 INSERT, 16 DELETE. Samples are replaced by another INSERT.
            let object = c.object(oid);
            Ok(object.map(|object| {
                if object.name == "tags" {
                    28
                } else if object.is_writable() {
                    24
                } else {
                    0
                }
            }))
        }),
    ];
    let of_each = [
        "pg_type_is_visible",
        "pg_function_is_visible",
        "pg_operator_is_visible",
        "pg_opclass_is_visible",
        "pg_opfamily_is_visible",
        "pg_conversion_is_visible",
        "pg_collation_is_visible",
        "pg_statistics_obj_is_visible",
        "pg_ts_parser_is_visible",
        "pg_ts_dict_is_visible",
        "pg_ts_template_is_visible",
        "pg_ts_config_is_visible",
    ];
    out.extend(of_each.map(|name| whether(name, 1..=1, catalogue, |_, _| true)));
    out
}

/// What a table takes on disk is not known by table: slices hold them all. And what there is nothing of here.
fn sizes() -> Vec<ScalarUDF> {
    let sizes = [
        "pg_table_size",
        "pg_relation_size",
        "pg_indexes_size",
        "pg_total_relation_size",
        "pg_tablespace_size",
        "pg_stat_get_numscans",
        "pg_relation_filenode",
        "pg_stat_get_live_tuples",
        "pg_stat_get_dead_tuples",
    ];
    let texts = [
        "pg_get_viewdef",
        "pg_get_ruledef",
        "pg_get_triggerdef",
        "pg_get_partkeydef",
        "pg_get_partition_constraintdef",
        "pg_get_statisticsobjdef",
        "pg_get_statisticsobjdef_columns",
        "pg_get_serial_sequence",
        "pg_get_function_sqlbody",
        "pg_get_function_arg_default",
        "shobj_description",
        "pg_tablespace_location",
        "pg_describe_object",
        "pg_relation_filepath",
    ];
    let sizes = sizes.map(|name| nothing(name, 1..=2, DataType::Int64));
    let texts = texts.map(|name| nothing(name, 1..=3, DataType::Utf8));
    sizes.into_iter().chain(texts).collect()
}
