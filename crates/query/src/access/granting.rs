//! GRANT and REVOKE: of privileges on tables and on groups of tags, and of memberships.
//!
//! As PostgreSQL, with two differences: what a superuser revokes is revoked, whoever granted it; and groups of tags are granted by
//! superusers alone.

use super::condition::TagCondition;
use super::draft::{Asking, Draft};
use super::parse::{MemberOptions, RoleName};
use super::privilege::{Object, Privileges, denied};
use super::role::{BOOTSTRAP_ID, Grant, Membership, PUBLIC, Role, RoleId};
use super::roster::Roster;
use crate::error::{Error, raise};
use std::sync::Arc;

/// A warning or notice: its SQLSTATE and text.
pub(crate) type Told = Vec<(&'static str, &'static str, String)>;

/// An object, and its condition where it is a group of tags.
pub(super) struct Target {
    pub object: Object,
    pub condition: Option<Arc<TagCondition>>,
}

impl Target {
    fn shown(&self) -> String {
        match &self.object {
            Object::Table(table) => format!("\"{}\"", table.strip_prefix("public.").unwrap_or(table)),
            Object::Tags(condition) => format!("tags where {condition}"),
        }
    }
}

fn owns(roster: &Roster, who: &Role) -> bool {
    who.superuser || roster.inherited(who.id).contains(&BOOTSTRAP_ID)
}

/// The role under whose name something is granted: the owner, or whoever may grant it on.
fn grantor(roster: &Roster, who: &Role, object: &Object, wanted: Privileges) -> RoleId {
    if owns(roster, who) {
        return BOOTSTRAP_ID;
    }
    let holds = |id: &RoleId| {
        let held = roster.role(*id).into_iter().flat_map(|role| &role.grants).filter(|grant| grant.object == *object);
        held.fold(Privileges::NONE, |all, grant| all.with(grant.grantable)).has(wanted)
    };
    roster.inherited(who.id).into_iter().find(holds).unwrap_or(who.id)
}

/// What of these privileges this role may grant, or take back.
fn allowed(
    roster: &Roster,
    who: &Role,
    target: &Target,
    wanted: Privileges,
    told: &mut Told,
    done: &str,
) -> Result<Privileges, Error> {
    if let Object::Tags(_) = target.object
        && !owns(roster, who)
    {
        return Err(raise(Error::Forbidden, format!("permission denied to {done} privileges on tags"))
            .with_detail("only superusers may, since a condition may meet tags that are made later"));
    }
    let allowed = roster.grantable(who, &target.object).common(wanted);
    if allowed.is_empty() {
        let table = if let Object::Table(table) = &target.object { table.as_str() } else { "tags" };
        return Err(denied(table, wanted).with_detail("it was not granted WITH GRANT OPTION"));
    }
    if allowed != wanted {
        let state = if done == "grant" { "01007" } else { "01006" };
        let word = if done == "grant" { "granted" } else { "revoked" };
        told.push(("WARNING", state, format!("not all privileges were {word} for {}", target.shown())));
    }
    Ok(allowed)
}

/// GRANT privileges ON target TO roles.
pub(super) fn grant(
    draft: &mut Draft<'_>,
    asking: &Asking,
    (privileges, grantable): (Privileges, bool),
    targets: &[Target],
    to: &[RoleName],
) -> Result<Told, Error> {
    let (who, mut told) = (asking.role(&draft.after)?, Told::new());
    for target in targets {
        if grantable && matches!(target.object, Object::Tags(_)) {
            return Err(raise(Error::Unsupported, "WITH GRANT OPTION on tags is not supported"));
        }
        let privileges = allowed(&draft.after, &who, target, privileges, &mut told, "grant")?;
        let by = grantor(&draft.after, &who, &target.object, privileges);
        for name in to {
            let name = asking.name(&draft.after, name)?;
            if grantable && name == PUBLIC {
                return Err(raise(Error::InvalidGrant, "grant options can only be granted to roles"));
            }
            let more = if grantable { privileges } else { Privileges::NONE };
            draft.edit(&name, |role| {
                let known = role.grants.iter_mut().find(|grant| grant.object == target.object && grant.grantor == by);
                match known {
                    Some(grant) => {
                        grant.privileges = grant.privileges.with(privileges);
                        grant.grantable = grant.grantable.with(more);
                    }
                    None => role.grants.push(Grant {
                        object: target.object.clone(),
                        privileges,
                        grantable: more,
                        grantor: by,
                        condition: target.condition.clone(),
                    }),
                }
            })?;
        }
    }
    Ok(told)
}

/// REVOKE privileges ON target FROM roles.
pub(super) fn revoke(
    draft: &mut Draft<'_>,
    asking: &Asking,
    (privileges, option_only, cascade): (Privileges, bool, bool),
    targets: &[Target],
    from: &[RoleName],
) -> Result<Told, Error> {
    let (who, mut told) = (asking.role(&draft.after)?, Told::new());
    let all = owns(&draft.after, &who);
    let own = draft.after.inherited(who.id);
    for target in targets {
        let privileges = allowed(&draft.after, &who, target, privileges, &mut told, "revoke")?;
        for name in from {
            let name = asking.name(&draft.after, name)?;
            let found = draft.edit(&name, |role| {
                let mine = role.grants.iter_mut().filter(|grant| grant.object == target.object);
                let mut found = false;
                for grant in mine.filter(|grant| all || own.contains(&grant.grantor)) {
                    found |= !grant.privileges.common(privileges).is_empty();
                    grant.grantable = grant.grantable.without(privileges);
                    if !option_only {
                        grant.privileges = grant.privileges.without(privileges);
                    }
                }
                found
            })?;
            if !found && matches!(target.object, Object::Tags(_)) {
                let shown = if name == PUBLIC { "PUBLIC" } else { &name };
                told.push(("WARNING", "01006", format!("role \"{shown}\" was granted nothing on {}", target.shown())));
            }
        }
    }
    settle(draft, cascade)?;
    Ok(told)
}

