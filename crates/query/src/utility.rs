//! Statements that concern only the session: transaction blocks, settings, DISCARD, DEALLOCATE.

use crate::error::{Error, raise};
use crate::outcome::{Completion, Outcome, Rows};
use crate::session::{Block, Session, State};
use arrow::array::{RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::sql::sqlparser::ast::{
    self, DiscardObject, Expr, Reset, Set, Statement as Tree, TransactionAccessMode, TransactionMode, Value,
};
use futures::StreamExt;
use std::sync::Arc;

/// A statement of the session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Begin {
        read_only: Option<bool>,
        tag: &'static str,
    },
    Commit,
    Rollback,
    /// Name and value; None = the default.
    Set(Vec<(String, Option<String>)>),
    ResetAll,
    Characteristics {
        read_only: Option<bool>,
    },
    Show(String),
    ShowAll,
    Discard(&'static str),
    Deallocate,
    Savepoint(&'static str),
}

/// The command that a statement is; None where it is another sort of statement.
pub(crate) fn recognise(tree: &Tree) -> Result<Option<Command>, Error> {
    Ok(Some(match tree {
        Tree::StartTransaction { modes, begin, .. } => {
            Command::Begin { read_only: read_only(modes), tag: if *begin { "BEGIN" } else { "START TRANSACTION" } }
        }
        Tree::Commit { chain, .. } => {
            refuse_chain(*chain)?;
            Command::Commit
        }
        Tree::Rollback { savepoint: Some(_), .. } => Command::Savepoint("ROLLBACK TO SAVEPOINT"),
        Tree::Rollback { chain, .. } => {
            refuse_chain(*chain)?;
            Command::Rollback
        }
        Tree::Savepoint { .. } => Command::Savepoint("SAVEPOINT"),
        Tree::ReleaseSavepoint { .. } => Command::Savepoint("RELEASE SAVEPOINT"),
        Tree::Set(set) => assignments(set)?,
        Tree::Reset(reset) => match &reset.reset {
            Reset::ALL => Command::ResetAll,
            Reset::ConfigurationParameter(name) => Command::Set(vec![(name.to_string(), None)]),
        },
        Tree::ShowVariable { variable } => show(variable),
        Tree::Discard { object_type } => Command::Discard(match object_type {
            DiscardObject::ALL => "DISCARD ALL",
            DiscardObject::PLANS => "DISCARD PLANS",
            DiscardObject::SEQUENCES => "DISCARD SEQUENCES",
            DiscardObject::TEMP => "DISCARD TEMP",
        }),
        Tree::Deallocate { .. } => Command::Deallocate,
        _ => return Ok(None),
    }))
}

fn refuse_chain(chain: bool) -> Result<(), Error> {
    if chain { Err(raise(Error::Unsupported, "AND CHAIN is not supported")) } else { Ok(()) }
}

fn read_only(modes: &[TransactionMode]) -> Option<bool> {
    modes.iter().rev().find_map(|mode| match mode {
        TransactionMode::AccessMode(access) => Some(*access == TransactionAccessMode::ReadOnly),
        TransactionMode::IsolationLevel(_) => None,
    })
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
    let one = |name: String, value: Option<String>| Command::Set(vec![(name, value)]);
    Ok(match set {
        Set::SingleAssignment { variable, values, .. } => {
            let name = variable.to_string();
            let texts = values.iter().map(text_of).collect::<Result<Vec<_>, _>>()?;
            let default = texts.iter().any(|text| text.eq_ignore_ascii_case("default"));
            one(name, (!default).then(|| texts.join(", ")))
        }
        Set::SetTimeZone { value, .. } => {
            let text = text_of(value)?;
            let default = ["default", "local"].contains(&text.to_ascii_lowercase().as_str());
            one("timezone".to_owned(), (!default).then_some(text))
        }
        Set::SetNames { charset_name, .. } => one("client_encoding".to_owned(), Some(charset_name.value.clone())),
        Set::SetNamesDefault {} => one("client_encoding".to_owned(), None),
        Set::SetTransaction { modes, .. } => Command::Characteristics { read_only: read_only(modes) },
        Set::MultipleAssignments { assignments } => Command::Set(
            assignments
                .iter()
                .map(|item| Ok((item.name.to_string(), Some(text_of(&item.value)?))))
                .collect::<Result<Vec<_>, Error>>()?,
        ),
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

    /// Does it.
    pub(crate) fn run(&self, session: &Session) -> Result<Outcome, Error> {
        let done = |tag: &str| Ok(Outcome::Command(Completion::plain(tag)));
        match self {
            Command::Begin { read_only, tag } => {
                begin(session, *read_only);
                done(tag)
            }
            Command::Commit => done(commit(session)),
            Command::Rollback => {
                rollback(session)?;
                done("ROLLBACK")
            }
            Command::Savepoint(what) => {
                session.admit()?;
                Err(raise(Error::Unsupported, format!("{what} is not supported")))
            }
            Command::Set(items) => {
                session.admit()?;
                let mut state = session.state.lock();
                for (name, value) in items {
                    let told = state.variables.set(name, value.as_deref())?;
                    state.changes.extend(told);
                }
                done(if items.iter().all(|(_, value)| value.is_none()) { "RESET" } else { "SET" })
            }
            Command::Characteristics { read_only } => {
                let mut state = session.state.lock();
                state.read_only = read_only.unwrap_or(state.read_only);
                done("SET")
            }
            Command::ResetAll => {
                reset(&mut session.state.lock());
                done("RESET")
            }
            Command::Discard(tag) => {
                if *tag == "DISCARD ALL" {
                    if session.block() != Block::Idle {
                        return Err(raise(Error::TransactionState, "DISCARD ALL cannot run inside a transaction block"));
                    }
                    reset(&mut session.state.lock());
                    // Whoever gets the connection next from a pool is itself again.
                    session.access.set_session(None)?;
                    session.tell_role();
                }
                done(tag)
            }
            Command::Deallocate => done("DEALLOCATE"),
            Command::Show(_) | Command::ShowAll => {
                session.admit()?;
                self.shown(session).map(Outcome::Rows)
            }
        }
    }

    fn shown(&self, session: &Session) -> Result<Rows, Error> {
        let state = session.state.lock();
        let columns: Vec<Vec<String>> = match self {
            Command::Show(name) => {
                let unknown = || raise(Error::UnknownObject, format!("unrecognized configuration parameter \"{name}\""));
                vec![vec![state.variables.get(name).ok_or_else(unknown)?.to_owned()]]
            }
            _ => {
                let (names, values) = state.variables.all().map(|(name, value)| (name.to_owned(), value.to_owned())).unzip();
                vec![names, values]
            }
        };
        let schema = self.schema().unwrap_or_else(|| Arc::new(Schema::empty()));
        let arrays = columns.into_iter().map(|column| Arc::new(StringArray::from(column)) as _).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays)?;
        Ok(Rows { schema, batches: futures::stream::iter([Ok(batch)]).boxed(), command: "SHOW" })
    }
}

fn begin(session: &Session, read_only: Option<bool>) {
    let mut state = session.state.lock();
    if state.block == Block::Idle {
        state.block = Block::Open;
        state.writes = 0;
        state.read_only = read_only.unwrap_or(false);
        return;
    }
    drop(state);
    session.notice("WARNING", "25001", "there is already a transaction in progress", None);
}

fn ended(state: &mut State) -> (Block, u64) {
    state.read_only = false;
    (std::mem::take(&mut state.block), std::mem::take(&mut state.writes))
}

fn commit(session: &Session) -> &'static str {
    let (block, writes) = ended(&mut session.state.lock());
    match block {
        Block::Idle => session.notice("WARNING", "25P01", "there is no transaction in progress", None),
        Block::Failed if writes > 0 => {
            session.notice("WARNING", "01000", format!("{writes} writes made before the failure stay committed"), None);
        }
        Block::Open | Block::Failed => {}
    }
    if block == Block::Failed { "ROLLBACK" } else { "COMMIT" }
}

fn rollback(session: &Session) -> Result<(), Error> {
    let (block, writes) = ended(&mut session.state.lock());
    if block == Block::Idle {
        session.notice("WARNING", "25P01", "there is no transaction in progress", None);
    }
    if writes > 0 {
        let message = format!("can't roll back: {writes} writes of this transaction block are committed and stay");
        return Err(raise(Error::Unsupported, message)
            .with_detail("the block is ended")
            .with_hint("each write is committed by itself; delete what should not stay"));
    }
    Ok(())
}

fn reset(state: &mut State) {
    let names: Vec<String> = state.variables.all().map(|(name, _)| name.to_owned()).collect();
    for name in names {
        // Every name comes from the table of settings, so none is refused.
        if let Ok(told) = state.variables.set(&name, None) {
            state.changes.extend(told);
        }
    }
}
