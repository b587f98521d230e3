//! The tables that SQL sees: in `public` samples, integers, events, latest and tags; in `meridian`
//! what the node says of itself.

mod authority;
pub(crate) mod latest;
mod metrics;
pub(crate) mod node;
mod operating;
pub(crate) mod partial;
pub(crate) mod series;
pub(crate) mod session;
pub(crate) mod source;
pub(crate) mod tags;

pub(crate) use authority::GRANTS;

use crate::access::Access;
use crate::catalogue::Known;
use crate::context::{DATABASE, StatementContext};
use crate::engine::Engine;
use crate::scan::Sort;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use datafusion::datasource::source_as_provider;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::TableScan;
use datafusion::prelude::SessionContext;
use series::SeriesTable;
pub(crate) use session::Own;
use std::sync::Arc;

/// The context of the statement that is being planned.
pub(crate) fn statement(state: &dyn Session) -> Result<Arc<StatementContext>> {
    let missing = || DataFusionError::Internal("a plan was made outside a statement".to_owned());
    state.config().get_extension::<StatementContext>().ok_or_else(missing)
}

fn public(engine: &Arc<Engine>) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let series = |sort: Sort| Arc::new(SeriesTable::new(engine, sort)) as Arc<dyn TableProvider>;
    vec![
        ("samples", series(Sort::Doubles)),
        ("integers", series(Sort::Integers)),
        ("events", series(Sort::Texts)),
        ("latest", Arc::new(latest::LatestTable::new(engine))),
        ("tags", Arc::new(tags::TagTable::new(engine))),
    ]
}

fn keyed(engine: &Arc<Engine>) -> Vec<(&'static str, Arc<dyn TableProvider>)> {
    let series = |sort: Sort| Arc::new(SeriesTable::with_ordinal(engine, sort)) as Arc<dyn TableProvider>;
    vec![("samples", series(Sort::Doubles)), ("integers", series(Sort::Integers)), ("events", series(Sort::Texts))]
}

fn schema_of(tables: Vec<(&'static str, Arc<dyn TableProvider>)>) -> Arc<MemorySchemaProvider> {
    let schema = MemorySchemaProvider::new();
    for (name, table) in tables {
        // A fresh schema has no table of any name yet.
        let _ = schema.register_table(name.to_owned(), table);
    }
    Arc::new(schema)
}

/// A schema whose tables are found by name but not listed.
#[derive(Debug)]
struct Hidden(Arc<MemorySchemaProvider>);

#[async_trait]
impl SchemaProvider for Hidden {
    fn table_names(&self) -> Vec<String> {
        Vec::new()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.0.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.0.table_exist(name)
    }
}

/// A schema that lists the tables that its reader may do something with, and finds them all.
#[derive(Debug)]
struct Listed {
    name: &'static str,
    tables: Arc<MemorySchemaProvider>,
    access: Arc<Access>,
}

#[async_trait]
impl SchemaProvider for Listed {
    fn table_names(&self) -> Vec<String> {
        let rights = self.access.rights();
        let mut names = self.tables.table_names();
        names.retain(|table| {
            let table = format!("{}.{table}", self.name);
            table == GRANTS || rights.knows(&table)
        });
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        self.tables.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.tables.table_exist(name)
    }
}

/// The tables of a schema that something can be granted on; none of a schema that there is not.
pub(crate) fn names(engine: &Arc<Engine>, schema: &str) -> Vec<&'static str> {
    match schema {
        "public" => vec!["samples", "integers", "events", "latest", "tags"],
        "meridian" => node::NAMES.into_iter().chain(operating::names(engine)).chain(["grants", metrics::NAME]).collect(),
        _ => Vec::new(),
    }
}

/// Whether a scan is of `values_at`.
pub(crate) fn values_at_scan(scan: &TableScan) -> bool {
    source_as_provider(&scan.source).is_ok_and(|provider| crate::functions::is_values_at(provider.as_ref()))
}

/// A schema's name, and its tables by theirs.
type SchemaTables = (&'static str, Vec<(&'static str, Arc<dyn TableProvider>)>);

/// Those that users see, by schema.
fn shown(engine: &Arc<Engine>, access: &Arc<Access>) -> [SchemaTables; 2] {
    let mut node = node::all(engine);
    node.extend(operating::all(engine));
    node.push(authority::grants(engine, access));
    node.push(metrics::table(engine));
    [("public", public(engine)), ("meridian", node)]
}

/// Their names and columns, which are the same to everybody.
pub(crate) fn known(engine: &Arc<Engine>, access: &Arc<Access>) -> Vec<Known> {
    let of_schema = |(schema, tables): SchemaTables| tables.into_iter().map(move |(name, table)| (schema, name, table.schema()));
    shown(engine, access).into_iter().flat_map(of_schema).collect()
}

/// Registers them in a session's context.
pub(crate) fn register(context: &SessionContext, engine: &Arc<Engine>, access: &Arc<Access>) -> Result<()> {
    let catalog = Arc::new(MemoryCatalogProvider::new());
    for (name, schema) in shown(engine, access).into_iter().chain([(KEYED_SCHEMA, keyed(engine))]) {
        let schema = schema_of(schema);
        let shown: Arc<dyn SchemaProvider> = match name {
            KEYED_SCHEMA => Arc::new(Hidden(schema)),
            _ => Arc::new(Listed { name, tables: schema, access: Arc::clone(access) }),
        };
        catalog.register_schema(name, shown)?;
    }
    context.register_catalog(DATABASE, catalog);
    Ok(())
}

/// The schema whose tables also show ordinals: for finding the keys of what is to be deleted.
pub(crate) const KEYED_SCHEMA: &str = "meridian_keys";
