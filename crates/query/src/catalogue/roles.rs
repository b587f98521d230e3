//! Roles as the catalogue tells of them, and who is a member of what.
//!
//! Promises: of passwords nothing is shown but whether one ceases to hold.

use super::Catalogue;
use super::cells::{Cell, Row, row};
use crate::access::Access;
use crate::access::role::Role;

fn settings(role: &Role) -> Cell {
    if role.settings.is_empty() {
        return Cell::Null;
    }
    Cell::Texts(role.settings.iter().map(|(name, value)| format!("{name}={value}")).collect())
}

fn until(role: &Role) -> Cell {
    role.valid_until_us.map_or(Cell::Null, Cell::Moment)
}

fn number(role: &Role) -> i64 {
    i64::from(role.id)
}

/// `pg_roles` and `pg_authid`.
pub(super) fn roles(_: &Catalogue, access: &Access) -> Vec<Row> {
    let roster = access.roles().roster();
    let one = |role: &std::sync::Arc<Role>| {
        row! {
            oid = number(role), rolname = &*role.name, rolsuper = role.superuser, rolinherit = role.inherit,
            rolcreaterole = role.create_role || role.superuser, rolcreatedb = false, rolcanlogin = role.login,
            rolreplication = false, rolbypassrls = role.superuser, rolconnlimit = role.connections_max.map_or(-1, i64::from),
            rolpassword = "********", rolvaliduntil = until(role), rolconfig = settings(role),
        }
    };
    roster.all().map(one).collect()
}

/// `pg_user` and `pg_shadow`: the roles that can log in.
pub(super) fn users(_: &Catalogue, access: &Access) -> Vec<Row> {
    let roster = access.roles().roster();
    let one = |role: &std::sync::Arc<Role>| {
        row! {
            usename = &*role.name, usesysid = number(role), usecreatedb = false, usesuper = role.superuser, userepl = false,
            usebypassrls = role.superuser, passwd = "********", valuntil = until(role), useconfig = settings(role),
        }
    };
    roster.all().filter(|role| role.login).map(one).collect()
}

/// `pg_group`: the roles that can't, with their members.
pub(super) fn groups(_: &Catalogue, access: &Access) -> Vec<Row> {
    let roster = access.roles().roster();
    let members = |group: &Role| -> Vec<i64> {
        let is_in = |role: &Role| roster.memberships(role).any(|of| of.role == group.id);
        roster.all().filter(|role| is_in(role)).map(|role| number(role)).collect()
    };
    let groups = roster.all().filter(|role| !role.login);
    groups.map(|role| row! { groname = &*role.name, grosysid = number(role), grolist = members(role) }).collect()
}

/// `pg_auth_members`.
pub(super) fn members(_: &Catalogue, access: &Access) -> Vec<Row> {
    let roster = access.roles().roster();
    let all = roster.all().flat_map(|role| roster.memberships(role).map(move |of| (role, of)));
    let one = |(at, (role, of)): (usize, (&std::sync::Arc<Role>, &crate::access::role::Membership))| {
        row! {
            oid = at + 1, roleid = i64::from(of.role), member = number(role), grantor = i64::from(of.grantor),
            admin_option = of.admin, inherit_option = of.inherit, set_option = of.set,
        }
    };
    all.enumerate().map(one).collect()
}

/// `information_schema.enabled_roles`: those whose rights the session has.
pub(super) fn enabled(_: &Catalogue, access: &Access) -> Vec<Row> {
    let (roster, rights) = (access.roles().roster(), access.rights());
    let mut names: Vec<String> = roster.all().filter(|role| rights.holds(role.id)).map(|role| role.name.to_string()).collect();
    // Whoever was believed is no role.
    let own = access.current_user();
    if roster.named(&own).is_none() {
        names.push(own.to_string());
    }
    names.into_iter().map(|name| row! { role_name = name }).collect()
}

/// Memberships of the enabled roles.
fn held(access: &Access, wanted: fn(&crate::access::role::Membership) -> bool) -> Vec<Row> {
    let (roster, rights) = (access.roles().roster(), access.rights());
    let mut rows = Vec::new();
    for role in roster.all().filter(|role| rights.holds(role.id)) {
        for of in roster.memberships(role).filter(|of| wanted(of)) {
            let grantable = if of.admin { "YES" } else { "NO" };
            rows.push(row! { grantee = &*role.name, role_name = roster.name_of(of.role), is_grantable = grantable });
        }
    }
    rows
}

/// `information_schema.applicable_roles`.
pub(super) fn applicable(_: &Catalogue, access: &Access) -> Vec<Row> {
    held(access, |_| true)
}

/// `information_schema.administrable_role_authorizations`.
pub(super) fn administrable(_: &Catalogue, access: &Access) -> Vec<Row> {
    held(access, |of| of.admin)
}
