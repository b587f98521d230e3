//! `pg_stat_activity`: the sessions that are open at this server, and what each does.
//!
//! Promises: of a session of another role, whoever may not know more (`pg_monitor`, a member of that role, a superuser) sees that it
//! is there, whose it is, and what it calls itself, as in PostgreSQL; nothing waits for anything but the session's own short locks.

use super::cells::{Cell, Row, batch, row, schema_of};
use super::declared::{DECLARED, Declared};
use super::{DATABASE_NUMBER, OWNER};
use crate::access::{Access, Rights};
use crate::context::DATABASE;
use crate::engine::Engine;
use crate::session::{Block, Session};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, Session as Planner, TableProvider};
use datafusion::datasource::TableType;
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::physical_plan::ExecutionPlan;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

/// The name of the table.
pub(crate) const ACTIVITY: &str = "pg_stat_activity";

struct ActivityTable {
    relation: &'static Declared,
    schema: SchemaRef,
    engine: Arc<Engine>,
    access: Arc<Access>,
}

impl fmt::Debug for ActivityTable {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(ACTIVITY)
    }
}

#[async_trait]
impl TableProvider for ActivityTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::View
    }

    async fn scan(
        &self,
        state: &dyn Planner,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let rights = self.access.rights();
        let rows: Vec<Row> = self.engine.sessions.all().iter().filter_map(|session| told(session, &rights)).collect();
        let batch = batch(self.relation, &rows)?;
        MemTable::try_new(self.schema(), vec![vec![batch]])?.scan(state, projection, filters, limit).await
    }
}

/// A session's row; none of one that is nobody's connection and does nothing.
fn told(session: &Session, rights: &Rights) -> Option<Row> {
    let doing = session.activity.doing();
    if !session.settings.connected && doing.running == 0 {
        return None;
    }
    let (user, id) = (session.access.session_user(), session.access.session().id());
    let (block, application, began_us) = {
        let state = session.state.lock();
        (state.block, state.variables.get("application_name").unwrap_or_default().to_owned(), state.open.began_us)
    };
    let mut row = row! {
        datid = DATABASE_NUMBER, datname = DATABASE, pid = i64::from(session.id), usesysid = id.map_or(OWNER, i64::from),
        usename = &*user, application_name = application,
    };
    let knows = rights.is_unbound() || rights.monitors || id.map_or_else(|| *rights.role == *user, |id| rights.holds(id));
    if !knows {
        row.extend(row! { query = "<insufficient privilege>" });
        return Some(row);
    }
    let state = match (doing.running, block) {
        (1.., _) => "active",
        (0, Block::Idle) => "idle",
        (0, Block::Open) => "idle in transaction",
        (0, Block::Failed) => "idle in transaction (aborted)",
    };
    // Outside a block each statement is a transaction.
    let transaction_us = began_us.or(doing.query_start_us.filter(|_| doing.running > 0));
    let client: Option<SocketAddr> = session.settings.client.parse().ok();
    let moment = |us: Option<i64>| us.map_or(Cell::Null, Cell::Moment);
    let waits = (doing.waiting > 0).then_some(("Timeout", "RowsPerSecond"));
    row.extend(row! {
        client_addr = client.map(|client| client.ip().to_string()), client_port = client.map(|client| i64::from(client.port())),
        wait_event_type = waits.map(|waits| waits.0), wait_event = waits.map(|waits| waits.1), state = state,
        query = doing.query.as_deref().unwrap_or_default(), backend_type = "client backend",
    });
    row.extend([
        ("backend_start", Cell::Moment(session.activity.opened_us)),
        ("xact_start", moment(transaction_us)),
        ("query_start", moment(doing.query_start_us)),
        ("state_change", Cell::Moment(doing.changed_us)),
    ]);
    Some(row)
}

/// The table; None where it is not declared.
pub(crate) fn table(engine: &Arc<Engine>, access: &Arc<Access>) -> Option<Arc<dyn TableProvider>> {
    let relation = DECLARED.iter().find(|relation| relation.schema == "pg_catalog" && relation.name == ACTIVITY)?;
    let (engine, access) = (Arc::clone(engine), Arc::clone(access));
    Some(Arc::new(ActivityTable { relation, schema: schema_of(relation), engine, access }))
}
