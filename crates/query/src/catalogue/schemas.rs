//! The schemas `pg_catalog` and `information_schema` of a session: one copy of what is the same for all, and beside it
//! what depends on who asks, or on the session's state.

use super::cells::{batch, schema_of};
use super::declared::DECLARED;
use super::of_user::{self, OF_CATALOGUE, OF_SCHEMA, Rows};
use super::told::Told;
use super::{Catalogue, Function, information, rows};
use crate::access::Access;
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

/// A table that is made of its user's rights, and of the roles that there are, when a query reads it.
struct OfUser {
    relation: usize,
    schema: SchemaRef,
    catalogue: Arc<Catalogue>,
    access: Arc<Access>,
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
        let rows = (self.rows)(&self.catalogue, &self.access);
        let batch = batch(&DECLARED[self.relation], &rows)?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}

/// A view of `information_schema` that tells each role of what it may do something with: the one that all share, to whom
/// nothing is forbidden.
struct Bounded {
    relation: usize,
    whole: Arc<dyn TableProvider>,
    catalogue: Arc<Catalogue>,
    access: Arc<Access>,
}

impl fmt::Debug for Bounded {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(DECLARED[self.relation].name)
    }
}

#[async_trait]
impl TableProvider for Bounded {
    fn schema(&self) -> SchemaRef {
        self.whole.schema()
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
        if self.access.is_unbound() {
            return self.whole.scan(state, projection, filters, limit).await;
        }
        let relation = &DECLARED[self.relation];
        let batch = batch(relation, &of_user::bounded(relation.name, &self.catalogue, &self.access))?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}

/// Those of all sessions.
fn shared(catalogue: Catalogue) -> Result<Arc<Shared>> {
    let catalogue = Arc::new(catalogue);
    let mut schemas: [Tables; 2] = [Tables::new(), Tables::new()];
    for relation in DECLARED.iter() {
        let of_catalogue = relation.schema == "pg_catalog";
        let rows = if of_catalogue {
            rows::of(relation.name, &catalogue)
        } else {
            information::of(relation.name, &catalogue, &Told::EVERYTHING)
        };
        let batches = if rows.is_empty() { Vec::new() } else { vec![batch(relation, &rows)?] };
        let table = Arc::new(MemTable::try_new(schema_of(relation), vec![batches])?);
        schemas[usize::from(!of_catalogue)].insert(relation.name, table);
    }
    Ok(Arc::new(Shared { catalogue, functions: OnceLock::new(), schemas: schemas.map(Arc::new) }))
}

/// Those of one session's user.
fn of_user(schema: &str, tables: &[(&'static str, Rows)], catalogue: &Arc<Catalogue>, access: &Arc<Access>) -> Tables {
    let table = |(name, rows): &(&'static str, Rows)| {
        let relation = DECLARED.iter().position(|relation| relation.schema == schema && relation.name == *name)?;
        let table = OfUser {
            relation,
            schema: schema_of(&DECLARED[relation]),
            catalogue: Arc::clone(catalogue),
            access: Arc::clone(access),
            rows: *rows,
        };
        Some((*name, Arc::new(table) as Arc<dyn TableProvider>))
    };
    tables.iter().filter_map(table).collect()
}

/// The views of `information_schema` that tell one session's user of what it may do something with.
fn bounded(shared: &Shared, access: &Arc<Access>) -> Tables {
    let table = |(relation, of): (usize, &super::declared::Declared)| {
        let whole = Arc::clone(shared.schemas[1].get(of.name).filter(|_| of.schema == "information_schema")?);
        let (catalogue, access) = (Arc::clone(&shared.catalogue), Arc::clone(access));
        Some((of.name, Arc::new(Bounded { relation, whole, catalogue, access }) as Arc<dyn TableProvider>))
    };
    DECLARED.iter().enumerate().filter(|(_, of)| information::BOUNDED.contains(&of.name)).filter_map(table).collect()
}

/// What the engine's sessions share.
///
/// # Errors
/// A table that can't be made, which is a fault of ours.
pub(crate) fn catalogue(
    engine: &Arc<Engine>,
    access: &Arc<Access>,
    functions: impl FnOnce() -> Vec<Function>,
) -> Result<Arc<Shared>> {
    if let Some(there) = engine.clients.get() {
        return Ok(Arc::clone(there));
    }
    let made = shared(Catalogue::of(&crate::tables::known(engine, access), &functions()))?;
    Ok(Arc::clone(engine.clients.get_or_init(|| made)))
}

/// Registers both schemas in a session's context; `own` are tables of `pg_catalog` that are made of the session's state.
///
/// # Errors
/// As `catalogue`.
pub(crate) fn register(
    context: &SessionContext,
    shared: &Shared,
    access: &Arc<Access>,
    own: Vec<(&'static str, Arc<dyn TableProvider>)>,
) -> Result<()> {
    let mut first = of_user("pg_catalog", &OF_CATALOGUE, &shared.catalogue, access);
    first.extend(own);
    let mut second = bounded(shared, access);
    second.extend(of_user("information_schema", &OF_SCHEMA, &shared.catalogue, access));
    let Some(catalog) = context.catalog(DATABASE) else { return Ok(()) };
    for ((name, own), shared) in [("pg_catalog", first), ("information_schema", second)].into_iter().zip(&shared.schemas) {
        catalog.register_schema(name, Arc::new(Layered { own, shared: Arc::clone(shared) }))?;
    }
    Ok(())
}
