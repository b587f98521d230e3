//! Columnar writes of a session: what a door hands in as columns, not as SQL.
//!
//! Promises: the session's user is asked for their rights, as by a statement, before anything is written; a write's rows
//! are copied before `submit` returns; its answer comes when they are durable.
//! It may not know: what the columns were made of.

use crate::access::Rights;
use crate::block::Writing;
use crate::error::{Error, raise};
use crate::ingest::{Answer, wait};
use crate::running::cancelled;
use crate::session::Session;
use futures::future::Abortable;
use kernel::{Committed, Write};
use std::ops::Range;
use types::TagDefinition;

/// A write on its way.
pub struct Submitted(Answer<Committed>);

impl Submitted {
    /// Waits until it is as durable as the store's setting says.
    ///
    /// # Errors
    /// Why it was refused: `Error::DiskFull`, `Error::Unavailable`, `Error::TooLarge` and their like.
    pub async fn wait(self) -> Result<Committed, Error> {
        self.0.wait().await
    }
}

impl Session {
    /// Does work that is no statement as if it were one: it stands in the register as `shown`, and ends there with 57014 when it
    /// is cancelled.
    ///
    /// # Errors
    /// Those of the work.
    pub async fn attended<T, E: From<Error>>(&self, shown: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let (ongoing, registration) = self.begin(&shown.into(), self.trace());
        let _ongoing = ongoing.uncounted();
        Abortable::new(work, registration).await.unwrap_or_else(|_| Err(cancelled().into()))
    }

    /// Resolves when names may be resolved here, and refuses a session that may not write.
    ///
    /// # Errors
    /// `Error::ReadOnly`, `Error::TransactionFailed`, `Error::Unavailable`.
    pub async fn begin_intake(&self) -> Result<(), Error> {
        self.admit()?;
        self.admit_outside("a columnar write")?;
        self.admit_write("INSERT", Writing::Rows)?;
        self.access.rights().alive()?;
        self.engine.readable().await
    }

    /// Commits samples and texts of tags that are there: one commit in each slice.
    ///
    /// # Errors
    /// `Error::Forbidden`, `Error::InvalidRole` where the session's role may not write to one of the tags: nothing is written.
    pub fn submit(&self, write: Write<'_>) -> Result<Submitted, Error> {
        let rights = self.access.rights();
        if !rights.is_unbound() {
            let samples = write.samples.iter().map(|samples| (false, samples.tags()));
            for (texts, tags) in samples.chain(write.texts.iter().map(|texts| (true, texts.tags()))) {
                if rights.first_refused(&self.engine.catalog, Rights::table_of(texts), tags)?.is_some() {
                    return Err(raise(Error::Forbidden, "permission denied for one of the tags"));
                }
            }
        }
        Ok(Submitted(self.engine.write(write, &self.asker())))
    }

    /// Makes tags; all or none. The answer is the range of their ordinals, in order.
    ///
    /// # Errors
    /// `Error::DuplicateTag`, `Error::Check`, `Error::DiskFull`, `Error::Unavailable`.
    pub async fn create_tags(&self, definitions: Vec<TagDefinition>) -> Result<Range<u64>, Error> {
        self.access.rights().may_make(&definitions).map_err(|(_, refused)| refused)?;
        wait(self.engine.tags.create(definitions)).await
    }
}
