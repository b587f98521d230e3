//! How a data node carries out what it is asked: a write by its slice's replica, a read from copies fresh enough.
//!
//! Promises: a write is logged only when the kinds of its tags are known here; a read sees of each slice what its replica
//! vouched for, and nothing of slices that were not asked or were refused. What is read
//! may wait for the disk: callers have threads for that. May not know who asks.

use super::asking::{Answered, AtSlice, Found, NotSlice, Reading, Writing};
use super::node::{Asked, DataNode};
use super::refused::Refused;
use kernel::{Draft, Kernel, ReadingColumns, Snapshot};
use protocol::Consistency;
use std::time::Duration;
use tokio::sync::oneshot;
use traces::{Context, Kind, Span};
use types::{NodeId, SliceId, TagId, Timestamp, Version};

/// The longest that a question may wait here, whatever it asks for.
const LIMIT_MAX: Duration = Duration::from_secs(60);

/// What was read of some slices: those that could be, with the newest write that is seen of each; those that could not;
/// and what to read.
pub struct Readable {
    /// Slices, and the newest write that the snapshot has of each.
    pub at: Vec<(SliceId, Version)>,
    /// Slices that can't be read here now.
    pub refused: Vec<(SliceId, Refused)>,
    /// Of the slices in `at` what their replicas vouched for, of others nothing. None where none can be read.
    pub snapshot: Option<Snapshot>,
}

fn limit(ms: u64) -> Duration {
    Duration::from_millis(ms).min(LIMIT_MAX)
}

/// A replica that stopped answers nobody.
async fn answered<T>(answer: oneshot::Receiver<Result<T, Refused>>) -> Result<T, Refused> {
    answer.await.unwrap_or_else(|_| Err(Refused::Unavailable("the replica stopped".to_owned())))
}

async fn within<T>(limit: Duration, answer: impl Future<Output = Result<T, Refused>>) -> Result<T, Refused> {
    let late = |_| Refused::Unavailable(format!("no answer within {} ms", limit.as_millis()));
    tokio::time::timeout(limit, answer).await.map_err(late)?
}

impl DataNode {
    /// A state of these slices to read from, each as fresh as is asked.
    pub async fn readable_each(&self, slices: &[(SliceId, Consistency)]) -> Readable {
        let mut asked = Vec::with_capacity(slices.len());
        for (slice, consistency) in slices {
            let (answer, readable) = oneshot::channel();
            let put = self.ask(*slice, Asked::Read { consistency: *consistency, answer });
            asked.push((*slice, put.map(|()| readable)));
        }
        let (mut at, mut refused, mut parts) = (Vec::new(), Vec::new(), Vec::new());
        for (slice, readable) in asked {
            let found = match readable {
                Ok(readable) => answered(readable).await,
                Err(fault) => Err(fault),
            };
            match found {
                Ok((version, snapshot)) => {
                    at.push((slice, version));
                    parts.push((slice, snapshot));
                }
                Err(fault) => refused.push((slice, fault)),
            }
        }
        Readable { at, refused, snapshot: Snapshot::joined(&parts) }
    }

    /// A state of these slices to read from, and the newest write that it has of each. Other slices are empty in it.
    ///
    /// # Errors
    /// `Refused` of the first slice that can't be read here now.
    pub async fn readable(
        &self,
        slices: &[SliceId],
        consistency: Consistency,
    ) -> Result<(Vec<(SliceId, Version)>, Snapshot), Refused> {
        let asked: Vec<(SliceId, Consistency)> = slices.iter().map(|slice| (*slice, consistency)).collect();
        let Readable { at, refused, snapshot } = self.readable_each(&asked).await;
        if let Some((_, fault)) = refused.into_iter().next() {
            return Err(fault);
        }
        Ok((at, snapshot.ok_or_else(|| Refused::Invalid("a read names one slice at least".to_owned()))?))
    }
}

