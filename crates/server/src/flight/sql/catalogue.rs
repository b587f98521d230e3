//! What there is: GetCatalogs, GetDbSchemas, GetTables, GetTableTypes, keys. Asked by SQL in the caller's session, so that a
//! caller is told what its statements would find.
//!
//! Their tickets are the questions themselves: they give away nothing, since they are answered anew to whoever shows them.

use super::encode::{self, TYPE_NAME};
use super::{error, info, run};
use crate::shared::Shared;
use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow_flight::error::FlightError;
use arrow_flight::sql::{Command, CommandGetDbSchemas, CommandGetPrimaryKeys, CommandGetTables};
use futures::StreamExt;
use query::{Outcome, Session};
use std::collections::HashMap;
use std::sync::Arc;
use tonic::Status;

/// The one catalog.
const CATALOG: &str = "meridian";
/// The sorts of tables, by what information_schema calls them.
const TABLE_TYPES: [(&str, &str); 2] = [("BASE TABLE", "TABLE"), ("VIEW", "VIEW")];
/// Which columns name a row of the tables whose rows have a name.
const KEYS: [(&str, &[&str]); 5] = [
    ("samples", &["tag", "time"]),
    ("integers", &["tag", "time"]),
    ("events", &["tag", "time"]),
    ("latest", &["tag"]),
    ("tags", &["name"]),
];

/// The schema of the answer; None where it is no such question.
pub(crate) fn schema(command: &Command) -> Option<SchemaRef> {
    Some(match command {
        Command::CommandGetCatalogs(question) => question.into_builder().schema(),
        Command::CommandGetDbSchemas(question) => question.clone().into_builder().schema(),
        Command::CommandGetTables(question) => question.clone().into_builder().schema(),
        Command::CommandGetTableTypes(question) => question.into_builder().schema(),
        Command::CommandGetPrimaryKeys(_) => primary_keys_schema(),
        Command::CommandGetExportedKeys(_) | Command::CommandGetImportedKeys(_) | Command::CommandGetCrossReference(_) => {
            foreign_keys_schema()
        }
        Command::CommandGetSqlInfo(_) => info::schema(),
        Command::CommandGetXdbcTypeInfo(_) => info::types().ok()?.schema(),
        _ => return None,
    })
}

/// The answer.
pub(crate) async fn answer(shared: &Arc<Shared>, session: &Arc<Session>, command: Command) -> Result<RecordBatch, Status> {
    match command {
        Command::CommandGetCatalogs(question) => {
            let mut builder = question.into_builder();
            builder.append(CATALOG);
            builder.build().map_err(faulty)
        }
        Command::CommandGetTableTypes(question) => {
            let mut builder = question.into_builder();
            TABLE_TYPES.iter().for_each(|(_, told)| builder.append(told));
            builder.build().map_err(faulty)
        }
        Command::CommandGetSqlInfo(question) => info::answer(shared, &question.info),
        Command::CommandGetXdbcTypeInfo(question) => {
            info::types().and_then(|types| types.record_batch(question.data_type)).map_err(faulty)
        }
        Command::CommandGetDbSchemas(question) => aside(shared, session, move |session| schemas(session, question)).await,
        Command::CommandGetTables(question) => aside(shared, session, move |session| tables(session, question)).await,
        Command::CommandGetPrimaryKeys(question) => aside(shared, session, move |session| primary_keys(session, question)).await,
        _ => Ok(RecordBatch::new_empty(foreign_keys_schema())),
    }
}

async fn aside<F>(
    shared: &Arc<Shared>,
    session: &Arc<Session>,
    work: impl FnOnce(Arc<Session>) -> F + Send + 'static,
) -> Result<RecordBatch, Status>
where
    F: Future<Output = Result<RecordBatch, query::Error>> + Send + 'static,
{
    let (inner, session) = (Arc::clone(shared), Arc::clone(session));
    run::aside(shared, async move { work(Arc::clone(&session)).await.map_err(|cause| run::failed(&inner, &session, &cause)) })
        .await
}

/// The rows of a query whose columns are texts.
async fn texts<const N: usize>(session: &Arc<Session>, sql: &str) -> Result<Vec<[String; N]>, query::Error> {
    let mut found = Vec::new();
    let Outcome::Rows(mut rows) = session.prepare(sql, &[]).await?.execute(Vec::new()).await? else { return Ok(found) };
    while let Some(batch) = rows.batches.next().await {
        let batch = batch?;
        let columns: Vec<ArrayRef> =
            batch.columns().iter().map(|column| cast(column, &DataType::Utf8)).collect::<Result<_, _>>().map_err(broken)?;
        for row in 0..batch.num_rows() {
            found.push(std::array::from_fn(|at| columns[at].as_string::<i32>().value(row).to_owned()));
        }
    }
    Ok(found)
}

