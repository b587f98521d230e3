//! Statements that concern only the session: transaction blocks, settings, DISCARD, LISTEN, names of statements and cursors.

use crate::block;
use crate::error::{Error, raise};
use crate::outcome::{Completion, Outcome, Rows};
use crate::prepared::Planned;
use crate::session::{Block, Session, State};
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    self, ContextModifier, DiscardObject, Expr, Reset, Set, Statement as Tree, TransactionAccessMode, TransactionIsolationLevel,
    TransactionMode, Value,
};
use futures::StreamExt;
use std::sync::Arc;

/// What BEGIN and its like say of a transaction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Modes {
    read_only: Option<bool>,
    isolation: Option<&'static str>,
}

/// What is done with a savepoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    Set,
    Release,
    RollBackTo,
}

/// A statement of the session.
pub(crate) enum Command {
    Begin {
        modes: Modes,
        tag: &'static str,
    },
    /// Whether another block follows at once.
    Commit(bool),
    Rollback(bool),
    Savepoint(Point, String),
    /// Name and value; None = the default.
    Set {
        items: Vec<(String, Option<String>)>,
        local: bool,
    },
    ResetAll,
    /// Of this transaction, or of all that follow.
    Characteristics {
        modes: Modes,
        session: bool,
    },
    Show(String),
    ShowAll,
    Discard(&'static str),
    Unlisten,
    /// None: all.
    Close(Option<String>),
    Prepare(String, Arc<Planned>),
    /// None: all.
    Deallocate(Option<String>),
}

/// The command that a statement is; None where it is another sort of statement.
pub(crate) fn recognise(tree: &Tree) -> Result<Option<Command>, Error> {
    Ok(Some(match tree {
        Tree::StartTransaction { modes, begin, .. } => {
            Command::Begin { modes: modes_of(modes), tag: if *begin { "BEGIN" } else { "START TRANSACTION" } }
        }
        Tree::Commit { chain, .. } => Command::Commit(*chain),
        Tree::Rollback { savepoint: Some(name), .. } => Command::Savepoint(Point::RollBackTo, lower(name)),
        Tree::Rollback { chain, .. } => Command::Rollback(*chain),
        Tree::Savepoint { name } => Command::Savepoint(Point::Set, lower(name)),
        Tree::ReleaseSavepoint { name } => Command::Savepoint(Point::Release, lower(name)),
        Tree::Set(set) => assignments(set)?,
        Tree::Reset(reset) => match &reset.reset {
            Reset::ALL => Command::ResetAll,
            Reset::ConfigurationParameter(name) => Command::Set { items: vec![(name.to_string(), None)], local: false },
        },
        Tree::ShowVariable { variable } => show(variable),
        Tree::Discard { object_type } => Command::Discard(match object_type {
            DiscardObject::ALL => "DISCARD ALL",
            DiscardObject::PLANS => "DISCARD PLANS",
            DiscardObject::SEQUENCES => "DISCARD SEQUENCES",
            DiscardObject::TEMP => "DISCARD TEMP",
        }),
        Tree::UNLISTEN { .. } => Command::Unlisten,
        Tree::LISTEN { .. } | Tree::NOTIFY { .. } => {
            return Err(raise(Error::Unsupported, "LISTEN and NOTIFY are not supported")
                .with_hint("nothing is announced here; ask latest for what is new"));
        }
        _ => return Ok(None),
    }))
}

fn lower(name: &ast::Ident) -> String {
    if name.quote_style.is_some() { name.value.clone() } else { name.value.to_lowercase() }
}

fn modes_of(modes: &[TransactionMode]) -> Modes {
    let mut out = Modes::default();
    for mode in modes {
        match mode {
            TransactionMode::AccessMode(access) => out.read_only = Some(*access == TransactionAccessMode::ReadOnly),
            TransactionMode::IsolationLevel(level) => {
                out.isolation = Some(match level {
                    TransactionIsolationLevel::ReadUncommitted => "READ UNCOMMITTED",
                    TransactionIsolationLevel::ReadCommitted => "READ COMMITTED",
                    TransactionIsolationLevel::RepeatableRead => "REPEATABLE READ",
                    TransactionIsolationLevel::Serializable => "SERIALIZABLE",
                    TransactionIsolationLevel::Snapshot => "SNAPSHOT",
                });
            }
        }
    }
    out
}

fn show(variable: &[ast::Ident]) -> Command {
    let words: Vec<String> = variable.iter().map(|part| part.value.to_lowercase()).collect();
    match words.join(" ").as_str() {
        "all" => Command::ShowAll,
        "time zone" => Command::Show("timezone".to_owned()),
        "transaction isolation level" => Command::Show("transaction_isolation".to_owned()),
        "session authorization" => Command::Show("session_authorization".to_owned()),
        _ => Command::Show(words.join(".")),
    }
}

fn assignments(set: &Set) -> Result<Command, Error> {
    let is_local = |scope: &Option<ContextModifier>| *scope == Some(ContextModifier::Local);
    let one = |name: String, value: Option<String>, local: bool| Command::Set { items: vec![(name, value)], local };
    Ok(match set {
        Set::SingleAssignment { scope, variable, values, .. } => {
            let name = variable.to_string();
            let texts = values.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
            let default = texts.iter().any(|text| text.eq_ignore_ascii_case("default"));
            one(name, (!default).then(|| texts.join(", ")), is_local(scope))
        }
        Set::SetTimeZone { local, value } => {
            let text = text_of(value)?;
            let default = ["default", "local"].contains(&text.to_ascii_lowercase().as_str());
            one("timezone".to_owned(), (!default).then_some(text), *local)
        }
        Set::SetNames { charset_name, .. } => one("client_encoding".to_owned(), Some(charset_name.value.clone()), false),
        Set::SetNamesDefault {} => one("client_encoding".to_owned(), None, false),
        Set::SetTransaction { snapshot: Some(_), .. } => {
            return Err(raise(Error::Unsupported, "SET TRANSACTION SNAPSHOT is not supported"));
        }
        Set::SetTransaction { modes, session, .. } => Command::Characteristics { modes: modes_of(modes), session: *session },
        Set::MultipleAssignments { assignments } => {
            let item = |item: &ast::SetAssignment| Ok((item.name.to_string(), Some(text_of(&item.value)?)));
            Command::Set { items: assignments.iter().map(item).collect::<Result<Vec<_>, Error>>()?, local: false }
        }
        other => return Err(raise(Error::Unsupported, format!("{other} is not supported"))),
    })
}

fn text_of(expr: &Expr) -> Result<String, Error> {
    match expr {
        Expr::Identifier(name) => Ok(name.value.clone()),
        Expr::Value(value) => Ok(match &value.value {
            Value::Number(number, _) => number.clone(),
            Value::SingleQuotedString(text) | Value::DoubleQuotedString(text) | Value::EscapedStringLiteral(text) => text.clone(),
            Value::Boolean(value) => if *value { "on" } else { "off" }.to_owned(),
            other => return Err(raise(Error::Syntax, format!("a setting can't be {other}"))),
        }),
        Expr::UnaryOp { op: ast::UnaryOperator::Minus, expr } => Ok(format!("-{}", text_of(expr)?)),
        Expr::Interval(interval) => text_of(&interval.value),
        // read_consistency = bounded(100)
        Expr::Function(call) => Ok(call.to_string()),
        other => Err(raise(Error::Syntax, format!("a setting can't be {other}"))),
    }
}

impl Command {
    /// The columns of what it shows.
    pub(crate) fn schema(&self) -> Option<SchemaRef> {
        let columns: &[&str] = match self {
            Command::Show(name) => &[name.as_str()],
            Command::ShowAll => &["name", "setting"],
            _ => return None,
        };
        let fields: Vec<Field> = columns.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
        Some(Arc::new(Schema::new(fields)))
    }

