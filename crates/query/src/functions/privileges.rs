//! `has_table_privilege` and its kin, `pg_has_role`, and the names of roles by number.
//!
//! Promises: they answer of the moment, of any role; whoever may read some tags' rows of a table is told that it may read the table.

use super::simple::Simple;
use crate::access::role::{Role, RoleId};
use crate::access::{Access, Privileges, Rights, no_role};
use crate::catalogue::Object;
use crate::engine::Engine;
use crate::error::{Error, raise};
use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result;
use datafusion::logical_expr::{ScalarUDF, Signature, TypeSignature, Volatility};
use std::sync::Arc;

/// A thing by its number or its name.
#[derive(Clone, Debug)]
enum Thing {
    Number(i64),
    Name(String),
}

/// Role (None = the session's own), thing and privilege of a row; None where one is NULL.
type Asked = Option<(Option<Thing>, Thing, String)>;

/// Two or three arguments: [role,] thing, privilege; roles and things by name or number.
fn signature() -> Signature {
    let kinds = [DataType::Utf8, DataType::Int64];
    let mut lists: Vec<TypeSignature> =
        kinds.iter().map(|thing| TypeSignature::Exact(vec![thing.clone(), DataType::Utf8])).collect();
    for role in &kinds {
        for thing in &kinds {
            lists.push(TypeSignature::Exact(vec![role.clone(), thing.clone(), DataType::Utf8]));
        }
    }
    Signature::one_of(lists, Volatility::Stable)
}

fn thing(array: &ArrayRef, row: usize) -> Option<Thing> {
    if array.is_null(row) {
        return None;
    }
    Some(match array.data_type() {
        DataType::Int64 => Thing::Number(array.as_primitive::<Int64Type>().value(row)),
        _ => Thing::Name(array.as_string::<i32>().value(row).to_owned()),
    })
}

fn asked(args: &[ArrayRef], row: usize) -> Asked {
    let (role, rest) = if args.len() == 3 { (Some(thing(&args[0], row)?), &args[1..]) } else { (None, args) };
    let Thing::Name(privilege) = thing(&rest[1], row)? else { return None };
    Some((role, thing(&rest[0], row)?, privilege))
}

fn role_of(access: &Access, thing: &Thing) -> std::result::Result<Arc<Role>, Error> {
    let roster = access.roles().roster();
    match thing {
        Thing::Name(name) => roster.named(name).cloned().ok_or_else(|| no_role(name)),
        Thing::Number(number) => {
            let role = RoleId::try_from(*number).ok().and_then(|id| roster.role(id).cloned());
            role.ok_or_else(|| no_role(&number.to_string()))
        }
    }
}

fn rights_of(access: &Access, role: Option<&Thing>) -> std::result::Result<Arc<Rights>, Error> {
    match role {
        None => Ok(access.rights()),
        Some(Thing::Name(name)) if name == "public" => Ok(Arc::new(access.roles().roster().rights(&Role::new("public", 0)))),
        Some(role) => {
            let role = role_of(access, role)?;
            access.roles().rights(role.id).ok_or_else(|| no_role(&role.name))
        }
    }
}

/// One function; `answer` gives NULL for a thing that is none, where it was named by number.
fn make(
    name: &'static str,
    access: &Arc<Access>,
    answer: impl Fn(&Access, Option<&Thing>, &Thing, &str) -> std::result::Result<Option<bool>, Error> + Send + Sync + 'static,
) -> ScalarUDF {
    let access = Arc::clone(access);
    Simple::any_of(name, signature(), DataType::Boolean, move |args, rows| -> Result<ArrayRef> {
        let one = |row: usize| match asked(args, row) {
            None => Ok(None),
            Some((role, thing, privilege)) => answer(&access, role.as_ref(), &thing, &privilege),
        };
        Ok(Arc::new((0..rows).map(one).collect::<std::result::Result<BooleanArray, Error>>()?))
    })
}

/// The words of a list of privileges, each of which may have WITH GRANT OPTION behind it.
fn words(list: &str) -> impl Iterator<Item = String> {
    let one = |word: &str| {
        let upper = word.trim().to_ascii_uppercase();
        upper.strip_suffix("WITH GRANT OPTION").map_or(upper.clone(), |bare| bare.trim().to_owned())
    };
    list.split(',').map(one).collect::<Vec<_>>().into_iter()
}

fn unrecognized(word: &str) -> Error {
    raise(Error::InvalidParameter, format!("unrecognized privilege type: \"{word}\""))
}

