//! A cursor's query and its place in it.
//!
//! Promises: the query is asked for a batch only when a row of it is wanted; of what was read, a cursor without SCROLL
//! keeps the batch of its current row and nothing else, one with SCROLL keeps all, within queries' memory (53200).
//!
//! Places count as PostgreSQL's: 0 stands before the first row, n on row n, and one more than there are rows behind the
//! last.

use crate::error::{Error, raise};
use arrow::array::{RecordBatch, UInt32Array};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use futures::StreamExt;
use futures::stream::BoxStream;
use std::collections::VecDeque;
use std::sync::Arc;

/// Where a FETCH or MOVE goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// So many rows on.
    Forward(u64),
    /// So many rows back.
    Backward(u64),
    /// To a row; from the end where it is negative.
    Absolute(i64),
    /// To the row so many from here.
    Relative(i64),
}

impl Step {
    /// FORWARD n.
    pub(crate) fn forward(count: i64) -> Step {
        match count {
            0 => Step::Relative(0),
            1.. => Step::Forward(count.unsigned_abs()),
            _ => Step::Backward(count.unsigned_abs()),
        }
    }

    /// BACKWARD n.
    pub(crate) fn backward(count: i64) -> Step {
        match count {
            0 => Step::Relative(0),
            1.. => Step::Backward(count.unsigned_abs()),
            _ => Step::Forward(count.unsigned_abs()),
        }
    }

    fn goes_back(self, position: u64) -> bool {
        match self {
            Step::Forward(_) => false,
            Step::Backward(_) => true,
            Step::Absolute(row) => u64::try_from(row).map_or(true, |row| row < position),
            Step::Relative(rows) => rows < 0,
        }
    }
}

/// A walk that is under way.
pub(crate) enum Walk {
    Forward(u64),
    Backward(u64),
    /// One row, counted from the first; or from behind the last.
    To(u64),
    FromEnd(u64),
    Ended,
}

pub(crate) struct Reading {
    /// None: it has ended, or failed.
    source: Option<BoxStream<'static, Result<RecordBatch, Error>>>,
    failed: bool,
    scroll: bool,
    /// Batches, each with the number of rows before it.
    kept: VecDeque<(u64, RecordBatch)>,
    /// How many rows came.
    read: u64,
    position: u64,
    room: MemoryReservation,
}

impl Reading {
    pub(crate) fn new(
        source: BoxStream<'static, Result<RecordBatch, Error>>,
        scroll: bool,
        memory: &Arc<dyn MemoryPool>,
    ) -> Self {
        let room = MemoryConsumer::new("rows of a SCROLL cursor").register(memory);
        Reading { source: Some(source), failed: false, scroll, kept: VecDeque::new(), read: 0, position: 0, room }
    }

    /// Begins a walk.
    ///
    /// # Errors
    /// 55000 where it leads back and can't, or the query has failed.
    pub(crate) fn walk(&self, step: Step, name: &str) -> Result<Walk, Error> {
        if self.failed {
            return Err(raise(Error::NotInState, format!("cursor \"{name}\" can't be read on after its query failed"))
                .with_hint("close it and declare it again"));
        }
        if !self.scroll && step.goes_back(self.position) {
            return Err(raise(Error::NotInState, "cursor can only scan forward")
                .with_hint("Declare it with SCROLL option to enable backward scan."));
        }
        Ok(match step {
            Step::Forward(count) => Walk::Forward(count),
            Step::Backward(count) => Walk::Backward(count),
            Step::Absolute(row) if row < 0 => Walk::FromEnd(row.unsigned_abs()),
            Step::Absolute(row) => Walk::To(row.unsigned_abs()),
            Step::Relative(rows) => Walk::To(self.position.saturating_add_signed(rows)),
        })
    }

    /// The walk's next rows; None at its end.
    pub(crate) async fn piece(&mut self, walk: &mut Walk) -> Result<Option<RecordBatch>, Error> {
        match *walk {
            Walk::Forward(left) => {
                let piece = self.forward(left).await?;
                *walk = Walk::Forward(left - piece.as_ref().map_or(0, |piece| piece.num_rows() as u64));
                Ok(piece)
            }
            Walk::Backward(left) => {
                let piece = self.backward(left)?;
                *walk = Walk::Backward(left - piece.as_ref().map_or(0, |piece| piece.num_rows() as u64));
                Ok(piece)
            }
            Walk::To(row) => {
                *walk = Walk::Ended;
                self.to(row).await
            }
            Walk::FromEnd(back) => {
                *walk = Walk::Ended;
                while self.read_on().await? {}
                self.to((self.read + 1).saturating_sub(back)).await
            }
            Walk::Ended => Ok(None),
        }
    }

