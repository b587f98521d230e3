//! CREATE, ALTER and DROP of roles, GRANT and REVOKE, SET ROLE: as PostgreSQL writes them, and `ON TAGS WHERE condition`.
//!
//! Promises: what is read is all that was written: an option that would have no effect here is refused. May not know which roles
//! there are.

mod grants;

use super::privilege::Privileges;
use super::words::{Words, first_word};
use crate::error::{Error, raise};
use crate::retention;
use datafusion::sql::sqlparser::tokenizer::Token;

/// How a statement names a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RoleName {
    Named(String),
    Current,
    Session,
    Public,
}

/// What CREATE and ALTER say of a role; None where they say nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    pub login: Option<bool>,
    pub superuser: Option<bool>,
    pub create_role: Option<bool>,
    pub inherit: Option<bool>,
    /// -1 is no limit.
    pub connections: Option<i64>,
    /// A time, or "infinity".
    pub valid_until: Option<String>,
    /// Some(None) takes the password away.
    pub password: Option<Option<Secret>>,
    pub in_roles: Vec<RoleName>,
    pub members: Vec<RoleName>,
    pub admins: Vec<RoleName>,
}

/// A password: shown to nobody.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("***")
    }
}

/// What GRANT and REVOKE are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// Schema (`public` where none is written) and name.
    Tables(Vec<(String, String)>),
    AllTables(Vec<String>),
    /// A condition.
    Tags(String),
    /// What everybody has: USAGE of schemas, CONNECT to the database.
    Everybodys(&'static str),
}

/// Options of a membership: WITH ADMIN, INHERIT, SET.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemberOptions {
    pub admin: Option<bool>,
    pub inherit: Option<bool>,
    pub set: Option<bool>,
}

/// A statement about roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Create {
        name: String,
        options: Options,
    },
    Alter {
        role: RoleName,
        options: Options,
    },
    Rename {
        role: String,
        to: String,
    },
    /// Value None = back to the default; name None = all of them.
    AlterSet {
        role: RoleName,
        name: Option<String>,
        value: Option<String>,
    },
    Drop {
        roles: Vec<RoleName>,
        if_exists: bool,
    },
    GrantRoles {
        roles: Vec<RoleName>,
        to: Vec<RoleName>,
        options: MemberOptions,
    },
    RevokeRoles {
        roles: Vec<RoleName>,
        from: Vec<RoleName>,
        option: Option<MemberOptions>,
    },
    Grant {
        privileges: Privileges,
        on: On,
        to: Vec<RoleName>,
        grantable: bool,
    },
    Revoke {
        privileges: Privileges,
        on: On,
        from: Vec<RoleName>,
        option_only: bool,
        cascade: bool,
    },
    /// None = its own again.
    SetRole(Option<String>),
    SetSession(Option<String>),
    /// A retention policy: kept beside roles, and in one change with them.
    Retention(retention::Statement),
}

/// The statement about roles that a text is, and the text as it may be shown; None where it is another sort of statement.
pub(crate) fn recognise(sql: &str) -> Result<Option<(Statement, String)>, Error> {
    let first = first_word(sql);
    if !["create", "alter", "drop", "grant", "revoke", "set", "reset"].contains(&first.as_str()) {
        return Ok(None);
    }
    let mut words = Words::of(sql)?;
    let Some(statement) = statement(&mut words)? else { return Ok(None) };
    words.end()?;
    let has_password = matches!(
        &statement,
        Statement::Create { options, .. } | Statement::Alter { options, .. } if options.password.is_some()
    );
    let shown = if has_password { words.without_texts() } else { sql.to_owned() };
    Ok(Some((statement, shown)))
}

const KINDS: [&str; 3] = ["role", "user", "group"];

