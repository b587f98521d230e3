//! GRANT and REVOKE: of privileges on tables and on tags, and of roles.
//!
//! Promises: which of both it is follows from whether there is an ON; whatever would change nothing here is refused. May not know
//! which tables there are.

use super::super::privilege::Privileges;
use super::super::words::Words;
use super::{MemberOptions, On, RoleName, Statement, role_list, role_name};
use crate::error::{Error, raise};
use datafusion::sql::sqlparser::tokenizer::Token;

/// `ON` and what follows, up to TO or FROM.
fn object(words: &mut Words<'_>, end: &str) -> Result<On, Error> {
    if words.take(&["tags", "where"]) {
        return words.text_up_to(end).map(|text| On::Tags(text.to_owned()));
    }
    if words.take(&["all", "tables", "in", "schema"]) {
        let mut schemas = vec![words.name()?];
        while words.take_sign(&Token::Comma) {
            schemas.push(words.name()?);
        }
        return Ok(On::AllTables(schemas));
    }
    if words.take(&["schema"]) || words.take(&["database"]) {
        words.text_up_to(end)?;
        return Ok(On::Everybodys(
            "schemas and the database are everybody's to use; what can be read in them is granted table by table",
        ));
    }
    for other in [
        "function",
        "procedure",
        "routine",
        "sequence",
        "all",
        "language",
        "type",
        "domain",
        "tablespace",
        "foreign",
        "parameter",
        "large",
    ] {
        if words.sees(0, other) {
            let error = raise(Error::Unsupported, format!("privileges on {} are not supported", other.to_uppercase()));
            return Err(error.with_hint("grant on tables, on tags, or membership in pg_monitor or meridian_operator"));
        }
    }
    words.take_one(&["table"]);
    let mut tables = Vec::new();
    loop {
        let (mut schema, mut name) = ("public".to_owned(), words.name()?);
        while words.take_sign(&Token::Period) {
            schema = std::mem::replace(&mut name, words.name()?);
        }
        tables.push((schema, name));
        if !words.take_sign(&Token::Comma) {
            return Ok(On::Tables(tables));
        }
    }
}

/// The privileges, or names of roles, before ON, TO or FROM: whichever they are, what follows tells.
struct Named {
    names: Vec<String>,
    columns: bool,
}

fn named(words: &mut Words<'_>) -> Result<Named, Error> {
    let mut out = Named { names: Vec::new(), columns: false };
    loop {
        out.names.push(words.name()?);
        if words.take_sign(&Token::LParen) {
            out.columns = true;
            while !words.take_sign(&Token::RParen) {
                words.name()?;
                words.take_sign(&Token::Comma);
            }
        }
        if !words.take_sign(&Token::Comma) {
            return Ok(out);
        }
    }
}

fn privileges(named: &Named, on: &On) -> Result<Privileges, Error> {
    if named.columns {
        return Err(
            raise(Error::Unsupported, "privileges on columns are not supported").with_hint("grant on the table, or on tags")
        );
    }
    named.names.iter().try_fold(Privileges::NONE, |all, name| match (Privileges::named(name), on) {
        (_, On::Everybodys(_)) => Ok(all),
        (Some(one), _) => Ok(all.with(one)),
        (None, _) if ["truncate", "references", "trigger", "maintain"].contains(&name.as_str()) => {
            Err(raise(Error::Unsupported, format!("the privilege {} is not supported", name.to_uppercase()))
                .with_hint("SELECT, INSERT, UPDATE and DELETE are"))
        }
        (None, _) => Err(raise(Error::Syntax, format!("unrecognized privilege type \"{name}\""))),
    })
}

fn by(words: &mut Words<'_>) -> Result<(), Error> {
    if words.take(&["granted", "by"]) && role_name(words)? != RoleName::Current {
        return Err(raise(Error::Unsupported, "GRANTED BY anybody but CURRENT_USER is not supported"));
    }
    Ok(())
}

pub(super) fn grant(words: &mut Words<'_>) -> Result<Statement, Error> {
    let all = words.take(&["all"]);
    if all {
        words.take_one(&["privileges"]);
    }
    let what = if all { Named { names: Vec::new(), columns: false } } else { named(words)? };
    if all || words.sees(0, "on") {
        words.expect(&["on"])?;
        let on = object(words, "to")?;
        let privileges = if all { Privileges::ALL } else { privileges(&what, &on)? };
        words.expect(&["to"])?;
        let to = role_list(words)?;
        let grantable = words.take(&["with", "grant", "option"]);
        by(words)?;
        return Ok(Statement::Grant { privileges, on, to, grantable });
    }
    words.expect(&["to"])?;
    let to = role_list(words)?;
    let mut options = MemberOptions::default();
    if words.take(&["with"]) {
        loop {
            let which = words.take_one(&["admin", "inherit", "set"]).ok_or_else(|| words.unexpected())?;
            let value = match words.take_one(&["option", "true", "false"]) {
                Some(word) => word != "false",
                None => return Err(words.unexpected()),
            };
            match which {
                "admin" => options.admin = Some(value),
                "inherit" => options.inherit = Some(value),
                _ => options.set = Some(value),
            }
            if !words.take_sign(&Token::Comma) {
                break;
            }
        }
    }
    by(words)?;
    Ok(Statement::GrantRoles { roles: roles_of(what)?, to, options })
}

fn roles_of(named: Named) -> Result<Vec<RoleName>, Error> {
    if named.columns {
        return Err(raise(Error::InvalidGrant, "column names cannot be included in GRANT/REVOKE ROLE"));
    }
    Ok(named.names.into_iter().map(RoleName::Named).collect())
}

pub(super) fn revoke(words: &mut Words<'_>) -> Result<Statement, Error> {
    let option_only = words.take(&["grant", "option", "for"]);
    let mut option = None;
    for (which, of) in [
        ("admin", MemberOptions { admin: Some(false), ..MemberOptions::default() }),
        ("inherit", MemberOptions { inherit: Some(false), ..MemberOptions::default() }),
        ("set", MemberOptions { set: Some(false), ..MemberOptions::default() }),
    ] {
        if !option_only && words.take(&[which, "option", "for"]) {
            option = Some(of);
        }
    }
    let all = option.is_none() && words.take(&["all"]);
    if all {
        words.take_one(&["privileges"]);
    }
    let what = if all { Named { names: Vec::new(), columns: false } } else { named(words)? };
    let is_object = all || option_only || words.sees(0, "on");
    let on = if is_object {
        words.expect(&["on"])?;
        Some(object(words, "from")?)
    } else {
        None
    };
    words.expect(&["from"])?;
    let from = role_list(words)?;
    by(words)?;
    let cascade = words.take_one(&["cascade", "restrict"]) == Some("cascade");
    Ok(match on {
        Some(on) => {
            let privileges = if all { Privileges::ALL } else { privileges(&what, &on)? };
            Statement::Revoke { privileges, on, from, option_only, cascade }
        }
        None => Statement::RevokeRoles { roles: roles_of(what)?, from, option },
    })
}