    async fn forward(&mut self, left: u64) -> Result<Option<RecordBatch>, Error> {
        if left == 0 {
            return Ok(None);
        }
        if !self.has(self.position + 1).await? {
            self.place(self.read + 1);
            return Ok(None);
        }
        let Some((before, batch)) = self.batch_of(self.position + 1) else { return Ok(None) };
        let from = self.position - before;
        let count = left.min(batch.num_rows() as u64 - from);
        let piece = batch.slice(from as usize, count as usize);
        self.place(self.position + count);
        Ok(Some(piece))
    }

    fn backward(&mut self, left: u64) -> Result<Option<RecordBatch>, Error> {
        if left == 0 {
            return Ok(None);
        }
        if self.position <= 1 {
            self.place(0);
            return Ok(None);
        }
        let Some((before, batch)) = self.batch_of(self.position - 1) else { return Ok(None) };
        let end = self.position - 1 - before;
        let count = left.min(end);
        let rows = UInt32Array::from_iter_values(((end - count)..end).rev().map(|row| row as u32));
        let piece = arrow::compute::take_record_batch(&batch, &rows)?;
        self.place(self.position - count);
        Ok(Some(piece))
    }

    async fn to(&mut self, row: u64) -> Result<Option<RecordBatch>, Error> {
        if row == 0 {
            self.place(0);
            return Ok(None);
        }
        // What lies between is passed batch by batch.
        while self.read < row && self.read_on().await? {
            self.place(self.read.min(row));
        }
        self.place(row.min(self.read + 1));
        let Some((before, batch)) = self.batch_of(row) else { return Ok(None) };
        Ok(Some(batch.slice((row - 1 - before) as usize, 1)))
    }

    /// Moves, and forgets what can't be asked for any more.
    fn place(&mut self, position: u64) {
        self.position = position;
        if self.scroll {
            return;
        }
        while self.kept.front().is_some_and(|(before, batch)| before + (batch.num_rows() as u64) < position) {
            self.kept.pop_front();
        }
    }

    fn batch_of(&self, row: u64) -> Option<(u64, RecordBatch)> {
        let after = self.kept.partition_point(|(before, _)| *before < row);
        let (before, batch) = self.kept.get(after.checked_sub(1)?)?;
        (row <= before + batch.num_rows() as u64).then(|| (*before, batch.clone()))
    }

