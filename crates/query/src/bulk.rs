//! Bulk loads: whole columns for one table, on the way that SQL's INSERT would take them, without rows and without text.
//!
//! Promises: a load is admitted as INSERT into the table is (rights, read-only transactions), it stands in the register of
//! statements while it runs, and can be cancelled there between two commits; what was answered is durable and visible.

use crate::access::Privileges;
use crate::block::Writing;
use crate::error::{Error, raise};
use crate::ingest::wait;
use crate::running::{Ongoing, cancelled, unless_cancelled};
use crate::session::Session;
use crate::write::{Written, written};
use datafusion::sql::sqlparser::ast::{Ident, ObjectName, ObjectNamePart};
use kernel::{Committed, Write};
use std::sync::Arc;
use types::{Kind, TagDefinition, TagId};

/// A bulk load that goes on.
pub struct Bulk {
    session: Arc<Session>,
    target: Written,
    ongoing: Ongoing,
}

impl Session {
    /// Begins a bulk load into a table: of schema `public` where none is said.
    ///
    /// # Errors
    /// As INSERT: `Error::UnknownTable`, `Error::Forbidden`, `Error::ReadOnly` and their like.
    pub fn bulk(self: &Arc<Self>, schema: Option<&str>, table: &str) -> Result<Bulk, Error> {
        self.admit()?;
        let parts = schema.into_iter().chain([table]).map(|part| ObjectNamePart::Identifier(Ident::new(part)));
        let name = ObjectName(parts.collect());
        let target = written(&name, "INSERT", "")?;
        self.admit_outside("a bulk load")?;
        self.admit_write("INSERT", if target == Written::Tags { Writing::NewTags } else { Writing::Rows })?;
        let rights = self.access.rights();
        match target {
            Written::Tags => rights.admit_making()?,
            Written::Series(sort) => rights.admit(sort.full_name(), Privileges::INSERT)?,
        }
        let shown = format!("bulk load into {table}").into();
        let (ongoing, _) = self.begin(&shown, self.trace());
        Ok(Bulk { session: Arc::clone(self), target, ongoing })
    }
}

impl Bulk {
    /// The table's name.
    #[must_use]
    pub fn table(&self) -> &'static str {
        match self.target {
            Written::Series(sort) => sort.name(),
            Written::Tags => "tags",
        }
    }

    /// The table's name with its schema's.
    #[must_use]
    pub fn full_name(&self) -> &'static str {
        match self.target {
            Written::Series(sort) => sort.full_name(),
            Written::Tags => "public.tags",
        }
    }

    /// Whether samples of a tag of that kind may be loaded: asked of each row, before it is written.
    ///
    /// # Errors
    /// `Error::Type` where they don't belong into the table.
    pub fn admit(&self, tag: TagId, kind: Kind) -> Result<(), Error> {
        if matches!(self.target, Written::Series(sort) if sort.holds(kind)) {
            return Ok(());
        }
        let known = self.session.engine.catalog.get(tag);
        let name = known.map_or_else(|| tag.to_string(), |known| format!("\"{}\"", known.definition.name));
        let message = format!("tag {name} of kind {} does not belong into table {}", kind.name(), self.table());
        Err(raise(Error::Type, message))
    }

    /// Resolves when names may be resolved here; asked before each commit.
    ///
    /// # Errors
    /// `Error::Cancelled` where the load was cancelled; as `Engine::readable`.
    pub async fn ready(&self) -> Result<(), Error> {
        if self.ongoing.is_cancelled() {
            return Err(cancelled());
        }
        self.session.engine.readable().await
    }

    /// Waits until so many rows more may be written.
    ///
    /// # Errors
    /// `Error::Cancelled` where the load was cancelled meanwhile.
    pub async fn pace(&mut self, rows: u64) -> Result<(), Error> {
        let session = Arc::clone(&self.session);
        let paced = async move {
            session.pace_written(rows).await;
            Ok(())
        };
        unless_cancelled(paced, self.ongoing.renew()).await
    }

    /// Commits samples. They are copied before this returns, and durable when the answer is there.
    pub fn write(&self, write: Write<'_>) -> impl Future<Output = Result<Committed, Error>> + Send + use<> {
        self.session.engine.write(write, &self.session.asker()).wait()
    }

    /// Makes tags, all or none.
    pub fn create(&self, definitions: Vec<TagDefinition>) -> impl Future<Output = Result<(), Error>> + Send + use<> {
        let refused = self.session.access.rights().may_make(&definitions).err();
        let created = refused.is_none().then(|| self.session.engine.tags.create(definitions));
        async {
            match (created, refused) {
                (Some(created), _) => wait(created).await.map(|_| ()),
                (None, Some((row, error))) => Err(error.with_detail(format!("row {row}"))),
                (None, None) => Ok(()),
            }
        }
    }

    /// The error of a column that the table does not have.
    #[must_use]
    pub fn unknown_column(&self, name: &str) -> Error {
        let shown: String = name.chars().take(64).collect();
        raise(Error::UnknownColumn, format!("column \"{shown}\" of relation \"{}\" does not exist", self.table()))
    }
}
