//! How calls that wait become one write, which takes one sync.
//!
//! What it promises: the answers are those that the calls would get one after the other. Creations join by
//! being staged, each upon the one before. Changes (and deletions) join only where none touches what
//! an earlier one of the same write touches: its tags, and the names that it gives up or takes. The first
//! that does goes back to the head of the queue, with all behind it, and waits for the next write.
//! What it may not know: how a write gets to the log and what follows.

use crate::Error;
use crate::call::Call;
use crate::core::{Answers, Core, Flight};
use crate::kind_table::KindTable;
use crate::record;
use crate::row::{RowReader, RowWriter};
use crate::rules::invalid;
use crate::table::Refusal;
use crate::verdict::{Claims, Verdict};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use storage::wire::put_varint;

/// Rows staged under one hold of the table's lock.
const STAGE_ROWS: u64 = 1024;

impl Core {
    /// Starts a write of calls of one sort; false where there was nothing to log, and all that were not put
    /// back are answered.
    pub fn start(self: &Arc<Self>, calls: Vec<Call>, sequence: u64) -> bool {
        match calls.first() {
            Some(Call::Create(_)) => self.start_creations(calls, sequence),
            Some(Call::Change(..)) => self.start_changes(calls, sequence),
            Some(Call::Delete(..)) => self.start_deletions(calls, sequence),
            Some(Call::Close(_)) | None => {
                for call in calls {
                    let Call::Close(promise) = call else { continue };
                    let core = Arc::clone(self);
                    self.log.close(move |answer| promise.keep(answer.map(|_| ()).map_err(|error| core.poison(&error))));
                }
                false
            }
        }
    }

    fn start_creations(self: &Arc<Self>, calls: Vec<Call>, sequence: u64) -> bool {
        let first = self.kinds.visible();
        let mut staged = Vec::new();
        for call in calls {
            let Call::Create(creation) = call else { continue };
            match self.stage(&creation.run, creation.rows, sequence) {
                Ok(range) => staged.push((creation, range)),
                Err(error) => creation.promise.keep(Err(error)),
            }
        }
        if staged.is_empty() {
            return false;
        }
        let mut pieces = Vec::new();
        let mut head = Vec::new();
        put_varint(&mut head, first);
        put_varint(&mut head, staged.len() as u64);
        for (creation, _) in &staged {
            put_varint(&mut head, creation.rows);
            put_varint(&mut head, creation.run.len() as u64);
            pieces.push(Bytes::from(std::mem::take(&mut head)));
            pieces.push(creation.run.clone());
        }
        let rows = staged.iter().map(|(creation, _)| creation.rows as usize).sum();
        self.append(Flight::new(record::KIND_CREATE, Bytes::new(), rows, Answers::Created(staged), sequence), pieces);
        true
    }

    /// Adds a run of rows to the table, where nobody sees them yet; all or none.
    pub fn stage(&self, run: &[u8], rows: u64, sequence: u64) -> Result<Range<u64>, Error> {
        let mut run = RowReader::new(run);
        let mut table = self.table.write();
        let first = table.rows();
        table.begin_run();
        for row in 0..rows {
            if row % STAGE_ROWS == STAGE_ROWS - 1 {
                parking_lot::RwLockWriteGuard::bump(&mut table);
            }
            match record::push_next(&mut run, &mut table, &self.kinds, sequence) {
                Ok(()) => {}
                Err(refusal) => {
                    table.take_back(first);
                    let name = run.last_name();
                    return Err(match refusal {
                        Refusal::Taken => Error::Exists(name.to_owned()),
                        Refusal::TooMany => invalid(name, format!("a node holds at most {} tags", KindTable::TAGS_MAX)),
                        Refusal::Malformed => Error::Unreadable("a creation of tags".to_owned()),
                    });
                }
            }
        }
        if !run.is_empty() {
            table.take_back(first);
            return Err(Error::Unreadable("a creation has more bytes than rows".to_owned()));
        }
        Ok(first..first + rows)
    }

    fn start_changes(self: &Arc<Self>, calls: Vec<Call>, sequence: u64) -> bool {
        let (mut run, mut rows, mut promises) = (RowWriter::default(), 0, Vec::new());
        let mut claims = Claims::default();
        let mut calls = calls.into_iter();
        while let Some(Call::Change(changes, now, promise)) = calls.next() {
            match self.check_change(&changes, &mut claims) {
                Ok(Verdict::Fits) => {
                    for (id, definition) in &changes {
                        put_varint(&mut run.out, id.0);
                        run.put_definition(definition, now.0, now.0);
                    }
                    rows += changes.len();
                    promises.push(promise);
                }
                Ok(Verdict::Waits) => {
                    self.put_back(Call::Change(changes, now, promise), calls);
                    break;
                }
                Err(error) => promise.keep(Err(error)),
            }
        }
        let mut bytes = Vec::with_capacity(run.out.len() + 10);
        put_varint(&mut bytes, rows as u64);
        bytes.extend_from_slice(&run.out);
        self.append_done(record::KIND_CHANGE, bytes, rows, promises, sequence)
    }

    fn start_deletions(self: &Arc<Self>, calls: Vec<Call>, sequence: u64) -> bool {
        let (mut ordinals, mut promises) = (Vec::new(), Vec::new());
        let mut claims = Claims::default();
        let mut calls = calls.into_iter();
        while let Some(Call::Delete(tags, promise)) = calls.next() {
            match self.check_delete(&tags, &mut claims) {
                Ok(Verdict::Fits) => {
                    ordinals.extend(tags.iter().map(|tag| tag.0));
                    promises.push(promise);
                }
                Ok(Verdict::Waits) => {
                    self.put_back(Call::Delete(tags, promise), calls);
                    break;
                }
                Err(error) => promise.keep(Err(error)),
            }
        }
        ordinals.sort_unstable();
        let rows = ordinals.len();
        let bytes = record::put_delete(ordinals.into_iter());
        self.append_done(record::KIND_DELETE, bytes, rows, promises, sequence)
    }

    /// Calls that were taken go back to the head of the queue, in their order. Only the holder of `busy`
    /// takes calls out, so that nothing came before them meanwhile.
    fn put_back(&self, call: Call, rest: impl DoubleEndedIterator<Item = Call>) {
        let mut commit = self.commit.lock();
        rest.rev().for_each(|call| commit.queue.push_front(call));
        commit.queue.push_front(call);
    }

    fn append_done(
        self: &Arc<Self>,
        kind: u8,
        bytes: Vec<u8>,
        rows: usize,
        promises: Vec<world::Promise<Result<(), Error>>>,
        sequence: u64,
    ) -> bool {
        if promises.is_empty() {
            return false;
        }
        let bytes = Bytes::from(bytes);
        let pieces = vec![bytes.clone()];
        self.append(Flight::new(kind, bytes, rows, Answers::Done(promises), sequence), pieces);
        true
    }
}