    /// Does it; `sql` is its text.
    pub(crate) async fn run(&self, session: &Arc<Session>, sql: &Arc<str>) -> Result<Outcome, Error> {
        let tag = match self {
            Command::Commit(chain) => {
                let next = chained(session, *chain, "COMMIT AND CHAIN")?;
                let tag = block::commit(session).await?;
                next.into_iter().for_each(|modes| begin(session, modes));
                tag
            }
            Command::Rollback(chain) => {
                let next = chained(session, *chain, "ROLLBACK AND CHAIN")?;
                block::roll_back(session);
                next.into_iter().for_each(|modes| begin(session, modes));
                "ROLLBACK"
            }
            Command::Savepoint(Point::RollBackTo, name) => {
                block::roll_back_to(session, name)?;
                "ROLLBACK"
            }
            Command::Begin { modes, tag } => {
                // In a failed block it is refused like anything else.
                session.admit()?;
                if !session.settings.blocks {
                    return Err(raise(
                        Error::Unsupported,
                        "transactions are not supported here: each statement is committed by itself",
                    )
                    .with_hint("use autocommit"));
                }
                begin(session, *modes);
                tag
            }
            _ => {
                session.admit()?;
                return self.run_in_working_block(session, sql);
            }
        };
        Ok(Outcome::Command(Completion::plain(tag)))
    }

