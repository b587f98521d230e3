//! CREATE, ALTER and DROP RETENTION POLICY.
//!
//! Promises: a statement takes part in a transaction block as those about roles do.

use super::keep::Keep;
use super::policy::{Done, Policy, Rows, Rule};
use crate::access::condition::TagCondition;
use crate::access::role::{BOOTSTRAP_ID, PREDEFINED};
use crate::access::{Asking, Draft, Told, Words};
use crate::engine::Engine;
use crate::error::{Error, raise};
use std::sync::Arc;

/// The longest name of a policy, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// Policies at most: all of them are gone through each time.
const POLICIES_MAX: usize = 1_000;
/// The role whose members may.
const OPERATOR: &str = "meridian_operator";

/// A statement about policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Statement {
    Create {
        name: String,
        if_not_exists: bool,
        /// The condition as it was written.
        tags: String,
        rows: Option<Rows>,
        keep: Keep,
    },
    Keep {
        name: String,
        if_exists: bool,
        keep: Keep,
    },
    Rename {
        name: String,
        if_exists: bool,
        to: String,
    },
    Drop {
        names: Vec<String>,
        if_exists: bool,
    },
}

impl Statement {
    /// Its command tag.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Statement::Create { .. } => "CREATE RETENTION POLICY",
            Statement::Keep { .. } | Statement::Rename { .. } => "ALTER RETENTION POLICY",
            Statement::Drop { .. } => "DROP RETENTION POLICY",
        }
    }
}

/// The statement about policies that these words are; None where they are of another sort.
pub(crate) fn parse(words: &mut Words<'_>) -> Result<Option<Statement>, Error> {
    if !(words.sees(1, "retention") && words.sees(2, "policy")) {
        return Ok(None);
    }
    let statement = if words.take(&["create", "retention", "policy"]) {
        create(words)?
    } else if words.take(&["alter", "retention", "policy"]) {
        alter(words)?
    } else if words.take(&["drop", "retention", "policy"]) {
        let if_exists = words.take(&["if", "exists"]);
        let mut names = vec![words.name()?];
        while words.take_comma() {
            names.push(words.name()?);
        }
        // There is nothing that it could take along.
        words.take_one(&["restrict", "cascade"]);
        Statement::Drop { names, if_exists }
    } else {
        return Ok(None);
    };
    Ok(Some(statement))
}

fn create(words: &mut Words<'_>) -> Result<Statement, Error> {
    let if_not_exists = words.take(&["if", "not", "exists"]);
    let name = words.name()?;
    words.expect(&["on", "tags"])?;
    if !words.take(&["where"]) {
        return Err(words.unexpected().with_hint("ON TAGS WHERE condition; WHERE true means all tags"));
    }
    let tags = words.text_up_to("keep").map_err(|error| error.with_hint("ON TAGS WHERE condition KEEP '90 days'"))?.to_owned();
    let keep = keep(words)?;
    let rows = match words.take(&["for"]) {
        false => None,
        true if words.take(&["samples"]) => Some(Rows::Samples),
        true if words.take(&["events"]) => Some(Rows::Events),
        true => return Err(words.unexpected().with_hint("FOR SAMPLES or FOR EVENTS; integers are samples")),
    };
    Ok(Statement::Create { name, if_not_exists, tags, rows, keep })
}

fn alter(words: &mut Words<'_>) -> Result<Statement, Error> {
    let if_exists = words.take(&["if", "exists"]);
    let name = words.name()?;
    if words.take(&["rename", "to"]) {
        return Ok(Statement::Rename { name, if_exists, to: words.name()? });
    }
    if !words.sees(0, "keep") {
        return Err(words.unexpected().with_hint("KEEP '90 days' or RENAME TO name; for other tags drop it and create it anew"));
    }
    Ok(Statement::Keep { name, if_exists, keep: keep(words)? })
}

fn keep(words: &mut Words<'_>) -> Result<Keep, Error> {
    words.expect(&["keep"])?;
    words.take(&["interval"]);
    let text = words.text().ok_or_else(|| words.unexpected().with_hint("KEEP '90 days'"))?;
    Keep::parse(&text)
}

/// What a statement needs beside the policies that there are.
#[derive(Default)]
pub(crate) struct Wanted {
    condition: Option<Arc<TagCondition>>,
    now_us: i64,
}

