//! What was granted on relations: `relacl`, and the views of privileges of `information_schema`.
//!
//! What was granted on groups of tags has no like in PostgreSQL; `meridian.grants` tells of it.

use super::cells::{Cell, Row, row};
use super::{Catalogue, Object, rows};
use crate::access::privilege;
use crate::access::role::{BOOTSTRAP_ID, PUBLIC};
use crate::access::{Access, Privileges};
use crate::context::DATABASE;
use std::collections::BTreeMap;

/// Something that a role was granted on a relation; of PUBLIC the name is empty.
struct Granted {
    to: String,
    by: String,
    privileges: Privileges,
    grantable: Privileges,
}

/// All grants on tables, and whose the tables are.
struct Grants {
    owner: String,
    tables: BTreeMap<String, Vec<Granted>>,
}

impl Grants {
    fn of(access: &Access) -> Grants {
        let roster = access.roles().roster();
        let mut tables: BTreeMap<String, Vec<Granted>> = BTreeMap::new();
        for role in roster.grantees() {
            for grant in role.grants.iter().filter(|grant| roster.stands(grant.grantor)) {
                let privilege::Object::Table(table) = &grant.object else { continue };
                tables.entry(table.clone()).or_default().push(Granted {
                    to: role.name.to_string(),
                    by: roster.name_of(grant.grantor),
                    privileges: grant.privileges,
                    grantable: grant.grantable,
                });
            }
        }
        Grants { owner: roster.name_of(BOOTSTRAP_ID), tables }
    }

    /// What others than the owner were granted on a relation.
    fn on(&self, object: &Object) -> Vec<Granted> {
        let table = format!("{}.{}", object.schema, object.name);
        let read = |to: &str| Granted {
            to: to.to_owned(),
            by: self.owner.clone(),
            privileges: Privileges::SELECT,
            grantable: Privileges::NONE,
        };
        // Everybody's, without having been granted.
        if object.is_open() {
            return vec![read(PUBLIC)];
        }
        let copied = |one: &Granted| Granted { to: one.to.clone(), by: one.by.clone(), ..*one };
        self.tables.get(&table).map(|granted| granted.iter().map(copied).collect()).unwrap_or_default()
    }

    /// With what the owner may.
    fn with_owner(&self, object: &Object) -> Vec<Granted> {
        let own =
            Granted { to: self.owner.clone(), by: self.owner.clone(), privileges: Privileges::ALL, grantable: Privileges::ALL };
        std::iter::once(own).chain(self.on(object)).collect()
    }

    /// In PostgreSQL's letters; NULL where nothing was granted.
    fn letters(&self, object: &Object) -> Cell {
        let granted = self.on(object);
        if granted.is_empty() || object.kind == "i" {
            return Cell::Null;
        }
        let owner = shown(&self.owner);
        let own = format!("{owner}={}/{owner}", Privileges::ALL.letters(Privileges::NONE));
        let other = |one: &Granted| format!("{}={}/{}", shown(&one.to), one.privileges.letters(one.grantable), shown(&one.by));
        Cell::Texts(std::iter::once(own).chain(granted.iter().map(other)).collect())
    }
}

/// A role's name as it stands among those letters.
fn shown(name: &str) -> String {
    let plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// `pg_class`.
pub(super) fn classes(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    let grants = Grants::of(access);
    let mut rows = rows::of("pg_class", catalogue);
    for (row, object) in rows.iter_mut().zip(&catalogue.objects) {
        row.push(("relacl", grants.letters(object)));
    }
    rows
}

fn yes(flag: bool) -> &'static str {
    if flag { "YES" } else { "NO" }
}

/// Each privilege that the session may know of: those that an enabled role has or gave and, where it is asked, PUBLIC's.
fn each(
    catalogue: &Catalogue,
    access: &Access,
    of_public: bool,
    mut one: impl FnMut(&Object, &[(&'static str, Cell)], Privileges),
) {
    let (roster, rights, grants) = (access.roles().roster(), access.rights(), Grants::of(access));
    let enabled = |name: &str| rights.is_unbound() || roster.named(name).is_some_and(|role| rights.holds(role.id));
    for object in catalogue.objects.iter().filter(|object| object.kind != "i") {
        for granted in grants.with_owner(object) {
            let everybodys = granted.to == PUBLIC;
            if !(enabled(&granted.by) || enabled(&granted.to) || (everybodys && of_public)) {
                continue;
            }
            for privilege in granted.privileges.each() {
                let grantee = if everybodys { "PUBLIC" } else { granted.to.as_str() };
                let told = [
                    ("grantor", Cell::from(granted.by.as_str())),
                    ("grantee", Cell::from(grantee)),
                    ("table_catalog", Cell::from(DATABASE)),
                    ("table_schema", Cell::from(object.schema)),
                    ("table_name", Cell::from(object.name.as_str())),
                    ("privilege_type", Cell::from(privilege.to_string())),
                    ("is_grantable", Cell::from(yes(granted.grantable.has(privilege)))),
                ];
                one(object, &told, privilege);
            }
        }
    }
}

fn of_tables(catalogue: &Catalogue, access: &Access, of_public: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    each(catalogue, access, of_public, |_, told, privilege| {
        let mut row = told.to_vec();
        row.extend(row! { with_hierarchy = yes(privilege == Privileges::SELECT) });
        rows.push(row);
    });
    rows
}

fn of_columns(catalogue: &Catalogue, access: &Access, of_public: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    each(catalogue, access, of_public, |object, told, privilege| {
        // Rows are deleted, not columns.
        for column in object.columns.iter().filter(|_| privilege != Privileges::DELETE) {
            let mut row = told.to_vec();
            row.extend(row! { column_name = column.name.as_str() });
            rows.push(row);
        }
    });
    rows
}

/// `information_schema.table_privileges`.
pub(super) fn tables(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    of_tables(catalogue, access, true)
}

/// `information_schema.role_table_grants`.
pub(super) fn tables_of_roles(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    of_tables(catalogue, access, false)
}

/// `information_schema.column_privileges`.
pub(super) fn columns(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    of_columns(catalogue, access, true)
}

/// `information_schema.role_column_grants`.
pub(super) fn columns_of_roles(catalogue: &Catalogue, access: &Access) -> Vec<Row> {
    of_columns(catalogue, access, false)
}
