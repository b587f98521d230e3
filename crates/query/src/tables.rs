//! The tables that SQL sees: in `public` samples, integers, events, latest and tags; in `meridian`
//! what the node says of itself.

mod latest;
pub(crate) mod series;
pub(crate) mod source;
pub(crate) mod tags;

use crate::context::{DATABASE, StatementContext};
use crate::engine::Engine;
use crate::scan::Sort;
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

/// Registers them in a session's context.
pub(crate) fn register(context: &SessionContext, engine: &Arc<Engine>) {
    let catalog = Arc::new(MemoryCatalogProvider::new());
    let schemas = [("public", schema_of(public(engine))), (KEYED_SCHEMA, schema_of(keyed(engine)))];
    for (name, schema) in schemas {
        // A memory catalog takes every schema.
        let _ = catalog.register_schema(name, schema);
    }
    context.register_catalog(DATABASE, catalog);
}

/// The schema whose tables also show ordinals: for finding the keys of what is to be deleted.
pub(crate) const KEYED_SCHEMA: &str = "meridian_keys";
