//! Runs statements about roles.
//!
//! Promises: a statement is done as a whole, durably, when it is answered; who may do what is asked of the roles as they stand when it
//! is kept. Passwords leave this file only as verifiers.

use super::condition::TagCondition;
use super::draft::{Asking, Draft};
use super::granting::{self, Target, Told};
use super::parse::{MemberOptions, On, Options, RoleName, Statement};
use super::privilege::Object;
use super::role::{BOOTSTRAP_ID, PREDEFINED, Role, id_of_random};
use super::roles::Keeper;
use super::roster::Roster;
use crate::block::{Writing, note_standing};
use crate::error::{Error, raise};
use crate::limits;
use crate::outcome::{Completion, Outcome};
use crate::retention::{self, Wanted};
use crate::session::Session;
use crate::settings::Variables;
use crate::time::{Zone, parse};
use std::sync::Arc;

/// The longest name of a role, in bytes.
const NAME_BYTES_MAX: usize = 63;

impl Statement {
    /// Its command tag.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Statement::Create { .. } => "CREATE ROLE",
            Statement::Alter { .. } | Statement::Rename { .. } | Statement::AlterSet { .. } => "ALTER ROLE",
            Statement::Drop { .. } => "DROP ROLE",
            Statement::GrantRoles { .. } => "GRANT ROLE",
            Statement::RevokeRoles { .. } => "REVOKE ROLE",
            Statement::Grant { .. } => "GRANT",
            Statement::Revoke { .. } => "REVOKE",
            Statement::SetRole(None) | Statement::SetSession(None) => "RESET",
            Statement::SetRole(_) | Statement::SetSession(_) => "SET",
            Statement::Retention(statement) => statement.tag(),
        }
    }

    /// What the audit log calls it.
    fn event(&self) -> &'static str {
        if matches!(self, Statement::Retention(_)) { "retention statement" } else { "role statement" }
    }

    /// Whether it concerns the session alone.
    pub(crate) fn is_of_session(&self) -> bool {
        matches!(self, Statement::SetRole(_) | Statement::SetSession(_))
    }
}

/// A statement as it was asked for: by whom, of which tables, and what was worked out of its options.
pub(crate) struct Asked {
    /// Its text, without passwords.
    sql: Arc<str>,
    statement: Arc<Statement>,
    targets: Vec<Target>,
    asking: Asking,
    extra: Worked,
}

/// Runs one. In a transaction block it is tried, with those before it, and held until COMMIT.
pub(crate) async fn run(session: &Arc<Session>, statement: &Arc<Statement>, sql: &Arc<str>) -> Result<Outcome, Error> {
    session.access.rights().alive()?;
    if statement.is_of_session() {
        note_standing(session);
    }
    match statement.as_ref() {
        Statement::SetRole(name) => session.access.set_role(name.as_deref())?,
        Statement::SetSession(name) => session.access.set_session(name.as_deref())?,
        _ => {
            session.admit_write(statement.tag(), Writing::Roles)?;
            let before = session.state.lock().held_roles()?;
            let (asked, mut told) = asked(session, statement, sql).await?;
            let in_block = before.is_some();
            let mut all = before.unwrap_or_default();
            all.push(Arc::new(asked));
            let when = if in_block { When::Tried } else { When::Alone };
            told.extend(change(session, all.clone(), when).await?);
            if in_block {
                session.state.lock().hold_roles(all);
            }
            for (severity, state, text) in told {
                session.notice(severity, state, text, None);
            }
        }
    }
    if statement.is_of_session() {
        session.tell_role();
        session.audit("role statement", sql, None);
    }
    Ok(Outcome::Command(Completion::plain(statement.tag())))
}

async fn asked(session: &Session, statement: &Arc<Statement>, sql: &Arc<str>) -> Result<(Asked, Told), Error> {
    let sql = Arc::clone(sql);
    let targets = targets(session, statement)?;
    let asking = Asking { current: session.access.current(), session: session.access.session() };
    let retention = match statement.as_ref() {
        Statement::Retention(statement) => Wanted::of(&session.engine, statement)?,
        _ => Wanted::default(),
    };
    let (roles, statement, zone) = (Arc::clone(session.access.roles()), Arc::clone(statement), session.time_zone());
    // Making a verifier takes a while.
    apart(move || {
        let mut told = Told::new();
        let extra = match statement.as_ref() {
            Statement::Create { options, .. } | Statement::Alter { options, .. } => {
                Worked::of(options, &**roles.keeper(), zone, &mut told)?
            }
            _ => Worked { retention, ..Worked::default() },
        };
        Ok((Asked { sql, statement, targets, asking, extra }, told))
    })
    .await
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| raise(Error::Internal, error.to_string()))?
}

