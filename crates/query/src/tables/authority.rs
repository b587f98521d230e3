//! Who there is and what they may do, as tables: PostgreSQL's of `pg_catalog`, and `meridian.grants`, which tells of groups of
//! tags too.
//!
//! Promises: of passwords nothing is shown but whether one ceases to hold; of groups of tags a role is told those of the roles that it
//! is a member of.

use super::node::{Column, Columns, Named, tables};
use super::pg_catalog::{self, Known};
use crate::access::Access;
use crate::access::privilege::{Object, Privileges};
use crate::access::role::{BOOTSTRAP_ID, Role};
use crate::engine::Engine;
use crate::store::NodeReport;
use arrow::array::{ArrayRef, BooleanArray, Int64Array, ListBuilder, StringArray, StringBuilder, TimestampMicrosecondArray};
use std::sync::Arc;

/// The table of all grants.
pub(crate) const GRANTS: &str = "meridian.grants";

fn texts(values: impl Iterator<Item = String>) -> ArrayRef {
    Arc::new(values.map(Some).collect::<StringArray>())
}

fn flags(values: impl Iterator<Item = bool>) -> ArrayRef {
    Arc::new(BooleanArray::from(values.collect::<Vec<_>>()))
}

fn numbers(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

fn lists(values: impl Iterator<Item = Option<Vec<String>>>) -> ArrayRef {
    let mut out = ListBuilder::new(StringBuilder::new());
    for list in values {
        let is_there = list.is_some();
        for item in list.unwrap_or_default() {
            out.values().append_value(item);
        }
        out.append(is_there);
    }
    Arc::new(out.finish())
}

fn settings(role: &Role) -> Option<Vec<String>> {
    let shown = role.settings.iter().map(|(name, value)| format!("{name}={value}"));
    (!role.settings.is_empty()).then(|| shown.collect())
}

/// `pg_roles` and `pg_authid`, by the names of whose columns both are known.
fn roles(access: &Access) -> Vec<Column> {
    let all: Vec<Arc<Role>> = access.roles().roster().all().cloned().collect();
    let until = all.iter().map(|role| role.valid_until_us).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    vec![
        ("oid", numbers(all.iter().map(|role| i64::from(role.id)))),
        ("rolname", texts(all.iter().map(|role| role.name.to_string()))),
        ("rolsuper", flags(all.iter().map(|role| role.superuser))),
        ("rolinherit", flags(all.iter().map(|role| role.inherit))),
        ("rolcreaterole", flags(all.iter().map(|role| role.create_role || role.superuser))),
        ("rolcreatedb", flags(all.iter().map(|_| false))),
        ("rolcanlogin", flags(all.iter().map(|role| role.login))),
        ("rolreplication", flags(all.iter().map(|_| false))),
        ("rolbypassrls", flags(all.iter().map(|role| role.superuser))),
        ("rolconnlimit", numbers(all.iter().map(|role| role.connections_max.map_or(-1, i64::from)))),
        ("rolpassword", texts(all.iter().map(|_| "********".to_owned()))),
        ("rolvaliduntil", Arc::new(until)),
        ("rolconfig", lists(all.iter().map(|role| settings(role)))),
    ]
}

/// `pg_user` and `pg_shadow`: the roles that can log in.
fn users(access: &Access) -> Vec<Column> {
    let all: Vec<Arc<Role>> = access.roles().roster().all().filter(|role| role.login).cloned().collect();
    let until = all.iter().map(|role| role.valid_until_us).collect::<TimestampMicrosecondArray>().with_timezone("UTC");
    vec![
        ("usename", texts(all.iter().map(|role| role.name.to_string()))),
        ("usesysid", numbers(all.iter().map(|role| i64::from(role.id)))),
        ("usecreatedb", flags(all.iter().map(|_| false))),
        ("usesuper", flags(all.iter().map(|role| role.superuser))),
        ("userepl", flags(all.iter().map(|_| false))),
        ("usebypassrls", flags(all.iter().map(|role| role.superuser))),
        ("passwd", texts(all.iter().map(|_| "********".to_owned()))),
        ("valuntil", Arc::new(until)),
        ("useconfig", lists(all.iter().map(|role| settings(role)))),
    ]
}

/// `pg_group`: the roles that can't.
fn groups(access: &Access) -> Vec<Column> {
    let all: Vec<Arc<Role>> = access.roles().roster().all().filter(|role| !role.login).cloned().collect();
    vec![
        ("groname", texts(all.iter().map(|role| role.name.to_string()))),
        ("grosysid", numbers(all.iter().map(|role| i64::from(role.id)))),
    ]
}

/// `pg_auth_members`: who is a member of what.
fn members(access: &Access) -> Vec<Column> {
    let roster = access.roles().roster();
    let all: Vec<(&Role, &crate::access::role::Membership)> =
        roster.all().flat_map(|role| roster.memberships(role).map(move |of| (&**role, of))).collect();
    vec![
        ("oid", numbers((0..all.len() as i64).map(|at| at + 1))),
        ("roleid", numbers(all.iter().map(|(_, of)| i64::from(of.role)))),
        ("member", numbers(all.iter().map(|(role, _)| i64::from(role.id)))),
        ("grantor", numbers(all.iter().map(|(_, of)| i64::from(of.grantor)))),
        ("admin_option", flags(all.iter().map(|(_, of)| of.admin))),
        ("inherit_option", flags(all.iter().map(|(_, of)| of.inherit))),
        ("set_option", flags(all.iter().map(|(_, of)| of.set))),
    ]
}

fn quoted(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `pg_class`, whose `relacl` is what was granted on each table, in PostgreSQL's letters; NULL where nothing was.
fn classes(access: &Access, known: &[Known]) -> Vec<Column> {
    let roster = access.roles().roster();
    let roster = &*roster;
    let granted = |table: String| {
        let object = Object::Table(table);
        let of = |role: &Arc<Role>| {
            let name = quoted(&role.name);
            let grants = role.grants.iter().filter(|grant| grant.object == object && roster.stands(grant.grantor));
            let shown = grants.map(move |grant| {
                let by = quoted(&roster.name_of(grant.grantor));
                format!("{name}={}/{by}", grant.privileges.letters(grant.grantable))
            });
            shown.collect::<Vec<_>>()
        };
        let all: Vec<String> = roster.grantees().flat_map(of).collect();
        let owner = quoted(&roster.name_of(BOOTSTRAP_ID));
        (!all.is_empty()).then(|| {
            let own = format!("{owner}={}/{owner}", Privileges::ALL.letters(Privileges::NONE));
            std::iter::once(own).chain(all).collect()
        })
    };
    let column = lists(known.iter().map(|(schema, name, _)| granted(format!("{schema}.{name}"))));
    pg_catalog::classes(known, column)
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

/// Those of `pg_catalog`.
pub(super) fn of_catalogue(engine: &Arc<Engine>, access: &Arc<Access>, known: &[Known]) -> Vec<Named> {
    let (of_classes, known) = (Arc::clone(access), known.to_vec());
    tables(
        engine,
        vec![
            ("pg_roles", made(access, roles)),
            ("pg_authid", made(access, roles)),
            ("pg_user", made(access, users)),
            ("pg_shadow", made(access, users)),
            ("pg_group", made(access, groups)),
            ("pg_auth_members", made(access, members)),
            ("pg_class", Arc::new(move |_: &Engine, _: &[NodeReport]| classes(&of_classes, &known))),
        ],
    )
}
