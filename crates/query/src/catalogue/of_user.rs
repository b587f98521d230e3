//! Tables of the catalogue that depend on who asks, or on who there is: made when a query reads them, of the roles of that
//! moment.

use super::cells::{Row, row};
use super::told::Told;
use super::{Catalogue, NAMESPACES, granted, information, roles};
use crate::access::Access;
use crate::access::role::BOOTSTRAP_ID;
use crate::context::DATABASE;

/// Makes the rows of a table.
pub(super) type Rows = fn(&Catalogue, &Access) -> Vec<Row>;

/// The tables of `pg_catalog`.
pub(super) const OF_CATALOGUE: [(&str, Rows); 10] = [
    ("pg_auth_members", roles::members),
    ("pg_authid", roles::roles),
    ("pg_class", granted::classes),
    ("pg_group", roles::groups),
    ("pg_indexes", indexes),
    ("pg_roles", roles::roles),
    ("pg_shadow", roles::users),
    ("pg_tables", tables),
    ("pg_user", roles::users),
    ("pg_views", views),
];

/// The tables of `information_schema`.
pub(super) const OF_SCHEMA: [(&str, Rows); 8] = [
    ("administrable_role_authorizations", roles::administrable),
    ("applicable_roles", roles::applicable),
    ("column_privileges", granted::columns),
    ("enabled_roles", roles::enabled),
    ("role_column_grants", granted::columns_of_roles),
    ("role_table_grants", granted::tables_of_roles),
    ("schemata", schemata),
    ("table_privileges", granted::tables),
];

/// The rows of a view of `information_schema` that is the same to all whose rights have no bounds.
pub(super) fn bounded(name: &str, catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    information::of(name, catalogue, &Told::of(&access.rights()))
}

fn owner(access: &Access) -> String {
    access.roles().roster().name_of(BOOTSTRAP_ID)
}

fn tables(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    let owner = owner(access);
    let tables = catalogue.objects.iter().filter(|object| object.kind == "r");
    let one = |table: &super::Object| {
        let keyed = catalogue.indexes.iter().any(|index| index.table == table.oid);
        row! {
            schemaname = table.schema, tablename = table.name.as_str(), tableowner = owner.as_str(), hasindexes = keyed,
            hasrules = false, hastriggers = false, rowsecurity = false,
        }
    };
    tables.map(one).collect()
}

fn views(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    let owner = owner(access);
    let views = catalogue.objects.iter().filter(|object| object.kind == "v");
    views.map(|view| row! { schemaname = view.schema, viewname = view.name.as_str(), viewowner = owner.as_str() }).collect()
}

fn indexes(catalogue: &Catalogue, _: &Access) -> Vec<Row> {
    let one = |index: &super::Index| {
        let table = catalogue.object(index.table)?;
        Some(row! {
            schemaname = table.schema, tablename = table.name.as_str(), indexname = index.name.as_str(),
            indexdef = index.definition(table, 0),
        })
    };
    catalogue.indexes.iter().filter_map(one).collect()
}

fn schemata(_: &Catalogue, access: &Access) -> Vec<Row> {
    let owner = owner(access);
    let one = |(name, ..): &(&'static str, i64, &'static str)| {
        row! { catalog_name = DATABASE, schema_name = *name, schema_owner = owner.as_str() }
    };
    NAMESPACES.iter().map(one).collect()
}
