//! Long answers, read as they come: rows in binary form, and the data of COPY TO STDOUT.
//!
//! Promises: no more is held than was read at once, for the server waits meanwhile; Ctrl-C, also while nothing comes, ends the
//! statement at the server too.

use super::Session;
use crate::{Error, interrupt};
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use std::future::Future;
use std::pin::pin;
use std::time::Duration;
use tokio_postgres::{Row, Statement};

/// How often somebody who waits looks whether Ctrl-C was given.
const LOOK: Duration = Duration::from_millis(100);
/// How long a request to cancel may take.
const CANCEL_MAX: Duration = Duration::from_secs(5);
/// Messages taken at once.
const TAKEN_MAX: usize = 1024;

/// An answer that comes.
pub struct Coming<T>(BoxStream<'static, Vec<Result<T, tokio_postgres::Error>>>);

impl Session {
    /// Prepares a statement: its columns are known then.
    ///
    /// # Errors
    /// `Error::Node`, `Error::Interrupted`.
    pub fn prepare(&self, sql: &str) -> Result<Statement, Error> {
        self.attend("preparing the statement", self.client.prepare(sql))
    }

    /// Runs a statement without parameters; its rows come in binary form.
    ///
    /// # Errors
    /// `Error::Node`, `Error::Interrupted`.
    pub fn rows(&self, statement: &Statement) -> Result<Coming<Row>, Error> {
        let rows = self.client.query_raw::<_, bool, _>(statement, Vec::new());
        Ok(Coming(self.attend("running the statement", rows)?.ready_chunks(TAKEN_MAX).boxed()))
    }

    /// Runs `COPY .. TO STDOUT`; its data come message by message, one a row.
    ///
    /// # Errors
    /// `Error::Node`, `Error::Interrupted`.
    pub fn copy_out(&self, sql: &str) -> Result<Coming<Bytes>, Error> {
        let data = self.client.copy_out(sql);
        Ok(Coming(self.attend("running the statement", data)?.ready_chunks(TAKEN_MAX).boxed()))
    }

    /// What has come next; nothing at the end.
    ///
    /// # Errors
    /// `Error::Node`: the server gave up, or is gone; `Error::Interrupted`.
    pub fn next<T>(&self, coming: &mut Coming<T>) -> Result<Vec<T>, Error> {
        let part = async { coming.0.next().await.unwrap_or_default().into_iter().collect() };
        self.attend("reading the answer", part)
    }

    /// Waits for an answer, or for Ctrl-C.
    fn attend<T>(&self, doing: &'static str, work: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Error> {
        self.runtime.block_on(async {
            let mut work = pin!(work);
            while !interrupt::asked() {
                tokio::select! {
                    biased;
                    done = &mut work => return done.map_err(Error::postgres(doing)),
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
            // A server that can't be reached any more ends the statement when the connection is gone.
            let _ = tokio::time::timeout(CANCEL_MAX, self.client.cancel_token().cancel_query(self.tls.clone())).await;
            Err(Error::Interrupted)
        })
    }
}