fn statement(words: &mut Words<'_>) -> Result<Option<Statement>, Error> {
    let is_role = KINDS.iter().any(|kind| words.sees(1, kind)) && !words.sees(2, "mapping");
    if is_role && words.take(&["create"]) {
        return create(words).map(Some);
    }
    if is_role && words.take(&["alter"]) {
        return alter(words).map(Some);
    }
    if is_role && words.take(&["drop"]) {
        words.take_one(&KINDS);
        let if_exists = words.take(&["if", "exists"]);
        return Ok(Some(Statement::Drop { roles: role_list(words)?, if_exists }));
    }
    if let Some(statement) = retention::parse(words)? {
        return Ok(Some(Statement::Retention(statement)));
    }
    if words.take(&["grant"]) {
        return grants::grant(words).map(Some);
    }
    if words.take(&["revoke"]) {
        return grants::revoke(words).map(Some);
    }
    set(words)
}

fn set(words: &mut Words<'_>) -> Result<Option<Statement>, Error> {
    if words.take(&["reset", "role"]) {
        return Ok(Some(Statement::SetRole(None)));
    }
    if words.take(&["reset", "session", "authorization"]) {
        return Ok(Some(Statement::SetSession(None)));
    }
    let local = words.sees(1, "local");
    let scoped = usize::from(local || (words.sees(1, "session") && !words.sees(2, "authorization")));
    let is_session = words.sees(1 + scoped, "session") && words.sees(2 + scoped, "authorization");
    let is_role = words.sees(1 + scoped, "role");
    if !words.sees(0, "set") || !(is_session || is_role) {
        return Ok(None);
    }
    if local {
        return Err(
            raise(Error::Unsupported, "SET LOCAL of a role is not supported").with_hint("SET ROLE, and RESET ROLE afterwards")
        );
    }
    words.take(&["set"]);
    words.take_one(&["session"]);
    if is_session && scoped == 0 {
        words.expect(&["authorization"])?;
    } else if is_session {
        words.expect(&["session", "authorization"])?;
    } else {
        words.expect(&["role"])?;
    }
    if !words.take_sign(&Token::Eq) {
        words.take(&["to"]);
    }
    if words.take_one(if is_session { &["default"] } else { &["none"] }).is_some() {
        return Ok(Some(if is_session { Statement::SetSession(None) } else { Statement::SetRole(None) }));
    }
    let name = match words.text() {
        Some(name) => name,
        None => words.name()?,
    };
    Ok(Some(if is_session { Statement::SetSession(Some(name)) } else { Statement::SetRole(Some(name)) }))
}

fn role_name(words: &mut Words<'_>) -> Result<RoleName, Error> {
    words.take_one(&["group"]);
    if words.take_one(&["current_user", "current_role", "user"]).is_some() {
        return Ok(RoleName::Current);
    }
    if words.take_one(&["session_user"]).is_some() {
        return Ok(RoleName::Session);
    }
    if words.take_one(&["public"]).is_some() {
        return Ok(RoleName::Public);
    }
    words.name().map(RoleName::Named)
}

fn role_list(words: &mut Words<'_>) -> Result<Vec<RoleName>, Error> {
    let mut out = vec![role_name(words)?];
    while words.take_sign(&Token::Comma) {
        out.push(role_name(words)?);
    }
    Ok(out)
}

fn create(words: &mut Words<'_>) -> Result<Statement, Error> {
    let user = words.take_one(&KINDS) == Some("user");
    let name = words.name()?;
    words.take_one(&["with"]);
    let mut options = Options { login: user.then_some(true), ..Options::default() };
    while !words.is_done() {
        option(words, &mut options, true)?;
    }
    Ok(Statement::Create { name, options })
}

