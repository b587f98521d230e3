//! Types by PostgreSQL's numbers and names, and what they are to Arrow.

use super::declared::lines;
use arrow::datatypes::{DataType, Field};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

/// The key of a field's metadata that names PostgreSQL's type, where the Arrow type alone does not tell it.
pub const PG_TYPE: &str = "pg_type";

/// A row of `types.txt`.
pub(super) struct Type {
    pub(super) name: &'static str,
    pub(super) oid: i64,
    pub(super) words: Vec<&'static str>,
    /// What SQL calls it.
    pub(super) shown: String,
    /// The number of its elements' type, 0 where it has none.
    pub(super) element: i64,
    /// The number of the type of arrays of it, 0 where there is none.
    pub(super) array: i64,
}

pub(super) static TYPES: LazyLock<Vec<Type>> = LazyLock::new(|| {
    let one = |line: &'static str| {
        let words: Vec<&'static str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|word| word.parse::<i64>().ok());
        let (oid, element, array) = (number(1)?, number(7)?, number(8)?);
        Some(Type { name: words[0], oid, shown: words.get(19..)?.join(" "), element, array, words })
    };
    lines(include_str!("types.txt")).filter_map(one).collect()
});

static BY_NUMBER: LazyLock<HashMap<i64, &'static Type>> = LazyLock::new(|| TYPES.iter().map(|of| (of.oid, of)).collect());
static BY_NAME: LazyLock<HashMap<&'static str, &'static Type>> = LazyLock::new(|| TYPES.iter().map(|of| (of.name, of)).collect());

/// A type by its number.
pub(super) fn by_number(oid: i64) -> Option<&'static Type> {
    BY_NUMBER.get(&oid).copied()
}

/// A type by its name in `pg_type`.
pub(super) fn by_name(name: &str) -> Option<&'static Type> {
    BY_NAME.get(name).copied()
}

/// The number of a type as it is written in SQL: `int4`, `double precision`, `text[]`, `varchar(7)`.
pub(crate) fn type_number(written: &str) -> Option<i64> {
    let lower = written.trim().to_ascii_lowercase();
    let bare = lower.strip_prefix("pg_catalog.").unwrap_or(&lower).trim_matches('"');
    if let Some(item) = bare.strip_suffix("[]") {
        return by_number(type_number(item)?).map(|of| of.array).filter(|array| *array != 0);
    }
    let (name, rest) = match bare.split_once('(') {
        Some((name, rest)) => (name.trim(), rest.split_once(')').map_or("", |(_, rest)| rest)),
        None => (bare, ""),
    };
    let name = format!("{name}{rest}");
    let short = match name.as_str() {
        "int" => "int4",
        "decimal" | "dec" => "numeric",
        "float" => "float8",
        "char" | "character" if !written.contains('"') => "bpchar",
        "string" => "text",
        other => other,
    };
    let of = by_name(short).or_else(|| TYPES.iter().find(|of| of.shown == short))?;
    Some(of.oid)
}

/// What SQL calls a type, with what its modifier says.
pub(crate) fn format_type(oid: i64, modifier: Option<i64>) -> String {
    let Some(of) = by_number(oid) else { return if oid == 0 { "-" } else { "???" }.to_owned() };
    let Some(modifier) = modifier else { return of.shown.clone() };
    match (of.name, modifier) {
        ("bpchar", ..=-1) => "bpchar".to_owned(),
        ("varchar" | "bpchar", 4..) => format!("{}({})", of.shown, modifier - 4),
        ("numeric", 4..) => format!("numeric({},{})", (modifier - 4) >> 16, (modifier - 4) & 0x7ff),
        ("timestamp" | "timestamptz" | "time" | "timetz", 0..) => {
            let (first, rest) = of.shown.split_once(' ').unwrap_or((&of.shown, ""));
            format!("{first}({modifier}) {rest}")
        }
        _ => of.shown.clone(),
    }
}

/// The name in `pg_type` of what values of a column are.
fn name_of(kind: &DataType) -> &'static str {
    match kind {
        DataType::Boolean => "bool",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => "bytea",
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => "int2",
        DataType::UInt16 | DataType::Int32 => "int4",
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => "int8",
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => "numeric",
        DataType::Float16 | DataType::Float32 => "float4",
        DataType::Float64 => "float8",
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(..) => "timestamptz",
        DataType::Interval(_) | DataType::Duration(_) => "interval",
        DataType::Dictionary(_, values) => name_of(values),
        _ => "text",
    }
}

/// The number of the type that values of a column are.
pub(super) fn number_of(kind: &DataType) -> i64 {
    match kind {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            // An array of arrays is one of several dimensions, whose type is that of one.
            let of = number_of(item.data_type());
            by_number(of).map_or(1009, |kind| if kind.array == 0 { of } else { kind.array })
        }
        plain => by_name(name_of(plain)).map_or(25, |of| of.oid),
    }
}

/// What SQL calls the type of values of a column.
#[must_use]
pub fn type_name_of(kind: &DataType) -> String {
    format_type(number_of(kind), None)
}

/// What a column of one of PostgreSQL's types is to Arrow.
pub(super) fn arrow(name: &str) -> DataType {
    match name {
        "oid" | "xid" | "cid" | "int8" | "regproc" | "regtype" | "regclass" | "regprocedure" | "xid8" => DataType::Int64,
        "int4" => DataType::Int32,
        "int2" => DataType::Int16,
        "float4" => DataType::Float32,
        "float8" => DataType::Float64,
        "bool" => DataType::Boolean,
        "timestamptz" => crate::schema::time_type(),
        "timestamp" => crate::schema::local_type(),
        "interval" => crate::schema::span_type(),
        "int2vector" => list(DataType::Int16),
        "oidvector" => list(DataType::Int64),
        "bytea" => DataType::Binary,
        _ => match name.strip_prefix('_') {
            Some(item) if by_name(item).is_some() => list(arrow(item)),
            _ => DataType::Utf8,
        },
    }
}

fn list(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// A column of one of PostgreSQL's types.
pub(super) fn field(column: &str, name: &str) -> Field {
    let field = Field::new(column, arrow(name), true);
    if by_name(name).is_none_or(|of| of.oid == number_of(field.data_type())) {
        return field;
    }
    let told = ["oid", "name", "char", "regproc", "int2vector", "oidvector", "xid"];
    if !told.contains(&name) {
        return field;
    }
    field.with_metadata(HashMap::from([(PG_TYPE.to_owned(), name.to_owned())]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_their_numbers_and_names() {
        assert_eq!(TYPES.len(), lines(include_str!("types.txt")).count());
        let numbers = [
            "int4",
            "integer",
            "pg_catalog.int8",
            "text[]",
            "double precision",
            "varchar(7)",
            "\"char\"",
            "timestamp(3) with time zone",
        ];
        let found: Vec<_> = numbers.map(type_number).to_vec();
        assert_eq!(found, [23, 23, 20, 1009, 701, 1043, 18, 1184].map(Some));
        assert_eq!(type_number("nothing"), None);
        let shown = [(1043, Some(11)), (1700, Some(655_366)), (1184, Some(3)), (1016, None), (0, None), (7, None), (18, None)];
        let shown = shown.map(|(oid, modifier)| format_type(oid, modifier));
        assert_eq!(
            shown,
            ["character varying(7)", "numeric(10,2)", "timestamp(3) with time zone", "bigint[]", "-", "???", "\"char\""]
        );
        assert_eq!(number_of(&list(DataType::Float64)), 1022);
    }
}
