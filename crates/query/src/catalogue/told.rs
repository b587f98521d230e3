//! Which relations and functions a session's role is told of by `information_schema`: those that it may do something with.
//! `pg_catalog` tells everybody of all, as PostgreSQL's.

use super::objects::Object;
use super::routines::Routine;
use crate::access::{Privileges, Rights};

/// What a role may, as far as it decides what it is told.
pub(super) struct Told<'a>(Option<&'a Rights>);

impl<'a> Told<'a> {
    /// Of everything.
    pub(super) const EVERYTHING: Told<'static> = Told(None);

    /// Of what these rights allow something with.
    pub(super) fn of(rights: &'a Rights) -> Told<'a> {
        Told((!rights.is_unbound()).then_some(rights))
    }

    /// Of a relation.
    pub(super) fn of_table(&self, object: &Object) -> bool {
        self.0.is_none_or(|rights| object.is_open() || rights.knows(&full(object)))
    }

    /// Of what a relation's rows must meet: told to whoever may change some.
    pub(super) fn of_rules(&self, object: &Object) -> bool {
        let changes = [Privileges::INSERT, Privileges::UPDATE, Privileges::DELETE];
        self.0.is_none_or(|rights| changes.iter().any(|one| rights.touches(&full(object), *one)))
    }

    /// Of what hangs on a relation: told to those whose it is.
    pub(super) fn of_own(&self) -> bool {
        self.0.is_none_or(|rights| rights.holds(crate::access::role::BOOTSTRAP_ID))
    }

    /// Of a function.
    pub(super) fn of_routine(&self, routine: &Routine) -> bool {
        self.0.is_none_or(|rights| !routine.name.starts_with("meridian_") || rights.admit_acting(&routine.name).is_ok())
    }
}

fn full(object: &Object) -> String {
    format!("{}.{}", object.schema, object.name)
}
