//! The chain of batches as one scheduler has it: what it may have been told to log, what is durable, what is applied.
//!
//! ```text
//!   base ── batch ── batch ── batch ── batch ── tail
//!             applied ^  committed ^    ^ durable        prepared, unseen: what lies behind the committed one
//! ```
//! Promises: batches follow one another; what is applied is never cut; of applied batches as many are kept as others may
//! yet ask for. It may not know epochs' begins, nor meta.

use super::{Batch, Point};
use crate::{Mutation, Planted};
use std::collections::VecDeque;
use types::Sequence;

#[derive(Debug)]
pub(crate) struct Chain {
    base: Point,
    batches: VecDeque<Batch>,
    pub(crate) durable: Sequence,
    /// What the store was told to apply.
    pub(crate) told: Sequence,
    pub(crate) applied: Sequence,
    planted: Planted,
}

impl Chain {
    /// The chain as a store kept it: the table's point, and the batches behind it.
    ///
    /// # Panics
    /// Where the batches do not follow one another: our own state is broken.
    pub(crate) fn new(base: Point, batches: Vec<Batch>, planted: Planted) -> Chain {
        let sequence = base.sequence;
        let mut chain = Chain { base, batches: VecDeque::new(), durable: sequence, told: sequence, applied: sequence, planted };
        batches.into_iter().for_each(|batch| chain.push(batch));
        chain.durable = chain.tail().sequence;
        chain
    }

    /// The point before the first batch that is kept: applied, so committed.
    pub(crate) fn base(&self) -> Point {
        self.base
    }

    pub(crate) fn tail(&self) -> Point {
        self.batches.back().map_or(self.base, |batch| batch.point)
    }

    /// The point of a number: none where it is not here any more, or not yet.
    pub(crate) fn at(&self, sequence: Sequence) -> Option<Point> {
        if sequence == self.base.sequence {
            return Some(self.base);
        }
        let place = sequence.0.checked_sub(self.base.sequence.0 + 1)?;
        self.batches.get(usize::try_from(place).ok()?).map(|batch| batch.point)
    }

    /// Whether it holds this very point, and so all before it.
    pub(crate) fn contains(&self, point: Point) -> bool {
        let here = self.at(point.sequence);
        here == Some(point) || (here.is_some() && self.planted.has(Mutation::CommitWithoutChainHash))
    }

    /// The batches behind a number.
    pub(crate) fn after(&self, sequence: Sequence) -> impl Iterator<Item = &Batch> {
        let skip = sequence.0.saturating_sub(self.base.sequence.0);
        self.batches.iter().skip(usize::try_from(skip).unwrap_or(usize::MAX))
    }

    pub(crate) fn push(&mut self, batch: Batch) {
        let follows = batch.prev == self.tail() || self.planted.has(Mutation::CommitWithoutChainHash);
        assert!(follows, "batch {:?} follows {:?}, not {:?}", batch.point, batch.prev, self.tail());
        self.batches.push_back(batch);
    }

    /// Forgets what comes after a point.
    pub(crate) fn cut(&mut self, to: Sequence) {
        assert!(to >= self.told, "what is applied, {:?}, is not cut back to {to:?}", self.told);
        self.batches.truncate((to.0 - self.base.sequence.0) as usize);
        self.durable = self.durable.min(to);
    }

    /// The table was taken from another scheduler.
    pub(crate) fn replace(&mut self, base: Point) {
        *self = Chain::new(base, Vec::new(), self.planted);
    }

    /// Forgets applied batches beyond so many, or beyond so many bytes.
    pub(crate) fn prune(&mut self, keep: usize, bytes_max: u64) {
        let mut bytes: u64 = self.batches.iter().map(Batch::bytes).sum();
        while (self.batches.len() > keep || bytes > bytes_max)
            && let Some(batch) = self.batches.pop_front_if(|batch| batch.point.sequence <= self.applied)
        {
            bytes -= batch.bytes();
            self.base = batch.point;
        }
    }
}
