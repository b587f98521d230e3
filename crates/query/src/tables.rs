//! The tables that SQL sees: in `public` samples, integers, events, latest and tags; in `meridian`
//! what the node says of itself.

mod latest;
pub(crate) mod node;
mod operating;
pub(crate) mod partial;
pub(crate) mod series;
pub(crate) mod source;
pub(crate) mod tags;

use crate::catalogue::Known;
use crate::context::{DATABASE, StatementContext};
use crate::engine::Engine;
use crate::scan::Sort;
use async_trait::async_trait;
use datafusion::catalog::{CatalogProvider, MemoryCatalogProvider, MemorySchemaProvider, SchemaProvider, Session, TableProvider};
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::SessionContext;
use series::SeriesTable;
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

/// Those that users see, by schema.
fn shown(engine: &Arc<Engine>) -> [(&'static str, Vec<(&'static str, Arc<dyn TableProvider>)>); 2] {
    let mut node = node::all(engine);
    node.extend(operating::all(engine));
    [("public", public(engine)), ("meridian", node)]
}

/// Their names and columns.
pub(crate) fn known(engine: &Arc<Engine>) -> Vec<Known> {
    let of_schema = |(schema, tables): (&'static str, Vec<(&'static str, Arc<dyn TableProvider>)>)| {
        tables.into_iter().map(move |(name, table)| (schema, name, table.schema()))
    };
    shown(engine).into_iter().flat_map(of_schema).collect()
}

/// Registers them in a session's context.
pub(crate) fn register(context: &SessionContext, engine: &Arc<Engine>) -> Result<()> {
    let catalog = Arc::new(MemoryCatalogProvider::new());
    for (name, schema) in shown(engine).into_iter().chain([(KEYED_SCHEMA, keyed(engine))]) {
        let schema = schema_of(schema);
        let hidden = name == KEYED_SCHEMA;
        catalog.register_schema(name, if hidden { Arc::new(Hidden(schema)) } else { schema })?;
    }
    context.register_catalog(DATABASE, catalog);
    Ok(())
}

/// The schema whose tables also show ordinals: for finding the keys of what is to be deleted.
pub(crate) const KEYED_SCHEMA: &str = "meridian_keys";
