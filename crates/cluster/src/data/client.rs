//! One who asks a data node: what schedulers do, slice by slice.
//!
//! Promises: a write is answered once it is as durable as its slice's mode says; a refusal says who leads, as far as is known;
//! a write that was not answered may have happened, and its number makes a repetition harmless. May not know tags' names.

use super::asking::{Answered, Found, OfSlice, Reading, Told, Writing};
use super::framed::Askers;
use super::refused::Refused;
use super::rows::Batch;
use crate::calls::Tls;
use crate::fleet::{Lines, lines};
use crate::identity::Identity;
use kernel::ReadingColumns;
use protocol::Consistency;
use std::sync::Arc;
use std::time::Duration;
use tonic::transport::Channel;
use traces::{Kind, Span};
use types::{NodeId, Origin, SliceId, TagId, Timestamp, Version};

/// One who asks a data node.
#[derive(Clone)]
pub struct Client {
    channel: Channel,
    askers: Arc<Askers>,
    address: Arc<str>,
    me: Option<NodeId>,
    limit: Duration,
}

/// Values from some slices.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The slices that were read, and a write of each beyond which nothing of it was seen.
    pub at: Vec<(SliceId, Version)>,
    /// The slices that were not, and why: nothing of them is among the values.
    pub refused: Vec<(SliceId, Refused)>,
    /// A row a question, in their order.
    pub values: ReadingColumns,
}

impl Client {
    /// A client of a node at an address; the connection is made when something is asked, and made again when it was lost. No
    /// answer is waited for longer than `limit`.
    ///
    /// # Errors
    /// `Refused::Invalid` where the address or the certificates are none.
    pub fn new(address: &str, tls: &Tls, limit: Duration) -> Result<Client, Refused> {
        let identity = Identity::from(tls.clone());
        let made = lines::channel(address, &identity, limit);
        let channel = made.map_err(|cause| Refused::Invalid(format!("\"{address}\": {cause}")))?;
        Ok(Client { channel, askers: Arc::new(Askers::new(&identity)), address: address.into(), me: None, limit })
    }

    /// A client of a node of the fleet, for a process of it: nodes ask it for kinds that they lack.
    ///
    /// # Errors
    /// `Refused::Unavailable` where it is not known where the node is.
    pub fn on(lines: &Lines, node: NodeId, me: NodeId, limit: Duration) -> Result<Client, Refused> {
        let unknown = |status: tonic::Status| Refused::Unavailable(status.to_string());
        let (address, channel) = (lines.address(node).map_err(unknown)?.into(), lines.channel(node).map_err(unknown)?);
        Ok(Client { channel, askers: Arc::clone(lines.askers()), address, me: Some(me), limit })
    }

    /// The same with another limit.
    #[must_use]
    pub fn within(&self, limit: Duration) -> Client {
        Client { limit, ..self.clone() }
    }

    pub(super) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// A request as a span, where it is recorded, and what names it to the node.
    fn traced(&self, name: &'static str) -> (Option<Span>, Vec<u8>) {
        let Some(current) = traces::current() else { return (None, Vec::new()) };
        let span = traces::under(Some(current), name, Kind::Client).map(|mut span| {
            span.set("url.full", &*self.address);
            span
        });
        let trace = span.as_ref().map_or(current, Span::context);
        (span, trace.to_bytes().to_vec())
    }

    fn limit_ms(&self) -> u64 {
        self.limit.as_millis() as u64
    }

    /// Writes to a slice. All tags of the batch are below `kinds_end`: a node that does not know so many yet asks for them.
    ///
    /// # Errors
    /// `Refused`; after `NotPrimary` and `Unavailable` it may have happened: ask again with the same number.
    pub async fn write(&self, slice: SliceId, origin: Origin, kinds_end: u64, batch: Batch) -> Result<Version, Refused> {
        let Batch { body, thinned } = batch;
        let (mut span, trace) = self.traced("write to a node");
        let writing = Writing {
            slice: slice.0,
            producer: origin.producer.0.to_le_bytes().to_vec(),
            number: origin.number,
            body,
            kinds_end,
            sender: self.me.map(|node| node.0),
            limit_ms: self.limit_ms(),
            thinned: (!thinned.is_empty()).then(|| (&*thinned).into()),
            trace,
        };
        span.iter_mut().for_each(|span| span.set("meridian.slice", i64::from(slice.0)));
        let told = self.askers.write(&self.address, writing, self.limit).await.and_then(answered);
        match noted(&mut span, told)? {
            Answered::Written(version) => Ok(version.into()),
            _ => Err(another()),
        }
    }

    /// The newest sample of each tag at or before a time, from these slices alone. A tag whose slice is not asked has none.
    ///
    /// # Errors
    /// `Refused`, where nothing was read at all.
    pub async fn values_at(
        &self,
        slices: &[(SliceId, Consistency)],
        questions: &[(TagId, Timestamp)],
    ) -> Result<Answer, Refused> {
        let (tags, times) = questions.iter().map(|(tag, time)| (tag.0, time.0)).unzip();
        self.read(slices, tags, times, questions.len()).await
    }

    /// The newest sample of each tag, from these slices alone.
    ///
    /// # Errors
    /// `Refused`, where nothing was read at all.
    pub async fn latest(&self, slices: &[(SliceId, Consistency)], tags: &[TagId]) -> Result<Answer, Refused> {
        self.read(slices, tags.iter().map(|tag| tag.0).collect(), Vec::new(), tags.len()).await
    }

    async fn read(
        &self,
        slices: &[(SliceId, Consistency)],
        tags: Vec<u64>,
        times: Vec<i64>,
        rows: usize,
    ) -> Result<Answer, Refused> {
        let of = |(slice, consistency): &(SliceId, Consistency)| OfSlice { slice: slice.0, how: Some((*consistency).into()) };
        let (mut span, trace) = self.traced("read of a node");
        let reading = Reading { slices: slices.iter().map(of).collect(), tags, times, limit_ms: self.limit_ms(), trace };
        let told = self.askers.read(&self.address, reading, self.limit).await.and_then(answered);
        let Answered::Read(Found { at, refused, values }) = noted(&mut span, told)? else { return Err(another()) };
        Ok(Answer {
            at: at.into_iter().map(|of| (SliceId(of.slice), of.at.into())).collect(),
            refused: refused.into_iter().map(|of| (SliceId(of.slice), of.because.into())).collect(),
            values: values.columns(rows).ok_or_else(another)?,
        })
    }
}

/// What a request came to, and its span with it.
fn noted<T>(span: &mut Option<Span>, told: Result<T, Refused>) -> Result<T, Refused> {
    told.inspect_err(|refused| span.iter_mut().for_each(|span| span.fail(refused.to_string())))
}

fn answered(told: Told) -> Result<Answered, Refused> {
    match told.answered {
        Some(Answered::Refused(because)) => Err(because.into()),
        Some(answered) => Ok(answered),
        None => Err(Refused::Unavailable("the answer is of another release".to_owned())),
    }
}

fn another() -> Refused {
    Refused::Unavailable("the answer is to another question".to_owned())
}