fn alter(words: &mut Words<'_>) -> Result<Statement, Error> {
    words.take_one(&KINDS);
    if words.take(&["all"]) {
        return Err(raise(Error::Unsupported, "ALTER ROLE ALL is not supported").with_hint("the server's settings hold for all"));
    }
    let role = role_name(words)?;
    if words.take(&["in", "database"]) {
        // There is one.
        words.name()?;
    }
    if words.take(&["rename", "to"]) {
        let RoleName::Named(role) = role else { return Err(words.unexpected()) };
        return Ok(Statement::Rename { role, to: words.name()? });
    }
    if words.take(&["reset"]) {
        let name = if words.take(&["all"]) { None } else { Some(setting_name(words)?) };
        return Ok(Statement::AlterSet { role, name, value: None });
    }
    if words.take(&["set"]) {
        let name = if words.take(&["time", "zone"]) { "timezone".to_owned() } else { setting_name(words)? };
        if words.take(&["from", "current"]) {
            return Err(raise(Error::Unsupported, "SET .. FROM CURRENT is not supported"));
        }
        if !words.take_sign(&Token::Eq) && name != "timezone" {
            words.expect(&["to"])?;
        }
        let value = if words.take(&["default"]) { None } else { Some(words.value()?) };
        return Ok(Statement::AlterSet { role, name: Some(name), value });
    }
    let with = words.take_one(&["with"]).is_some();
    if words.is_done() && !with {
        return Err(words.unexpected());
    }
    let mut options = Options::default();
    while !words.is_done() {
        option(words, &mut options, false)?;
    }
    Ok(Statement::Alter { role, options })
}

fn setting_name(words: &mut Words<'_>) -> Result<String, Error> {
    let mut name = words.name()?;
    while words.take_sign(&Token::Period) {
        name = format!("{name}.{}", words.name()?);
    }
    Ok(name)
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), Error> {
    if place.replace(value).is_some() { Err(raise(Error::Syntax, "conflicting or redundant options")) } else { Ok(()) }
}

fn option(words: &mut Words<'_>, options: &mut Options, creates: bool) -> Result<(), Error> {
    // CREATE USER says LOGIN by itself.
    if let Some(word) = words.take_one(&["login", "nologin"]) {
        options.login = Some(word == "login");
        return Ok(());
    }
    if let Some(word) = words.take_one(&["superuser", "nosuperuser"]) {
        return once(&mut options.superuser, word == "superuser");
    }
    if let Some(word) = words.take_one(&["createrole", "nocreaterole"]) {
        return once(&mut options.create_role, word == "createrole");
    }
    if let Some(word) = words.take_one(&["inherit", "noinherit"]) {
        return once(&mut options.inherit, word == "inherit");
    }
    if words.take_one(&["nocreatedb", "noreplication", "nobypassrls"]).is_some() {
        return Ok(());
    }
    if let Some(word) = words.take_one(&["createdb", "replication", "bypassrls"]) {
        let error = raise(Error::Unsupported, format!("roles with {} are not supported", word.to_uppercase()));
        return Err(if word == "bypassrls" { error.with_hint("pg_read_all_data reads all tags") } else { error });
    }
    if words.take(&["connection", "limit"]) {
        let limit = words.number()?;
        return once(&mut options.connections, limit);
    }
    if words.take(&["valid", "until"]) {
        let until = words.text().ok_or_else(|| words.unexpected())?;
        return once(&mut options.valid_until, until);
    }
    if words.take(&["unencrypted"]) {
        return Err(raise(Error::Unsupported, "UNENCRYPTED PASSWORD is no longer supported"));
    }
    if words.take(&["encrypted", "password"]) || words.take(&["password"]) {
        let password = if words.take(&["null"]) { None } else { Some(Secret(words.text().ok_or_else(|| words.unexpected())?)) };
        return once(&mut options.password, password);
    }
    if creates && (words.take(&["in", "role"]) || words.take(&["in", "group"])) {
        options.in_roles.extend(role_list(words)?);
        return Ok(());
    }
    // ALTER GROUP .. ADD USER is GRANT's older form.
    if creates && words.take_one(&["role", "user"]).is_some() {
        options.members.extend(role_list(words)?);
        return Ok(());
    }
    if creates && words.take(&["admin"]) {
        options.admins.extend(role_list(words)?);
        return Ok(());
    }
    Err(words.unexpected())
}
