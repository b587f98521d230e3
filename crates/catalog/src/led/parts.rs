//! The table by parts: hashed, compared, replaced.
//!
//! ```text
//!   part 0     the next ordinal, and what came of each producer's last change (`outcome`)
//!   part n     the n-th block of 4,096 ordinals, as in a tags file, without its checksum (`packed`); empty: no such block
//! ```
//! Promises: a block's hash is that of its rows as a run, which follows from what they say, whatever lies in memory or on
//! disk; equal hashes mean equal parts. A table that took all that differed is the other's, to the last outcome.
//! What it may not know: whose table the parts are from.

use super::Differing;
use super::outcome::Producers;
use crate::Error;
use crate::block::{BLOCK_BITS, Block};
use crate::core::Core;
use crate::packed;
use crate::row::RowWriter;
use protocol::tags::{Part, Point, hash_bytes};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::wire::Reader;

impl Core {
    fn run_of(&self, index: usize, block: &Block) -> RowWriter {
        let mut run = RowWriter::with_capacity(block.rows() * 64);
        self.table.read().write_rows(block, (index as u64) << BLOCK_BITS, block.rows(), &self.kinds, &mut run);
        run
    }

    fn blocks(&self) -> Vec<Arc<Block>> {
        self.table.read().blocks().to_vec()
    }

    fn part_0(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let kept = self.led().kept(self.kinds.visible());
        kept.producers.put(kept.next, &mut out);
        out
    }

    /// The hash of each part. Only what changed since the last time is hashed.
    pub fn part_hashes(&self) -> Vec<u128> {
        let _gate = self.led().gate.lock();
        self.hashes(&self.part_0(), &self.blocks())
    }

    fn hashes(&self, part_0: &[u8], blocks: &[Arc<Block>]) -> Vec<u128> {
        let block = |(index, block): (usize, &Arc<Block>)| block.hash(|| hash_bytes(1, &self.run_of(index, block).out));
        std::iter::once(hash_bytes(0, part_0)).chain(blocks.iter().enumerate().map(block)).collect()
    }

    /// The parts that differ from these hashes.
    pub fn differing(&self, theirs: &[u128], bytes_max: usize) -> Differing {
        let _gate = self.led().gate.lock();
        let (part_0, blocks) = (self.part_0(), self.blocks());
        let ours = self.hashes(&part_0, &blocks);
        let (mut parts, mut bytes, mut complete) = (Vec::new(), 0, true);
        for number in (0..ours.len().max(theirs.len())).filter(|number| ours.get(*number) != theirs.get(*number)) {
            let body = match number.checked_sub(1) {
                None => part_0.clone(),
                Some(index) => blocks.get(index).map_or_else(Vec::new, |block| {
                    let mut out = Vec::new();
                    packed::put(&self.run_of(index, block).out, block.rows(), &mut out);
                    out
                }),
            };
            bytes += body.len();
            if bytes > bytes_max && !parts.is_empty() {
                complete = false;
                break;
            }
            parts.push(Part { number: number as u64, body: body.into() });
        }
        Differing { at: self.led().point().unwrap_or_default(), parts, complete }
    }

    /// Replaces parts, durably. What the log has before `position` is void.
    pub fn take_parts(&self, at: Point, parts: &[Part], complete: bool, position: u64) -> Result<Option<Point>, Error> {
        if let Some(error) = self.refusal() {
            return Err(error);
        }
        let led = self.led();
        {
            let _gate = led.gate.lock();
            let number = self.commit.lock().sequence + 1;
            {
                let mut state = led.state.lock();
                if state.point.take().is_some() {
                    state.next = self.kinds.visible();
                }
            }
            for part in parts {
                self.put_part(part, number).map_err(|what| self.poison(&format!("part {}: {what}", part.number)))?;
            }
            let mut table = self.table.write();
            let next = led.state.lock().next;
            if table.rows() > next {
                table.cut_back(next, number);
            }
            if complete && table.rows() != next {
                let text = format!("the parts make a table of {} ordinals, but it should have {next}", table.rows());
                return Err(self.poison(&text));
            }
            self.kinds.show(table.rows());
            self.kinds.compressions_changed();
            self.live.store(table.live(), Ordering::Release);
            self.version.fetch_add(1, Ordering::AcqRel);
            {
                let mut commit = self.commit.lock();
                (commit.sequence, commit.position) = (number, position);
            }
            led.state.lock().point = complete.then_some(at);
        }
        self.make_checkpoint().map(drop).or_else(|failure| self.checkpoint_failed(failure))?;
        Ok(complete.then_some(at))
    }

    fn put_part(&self, part: &Part, number: u64) -> Result<(), &'static str> {
        let led = self.led();
        let Some(index) = part.number.checked_sub(1) else {
            let mut reader = Reader::new(&part.body);
            let read = Producers::read(&mut reader).filter(|_| reader.is_empty());
            let (next, producers) = read.ok_or("what came of changes can't be read")?;
            led.state.lock().next = next;
            *led.producers.lock() = producers;
            return Ok(());
        };
        let index = usize::try_from(index).map_err(|_| "there is no such block")?;
        let mut table = self.table.write();
        if part.body.is_empty() {
            table.cut_back((index as u64) << BLOCK_BITS, number);
            return Ok(());
        }
        let (rows, run) = packed::unpack(&part.body)?;
        table.replace_block(index, &run, rows, &self.kinds, number)
    }
}