/// When a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    /// As its statement comes.
    Alone,
    /// Not yet: its statement comes in a block, and what would come of it is looked at.
    Tried,
    /// At the end of its block.
    AtCommit,
}

/// Does all that was asked for as one change, or only tries whether it could be done; what the last of it tells.
pub(crate) async fn change(session: &Session, asked: Vec<Arc<Asked>>, when: When) -> Result<Told, Error> {
    let keep = when != When::Tried;
    let roles = Arc::clone(session.access.roles());
    let texts: Vec<(&'static str, Arc<str>)> =
        asked.iter().map(|asked| (asked.statement.event(), Arc::clone(&asked.sql))).collect();
    // Keeping blocks.
    let done = apart(move || {
        roles.change(|roster, change| {
            let (mut draft, mut told) = (Draft::of(roster), Told::new());
            for Asked { statement, targets, asking, extra, .. } in asked.iter().map(Arc::as_ref) {
                told = apply(&mut draft, statement, targets, asking, extra, &**roles.keeper())?;
            }
            if keep {
                draft.finish(change);
            }
            Ok(told)
        })
    })
    .await;
    match &done {
        // What is only tried is told of once it is kept.
        Ok(_) => texts.iter().filter(|_| keep).for_each(|(event, sql)| session.audit(event, sql, None)),
        // Told of as every statement is that lacks a right; at COMMIT that is another statement.
        Err(Error::Forbidden(_)) if when != When::AtCommit => {}
        Err(error) => texts.last().into_iter().for_each(|(event, sql)| session.audit(event, sql, Some(error))),
    }
    done
}

/// What GRANT and REVOKE are about.
fn targets(session: &Session, statement: &Statement) -> Result<Vec<Target>, Error> {
    let (Statement::Grant { on, .. } | Statement::Revoke { on, .. }) = statement else { return Ok(Vec::new()) };
    let schema = |name: &str| {
        let known = crate::tables::names(&session.engine, name);
        let missing = || raise(Error::UnknownSchema, format!("schema \"{name}\" does not exist, or nothing in it is granted"));
        if known.is_empty() { Err(missing()) } else { Ok(known) }
    };
    let table = |schema: &str, name: &str| Target { object: Object::Table(format!("{schema}.{name}")), condition: None };
    match on {
        On::Tables(names) => {
            let known = |(of, name): &(String, String)| {
                if schema(of)?.contains(&name.as_str()) {
                    return Ok(table(of, name));
                }
                Err(raise(Error::UnknownTable, format!("relation \"{name}\" does not exist")))
            };
            names.iter().map(known).collect()
        }
        On::AllTables(schemas) => {
            let mut out = Vec::new();
            for of in schemas {
                out.extend(schema(of)?.iter().map(|name| table(of, name)));
            }
            Ok(out)
        }
        On::Tags(text) => {
            let condition = TagCondition::parse(text)?;
            Ok(vec![Target { object: Object::Tags(condition.to_string()), condition: Some(Arc::new(condition)) }])
        }
        On::Everybodys(why) => {
            if matches!(statement, Statement::Revoke { .. }) {
                return Err(raise(Error::Unsupported, "this can't be revoked").with_detail(*why));
            }
            session.notice("NOTICE", "00000", "nothing to grant", Some(*why));
            Ok(Vec::new())
        }
    }
}

fn apply(
    draft: &mut Draft<'_>,
    statement: &Statement,
    targets: &[Target],
    asking: &Asking,
    extra: &Worked,
    keeper: &dyn Keeper,
) -> Result<Told, Error> {
    let silent = |()| Told::new();
    match statement {
        Statement::Create { name, options } => create(draft, asking, name, options, extra, keeper).map(silent),
        Statement::Alter { role, options } => alter(draft, asking, role, options, extra).map(silent),
        Statement::Rename { role, to } => rename(draft, asking, role, to).map(silent),
        Statement::AlterSet { role, name, value } => set(draft, asking, role, name.as_deref(), value.as_deref()).map(silent),
        Statement::Drop { roles, if_exists } => drop_roles(draft, asking, roles, *if_exists),
        Statement::GrantRoles { roles, to, options } => granting::grant_roles(draft, asking, roles, to, *options),
        Statement::RevokeRoles { roles, from, option } => granting::revoke_roles(draft, asking, roles, from, *option),
        Statement::Grant { privileges, to, grantable, .. } => {
            granting::grant(draft, asking, (*privileges, *grantable), targets, to)
        }
        Statement::Revoke { privileges, from, option_only, cascade, .. } => {
            granting::revoke(draft, asking, (*privileges, *option_only, *cascade), targets, from)
        }
        Statement::SetRole(_) | Statement::SetSession(_) => Ok(Told::new()),
        Statement::Retention(statement) => retention::apply(draft, asking, statement, &extra.retention),
    }
}

/// What was worked out of options before any role was looked at.
#[derive(Default)]
struct Worked {
    /// Some(None) takes the password away.
    verifier: Option<Option<Arc<str>>>,
    /// Some(None) is for ever.
    valid_until_us: Option<Option<i64>>,
    /// Some(None) is no limit.
    connections: Option<Option<u32>>,
    /// Of a statement about retention policies.
    retention: Wanted,
}

impl Worked {
    fn of(options: &Options, keeper: &dyn Keeper, zone: Zone, told: &mut Told) -> Result<Worked, Error> {
        let verifier = match &options.password {
            None => None,
            Some(None) => Some(None),
            Some(Some(password)) if password.0.is_empty() => {
                told.push(("NOTICE", "00000", "empty string is not a valid password, clearing password".to_owned()));
                Some(None)
            }
            Some(Some(password)) => Some(Some(keeper.verifier(&password.0)?.into())),
        };
        let until = |text: &String| {
            if text.trim().eq_ignore_ascii_case("infinity") { Ok(None) } else { parse(text, zone).map(Some) }
        };
        let limit = |number: i64| match number {
            -1 => Ok(None),
            number => u32::try_from(number)
                .map(Some)
                .map_err(|_| raise(Error::InvalidParameter, format!("invalid connection limit: {number}"))),
        };
        Ok(Worked {
            verifier,
            valid_until_us: options.valid_until.as_ref().map(until).transpose()?,
            connections: options.connections.map(limit).transpose()?,
            retention: Wanted::default(),
        })
    }

    fn put(&self, options: &Options, role: &mut Role) {
        role.login = options.login.unwrap_or(role.login);
        role.superuser = options.superuser.unwrap_or(role.superuser);
        role.create_role = options.create_role.unwrap_or(role.create_role);
        role.inherit = options.inherit.unwrap_or(role.inherit);
        role.verifier = self.verifier.clone().unwrap_or_else(|| role.verifier.clone());
        role.valid_until_us = self.valid_until_us.unwrap_or(role.valid_until_us);
        role.connections_max = self.connections.unwrap_or(role.connections_max);
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.starts_with("pg_") || ["public", "none"].contains(&name) || PREDEFINED.iter().any(|(known, _)| *known == name) {
        return Err(raise(Error::ReservedName, format!("role name \"{name}\" is reserved")));
    }
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.starts_with('#') || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(NAME_BYTES_MAX).filter(|c| !c.is_control()).collect();
        return Err(raise(Error::InvalidParameter, format!("\"{shown}\" can't be a role's name"))
            .with_hint(format!("a name has 1 to {NAME_BYTES_MAX} bytes, no control characters, and does not begin with #")));
    }
    Ok(())
}

fn forbidden(done: &str, why: &str) -> Error {
    raise(Error::Forbidden, format!("permission denied to {done} role")).with_detail(why)
}

fn create(
    draft: &mut Draft<'_>,
    asking: &Asking,
    name: &str,
    options: &Options,
    extra: &Worked,
    keeper: &dyn Keeper,
) -> Result<(), Error> {
    let who = asking.role(&draft.after)?;
    if !who.superuser && !who.create_role {
        return Err(forbidden("create", "only roles with the CREATEROLE attribute may"));
    }
    if options.superuser == Some(true) && !who.superuser {
        return Err(forbidden("create", "only roles with the SUPERUSER attribute may make superusers"));
    }
    check_name(name)?;
    if draft.after.named(name).is_some() {
        return Err(raise(Error::DuplicateObject, format!("role \"{name}\" already exists")));
    }
    let id = std::iter::repeat_with(|| id_of_random(keeper.random())).find(|id| !draft.after.stands(*id));
    let mut role = Role::new(name, id.ok_or_else(|| raise(Error::Internal, "there are no numbers left"))?);
    extra.put(options, &mut role);
    draft.add(role.clone());
    for of in &options.in_roles {
        granting::grant_roles(
            draft,
            asking,
            std::slice::from_ref(of),
            &[RoleName::Named(name.to_owned())],
            MemberOptions::default(),
        )?;
    }
    for (members, admin) in [(&options.members, None), (&options.admins, Some(true))] {
        for member in members {
            let member = asking.one(&draft.after, member)?;
            granting::join(draft, &who, &member.name, &role, MemberOptions { admin, ..MemberOptions::default() })?;
        }
    }
    if !who.superuser {
        // As PostgreSQL: whoever made a role may go on managing it.
        let options = MemberOptions { admin: Some(true), inherit: Some(false), set: Some(false) };
        granting::join(draft, &who, &who.name, &role, options)?;
    }
    Ok(())
}

/// Refuses whoever may not change a role.
fn manage(roster: &Roster, who: &Role, role: &Role, done: &str) -> Result<(), Error> {
    if who.superuser || (who.create_role && !role.superuser && !role.is_fixed() && roster.administers(who, role.id)) {
        return Ok(());
    }
    let why = format!("only superusers, and roles with CREATEROLE and the ADMIN option on role \"{}\", may", role.name);
    Err(forbidden(done, &why))
}

fn alter(draft: &mut Draft<'_>, asking: &Asking, name: &RoleName, options: &Options, extra: &Worked) -> Result<(), Error> {
    let who = asking.role(&draft.after)?;
    let role = asking.one(&draft.after, name)?;
    if role.is_fixed() {
        return Err(raise(Error::ReservedName, format!("role name \"{}\" is reserved", role.name)));
    }
    let only_password = Options { password: options.password.clone(), ..Options::default() } == *options;
    if !(only_password && who.id == role.id) {
        manage(&draft.after, &who, &role, "alter")?;
    }
    if options.superuser.is_some_and(|wanted| wanted != role.superuser) && !who.superuser {
        return Err(forbidden("alter", "only roles with the SUPERUSER attribute may change it"));
    }
    if role.id == BOOTSTRAP_ID && (options.superuser == Some(false) || options.login == Some(false)) {
        return Err(forbidden("alter", "the bootstrap user is a superuser and can log in"));
    }
    draft.edit(&role.name, |role| extra.put(options, role))
}

fn rename(draft: &mut Draft<'_>, asking: &Asking, name: &str, to: &str) -> Result<(), Error> {
    let who = asking.role(&draft.after)?;
    let role = asking.one(&draft.after, &RoleName::Named(name.to_owned()))?;
    if role.is_fixed() || role.id == BOOTSTRAP_ID {
        return Err(raise(Error::ReservedName, format!("role \"{name}\" can't be renamed")));
    }
    manage(&draft.after, &who, &role, "rename")?;
    if asking.session.id() == Some(role.id) {
        return Err(raise(Error::Unsupported, "session user cannot be renamed"));
    }
    check_name(to)?;
    if draft.after.named(to).is_some() {
        return Err(raise(Error::DuplicateObject, format!("role \"{to}\" already exists")));
    }
    draft.remove(&role);
    draft.add(Role { name: to.into(), kept: None, ..Role::clone(&role) });
    Ok(())
}

fn set(draft: &mut Draft<'_>, asking: &Asking, name: &RoleName, setting: Option<&str>, value: Option<&str>) -> Result<(), Error> {
    let who = asking.role(&draft.after)?;
    let role = asking.one(&draft.after, name)?;
    if who.id != role.id {
        manage(&draft.after, &who, &role, "alter")?;
    }
    let is_limit = |name: &str| limits::NAMES.iter().any(|limit| limit.eq_ignore_ascii_case(name));
    let Some(setting) = setting else {
        // As PostgreSQL: RESET ALL goes over what may not be reset.
        return draft.edit(&role.name, |role| role.settings.retain(|name, _| !who.superuser && is_limit(name)));
    };
    if is_limit(setting) && !who.superuser {
        return Err(raise(Error::Forbidden, format!("permission denied to set parameter \"{}\"", setting.to_ascii_lowercase()))
            .with_detail("it is a limit of a role: only superusers set it for one")
            .with_hint("a session can set less for itself: SET .. = .."));
    }
    let checked = Variables::checked_value(setting, value)?;
    draft.edit(&role.name, |role| match (checked, value) {
        ((key, _), None) => drop(role.settings.remove(&key)),
        ((key, value), Some(_)) => drop(role.settings.insert(key, value)),
    })
}

fn drop_roles(draft: &mut Draft<'_>, asking: &Asking, names: &[RoleName], if_exists: bool) -> Result<Told, Error> {
    let (who, mut told) = (asking.role(&draft.after)?, Told::new());
    if !who.superuser && !who.create_role {
        return Err(forbidden("drop", "only roles with the CREATEROLE attribute may"));
    }
    for name in names {
        let role = match asking.one(&draft.after, name) {
            Ok(role) => role,
            Err(Error::UnknownObject(_)) if if_exists => {
                let name = asking.name(&draft.after, name)?;
                told.push(("NOTICE", "00000", format!("role \"{name}\" does not exist, skipping")));
                continue;
            }
            Err(error) => return Err(error),
        };
        if role.is_fixed() || role.id == BOOTSTRAP_ID {
            return Err(raise(
                Error::Depended,
                format!("cannot drop role {} because it is required by the database system", role.name),
            ));
        }
        if asking.is(role.id) {
            return Err(raise(Error::InUse, "current user cannot be dropped"));
        }
        manage(&draft.after, &who, &role, "drop")?;
        draft.remove(&role);
    }
    // Grants to it go with it, and so does what it granted on.
    granting::settle(draft, true)?;
    Ok(told)
}