/// What was granted by roles that may not grant it any more goes too, or stands in the way.
pub(super) fn settle(draft: &mut Draft<'_>, cascade: bool) -> Result<(), Error> {
    loop {
        let mut lost: Vec<(String, Object, RoleId, Privileges)> = Vec::new();
        for grantee in draft.after.grantees() {
            for grant in grantee.grants.iter().filter(|grant| grant.grantor != BOOTSTRAP_ID) {
                let may =
                    draft.after.role(grant.grantor).map(|role| draft.after.grantable(role, &grant.object)).unwrap_or_default();
                let gone = grant.privileges.without(may);
                if !gone.is_empty() {
                    lost.push((grantee.name.to_string(), grant.object.clone(), grant.grantor, gone));
                }
            }
        }
        if lost.is_empty() {
            return Ok(());
        }
        if !cascade {
            let (name, _, by, what) = &lost[0];
            return Err(raise(Error::Depended, "dependent privileges exist")
                .with_detail(format!("{what} was granted by \"{}\" to \"{name}\"", draft.after.name_of(*by)))
                .with_hint("use CASCADE to revoke them too"));
        }
        for (name, object, by, gone) in lost {
            draft.edit(&name, |role| {
                for grant in role.grants.iter_mut().filter(|grant| grant.object == object && grant.grantor == by) {
                    grant.privileges = grant.privileges.without(gone);
                    grant.grantable = grant.grantable.without(gone);
                }
            })?;
        }
    }
}

/// Refuses whoever may not make others members of a role.
fn administer(roster: &Roster, who: &Role, role: &Role, done: &str) -> Result<(), Error> {
    if who.superuser || (!role.superuser && roster.administers(who, role.id)) {
        return Ok(());
    }
    let why = if role.superuser { "only roles with the SUPERUSER attribute" } else { "only roles with the ADMIN option on it" };
    Err(raise(Error::Forbidden, format!("permission denied to {done} role \"{}\"", role.name)).with_detail(format!("{why} may")))
}

/// Makes a role a member of another.
pub(super) fn join(draft: &mut Draft<'_>, who: &Role, member: &str, role: &Role, options: MemberOptions) -> Result<(), Error> {
    let wanted = draft.after.named(member).cloned().ok_or_else(|| super::standing::no_role(member))?;
    if draft.after.closure(role.id, |_, _| true).contains(&wanted.id) {
        return Err(raise(Error::InvalidGrant, format!("role \"{}\" is a member of role \"{member}\"", role.name)));
    }
    let grantor = if who.superuser { BOOTSTRAP_ID } else { who.id };
    draft.edit(member, |changed| {
        let inherit = changed.inherit;
        let known = changed.memberships.iter_mut().find(|of| of.role == role.id);
        match known {
            Some(of) => {
                of.admin = options.admin.unwrap_or(of.admin);
                of.inherit = options.inherit.unwrap_or(of.inherit);
                of.set = options.set.unwrap_or(of.set);
            }
            None => changed.memberships.push(Membership {
                role: role.id,
                admin: options.admin.unwrap_or(false),
                inherit: options.inherit.unwrap_or(inherit),
                set: options.set.unwrap_or(true),
                grantor,
            }),
        }
    })
}

/// GRANT roles TO roles.
pub(super) fn grant_roles(
    draft: &mut Draft<'_>,
    asking: &Asking,
    roles: &[RoleName],
    to: &[RoleName],
    options: MemberOptions,
) -> Result<Told, Error> {
    let who = asking.role(&draft.after)?;
    for role in roles {
        let role = asking.one(&draft.after, role)?;
        administer(&draft.after, &who, &role, "grant")?;
        for member in to {
            let member = asking.one(&draft.after, member)?;
            join(draft, &who, &member.name, &role, options)?;
        }
    }
    Ok(Told::new())
}

/// REVOKE roles FROM roles.
pub(super) fn revoke_roles(
    draft: &mut Draft<'_>,
    asking: &Asking,
    roles: &[RoleName],
    from: &[RoleName],
    option: Option<MemberOptions>,
) -> Result<Told, Error> {
    let (who, mut told) = (asking.role(&draft.after)?, Told::new());
    for role in roles {
        let role = asking.one(&draft.after, role)?;
        administer(&draft.after, &who, &role, "revoke")?;
        for member in from {
            let member = asking.one(&draft.after, member)?;
            let found = draft.edit(&member.name, |changed| {
                let found = changed.memberships.iter_mut().find(|of| of.role == role.id);
                match (found, option) {
                    (None, _) => false,
                    (Some(of), Some(option)) => {
                        of.admin = option.admin.unwrap_or(of.admin);
                        of.inherit = option.inherit.unwrap_or(of.inherit);
                        of.set = option.set.unwrap_or(of.set);
                        true
                    }
                    (Some(_), None) => {
                        changed.memberships.retain(|of| of.role != role.id);
                        true
                    }
                }
            })?;
            if !found {
                let text = format!("role \"{}\" has not been granted membership in role \"{}\"", member.name, role.name);
                told.push(("WARNING", "01006", text));
            }
        }
    }
    // What members granted on with the rights of the role goes with the membership.
    settle(draft, true)?;
    Ok(told)
}
