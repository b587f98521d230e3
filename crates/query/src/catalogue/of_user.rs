//! Tables of the catalogue that show who owns a thing: made when a query reads them, for the session's user.

use super::cells::{Row, row};
use super::{Catalogue, NAMESPACES, OWNER};
use crate::context::DATABASE;

/// Makes the rows of a table.
pub(super) type Rows = fn(&Catalogue, &str) -> Vec<Row>;

/// The tables of `pg_catalog`.
pub(super) const OF_CATALOGUE: [(&str, Rows); 8] = [
    ("pg_authid", roles),
    ("pg_group", |_, _| Vec::new()),
    ("pg_indexes", indexes),
    ("pg_roles", roles),
    ("pg_shadow", users),
    ("pg_tables", tables),
    ("pg_user", users),
    ("pg_views", views),
];

/// The tables of `information_schema`.
pub(super) const OF_SCHEMA: [(&str, Rows); 2] = [("schemata", schemata), ("enabled_roles", enabled)];

fn roles(_: &Catalogue, user: &str) -> Vec<Row> {
    vec![row! {
        oid = OWNER, rolname = user, rolsuper = true, rolinherit = true, rolcreaterole = false, rolcreatedb = false,
        rolcanlogin = true, rolreplication = false, rolbypassrls = false, rolconnlimit = -1_i64, rolpassword = "********",
    }]
}

fn users(_: &Catalogue, user: &str) -> Vec<Row> {
    vec![row! {
        usename = user, usesysid = OWNER, usecreatedb = false, usesuper = true, userepl = false, usebypassrls = false,
        passwd = "********",
    }]
}

fn tables(catalogue: &Catalogue, user: &str) -> Vec<Row> {
    let tables = catalogue.objects.iter().filter(|object| object.kind == "r");
    let one = |table: &super::Object| {
        let keyed = catalogue.indexes.iter().any(|index| index.table == table.oid);
        row! {
            schemaname = table.schema, tablename = table.name.as_str(), tableowner = user, hasindexes = keyed, hasrules = false,
            hastriggers = false, rowsecurity = false,
        }
    };
    tables.map(one).collect()
}

fn views(catalogue: &Catalogue, user: &str) -> Vec<Row> {
    let views = catalogue.objects.iter().filter(|object| object.kind == "v");
    views.map(|view| row! { schemaname = view.schema, viewname = view.name.as_str(), viewowner = user }).collect()
}

fn indexes(catalogue: &Catalogue, _: &str) -> Vec<Row> {
    let one = |index: &super::Index| {
        let table = catalogue.object(index.table)?;
        Some(row! {
            schemaname = table.schema, tablename = table.name.as_str(), indexname = index.name.as_str(),
            indexdef = index.definition(table, 0),
        })
    };
    catalogue.indexes.iter().filter_map(one).collect()
}

fn schemata(_: &Catalogue, user: &str) -> Vec<Row> {
    let one = |(name, ..): &(&'static str, i64, &'static str)| row! { catalog_name = DATABASE, schema_name = *name, schema_owner = user };
    NAMESPACES.iter().map(one).collect()
}

fn enabled(_: &Catalogue, user: &str) -> Vec<Row> {
    vec![row! { role_name = user }]
}