    /// Whether there is such a row; the query runs on as far as that takes.
    async fn has(&mut self, row: u64) -> Result<bool, Error> {
        while self.read < row {
            if !self.read_on().await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes one more batch; false at the end.
    async fn read_on(&mut self) -> Result<bool, Error> {
        let Some(source) = &mut self.source else { return Ok(false) };
        let taken = match source.next().await {
            None => Ok(None),
            Some(Ok(batch)) if self.scroll => {
                self.room.try_grow(batch.get_array_memory_size()).map(|()| Some(batch)).map_err(|error| {
                    Error::from(error)
                        .with_hint("a SCROLL cursor keeps what was fetched: declare it NO SCROLL, or raise query_bytes_max")
                })
            }
            Some(batch) => batch.map(Some),
        };
        match taken {
            Ok(Some(batch)) => {
                if batch.num_rows() > 0 {
                    let before = self.read;
                    self.read += batch.num_rows() as u64;
                    self.kept.push_back((before, batch));
                }
                Ok(true)
            }
            Ok(None) => {
                self.source = None;
                Ok(false)
            }
            Err(error) => {
                self.failed = true;
                self.source = None;
                self.kept.clear();
                self.room.free();
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;
    use datafusion::execution::memory_pool::UnboundedMemoryPool;

    fn reading(batches: &[&[i64]], scroll: bool) -> Reading {
        let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
        let made: Vec<_> = batches
            .iter()
            .map(|rows| Ok(RecordBatch::try_from_iter([("n", Arc::new(Int64Array::from(rows.to_vec())) as _)]).unwrap()))
            .collect();
        let source = Some(futures::stream::iter(made).boxed());
        let room = MemoryConsumer::new("test").register(&pool);
        Reading { source, failed: false, scroll, kept: VecDeque::new(), read: 0, position: 0, room }
    }

    fn rows(reading: &mut Reading, step: Step) -> Result<Vec<i64>, &'static str> {
        let mut walk = reading.walk(step, "c").map_err(|error| error.sqlstate())?;
        let mut out = Vec::new();
        while let Some(batch) = futures::executor::block_on(reading.piece(&mut walk)).unwrap() {
            out.extend_from_slice(batch.column(0).as_primitive::<Int64Type>().values());
        }
        Ok(out)
    }

    #[test]
    fn a_forward_cursor_keeps_one_batch() {
        let mut c = reading(&[&[1, 2, 3], &[], &[4], &[5, 6, 7]], false);
        let all = Step::Forward(u64::MAX);
        assert_eq!(rows(&mut c, Step::Relative(0)).unwrap(), [0; 0]);
        assert_eq!(rows(&mut c, Step::forward(2)).unwrap(), [1, 2]);
        assert_eq!((c.kept.len(), c.read), (1, 3), "no more is read than was asked for");
        assert_eq!(rows(&mut c, Step::Relative(0)).unwrap(), [2]);
        assert_eq!(rows(&mut c, Step::forward(3)).unwrap(), [3, 4, 5]);
        assert_eq!(c.kept.len(), 1);
        assert_eq!(rows(&mut c, Step::Absolute(5)).unwrap(), [5]);
        assert_eq!(rows(&mut c, Step::Absolute(6)).unwrap(), [6]);
        for back in [Step::Backward(1), Step::Absolute(1), Step::Absolute(-1), Step::Absolute(0), Step::Relative(-1)] {
            assert_eq!(rows(&mut c, back), Err("55000"), "{back:?}");
        }
        assert_eq!(rows(&mut c, all).unwrap(), [7]);
        assert_eq!(rows(&mut c, all).unwrap(), [0; 0]);
        assert!(c.kept.is_empty());
        assert_eq!(rows(&mut c, Step::Relative(0)).unwrap(), [0; 0], "behind the last there is no row");
        let mut c = reading(&[&[1, 2, 3], &[4, 5]], false);
        assert_eq!(rows(&mut c, Step::Relative(4)).unwrap(), [4]);
        assert_eq!(rows(&mut c, Step::Absolute(9)).unwrap(), [0; 0]);
    }

    #[test]
    fn a_scroll_cursor_goes_anywhere() {
        let mut c = reading(&[&[1, 2, 3], &[4], &[5, 6, 7]], true);
        assert_eq!(rows(&mut c, Step::forward(5)).unwrap(), [1, 2, 3, 4, 5]);
        assert_eq!(rows(&mut c, Step::backward(3)).unwrap(), [4, 3, 2]);
        assert_eq!(rows(&mut c, Step::Absolute(-1)).unwrap(), [7]);
        assert_eq!(rows(&mut c, Step::Absolute(-7)).unwrap(), [1]);
        assert_eq!(rows(&mut c, Step::Absolute(-8)).unwrap(), [0; 0]);
        assert_eq!(rows(&mut c, Step::forward(1)).unwrap(), [1], "that was before the first");
        assert_eq!(rows(&mut c, Step::Relative(3)).unwrap(), [4]);
        assert_eq!(rows(&mut c, Step::Relative(-2)).unwrap(), [2]);
        assert_eq!(rows(&mut c, Step::Relative(-2)).unwrap(), [0; 0]);
        assert_eq!(rows(&mut c, Step::Absolute(99)).unwrap(), [0; 0]);
        assert_eq!(rows(&mut c, Step::backward(2)).unwrap(), [7, 6], "that was behind the last");
        assert_eq!(rows(&mut c, Step::Backward(u64::MAX)).unwrap(), [5, 4, 3, 2, 1]);
        assert_eq!(rows(&mut c, Step::Absolute(3)).unwrap(), [3]);
    }
}