pub(super) async fn write(node: &DataNode, writing: Writing) -> Result<Answered, Refused> {
    let limit = limit(writing.limit_ms);
    let mut span = traces::under(Context::from_bytes(&writing.trace), "write", Kind::Server);
    let trace = span.as_ref().map(Span::context);
    let done = within(limit, async {
        node.ready_for(writing.kinds_end, writing.sender.map(NodeId), limit / 2).await?;
        let origin = writing.origin().ok_or_else(|| Refused::Invalid("a producer has 16 bytes".to_owned()))?;
        let slice = SliceId(writing.slice);
        let draft = draft(node, slice, writing)?;
        let (answer, written) = oneshot::channel();
        node.ask(slice, Asked::Write { origin: Some(origin), draft, answer })?;
        // Until it is stable: in the log here, and in those of all members where the slice's mode says so.
        let _span = traces::under(trace, "log commit", Kind::Internal);
        Ok(Answered::Written(answered(written).await?.into()))
    });
    done.await.inspect_err(|refused| span.iter_mut().for_each(|span| span.fail(refused.to_string())))
}

/// What a write is to bring, all of it of its slice.
fn draft(node: &DataNode, slice: SliceId, writing: Writing) -> Result<Draft, Refused> {
    let thinned = writing.thinned.unwrap_or_default().compressions();
    let senseless = || Refused::Invalid("what is said of how its tags are thinned makes no sense".to_owned());
    node.kernel().led_draft(slice, &writing.body, &thinned.ok_or_else(senseless)?).map_err(|fault| match fault {
        kernel::Error::TooLarge { .. } => Refused::TooLarge(fault.to_string()),
        fault => Refused::Invalid(fault.to_string()),
    })
}

/// What is to be read, as it was asked.
struct Wanted {
    how: Vec<(SliceId, Consistency)>,
    questions: Vec<(TagId, Timestamp)>,
    /// Whether the newest samples are asked for.
    newest: bool,
}

impl Wanted {
    fn of(reading: &Reading) -> Result<Wanted, Refused> {
        let Reading { slices, tags: numbers, times: at, .. } = reading;
        if !at.is_empty() && at.len() != numbers.len() {
            return Err(Refused::Invalid("a read has a time for each tag, or none".to_owned()));
        }
        let how = slices.iter().map(|of| of.how.map(|how| (SliceId(of.slice), how.into()))).collect::<Option<Vec<_>>>();
        let how = how.ok_or_else(|| Refused::Invalid("a read says of each slice how fresh it wants it".to_owned()))?;
        let newest = at.is_empty();
        let times = at.iter().copied().chain(std::iter::repeat(Timestamp::MAX.0));
        let questions = numbers.iter().zip(times).map(|(tag, time)| (TagId(*tag), Timestamp(time))).collect();
        Ok(Wanted { how, questions, newest })
    }

    fn is_of_primaries(&self) -> bool {
        self.how.iter().all(|(_, consistency)| *consistency == Consistency::Primary)
    }

    /// The newest samples known here, of whatever slices are here.
    fn values(&self, kernel: &Kernel) -> Result<ReadingColumns, Refused> {
        let values = if self.newest {
            kernel.latest_many(&self.questions.iter().map(|(tag, _)| *tag).collect::<Vec<_>>())
        } else {
            kernel.values_at(&self.questions)
        };
        values.map_err(|fault| Refused::Unavailable(fault.to_string()))
    }
}

fn found(at: Vec<(SliceId, Version)>, refused: Vec<(SliceId, Refused)>, columns: ReadingColumns) -> Answered {
    let at = at.into_iter().map(|(slice, at)| AtSlice { slice: slice.0, at: at.into() }).collect();
    let not = |(slice, fault): (SliceId, Refused)| NotSlice { slice: slice.0, because: fault.into() };
    Answered::Read(Found { at, refused: refused.into_iter().map(not).collect(), values: columns.into() })
}

/// A read that is recorded.
pub(super) fn read_span(reading: &Reading) -> Option<Span> {
    traces::under(Context::from_bytes(&reading.trace), "read", Kind::Server)
}