/// Whether a role may do one of these with a table.
fn table(engine: &Arc<Engine>, rights: &Rights, thing: &Thing, list: &str) -> std::result::Result<Option<bool>, Error> {
    let Some(table) = table_of(engine, thing)? else { return Ok(None) };
    let mut any = false;
    for word in words(list) {
        let open = table == crate::tables::GRANTS || table.starts_with("pg_catalog.") || table.starts_with("information_schema.");
        any |= match Privileges::named(&word) {
            Some(Privileges::SELECT) if open => true,
            Some(one) => rights.touches(&table, one),
            None if ["TRUNCATE", "REFERENCES", "TRIGGER", "RULE", "MAINTAIN"].contains(&word.as_str()) => rights.is_unbound(),
            None => return Err(unrecognized(&word)),
        };
    }
    Ok(Some(any))
}

/// A relation's full name; None where there is none of that number.
fn table_of(engine: &Arc<Engine>, thing: &Thing) -> std::result::Result<Option<String>, Error> {
    // Made by the first session, before it plans anything.
    let Some(shared) = engine.clients.get() else { return Ok(None) };
    let full = |object: &Object| format!("{}.{}", object.schema, object.name);
    match thing {
        Thing::Number(number) => Ok(shared.catalogue.object(*number).map(full)),
        Thing::Name(name) => match shared.catalogue.relation(name) {
            Some(object) => Ok(Some(full(object))),
            None => Err(raise(Error::UnknownTable, format!("relation \"{name}\" does not exist"))),
        },
    }
}

/// What everybody may do with schemas, the database and functions, and what only superusers may.
fn everybodys(
    name: &'static str,
    access: &Arc<Access>,
    all: &'static [&'static str],
    superusers: &'static [&'static str],
) -> ScalarUDF {
    make(name, access, move |access, role, _, list| {
        let rights = rights_of(access, role)?;
        let mut any = false;
        for word in words(list) {
            any |= match (all.contains(&word.as_str()), superusers.contains(&word.as_str())) {
                (true, _) => true,
                (_, true) => rights.is_unbound(),
                _ => return Err(unrecognized(&word)),
            };
        }
        Ok(Some(any))
    })
}

/// `pg_has_role([user,] role, privilege)`.
fn has_role(access: &Arc<Access>) -> ScalarUDF {
    make("pg_has_role", access, |access, user, role, list| {
        let role = role_of(access, role)?;
        let roster = access.roles().roster();
        let user = match user {
            Some(user) => Some(role_of(access, user)?),
            None => access.current().id().and_then(|id| roster.role(id).cloned()),
        };
        let Some(user) = user else { return Ok(Some(access.is_unbound())) };
        let mut any = user.superuser;
        for word in list.split(',').map(|word| word.trim().to_ascii_uppercase()) {
            any |= match word.as_str() {
                "USAGE" => roster.inherited(user.id).contains(&role.id),
                "MEMBER" => roster.closure(user.id, |_, _| true).contains(&role.id),
                "SET" => roster.may_become(&user, role.id),
                other if other.ends_with("OPTION") => roster.administers(&user, role.id),
                _ => return Err(unrecognized(&word)),
            };
        }
        Ok(Some(any))
    })
}

/// `pg_get_userbyid(number)`.
fn name_by_number(access: &Arc<Access>) -> ScalarUDF {
    let access = Arc::clone(access);
    Simple::make("pg_get_userbyid", vec![DataType::Int64], DataType::Utf8, Volatility::Stable, move |args, _| {
        let roster = access.roles().roster();
        let name = |id: i64| {
            let role = RoleId::try_from(id).ok().and_then(|id| roster.role(id));
            role.map_or_else(|| format!("unknown (OID={id})"), |role| role.name.to_string())
        };
        let ids = args[0].as_primitive::<Int64Type>().iter();
        Ok(Arc::new(ids.map(|id| id.map(name)).collect::<StringArray>()))
    })
}

pub(super) fn all(engine: &Arc<Engine>, access: &Arc<Access>) -> Vec<ScalarUDF> {
    let of_table = |name| {
        let engine = Arc::clone(engine);
        make(name, access, move |access, role, thing, list| table(&engine, &*rights_of(access, role)?, thing, list))
    };
    // Of functions that act the name tells; all others are everybody's.
    let function = make("has_function_privilege", access, |access, role, thing, _| {
        let rights = rights_of(access, role)?;
        let acts = matches!(thing, Thing::Name(name) if name.starts_with("meridian_"));
        Ok(Some(!acts || rights.admit_acting("").is_ok()))
    });
    vec![
        of_table("has_table_privilege"),
        of_table("has_any_column_privilege"),
        everybodys("has_schema_privilege", access, &["USAGE"], &["CREATE"]),
        everybodys("has_database_privilege", access, &["CONNECT", "TEMP", "TEMPORARY"], &["CREATE"]),
        function,
        has_role(access),
        name_by_number(access),
    ]
}
