//! A role: what it is, of which roles it is a member, what it was granted; and the record of it that is kept.
//!
//! A record is one line of JSON (`docs/formats/users.md`). One that holds a field which is not known here is refused: it may be
//! what keeps somebody out. Records from before there were roles are a password's verifier alone: such a user may do everything,
//! as it could then.
//!
//! Roles name each other by number, never by name: a number is not used again, so a name that is given again brings nobody's rights
//! with it.

use super::condition::TagCondition;
use super::privilege::{Object, Privileges};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The number of a role.
pub type RoleId = u32;

/// The user that is there from the first start.
pub const BOOTSTRAP: &str = "meridian";
/// Its number, PostgreSQL's own for it. All tables are its.
pub(crate) const BOOTSTRAP_ID: RoleId = 10;
/// Under which what everybody may do is kept: a name that no role can have.
pub const PUBLIC: &str = "";
/// The first number that is drawn; those below are PostgreSQL's, and ours.
const FIRST_ID: RoleId = 16_384;

/// Roles that are always there, and can't be logged in as.
pub(crate) const PREDEFINED: [(&str, RoleId); 6] = [
    ("pg_monitor", 3373),
    ("pg_signal_backend", 4200),
    ("pg_checkpoint", 4544),
    ("pg_read_all_data", 6181),
    ("pg_write_all_data", 6182),
    ("meridian_operator", 16_000),
];

/// A membership in a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    pub role: RoleId,
    /// Whether it may be granted on.
    pub admin: bool,
    /// Whether what the role may do, the member may do without SET ROLE.
    pub inherit: bool,
    /// Whether the member may SET ROLE to it.
    pub set: bool,
    pub grantor: RoleId,
}

/// What was granted on one object by one role.
#[derive(Clone, Debug)]
pub(crate) struct Grant {
    pub object: Object,
    pub privileges: Privileges,
    /// Those that may be granted on.
    pub grantable: Privileges,
    pub grantor: RoleId,
    /// The condition of a group of tags.
    pub condition: Option<Arc<TagCondition>>,
}

/// A role.
#[derive(Clone, Debug)]
pub(crate) struct Role {
    pub id: RoleId,
    pub name: Arc<str>,
    pub login: bool,
    pub superuser: bool,
    pub create_role: bool,
    pub inherit: bool,
    /// Connections at one time; None = as many as there can be.
    pub connections_max: Option<u32>,
    /// When its password ceases to hold, by the wall clock in microseconds.
    pub valid_until_us: Option<i64>,
    /// What is kept of its password.
    pub verifier: Option<Arc<str>>,
    /// Settings that its sessions begin with.
    pub settings: BTreeMap<String, String>,
    pub memberships: Vec<Membership>,
    pub grants: Vec<Grant>,
    /// The record as it is kept; None where none is.
    pub kept: Option<Arc<str>>,
}

