//! What this server is and can do (GetSqlInfo), and the types that it has (GetXdbcTypeInfo). Nothing is told that is not so.

use super::error;
use crate::shared::Shared;
use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfo, XdbcTypeInfoData, XdbcTypeInfoDataBuilder};
use arrow_flight::sql::{
    Nullable, Searchable, SqlInfo, SqlNullOrdering, SqlOuterJoinsSupportLevel, SqlSupportedCaseSensitivity,
    SqlSupportedTransaction, SqlTransactionIsolationLevel, XdbcDataType, XdbcDatetimeSubcode,
};
use std::collections::BTreeSet;
use std::sync::Arc;
use tonic::Status;

/// The schema of GetSqlInfo's answer.
pub(crate) fn schema() -> SchemaRef {
    Arc::new(SqlInfoDataBuilder::schema().clone())
}

/// The properties asked for, all where none is named.
pub(crate) fn answer(shared: &Shared, asked: &[u32]) -> Result<RecordBatch, Status> {
    let faulty = |cause: FlightError| error::new("XX000", format!("internal error: {cause}"));
    let known: SqlInfoData = properties(shared).build().map_err(faulty)?;
    // Each number is looked for by itself, however often it is asked for.
    let asked: BTreeSet<u32> = asked.iter().copied().collect();
    known.record_batch(asked).map_err(faulty)
}

fn properties(shared: &Shared) -> SqlInfoDataBuilder {
    use SqlInfo as I;
    let mut told = SqlInfoDataBuilder::new();
    told.append(I::FlightSqlServerName, "Meridian");
    told.append(I::FlightSqlServerVersion, shared.engine.settings().release.as_str());
    told.append(I::FlightSqlServerArrowVersion, arrow::ARROW_VERSION);
    for (what, is) in [
        (I::FlightSqlServerReadOnly, false),
        (I::FlightSqlServerSql, true),
        (I::FlightSqlServerSubstrait, false),
        (I::FlightSqlServerCancel, true),
        (I::FlightSqlServerBulkIngestion, true),
        (I::FlightSqlServerIngestTransactionsSupported, false),
        (I::SqlDdlCatalog, false),
        (I::SqlDdlSchema, false),
        (I::SqlDdlTable, false),
        (I::SqlSupportsColumnAliasing, true),
        (I::SqlNullPlusNullIsNull, true),
        (I::SqlSupportsTableCorrelationNames, true),
        (I::SqlSupportsDifferentTableCorrelationNames, false),
        (I::SqlSupportsExpressionsInOrderBy, true),
        (I::SqlSupportsOrderByUnrelated, true),
        (I::SqlSupportsNonNullableColumns, true),
        (I::SqlCatalogAtStart, true),
        (I::SqlSelectForUpdateSupported, false),
        (I::SqlStoredProceduresSupported, false),
        (I::SqlTransactionsSupported, false),
        (I::SqlSavepointsSupported, false),
        (I::SqlNamedParametersSupported, false),
        (I::SqlBatchUpdatesSupported, true),
    ] {
        told.append(what, is);
    }
    let limit = shared.settings.statement_max.map_or(0, |limit| i32::try_from(limit.as_millis()).unwrap_or(i32::MAX));
    for (what, is) in [
        (I::FlightSqlServerTransaction, SqlSupportedTransaction::None as i32),
        (I::FlightSqlServerStatementTimeout, limit),
        (I::FlightSqlServerTransactionTimeout, 0),
        (I::SqlIdentifierCase, SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32),
        (I::SqlNullOrdering, SqlNullOrdering::SqlNullsSortedHigh as i32),
        (I::SqlDefaultTransactionIsolation, SqlTransactionIsolationLevel::SqlTransactionNone as i32),
        (I::SqlOuterJoinsSupportLevel, SqlOuterJoinsSupportLevel::SqlFullOuterJoins as i32),
    ] {
        told.append(what, is);
    }
    told.append(I::SqlMaxStatementLength, query::SQL_BYTES_MAX as i64);
    told.append(I::SqlMaxConnections, shared.settings.connections_max as i64);
    for (what, is) in [
        (I::SqlIdentifierQuoteChar, "\""),
        (I::SqlSearchStringEscape, "\\"),
        (I::SqlExtraNameCharacters, "$"),
        (I::SqlSchemaTerm, "schema"),
        (I::SqlCatalogTerm, "database"),
    ] {
        told.append(what, is);
    }
    told
}

/// The types.
pub(crate) fn types() -> Result<XdbcTypeInfoData, FlightError> {
    let mut builder = XdbcTypeInfoDataBuilder::new();
    KNOWN.iter().for_each(|known| builder.append(told(known)));
    builder.build()
}

/// Name, XDBC's number, the most digits or letters, and what stands around a literal.
type Known = (&'static str, XdbcDataType, Option<i32>, Option<&'static str>);

#[rustfmt::skip]
const KNOWN: [Known; 14] = [
    ("boolean", XdbcDataType::XdbcBit, Some(1), None),
    ("smallint", XdbcDataType::XdbcSmallint, Some(5), None),
    ("integer", XdbcDataType::XdbcInteger, Some(10), None),
    ("bigint", XdbcDataType::XdbcBigint, Some(19), None),
    ("real", XdbcDataType::XdbcReal, Some(7), None),
    ("double precision", XdbcDataType::XdbcDouble, Some(15), None),
    ("numeric", XdbcDataType::XdbcNumeric, Some(38), None),
    ("text", XdbcDataType::XdbcVarchar, None, Some("'")),
    ("bytea", XdbcDataType::XdbcVarbinary, None, Some("'")),
    ("date", XdbcDataType::XdbcDate, Some(10), Some("'")),
    ("time without time zone", XdbcDataType::XdbcTime, Some(15), Some("'")),
    ("timestamp without time zone", XdbcDataType::XdbcTimestamp, Some(26), Some("'")),
    ("timestamp with time zone", XdbcDataType::XdbcTimestamp, Some(32), Some("'")),
    ("interval", XdbcDataType::XdbcInterval, None, Some("'")),
];

fn told((name, number, size, around): &Known) -> XdbcTypeInfo {
    let is_number = around.is_none() && *number != XdbcDataType::XdbcBit;
    let subcode = match *name {
        "timestamp without time zone" => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestamp),
        "timestamp with time zone" => Some(XdbcDatetimeSubcode::XdbcSubcodeTimestampWithTimezone),
        _ => None,
    };
    XdbcTypeInfo {
        type_name: (*name).to_owned(),
        data_type: *number,
        column_size: *size,
        literal_prefix: around.map(str::to_owned),
        literal_suffix: around.map(str::to_owned),
        nullable: Nullable::NullabilityNullable,
        case_sensitive: *name == "text",
        searchable: if *name == "text" { Searchable::Full } else { Searchable::Basic },
        unsigned_attribute: is_number.then_some(false),
        auto_increment: is_number.then_some(false),
        local_type_name: Some((*name).to_owned()),
        sql_data_type: *number,
        datetime_subcode: subcode,
        num_prec_radix: is_number.then_some(10),
        ..XdbcTypeInfo::default()
    }
}
