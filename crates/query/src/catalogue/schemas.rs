//! The schemas `pg_catalog` and `information_schema` of a session: one copy of what is the same for all, and beside it
//! what is the session's own.

use super::cells::{batch, schema_of};
use super::declared::DECLARED;
use super::of_user::{OF_CATALOGUE, OF_SCHEMA, Rows};
use super::{Catalogue, information, rows};
use crate::context::DATABASE;
use crate::engine::Engine;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, Session, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, ScalarUDF};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

type Tables = HashMap<&'static str, Arc<dyn TableProvider>>;

/// What all sessions of an engine share.
pub(crate) struct Shared {
    pub(crate) catalogue: Arc<Catalogue>,
    /// The functions that ask it, made by the first session too.
    pub(crate) functions: OnceLock<Vec<ScalarUDF>>,
    schemas: [Arc<Tables>; 2],
}

/// The engine's, made by its first session.
pub(crate) type Once = OnceLock<Arc<Shared>>;

/// A schema of two layers.
#[derive(Debug)]
struct Layered {
    own: Tables,
    shared: Arc<Tables>,
}

#[async_trait]
impl SchemaProvider for Layered {
    fn table_names(&self) -> Vec<String> {
        let beneath = self.shared.keys().filter(|name| !self.own.contains_key(*name));
        self.own.keys().chain(beneath).map(|name| (*name).to_owned()).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        Ok(self.own.get(name).or_else(|| self.shared.get(name)).map(Arc::clone))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.contains_key(name) || self.shared.contains_key(name)
    }
}

/// A table that is made for its user when a query reads it.
struct OfUser {
    relation: usize,
    schema: SchemaRef,
    catalogue: Arc<Catalogue>,
    user: Arc<str>,
    rows: Rows,
}

impl fmt::Debug for OfUser {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(DECLARED[self.relation].name)
    }
}

#[async_trait]
impl TableProvider for OfUser {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rows = (self.rows)(&self.catalogue, &self.user);
        let batch = batch(&DECLARED[self.relation], &rows)?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}

/// Those of all sessions.
fn shared(catalogue: Catalogue) -> Result<Arc<Shared>> {
    let catalogue = Arc::new(catalogue);
    let mut schemas: [Tables; 2] = [Tables::new(), Tables::new()];
    for relation in DECLARED.iter() {
        let of_catalogue = relation.schema == "pg_catalog";
        let rows = if of_catalogue { rows::of(relation.name, &catalogue) } else { information::of(relation.name, &catalogue) };
        let batches = if rows.is_empty() { Vec::new() } else { vec![batch(relation, &rows)?] };
        let table = Arc::new(MemTable::try_new(schema_of(relation), vec![batches])?);
        schemas[usize::from(!of_catalogue)].insert(relation.name, table);
    }
    Ok(Arc::new(Shared { catalogue, functions: OnceLock::new(), schemas: schemas.map(Arc::new) }))
}

/// Those of one session's user.
fn of_user(schema: &str, tables: &[(&'static str, Rows)], catalogue: &Arc<Catalogue>, user: &Arc<str>) -> Tables {
    let table = |(name, rows): &(&'static str, Rows)| {
        let relation = DECLARED.iter().position(|relation| relation.schema == schema && relation.name == *name)?;
        let table = OfUser {
            relation,
            schema: schema_of(&DECLARED[relation]),
            catalogue: Arc::clone(catalogue),
            user: Arc::clone(user),
            rows: *rows,
        };
        Some((*name, Arc::new(table) as Arc<dyn TableProvider>))
    };
    tables.iter().filter_map(table).collect()
}

/// What the engine's sessions share.
///
/// # Errors
/// A table that can't be made, which is a fault of ours.
pub(crate) fn catalogue(engine: &Arc<Engine>, functions: impl FnOnce() -> Vec<(String, &'static str)>) -> Result<Arc<Shared>> {
    if let Some(there) = engine.clients.get() {
        return Ok(Arc::clone(there));
    }
    let made = shared(Catalogue::of(&crate::tables::known(engine), &functions()))?;
    Ok(Arc::clone(engine.clients.get_or_init(|| made)))
}

/// Registers both schemas in a session's context; `own` are tables of `pg_catalog` that are made of the session's state.
///
/// # Errors
/// As `catalogue`.
pub(crate) fn register(
    context: &SessionContext,
    shared: &Shared,
    user: &str,
    own: Vec<(&'static str, Arc<dyn TableProvider>)>,
) -> Result<()> {
    let user: Arc<str> = user.into();
    let mut first = of_user("pg_catalog", &OF_CATALOGUE, &shared.catalogue, &user);
    first.extend(own);
    let second = of_user("information_schema", &OF_SCHEMA, &shared.catalogue, &user);
    let Some(catalog) = context.catalog(DATABASE) else { return Ok(()) };
    for ((name, own), shared) in [("pg_catalog", first), ("information_schema", second)].into_iter().zip(&shared.schemas) {
        catalog.register_schema(name, Arc::new(Layered { own, shared: Arc::clone(shared) }))?;
    }
    Ok(())
}