    fn run_in_working_block(&self, session: &Arc<Session>, sql: &Arc<str>) -> Result<Outcome, Error> {
        let tag = match self {
            Command::Savepoint(Point::Release, name) => {
                block::release(session, name)?;
                "RELEASE"
            }
            Command::Savepoint(_, name) => {
                block::savepoint(session, name)?;
                "SAVEPOINT"
            }
            Command::Set { items, local } => {
                let mut state = session.state.lock();
                for (name, value) in items {
                    state.set(name, value.as_deref(), *local)?;
                }
                if items.iter().all(|(_, value)| value.is_none()) { "RESET" } else { "SET" }
            }
            Command::Characteristics { modes, session: true } => {
                characteristics(&mut session.state.lock(), *modes)?;
                "SET"
            }
            Command::Characteristics { modes, .. } => {
                let mut state = session.state.lock();
                if state.block == Block::Idle {
                    drop(state);
                    session.notice("WARNING", "25P01", "SET TRANSACTION can only be used in transaction blocks", None);
                } else {
                    state.read_only = modes.read_only.unwrap_or(state.read_only);
                    state.note_isolation(modes.isolation);
                }
                "SET"
            }
            Command::ResetAll => {
                reset(&mut session.state.lock())?;
                "RESET"
            }
            Command::Discard(tag) => {
                if *tag == "DISCARD ALL" {
                    discard_all(session)?;
                }
                tag
            }
            Command::Unlisten => "UNLISTEN",
            Command::Close(name) => {
                session.cursors.close(name.as_deref())?;
                if name.is_some() { "CLOSE CURSOR" } else { "CLOSE CURSOR ALL" }
            }
            Command::Prepare(name, planned) => {
                session.names.add(name, planned, sql, true, session)?;
                "PREPARE"
            }
            Command::Deallocate(name) => {
                session.names.forget(name.as_deref())?;
                if name.is_some() { "DEALLOCATE" } else { "DEALLOCATE ALL" }
            }
            _ => return self.shown(session).map(Outcome::Rows),
        };
        Ok(Outcome::Command(Completion::plain(tag)))
    }

    fn shown(&self, session: &Session) -> Result<Rows, Error> {
        let state = session.state.lock();
        let columns: Vec<Vec<String>> = match self {
            Command::Show(name) => {
                let unknown = || raise(Error::UnknownObject, format!("unrecognized configuration parameter \"{name}\""));
                let value = state.variables.shown(name).ok_or_else(unknown)?;
                // What holds now, whoever asked for it.
                let of_block = state.block != Block::Idle && name == "transaction_read_only";
                vec![vec![if of_block { on_or_off(state.read_only) } else { value }]]
            }
            _ => {
                let shown = |(name, _): (&str, &str)| (name.to_owned(), state.variables.shown(name).unwrap_or_default());
                let (names, values) = state.variables.all().map(shown).unzip();
                vec![names, values]
            }
        };
        let schema = self.schema().unwrap_or_else(|| Arc::new(Schema::empty()));
        let arrays = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as _).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        Ok(Rows { schema, batches: futures::stream::iter([Ok(batch)]).boxed(), command: "SHOW" })
    }
}

fn on_or_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

fn begin(session: &Session, modes: Modes) {
    let now_us = session.engine.settings.clock.wall_us();
    session.state.lock().begin(modes.read_only, modes.isolation, now_us);
}

/// What the next block is to be like, where one follows.
fn chained(session: &Session, chain: bool, command: &str) -> Result<Option<Modes>, Error> {
    let state = session.state.lock();
    if !chain {
        return Ok(None);
    }
    if state.block == Block::Idle {
        return Err(raise(Error::NoTransaction, format!("{command} can only be used in transaction blocks")));
    }
    Ok(Some(Modes { read_only: Some(state.read_only), isolation: None }))
}

/// SET SESSION CHARACTERISTICS: what the transactions that follow are like.
fn characteristics(state: &mut State, modes: Modes) -> Result<(), Error> {
    if let Some(read_only) = modes.read_only {
        state.set("default_transaction_read_only", Some(&on_or_off(read_only)), false)?;
    }
    if let Some(level) = modes.isolation {
        state.set("default_transaction_isolation", Some(&level.to_lowercase()), false)?;
        state.note_isolation(Some(level));
    }
    Ok(())
}

fn discard_all(session: &Session) -> Result<(), Error> {
    if session.block() != Block::Idle {
        return Err(raise(Error::ActiveTransaction, "DISCARD ALL cannot run inside a transaction block"));
    }
    reset(&mut session.state.lock())?;
    // Whoever gets the connection next from a pool is itself again.
    session.access.set_session(None)?;
    session.tell_role();
    session.cursors.close(None)?;
    session.names.forget(None)
}

fn reset(state: &mut State) -> Result<(), Error> {
    let names: Vec<String> = state.variables.all().map(|(name, _)| name.to_owned()).collect();
    names.iter().try_for_each(|name| state.set(name, None, false))
}