/// How a role is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    oid: RoleId,
    #[serde(default, skip_serializing_if = "is_false")]
    login: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    superuser: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    createrole: bool,
    inherit: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    connections: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until_us: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verifier: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    member_of: Vec<MembershipRecord>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<GrantRecord>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipRecord {
    oid: RoleId,
    admin: bool,
    inherit: bool,
    set: bool,
    by: RoleId,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GrantRecord {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    table: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tags: Option<String>,
    privileges: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    grantable: String,
    by: RoleId,
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// A number for a role that was kept without one: the same at every scheduler.
fn id_of_name(name: &str) -> RoleId {
    if name == BOOTSTRAP {
        return BOOTSTRAP_ID;
    }
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    id_of_random(hash)
}

/// A number for a new role of what was drawn.
pub(crate) fn id_of_random(drawn: u32) -> RoleId {
    // Clients read it as a number of 32 bits with a sign, too.
    FIRST_ID + drawn % (i32::MAX as u32 - FIRST_ID)
}

impl Role {
    /// A role that may do nothing.
    pub(crate) fn new(name: &str, id: RoleId) -> Role {
        Role {
            id,
            name: name.into(),
            login: false,
            superuser: false,
            create_role: false,
            inherit: true,
            connections_max: None,
            valid_until_us: None,
            verifier: None,
            settings: BTreeMap::new(),
            memberships: Vec::new(),
            grants: Vec::new(),
            kept: None,
        }
    }

    /// The user of the first start, as it is before anything is said of it.
    pub(crate) fn bootstrap() -> Role {
        Role { login: true, superuser: true, create_role: true, ..Role::new(BOOTSTRAP, BOOTSTRAP_ID) }
    }

    /// Reads a record; None where it can't be read.
    pub(crate) fn read(name: &str, kept: &str) -> Option<Role> {
        let mut role = if kept.starts_with('{') {
            Role::of_record(name, serde_json::from_str(kept).ok()?)?
        } else if !kept.starts_with("SCRAM-SHA-256$") {
            return None;
        } else {
            // From before there were roles: a verifier.
            let plain = Role { login: true, superuser: true, create_role: true, ..Role::new(name, id_of_name(name)) };
            Role { verifier: Some(kept.into()), ..plain }
        };
        if name == BOOTSTRAP {
            (role.id, role.login, role.superuser) = (BOOTSTRAP_ID, true, true);
        }
        role.kept = Some(kept.into());
        Some(role)
    }

    fn of_record(name: &str, record: Record) -> Option<Role> {
        let grant = |grant: GrantRecord| {
            let (object, condition) = match (grant.table, grant.tags) {
                (Some(table), None) => (Object::Table(table), None),
                (None, Some(tags)) => {
                    let condition = TagCondition::parse(&tags).ok()?;
                    (Object::Tags(tags), Some(Arc::new(condition)))
                }
                _ => return None,
            };
            let (privileges, grantable) = (Privileges::of_letters(&grant.privileges)?, Privileges::of_letters(&grant.grantable)?);
            Some(Grant { object, privileges, grantable, grantor: grant.by, condition })
        };
        let membership =
            |of: MembershipRecord| Membership { role: of.oid, admin: of.admin, inherit: of.inherit, set: of.set, grantor: of.by };
        Some(Role {
            login: record.login,
            superuser: record.superuser,
            create_role: record.createrole,
            inherit: record.inherit,
            connections_max: record.connections,
            valid_until_us: record.until_us,
            verifier: record.verifier.map(Into::into),
            settings: record.settings,
            memberships: record.member_of.into_iter().map(membership).collect(),
            grants: record.grants.into_iter().map(grant).collect::<Option<Vec<_>>>()?,
            ..Role::new(name, record.oid)
        })
    }

    /// The record of it: one line.
    pub(crate) fn record(&self) -> String {
        let letters = |privileges: Privileges| privileges.letters(Privileges::NONE);
        let grant = |grant: &Grant| {
            let (table, tags) = match &grant.object {
                Object::Table(table) => (Some(table.clone()), None),
                Object::Tags(tags) => (None, Some(tags.clone())),
            };
            let (privileges, grantable) = (letters(grant.privileges), letters(grant.grantable));
            GrantRecord { table, tags, privileges, grantable, by: grant.grantor }
        };
        let membership = |of: &Membership| MembershipRecord {
            oid: of.role,
            admin: of.admin,
            inherit: of.inherit,
            set: of.set,
            by: of.grantor,
        };
        let record = Record {
            oid: self.id,
            login: self.login,
            superuser: self.superuser,
            createrole: self.create_role,
            inherit: self.inherit,
            connections: self.connections_max,
            until_us: self.valid_until_us,
            verifier: self.verifier.as_deref().map(str::to_owned),
            settings: self.settings.clone(),
            member_of: self.memberships.iter().map(membership).collect(),
            grants: self.grants.iter().map(grant).collect(),
        };
        serde_json::to_string(&record).expect("a record is of texts, numbers and lists")
    }

    /// Whether it is one that is always there.
    pub(crate) fn is_fixed(&self) -> bool {
        PREDEFINED.iter().any(|(_, id)| *id == self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_comes_back_from_its_record() {
        let mut role = Role::new("analyst", 20_000);
        role.settings.insert("statement_timeout".to_owned(), "5000".to_owned());
        role.memberships.push(Membership { role: 3373, admin: false, inherit: true, set: true, grantor: 10 });
        let grant = |object: Object| Grant {
            condition: None,
            object,
            privileges: Privileges::SELECT.with(Privileges::INSERT),
            grantable: Privileges::SELECT,
            grantor: 10,
        };
        role.grants.push(grant(Object::Table("public.samples".to_owned())));
        role.grants.push(grant(Object::Tags("name LIKE 'a.%'".to_owned())));
        let text = role.record();
        assert!(!text.contains(['\n', '\t']));
        let read = Role::read("analyst", &text).unwrap();
        assert_eq!(read.record(), text);
        assert!(read.grants[1].condition.is_some());
        assert_eq!(read.kept.as_deref(), Some(text.as_str()));
    }

    #[test]
    fn what_is_not_understood_is_no_role() {
        let old = Role::read("reader", "SCRAM-SHA-256$4096:AAAA$x:y").unwrap();
        assert!(old.superuser && old.login && old.id >= FIRST_ID);
        for text in [
            "",
            "md5",
            "{",
            "{\"oid\":20000,\"inherit\":true,\"only_by_day\":true}",
            "{\"oid\":20000,\"inherit\":true,\"grants\":[{\"privileges\":\"r\",\"by\":10}]}",
            "{\"oid\":20000,\"inherit\":true,\"grants\":[{\"tags\":\"unit = 'x'\",\"privileges\":\"r\",\"by\":10}]}",
            "{\"oid\":20000,\"inherit\":true,\"grants\":[{\"table\":\"public.samples\",\"privileges\":\"z\",\"by\":10}]}",
        ] {
            assert!(Role::read("x", text).is_none(), "{text}");
        }
    }
}
