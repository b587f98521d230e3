//! Roles and retention policies as a statement is about to leave them: edited one by one, kept all together or not at all.

use super::parse::RoleName;
use super::role::{BOOTSTRAP, PUBLIC, Role, RoleId};
use super::roles::Change;
use super::roster::Roster;
use super::standing::{Identity, no_role};
use crate::error::{Error, raise};
use crate::retention::Policy;
use std::collections::BTreeSet;
use std::sync::Arc;

/// The roles as they are, and as they will be.
pub(crate) struct Draft<'a> {
    before: &'a Roster,
    pub after: Roster,
    touched: BTreeSet<String>,
    removed: Vec<Arc<Role>>,
    /// Policies that are made, changed or dropped.
    policies: BTreeSet<Arc<str>>,
}

/// Who asks for it.
#[derive(Clone, Debug)]
pub(crate) struct Asking {
    pub current: Identity,
    pub session: Identity,
}

impl Asking {
    /// The role whose rights count: the bootstrap user's where somebody is believed.
    pub fn role(&self, roster: &Roster) -> Result<Arc<Role>, Error> {
        let found = match &self.current {
            Identity::Role(id, _) => roster.role(*id),
            Identity::Believed(_) => roster.named(BOOTSTRAP),
            Identity::Nobody(_) => None,
        };
        found.cloned().ok_or_else(|| raise(Error::InvalidRole, "the session's role does not exist any more"))
    }

    /// The name that a statement means.
    pub fn name(&self, roster: &Roster, name: &RoleName) -> Result<String, Error> {
        let of = |identity: &Identity| identity.id().and_then(|id| roster.role(id)).map(|role| role.name.to_string());
        match name {
            RoleName::Named(name) => Ok(name.clone()),
            RoleName::Public => Ok(PUBLIC.to_owned()),
            RoleName::Current => of(&self.current).ok_or_else(|| no_role("current_user")),
            RoleName::Session => of(&self.session).ok_or_else(|| no_role("session_user")),
        }
    }

    /// The role that a statement means, which is not everybody.
    pub fn one(&self, roster: &Roster, name: &RoleName) -> Result<Arc<Role>, Error> {
        let name = self.name(roster, name)?;
        if name == PUBLIC {
            return Err(no_role("public"));
        }
        roster.named(&name).cloned().ok_or_else(|| no_role(&name))
    }

    /// Whether it is one of the roles that the session is.
    pub fn is(&self, id: RoleId) -> bool {
        self.current.id() == Some(id) || self.session.id() == Some(id)
    }
}

impl<'a> Draft<'a> {
    pub fn of(before: &'a Roster) -> Draft<'a> {
        Draft { before, after: before.clone(), touched: BTreeSet::new(), removed: Vec::new(), policies: BTreeSet::new() }
    }

    /// Edits a role, or what everybody is.
    pub fn edit<T>(&mut self, name: &str, edit: impl FnOnce(&mut Role) -> T) -> Result<T, Error> {
        let known = if name == PUBLIC { Some(self.after.public()) } else { self.after.named(name) };
        let mut role = Role::clone(known.ok_or_else(|| no_role(name))?);
        let told = edit(&mut role);
        // What points at a role that is gone goes with the next change.
        let gone: Vec<RoleId> = role.memberships.iter().map(|of| of.role).filter(|id| !self.after.stands(*id)).collect();
        role.memberships.retain(|of| !gone.contains(&of.role));
        role.grants.retain(|grant| self.after.stands(grant.grantor) && !grant.privileges.is_empty());
        self.after.put(role);
        self.touched.insert(name.to_owned());
        Ok(told)
    }

    /// Adds a role.
    pub fn add(&mut self, role: Role) {
        self.touched.insert(role.name.to_string());
        self.after.put(role);
    }

    /// Takes a role away.
    pub fn remove(&mut self, role: &Arc<Role>) {
        self.after.remove(&role.name);
        self.touched.remove(&*role.name);
        self.removed.push(Arc::clone(role));
    }

    /// Makes or changes a retention policy.
    pub fn put_policy(&mut self, policy: Policy) {
        self.policies.insert(Arc::clone(&policy.name));
        self.after.put_policy(policy);
    }

    /// Drops a retention policy.
    pub fn remove_policy(&mut self, name: &str) {
        self.policies.insert(name.into());
        self.after.remove_policy(name);
    }

    /// Hands everything on that was touched.
    pub fn finish(self, change: &mut Change) {
        for role in self.removed {
            change.remove(&role);
        }
        for name in &self.touched {
            let role = if name == PUBLIC { Some(self.after.public()) } else { self.after.named(name) };
            if let Some(role) = role {
                change.put(self.before, role);
            }
        }
        if !self.policies.is_empty() {
            change.count_policies(self.before);
        }
        for name in &self.policies {
            change.policy(self.before, name, self.after.policies().get(name).map(AsRef::as_ref));
        }
    }
}
