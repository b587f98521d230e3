//! Which tables and acting functions a plan names, and whether its role may.
//!
//! Promises: a plan is looked at before anything of it is optimised or run, with all its subqueries: so what an optimiser would
//! leave out is asked about too, as in PostgreSQL.

use super::privilege::Privileges;
use super::rights::Rights;
use super::roster::Roster;
use super::standing::{Access, Identity};
use crate::context::DATABASE;
use crate::error::{Error, raise};
use crate::tables::{GRANTS, KEYED_SCHEMA, values_at_scan};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan, TableScan};

/// Functions that act on the store or the fleet.
fn acts(name: &str) -> bool {
    name.starts_with("meridian_")
}

/// Refuses a plan that reads or does what its role may not.
pub(crate) fn admit_plan(rights: &Rights, plan: &LogicalPlan) -> Result<(), Error> {
    rights.alive()?;
    if rights.is_unbound() {
        return Ok(());
    }
    let mut refused = Ok(());
    let walked = plan.apply_with_subqueries(|node| {
        let checked = match node {
            LogicalPlan::TableScan(scan) => admit_scan(rights, scan),
            node => admit_functions(rights, node),
        };
        match checked {
            Ok(()) => Ok(TreeNodeRecursion::Continue),
            Err(error) => {
                refused = Err(error);
                Ok(TreeNodeRecursion::Stop)
            }
        }
    });
    walked.map_err(|error| crate::error::from_datafusion(&error, ""))?;
    refused
}

fn admit_scan(rights: &Rights, scan: &TableScan) -> Result<(), Error> {
    if values_at_scan(scan) {
        return rights.admit("public.samples", Privileges::SELECT).or_else(|error| {
            // Of events alone, too.
            rights.admit("public.events", Privileges::SELECT).map_err(|_| error)
        });
    }
    let name = &scan.table_name;
    if name.catalog().is_some_and(|catalog| catalog != DATABASE) {
        return Ok(());
    }
    let schema = match name.schema().unwrap_or("public") {
        KEYED_SCHEMA => "public",
        // Everybody's, and each of its tables tells what its reader may know.
        "pg_catalog" | "information_schema" => return Ok(()),
        schema => schema,
    };
    let table = format!("{schema}.{}", name.table());
    if schema == "public" && !super::privilege::opened_by_groups(Privileges::SELECT).contains(&table.as_str()) {
        // A table function's rows, a name of WITH: what is beneath is asked about by itself.
        return Ok(());
    }
    // What was granted to oneself, one may know.
    if table == GRANTS {
        return Ok(());
    }
    rights.admit(&table, Privileges::SELECT)
}

fn admit_functions(rights: &Rights, node: &LogicalPlan) -> Result<(), Error> {
    let mut refused = Ok(());
    let walked = node.apply_expressions(|expr| {
        expr.apply(|expr| {
            let Expr::ScalarFunction(call) = expr else { return Ok::<_, DataFusionError>(TreeNodeRecursion::Continue) };
            if acts(call.func.name())
                && let Err(error) = rights.admit_acting(call.func.name())
            {
                refused = Err(error);
                return Ok(TreeNodeRecursion::Stop);
            }
            Ok(TreeNodeRecursion::Continue)
        })
    });
    walked.map_err(|error| crate::error::from_datafusion(&error, ""))?;
    refused
}

/// Refuses to cancel a statement of a session whose role this one may not act for.
pub(crate) fn admit_cancel(access: &Access, owner: &str) -> Result<(), Error> {
    let rights = access.rights();
    if rights.is_unbound() {
        return Ok(());
    }
    let roster = access.roles().roster();
    let own = |roster: &Roster| match access.current() {
        Identity::Role(id, _) => roster.named(owner).is_some_and(|role| role.id == id || rights.roles.contains(&role.id)),
        Identity::Believed(name) | Identity::Nobody(name) => &*name == owner,
    };
    let powerful = roster.named(owner).is_none_or(|role| role.superuser);
    if own(&roster) || (rights.signals && !powerful) {
        return Ok(());
    }
    let why = if powerful {
        "only roles with the SUPERUSER attribute may cancel queries of such roles"
    } else {
        "only its own role, its members and those of pg_signal_backend may"
    };
    Err(raise(Error::Forbidden, "permission denied to cancel query").with_detail(why))
}
