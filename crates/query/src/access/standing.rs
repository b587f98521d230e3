//! Who a session is: whom it logged in as, and whose rights it has taken on.
//!
//! Promises: rights are looked up anew for every statement, so that a change holds from the next statement on; of a session that
//! may do everything the look-up is two loads and a comparison.
//!
//! Shared state: under one mutex, which role is which; beside it the version of the roles at which the session was found to be
//! unbound, plus one.

use super::rights::Rights;
use super::role::RoleId;
use super::roles::Roles;
use crate::error::{Error, raise};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// A role, by number: it stays who it is when its name is changed.
    Role(RoleId, Arc<str>),
    /// Somebody who was believed, for there was nobody else: it may do everything, until its session ends.
    Believed(Arc<str>),
    /// A name that was no role's.
    Nobody(Arc<str>),
}

/// Whose rights a session has.
#[derive(Clone, Debug)]
struct Who {
    /// Whom it logged in as.
    login: Identity,
    /// SET SESSION AUTHORIZATION.
    session: Identity,
    /// SET ROLE.
    current: Identity,
}

/// Who a session is.
pub struct Access {
    roles: Arc<Roles>,
    who: Mutex<Who>,
    unbound_at: AtomicU64,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.who.lock().fmt(out)
    }
}

impl Identity {
    fn of(roles: &Roles, name: &str) -> Identity {
        let roster = roles.roster();
        match roster.named(name) {
            Some(role) => Identity::Role(role.id, name.into()),
            None if roster.is_bare() => Identity::Believed(name.into()),
            None => Identity::Nobody(name.into()),
        }
    }

    /// Its number; None of whoever is no role.
    pub(crate) fn id(&self) -> Option<RoleId> {
        match self {
            Identity::Role(id, _) => Some(*id),
            Identity::Believed(_) | Identity::Nobody(_) => None,
        }
    }

    fn name(&self, roles: &Roles) -> Arc<str> {
        match self {
            Identity::Role(id, name) => roles.roster().role(*id).map_or_else(|| Arc::clone(name), |role| Arc::clone(&role.name)),
            Identity::Believed(name) | Identity::Nobody(name) => Arc::clone(name),
        }
    }

    fn rights(&self, roles: &Roles) -> Arc<Rights> {
        match self {
            Identity::Role(id, name) => roles.rights(*id).unwrap_or_else(|| Arc::new(Rights::nobodys(name))),
            Identity::Believed(name) => Arc::new(Rights::unbound(name)),
            Identity::Nobody(name) => Arc::new(Rights::nobodys(name)),
        }
    }
}

impl Access {
    /// Of a session that is opened under a name.
    #[must_use]
    pub fn of(roles: &Arc<Roles>, user: &str) -> Arc<Access> {
        let login = Identity::of(roles, user);
        let who = Who { session: login.clone(), current: login.clone(), login };
        Arc::new(Access { roles: Arc::clone(roles), who: Mutex::new(who), unbound_at: AtomicU64::new(0) })
    }

    /// Whether everything is allowed.
    #[inline]
    #[must_use]
    pub fn is_unbound(&self) -> bool {
        // A version is never 0.
        self.unbound_at.load(Ordering::Acquire) == self.roles.version() + 1 || self.rights().is_unbound()
    }

    /// What may be done now.
    #[must_use]
    pub fn rights(&self) -> Arc<Rights> {
        // Held meanwhile: SET ROLE comes before or after, and not between.
        let who = self.who.lock();
        let version = self.roles.version();
        let rights = who.current.rights(&self.roles);
        self.unbound_at.store(if rights.is_unbound() { version + 1 } else { 0 }, Ordering::Release);
        rights
    }

    /// The roles that there are.
    pub(crate) fn roles(&self) -> &Arc<Roles> {
        &self.roles
    }

    /// The role whose rights it has.
    pub(crate) fn current(&self) -> Identity {
        self.who.lock().current.clone()
    }

    /// The name of the role whose rights it has: `current_user`.
    #[must_use]
    pub fn current_user(&self) -> Arc<str> {
        let current = self.current();
        current.name(&self.roles)
    }

    /// The name of the role that the session is of: `session_user`.
    #[must_use]
    pub fn session_user(&self) -> Arc<str> {
        let session = self.session();
        session.name(&self.roles)
    }

    /// The role that the session is of.
    pub(crate) fn session(&self) -> Identity {
        self.who.lock().session.clone()
    }

    /// Takes on another role's rights; its own again with None.
    pub(crate) fn set_role(&self, name: Option<&str>) -> Result<(), Error> {
        let mut who = self.who.lock();
        self.unbound_at.store(0, Ordering::Release);
        let Some(name) = name else {
            who.current = who.session.clone();
            return Ok(());
        };
        let roster = self.roles.roster();
        let role = roster.named(name).ok_or_else(|| no_role(name))?;
        let may = match &who.session {
            Identity::Believed(_) => true,
            Identity::Nobody(_) => false,
            Identity::Role(id, _) => roster.role(*id).is_some_and(|own| own.id == role.id || roster.may_become(own, role.id)),
        };
        if !may {
            return Err(raise(Error::Forbidden, format!("permission denied to set role \"{name}\"")));
        }
        who.current = Identity::Role(role.id, Arc::clone(&role.name));
        Ok(())
    }

    /// Becomes a session of another role; its own again with None.
    pub(crate) fn set_session(&self, name: Option<&str>) -> Result<(), Error> {
        let mut who = self.who.lock();
        self.unbound_at.store(0, Ordering::Release);
        let Some(name) = name else {
            who.session = who.login.clone();
            who.current = who.login.clone();
            return Ok(());
        };
        let roster = self.roles.roster();
        let role = roster.named(name).ok_or_else(|| no_role(name))?;
        let identity = Identity::Role(role.id, Arc::clone(&role.name));
        if identity.id() != who.login.id() && !who.login.rights(&self.roles).is_unbound() {
            return Err(raise(Error::Forbidden, "permission denied to set session authorization"));
        }
        who.session = identity.clone();
        who.current = identity;
        Ok(())
    }
}

/// There is no such role.
pub(crate) fn no_role(name: &str) -> Error {
    let shown: String = name.chars().take(63).collect();
    raise(Error::UnknownObject, format!("role \"{shown}\" does not exist"))
}
