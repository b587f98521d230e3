//! What is asked of the catalog and waits its turn.

use crate::Error;
use crate::row::RowWriter;
use bytes::Bytes;
use std::ops::Range;
use types::{TagDefinition, TagId, Timestamp};
use world::Promise;

/// A call.
pub enum Call {
    /// Make tags.
    Create(Creation),
    /// Change tags: the definitions, and when.
    Change(Vec<(TagId, TagDefinition)>, Timestamp, Promise<Result<(), Error>>),
    /// Delete tags.
    Delete(Vec<TagId>, Promise<Result<(), Error>>),
    /// Close the log.
    Close(Promise<Result<(), Error>>),
}

/// Definitions that keep the rules, as a run of rows.
pub struct Creation {
    pub run: Bytes,
    pub rows: u64,
    pub promise: Promise<Result<Range<u64>, Error>>,
}

impl Creation {
    /// Checks and encodes definitions.
    ///
    /// # Errors
    /// `Error::Invalid`.
    pub fn encode(definitions: &[TagDefinition], now: Timestamp) -> Result<Bytes, Error> {
        let mut run = RowWriter::with_capacity(definitions.len() * 48);
        for definition in definitions {
            crate::rules::check(definition)?;
            run.put_definition(definition, now.0, now.0);
        }
        Ok(run.out.into())
    }
}

impl Call {
    /// How many tags it concerns.
    pub fn rows(&self) -> usize {
        match self {
            Call::Create(creation) => creation.rows as usize,
            Call::Change(changes, ..) => changes.len(),
            Call::Delete(tags, _) => tags.len(),
            Call::Close(_) => 0,
        }
    }

    /// Whether it may be part of the write that begins with `first`.
    pub fn joins(&self, first: &Call) -> bool {
        match self {
            Call::Close(_) => false,
            call => std::mem::discriminant(call) == std::mem::discriminant(first),
        }
    }

    /// Answers with an error.
    pub fn refuse(self, error: Error) {
        match self {
            Call::Create(creation) => creation.promise.keep(Err(error)),
            Call::Change(.., promise) | Call::Delete(_, promise) | Call::Close(promise) => promise.keep(Err(error)),
        }
    }
}
