//! `meridian.grants`: what was granted on tables and, as PostgreSQL's catalogue can't tell it, on groups of tags.
//!
//! Promises: of groups of tags a role is told those of the roles that it is a member of.

use super::node::{Column, Columns, Named, tables};
use crate::access::Access;
use crate::access::privilege::Object;
use crate::access::role::Role;
use crate::engine::Engine;
use crate::store::NodeReport;
use arrow::array::{ArrayRef, StringArray};
use std::sync::Arc;

/// The table of all grants.
pub(crate) const GRANTS: &str = "meridian.grants";

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

/// `meridian.grants`: a row for each grant.
fn all_grants(access: &Access) -> Vec<Column> {
    let (roster, rights) = (access.roles().roster(), access.rights());
    let roster = &*roster;
    let told = |role: &Role| rights.is_unbound() || rights.monitors || role.name.is_empty() || rights.roles.contains(&role.id);
    let all: Vec<(String, &crate::access::role::Grant)> = roster
        .grantees()
        .filter(|role| told(role))
        .flat_map(|role| {
            let name = if role.name.is_empty() { "PUBLIC" } else { &*role.name };
            role.grants.iter().filter(move |grant| roster.stands(grant.grantor)).map(move |grant| (name.to_owned(), grant))
        })
        .collect();
    let table = |object: &Object| if let Object::Table(table) = object { Some(table.clone()) } else { None };
    let tags = |object: &Object| if let Object::Tags(tags) = object { Some(tags.clone()) } else { None };
    vec![
        ("role", texts(all.iter().map(|(name, _)| name.clone()))),
        ("table", Arc::new(all.iter().map(|(_, grant)| table(&grant.object)).collect::<StringArray>())),
        ("tags", Arc::new(all.iter().map(|(_, grant)| tags(&grant.object)).collect::<StringArray>())),
        ("privileges", texts(all.iter().map(|(_, grant)| grant.privileges.to_string()))),
        ("grantable", texts(all.iter().map(|(_, grant)| grant.grantable.to_string()))),
        ("grantor", texts(all.iter().map(|(_, grant)| roster.name_of(grant.grantor)))),
    ]
}

fn made(access: &Arc<Access>, columns: fn(&Access) -> Vec<Column>) -> Columns {
    let access = Arc::clone(access);
    Arc::new(move |_: &Engine, _: &[NodeReport]| columns(&access))
}

/// `meridian.grants`.
pub(super) fn grants(engine: &Arc<Engine>, access: &Arc<Access>) -> Named {
    tables(engine, vec![("grants", made(access, all_grants))]).remove(0)
}