impl Wanted {
    /// Finds it out.
    pub(crate) fn of(engine: &Arc<Engine>, statement: &Statement) -> Result<Wanted, Error> {
        let condition = match statement {
            Statement::Create { tags, .. } => Some(Arc::new(TagCondition::parse(tags)?)),
            _ => None,
        };
        Ok(Wanted { condition, now_us: engine.settings.clock.wall_us() })
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let shown: String = name.chars().take(NAME_BYTES_MAX).filter(|c| !c.is_control()).collect();
        return Err(raise(Error::InvalidParameter, format!("\"{shown}\" can't be a retention policy's name"))
            .with_hint(format!("a name has 1 to {NAME_BYTES_MAX} bytes, and no control characters")));
    }
    Ok(())
}

/// Refuses whoever may not say what is kept: as functions that act, whoever owns or operates the store may.
fn admit(draft: &Draft<'_>, asking: &Asking, statement: &Statement) -> Result<(), Error> {
    let who = asking.role(&draft.after)?;
    let roles = draft.after.inherited(who.id);
    let operates = PREDEFINED.iter().any(|(name, id)| *name == OPERATOR && roles.contains(id));
    if who.superuser || roles.contains(&BOOTSTRAP_ID) || operates {
        return Ok(());
    }
    Err(raise(Error::Forbidden, format!("permission denied for {}", statement.tag()))
        .with_hint("superusers and members of meridian_operator may"))
}

pub(super) fn no_policy(name: &str) -> Error {
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    raise(Error::UnknownObject, format!("retention policy \"{shown}\" does not exist"))
}

fn skipped(name: &str, why: &str) -> Told {
    vec![("NOTICE", "00000", format!("retention policy \"{name}\" {why}, skipping"))]
}

/// Does it to a draft.
pub(crate) fn apply(draft: &mut Draft<'_>, asking: &Asking, statement: &Statement, wanted: &Wanted) -> Result<Told, Error> {
    admit(draft, asking, statement)?;
    let find = |draft: &Draft<'_>, name: &str, if_exists: bool| match draft.after.policies().get(name) {
        Some(policy) => Ok(Some(Policy::clone(policy))),
        None if if_exists => Ok(None),
        None => Err(no_policy(name)),
    };
    let taken = |draft: &Draft<'_>, name: &str| match draft.after.policies().contains_key(name) {
        true => Err(raise(Error::DuplicateObject, format!("retention policy \"{name}\" already exists"))),
        false => Ok(()),
    };
    match statement {
        Statement::Create { name, if_not_exists, tags, rows, keep } => {
            check_name(name)?;
            if *if_not_exists && draft.after.policies().contains_key(name.as_str()) {
                return Ok(skipped(name, "already exists"));
            }
            taken(draft, name)?;
            if draft.after.policies().len() >= POLICIES_MAX {
                return Err(raise(Error::Limit, format!("there are {POLICIES_MAX} retention policies, and can't be more")));
            }
            let condition = match &wanted.condition {
                Some(condition) => Arc::clone(condition),
                None => Arc::new(TagCondition::parse(tags)?),
            };
            let rule = Rule {
                tags: condition.to_string().into(),
                condition,
                rows: *rows,
                keep: *keep,
                created_us: wanted.now_us,
                creator: asking.role(&draft.after)?.id,
                done: Done::default(),
            };
            draft.put_policy(Policy { name: name.as_str().into(), rule: Some(rule), kept: None });
        }
        Statement::Keep { name, if_exists, keep } => {
            let Some(mut policy) = find(draft, name, *if_exists)? else { return Ok(skipped(name, "does not exist")) };
            let unread =
                || raise(Error::Unsupported, format!("retention policy \"{name}\" can't be read: is it of a later release?"));
            policy.rule.as_mut().ok_or_else(unread)?.keep = *keep;
            draft.put_policy(policy);
        }
        Statement::Rename { name, if_exists, to } => {
            let Some(policy) = find(draft, name, *if_exists)? else { return Ok(skipped(name, "does not exist")) };
            check_name(to)?;
            taken(draft, to)?;
            draft.remove_policy(name);
            draft.put_policy(Policy { name: to.as_str().into(), ..policy });
        }
        Statement::Drop { names, if_exists } => {
            let mut told = Told::new();
            for name in names {
                match find(draft, name, *if_exists)? {
                    Some(_) => draft.remove_policy(name),
                    None => told.extend(skipped(name, "does not exist")),
                }
            }
            return Ok(told);
        }
    }
    Ok(Told::new())
}