fn broken(cause: impl std::fmt::Display) -> query::Error {
    query::Error::unsupported(format!("the catalogue can't be told: {cause}"))
}

fn faulty(cause: FlightError) -> Status {
    error::malformed(cause)
}

/// Whether a filter's catalog is ours; an empty one means things without a catalog, of which there are none.
fn is_ours(catalog: Option<&str>) -> bool {
    catalog.is_none_or(|catalog| catalog == CATALOG)
}

async fn schemas(session: Arc<Session>, question: CommandGetDbSchemas) -> Result<RecordBatch, query::Error> {
    let mut builder = question.into_builder();
    // Those of tables that are listed, and those that have none yet; the one for our own deletes is not for others.
    let sql = "SELECT table_schema FROM information_schema.tables \
               UNION SELECT schema_name FROM information_schema.schemata WHERE schema_name <> 'meridian_keys'";
    for [name] in texts(&session, sql).await? {
        builder.append(CATALOG, name);
    }
    builder.build().map_err(broken)
}

/// The tables that there are: schema, name, sort.
async fn all_tables(session: &Arc<Session>) -> Result<Vec<[String; 3]>, query::Error> {
    texts(session, "SELECT table_schema, table_name, table_type FROM information_schema.tables").await
}

async fn tables(session: Arc<Session>, mut question: CommandGetTables) -> Result<RecordBatch, query::Error> {
    // Each sort is looked for by itself, however often it is asked for.
    question.table_types.sort_unstable();
    question.table_types.dedup();
    let include = question.include_schema;
    let known = all_tables(&session).await?;
    let mut builder = question.into_builder();
    for [schema, name, sort] in known {
        let sort = TABLE_TYPES.iter().find(|(known, _)| *known == sort).map_or(sort.as_str(), |(_, told)| told);
        let columns = if include { columns(&session, &schema, &name).await } else { Schema::empty() };
        builder.append(CATALOG, &schema, &name, sort, &columns).map_err(broken)?;
    }
    builder.build().map_err(broken)
}

/// A table's columns, with what drivers look for of each; none where the caller may not read them.
async fn columns(session: &Arc<Session>, schema: &str, table: &str) -> Schema {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let sql = format!("SELECT * FROM {}.{}", quoted(schema), quoted(table));
    let Some(plain) = session.prepare(&sql, &[]).await.ok().and_then(|prepared| prepared.schema()) else {
        return Schema::empty();
    };
    let told = encode::schema(&plain);
    let fields = told.fields().iter().map(|field| {
        let name = |what: &str, value: &str| (format!("ARROW:FLIGHT:SQL:{what}"), value.to_owned());
        let mut metadata = HashMap::from([name("CATALOG_NAME", CATALOG), name("SCHEMA_NAME", schema), name("TABLE_NAME", table)]);
        metadata.extend(field.metadata().get(TYPE_NAME).map(|sort| (TYPE_NAME.to_owned(), sort.clone())));
        field.as_ref().clone().with_metadata(metadata)
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn primary_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ]))
}

fn foreign_keys_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        Field::new("update_rule", DataType::UInt8, false),
        Field::new("delete_rule", DataType::UInt8, false),
    ]))
}

async fn primary_keys(session: Arc<Session>, question: CommandGetPrimaryKeys) -> Result<RecordBatch, query::Error> {
    let known = all_tables(&session).await?;
    let there = known.iter().any(|[schema, name, _]| schema == "public" && *name == question.table);
    let asked =
        there && is_ours(question.catalog.as_deref()) && question.db_schema.as_deref().is_none_or(|schema| schema == "public");
    let key = KEYS.iter().find(|(table, _)| asked && *table == question.table).map_or(&[][..], |(_, columns)| columns);
    let all = |value: &str| Arc::new(StringArray::from(vec![value; key.len()])) as ArrayRef;
    let columns: Vec<ArrayRef> = vec![
        all(CATALOG),
        all("public"),
        all(&question.table),
        Arc::new(StringArray::from(key.to_vec())),
        all(&format!("{}_pkey", question.table)),
        Arc::new(Int32Array::from_iter_values(1..=key.len() as i32)),
    ];
    RecordBatch::try_new(primary_keys_schema(), columns).map_err(broken)
}
