//! CHECKPOINT, VACUUM and ANALYZE.
//!
//! CHECKPOINT has buffers written to files; VACUUM has that done and files merged until nothing is gained any more, all of the
//! store's, whichever table is named: tables share their files. ANALYZE finds everything done: each chunk has its statistics.
//! Promises: an answer comes when the work is done. One that is cancelled waits no longer; the work goes on, useful either way.

use crate::error::{Error, raise};
use crate::ingest::wait;
use crate::outcome::{Completion, Outcome};
use crate::session::Session;

/// A table's name in parts, as it is written.
type TableName = Vec<String>;

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Maintenance {
    Checkpoint,
    Vacuum(Vec<TableName>),
    Analyze(Vec<TableName>),
}

impl Maintenance {
    fn tag(&self) -> &'static str {
        match self {
            Maintenance::Checkpoint => "CHECKPOINT",
            Maintenance::Vacuum(_) => "VACUUM",
            Maintenance::Analyze(_) => "ANALYZE",
        }
    }

    /// Does it.
    pub(crate) async fn run(&self, session: &Session) -> Result<Outcome, Error> {
        let rights = session.access.rights();
        rights.alive()?;
        let store = &session.engine.store;
        match self {
            Maintenance::Checkpoint => {
                if !rights.checkpoints {
                    rights.admit_acting("CHECKPOINT")?;
                }
                wait(store.flush()).await?;
            }
            Maintenance::Vacuum(tables) => {
                session.admit_outside("VACUUM")?;
                known(session, tables)?;
                rights.admit_acting("VACUUM")?;
                wait(store.flush()).await?;
                wait(store.merge()).await?;
            }
            Maintenance::Analyze(tables) => known(session, tables)?,
        }
        Ok(Outcome::Command(Completion::plain(self.tag())))
    }
}

/// Refuses names of no table.
fn known(session: &Session, tables: &[TableName]) -> Result<(), Error> {
    for name in tables {
        let (schema, table) = match &name[..] {
            [table] => ("public", table),
            [schema, table] | [_, schema, table] => (schema.as_str(), table),
            _ => return Err(raise(Error::Syntax, format!("improper relation name: {}", name.join(".")))),
        };
        if !crate::tables::names(&session.engine, schema).contains(&table.as_str()) {
            return Err(raise(Error::UnknownTable, format!("relation \"{}\" does not exist", name.join("."))));
        }
    }
    Ok(())
}
