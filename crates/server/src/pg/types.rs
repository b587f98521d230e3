//! Arrow types as PostgreSQL types: the OIDs and sizes that clients are told.
//!
//! Unsigned integers go to the next larger signed type; u64 to int8, where a value beyond its range
//! is an error (22003) rather than a wrong number. A type that PostgreSQL has no like of is text.

use arrow::datatypes::{DataType, Field, TimeUnit};

/// A PostgreSQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PgType {
    /// Its number in pg_type.
    pub(crate) oid: u32,
    /// Its size in bytes, -1 where it varies.
    pub(crate) size: i16,
}

pub(crate) const BOOL: PgType = PgType { oid: 16, size: 1 };
pub(crate) const BYTEA: PgType = PgType { oid: 17, size: -1 };
pub(crate) const INT8: PgType = PgType { oid: 20, size: 8 };
pub(crate) const INT2: PgType = PgType { oid: 21, size: 2 };
pub(crate) const INT4: PgType = PgType { oid: 23, size: 4 };
pub(crate) const TEXT: PgType = PgType { oid: 25, size: -1 };
const CHAR: PgType = PgType { oid: 18, size: 1 };
const NAME: PgType = PgType { oid: 19, size: 64 };
const OID: PgType = PgType { oid: 26, size: 4 };
const XID: PgType = PgType { oid: 28, size: 4 };
pub(crate) const FLOAT4: PgType = PgType { oid: 700, size: 4 };
pub(crate) const FLOAT8: PgType = PgType { oid: 701, size: 8 };
pub(crate) const DATE: PgType = PgType { oid: 1082, size: 4 };
pub(crate) const TIME: PgType = PgType { oid: 1083, size: 8 };
pub(crate) const TIMESTAMP: PgType = PgType { oid: 1114, size: 8 };
pub(crate) const TIMESTAMPTZ: PgType = PgType { oid: 1184, size: 8 };
pub(crate) const INTERVAL: PgType = PgType { oid: 1186, size: 16 };
pub(crate) const NUMERIC: PgType = PgType { oid: 1700, size: -1 };

/// Element types and the arrays of them.
const ARRAYS: &[(PgType, u32)] = &[
    (OID, 1028),
    (BOOL, 1000),
    (BYTEA, 1001),
    (INT2, 1005),
    (INT4, 1007),
    (TEXT, 1009),
    (INT8, 1016),
    (FLOAT4, 1021),
    (FLOAT8, 1022),
    (TIMESTAMP, 1115),
    (DATE, 1182),
    (TIME, 1183),
    (TIMESTAMPTZ, 1185),
    (INTERVAL, 1187),
    (NUMERIC, 1231),
];

impl PgType {
    /// The type that values of a column are sent as: the one that its metadata names, else that of its Arrow type.
    pub(crate) fn of_field(field: &Field) -> PgType {
        match field.metadata().get(query::PG_TYPE).map(String::as_str) {
            Some("oid" | "regproc") => OID,
            Some("xid") => XID,
            Some("name") => NAME,
            Some("char") => CHAR,
            Some("int2vector" | "oidvector") => TEXT,
            _ => PgType::of(field.data_type()),
        }
    }

    /// The type that values of an Arrow type are sent as.
    pub(crate) fn of(data_type: &DataType) -> PgType {
        match data_type {
            DataType::Boolean => BOOL,
            DataType::Int8 | DataType::UInt8 | DataType::Int16 => INT2,
            DataType::UInt16 | DataType::Int32 => INT4,
            DataType::UInt32 | DataType::Int64 | DataType::UInt64 => INT8,
            DataType::Float16 | DataType::Float32 => FLOAT4,
            DataType::Float64 => FLOAT8,
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => BYTEA,
            DataType::Timestamp(_, Some(_)) => TIMESTAMPTZ,
            DataType::Timestamp(_, None) => TIMESTAMP,
            DataType::Date32 | DataType::Date64 => DATE,
            DataType::Time32(_) | DataType::Time64(_) => TIME,
            DataType::Interval(_) | DataType::Duration(_) => INTERVAL,
            DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => NUMERIC,
            DataType::Dictionary(_, values) => PgType::of(values),
            DataType::RunEndEncoded(_, values) => PgType::of(values.data_type()),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                // An array of arrays is one of several dimensions, whose type is that of one.
                match PgType::of_field(item) {
                    of if ARRAYS.iter().any(|(_, oid)| *oid == of.oid) => of,
                    of => of.array(),
                }
            }
            _ => TEXT,
        }
    }

    /// The array of this type; text where there is none.
    pub(crate) fn array(self) -> PgType {
        ARRAYS.iter().find(|(element, _)| *element == self).map_or(TEXT, |(_, oid)| PgType { oid: *oid, size: -1 })
    }

    /// Its name in PostgreSQL; that of an array ends with [].
    pub(crate) fn name(self) -> &'static str {
        let array = ARRAYS.iter().find(|(_, array)| *array == self.oid).map(|(element, _)| element.oid);
        match (array.unwrap_or(self.oid), array.is_some()) {
            (16, false) => "boolean",
            (16, true) => "boolean[]",
            (17, false) => "bytea",
            (17, true) => "bytea[]",
            (20, false) => "bigint",
            (20, true) => "bigint[]",
            (21, false) => "smallint",
            (21, true) => "smallint[]",
            (23, false) => "integer",
            (23, true) => "integer[]",
            (700, false) => "real",
            (700, true) => "real[]",
            (701, false) => "double precision",
            (701, true) => "double precision[]",
            (1082, false) => "date",
            (1082, true) => "date[]",
            (1083, false) => "time",
            (1083, true) => "time[]",
            (1114, false) => "timestamp",
            (1114, true) => "timestamp[]",
            (1184, false) => "timestamptz",
            (1184, true) => "timestamptz[]",
            (1186, false) => "interval",
            (1186, true) => "interval[]",
            (1700, false) => "numeric",
            (1700, true) => "numeric[]",
            (_, true) => "text[]",
            _ => "text",
        }
    }

    /// The Arrow type that a parameter of this type is taken as; None for types not known here.
    pub(crate) fn arrow(oid: u32) -> Option<DataType> {
        if let Some((element, _)) = ARRAYS.iter().find(|(_, array)| *array == oid) {
            let item = PgType::arrow(element.oid)?;
            return Some(DataType::List(std::sync::Arc::new(arrow::datatypes::Field::new("item", item, true))));
        }
        Some(match oid {
            16 => DataType::Boolean,
            17 => DataType::Binary,
            // oid: its numbers are bigints here
            20 | 26 => DataType::Int64,
            21 => DataType::Int16,
            23 => DataType::Int32,
            // text, name, bpchar, varchar
            25 | 19 | 1042 | 1043 => DataType::Utf8,
            700 => DataType::Float32,
            701 => DataType::Float64,
            1082 => DataType::Date32,
            1083 => DataType::Time64(TimeUnit::Microsecond),
            1114 => DataType::Timestamp(TimeUnit::Microsecond, None),
            1184 => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            1186 => DataType::Interval(arrow::datatypes::IntervalUnit::MonthDayNano),
            1700 => DataType::Decimal128(38, 10),
            _ => return None,
        })
    }
}