/// What primaries here have, without asking their tasks: read first, and then vouched for by their leases. None where that
/// can't be, or where it does not hold. May wait for the disk.
pub(super) fn read_now(node: &DataNode, reading: &Reading) -> Option<Result<Answered, Refused>> {
    let wanted = match Wanted::of(reading) {
        Ok(wanted) => wanted,
        Err(refused) => return Some(Err(refused)),
    };
    // Where a tag's samples lie in several slices, those of others would stand before those that are vouched for.
    if !wanted.is_of_primaries() || !node.kernel().rule().ignores_time() {
        return None;
    }
    let begin = |(slice, _): &(SliceId, Consistency)| {
        let (reign, led) = node.reign(*slice)?;
        let epoch = reign.begun()?;
        Some((*slice, led, reign, epoch))
    };
    let begun = wanted.how.iter().map(begin).collect::<Option<Vec<_>>>()?;
    let columns = match wanted.values(node.kernel()) {
        Ok(columns) => columns,
        Err(refused) => return Some(Err(refused)),
    };
    let holds = begun.iter().all(|(.., reign, epoch)| reign.holds(*epoch, || node.now()));
    holds.then(|| {
        // Looked at afterwards: nothing newer was read.
        let at: Vec<(SliceId, Version)> = begun.into_iter().map(|(slice, led, ..)| (slice, led.published())).collect();
        let columns = vouched(node, &at, &wanted.questions, columns);
        Ok(found(at, Vec::new(), columns))
    })
}

/// What copies here have, once they are as fresh as is asked. May wait for the disk.
pub(super) async fn read(node: &DataNode, reading: Reading) -> Result<Answered, Refused> {
    let _span = read_span(&reading);
    if let Some(answered) = read_now(node, &reading) {
        return answered;
    }
    let wanted = Wanted::of(&reading)?;
    within(limit(reading.limit_ms), async {
        // Snapshot values lie in memory, of whatever slices are here: only where a tag's are all in one slice are they its own.
        let in_memory = wanted.newest && node.kernel().rule().ignores_time() && !wanted.is_of_primaries();
        let turns =
            |node: &DataNode| wanted.how.iter().map(|(slice, _)| node.reign(*slice).map(|(reign, _)| reign.turns())).collect();
        let before: Vec<Option<u64>> = turns(node);
        let Readable { at, refused, snapshot } = node.readable_each(&wanted.how).await;
        if in_memory {
            let columns = vouched(node, &at, &wanted.questions, wanted.values(node.kernel())?);
            // A copy that did not go back since it was fresh enough still is; by now it may be newer.
            let newest = |(slice, at): &(SliceId, Version)| (*slice, node.reign(*slice).map_or(*at, |(_, led)| led.published()));
            let newest = at.iter().map(newest).collect();
            if turns(node) == before {
                return Ok(found(newest, refused, columns));
            }
        }
        Ok(found(at, refused, values(snapshot.as_ref(), &wanted.questions)?))
    })
    .await
}

/// The same without what lies in slices that are not vouched for.
fn vouched(
    node: &DataNode,
    at: &[(SliceId, Version)],
    questions: &[(TagId, Timestamp)],
    mut columns: ReadingColumns,
) -> ReadingColumns {
    let rule = node.kernel().rule();
    let own = |tag: TagId| at.iter().any(|(slice, _)| *slice == rule.slice(tag, Timestamp(0)));
    for ((tag, _), found) in questions.iter().zip(&mut columns.found) {
        *found = *found && own(*tag);
    }
    let found = &columns.found;
    columns.texts.retain(|(row, _)| found[*row as usize]);
    columns
}

fn values(snapshot: Option<&Snapshot>, questions: &[(TagId, Timestamp)]) -> Result<ReadingColumns, Refused> {
    let failed = |fault: kernel::Error| Refused::Unavailable(fault.to_string());
    let rows = questions.len();
    let none = || ReadingColumns {
        found: vec![false; rows],
        times: vec![Timestamp(0); rows],
        bits: vec![0; rows],
        qualities: vec![192; rows],
        texts: Vec::new(),
    };
    snapshot.map_or_else(|| Ok(none()), |snapshot| snapshot.values_at(questions).map_err(failed))
}
