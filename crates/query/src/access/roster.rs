//! All roles as they stand at one moment, and what follows from them: who is a member of what, who may do what; and the retention
//! policies, which are kept beside them.
//!
//! Promises: a circle of memberships ends no search; what was granted by a role that is gone, or in a role that is gone, counts for
//! nothing.

use super::privilege::{Object, Privileges, opened_by_groups};
use super::rights::Rights;
use super::role::{BOOTSTRAP, BOOTSTRAP_ID, Membership, PREDEFINED, PUBLIC, Role, RoleId};
use crate::retention::{Head, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// All roles, and all retention policies.
#[derive(Clone, Debug)]
pub(crate) struct Roster {
    roles: BTreeMap<Arc<str>, Arc<Role>>,
    ids: BTreeMap<RoleId, Arc<str>>,
    public: Arc<Role>,
    policies: BTreeMap<Arc<str>, Arc<Policy>>,
    head: Head,
}

impl Default for Roster {
    fn default() -> Self {
        let mut roster = Roster {
            roles: BTreeMap::new(),
            ids: BTreeMap::new(),
            public: Arc::new(Role::new(PUBLIC, 0)),
            policies: BTreeMap::new(),
            head: Head::default(),
        };
        roster.put(Role::bootstrap());
        for (name, id) in PREDEFINED {
            roster.put(Role::new(name, id));
        }
        roster
    }
}

impl Roster {
    /// A role takes its place, or that of the one of its name.
    pub(crate) fn put(&mut self, role: Role) {
        if &*role.name == PUBLIC {
            self.public = Arc::new(role);
            return;
        }
        self.forget(&role.name.clone());
        self.ids.insert(role.id, Arc::clone(&role.name));
        self.roles.insert(Arc::clone(&role.name), Arc::new(role));
    }

    /// A role is there no more. Those that are always there are as they were at first.
    pub(crate) fn remove(&mut self, name: &str) {
        if name == PUBLIC {
            self.public = Arc::new(Role::new(PUBLIC, 0));
            return;
        }
        self.forget(name);
        if name == BOOTSTRAP {
            self.put(Role::bootstrap());
        }
        if let Some((name, id)) = PREDEFINED.iter().find(|(known, _)| *known == name) {
            self.put(Role::new(name, *id));
        }
    }

    fn forget(&mut self, name: &str) {
        if let Some(old) = self.roles.remove(name)
            && self.ids.get(&old.id) == Some(&old.name)
        {
            self.ids.remove(&old.id);
        }
    }

    /// A retention policy takes its place, or that of the one of its name.
    pub(crate) fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(Arc::clone(&policy.name), Arc::new(policy));
    }

    /// A retention policy is there no more.
    pub(crate) fn remove_policy(&mut self, name: &str) {
        self.policies.remove(name);
    }

    /// The retention policies, by name.
    pub(crate) fn policies(&self) -> &BTreeMap<Arc<str>, Arc<Policy>> {
        &self.policies
    }

    /// How often policies were made, changed or dropped.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    pub(crate) fn set_head(&mut self, head: Head) {
        self.head = head;
    }

    /// The role of that name.
    pub(crate) fn named(&self, name: &str) -> Option<&Arc<Role>> {
        self.roles.get(name)
    }

    /// The role of that number.
    pub(crate) fn role(&self, id: RoleId) -> Option<&Arc<Role>> {
        self.roles.get(self.ids.get(&id)?)
    }

    /// The name of a role, or its number where there is none of it.
    pub(crate) fn name_of(&self, id: RoleId) -> String {
        self.role(id).map_or_else(|| format!("unknown (OID={id})"), |role| role.name.to_string())
    }

    /// What everybody may do.
    pub(crate) fn public(&self) -> &Arc<Role> {
        &self.public
    }

    /// All roles by name, without what everybody is.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values()
    }

    /// Everybody who was granted something: all roles, and the public.
    pub(crate) fn grantees(&self) -> impl Iterator<Item = &Arc<Role>> {
        self.roles.values().chain([&self.public])
    }

    /// Whether there is nobody but those that are always there.
    pub(crate) fn is_bare(&self) -> bool {
        self.roles.len() == 1 + PREDEFINED.len()
    }

    /// A role's memberships in roles that are there.
    pub(crate) fn memberships<'a>(&'a self, role: &'a Role) -> impl Iterator<Item = &'a Membership> {
        role.memberships.iter().filter(move |of| self.ids.contains_key(&of.role))
    }

    /// A role, and all that it is a member of, over memberships that are wanted.
    pub(crate) fn closure(&self, role: RoleId, wanted: impl Fn(&Role, &Membership) -> bool) -> BTreeSet<RoleId> {
        let (mut found, mut waiting) = (BTreeSet::new(), vec![role]);
        while let Some(id) = waiting.pop() {
            let Some(role) = self.role(id) else { continue };
            if found.insert(id) {
                waiting.extend(self.memberships(role).filter(|of| wanted(role, of)).map(|of| of.role));
            }
        }
        found
    }

    /// The roles whose rights a role has without SET ROLE, itself among them.
    pub(crate) fn inherited(&self, role: RoleId) -> BTreeSet<RoleId> {
        self.closure(role, |_, of| of.inherit)
    }

    /// Whether a role may be SET ROLE to by another.
    pub(crate) fn may_become(&self, who: &Role, other: RoleId) -> bool {
        who.superuser || self.closure(who.id, |_, of| of.set).contains(&other)
    }

    /// Whether a role may grant membership in another.
    pub(crate) fn administers(&self, who: &Role, other: RoleId) -> bool {
        let mine = self.inherited(who.id);
        let admin =
            |id: &RoleId| self.role(*id).is_some_and(|role| self.memberships(role).any(|of| of.role == other && of.admin));
        who.superuser || mine.iter().any(admin)
    }

    /// What a role may grant on of a table.
    pub(crate) fn grantable(&self, who: &Role, object: &Object) -> Privileges {
        if who.superuser || who.id == BOOTSTRAP_ID {
            return Privileges::ALL;
        }
        let own = self.inherited(who.id);
        if own.contains(&BOOTSTRAP_ID) {
            return Privileges::ALL;
        }
        let holders = own.iter().filter_map(|id| self.role(*id)).chain([&self.public]);
        let grants =
            holders.flat_map(|role| role.grants.iter()).filter(|grant| grant.object == *object && self.stands(grant.grantor));
        grants.fold(Privileges::NONE, |all, grant| all.with(grant.grantable))
    }

    /// Whether what this role granted counts.
    pub(crate) fn stands(&self, grantor: RoleId) -> bool {
        self.ids.contains_key(&grantor)
    }

    /// What a role may do.
    pub(crate) fn rights(&self, role: &Role) -> Rights {
        let roles = self.inherited(role.id);
        let mut rights = Rights::of(&role.name, role.superuser, roles);
        let in_role = |name: &str| PREDEFINED.iter().any(|(known, id)| *known == name && rights.roles.contains(id));
        let (reads, writes) = (in_role("pg_read_all_data"), in_role("pg_write_all_data"));
        rights.monitors = in_role("pg_monitor");
        rights.operates = in_role("meridian_operator");
        rights.signals = in_role("pg_signal_backend");
        rights.checkpoints = in_role("pg_checkpoint");
        if reads {
            for table in opened_by_groups(Privileges::SELECT) {
                rights.allow_table(table, Privileges::SELECT);
            }
        }
        if writes {
            for one in [Privileges::INSERT, Privileges::UPDATE, Privileges::DELETE] {
                for table in opened_by_groups(Privileges::INSERT) {
                    rights.allow_table(table, one);
                }
            }
        }
        let holders: Vec<Arc<Role>> =
            rights.roles.iter().filter_map(|id| self.role(*id)).chain([&self.public]).map(Arc::clone).collect();
        for grant in holders.iter().flat_map(|role| &role.grants).filter(|grant| self.stands(grant.grantor)) {
            match (&grant.object, &grant.condition) {
                (Object::Table(table), _) => rights.allow_table(table, grant.privileges),
                (Object::Tags(_), Some(condition)) => rights.allow_tags(condition, grant.privileges),
                (Object::Tags(_), None) => {}
            }
        }
        rights
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(of: RoleId, inherit: bool) -> Membership {
        Membership { role: of, admin: false, inherit, set: true, grantor: BOOTSTRAP_ID }
    }

    #[test]
    fn memberships_are_followed_once_and_only_where_the_role_is_there() {
        let mut roster = Roster::default();
        for (name, id, of) in [("a", 20_001, 20_002), ("b", 20_002, 20_003), ("c", 20_003, 20_001)] {
            let memberships = vec![member(of, true), member(99_999, true)];
            roster.put(Role { memberships, ..Role::new(name, id) });
        }
        let ids = |names: &[RoleId]| names.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!(roster.inherited(20_001), ids(&[20_001, 20_002, 20_003]));
        // Another role of the same name has another number: nobody is its member.
        roster.put(Role::new("b", 20_009));
        assert_eq!(roster.inherited(20_001), ids(&[20_001]));
        assert_eq!(roster.inherited(20_009), ids(&[20_009]));
        roster.remove("meridian");
        assert!(roster.named("meridian").is_some_and(|role| role.superuser));
    }

    #[test]
    fn what_is_not_inherited_needs_set_role() {
        let mut roster = Roster::default();
        roster.put(Role { memberships: vec![member(20_002, false)], ..Role::new("a", 20_001) });
        roster.put(Role::new("b", 20_002));
        assert_eq!(roster.inherited(20_001).len(), 1);
        assert!(roster.may_become(&roster.named("a").unwrap().clone(), 20_002));
        assert!(!roster.may_become(&roster.named("b").unwrap().clone(), 20_001));
    }
}
