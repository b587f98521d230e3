//! Leaves on the wire: a message with everything that a node needs to read its part, and nothing of the tag table.
//!
//! Promises: what was encoded reads the same part; a message of another format, or one whose numbers make no sense,
//! is an error and never a scan of something else.

use super::away::Dropped;
use super::part::{Opened, Part, Wanted};
use super::told::Told;
use crate::error::{Error, raise};
use crate::scan::node::{Edge, SeriesScan};
use crate::scan::{Place, Sort, Target};
use crate::store::Consistency;
use crate::tables::partial::PartialScan;
use crate::tables::series::with_ordinal;
use datafusion::error::Result;
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion_proto::physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension};
use kernel::{Bins, TagSelection};
use prost::Message;
use std::fmt;
use std::sync::Arc;
use types::{Epoch, Revision, Sequence, SliceId, TagId, TimeRange, Timestamp, Version};

/// The format of these messages. A fleet's nodes are of one release while statements run between them.
const FORMAT: u32 = 1;
/// More partitions than this of one leaf are not read side by side.
const PARTITIONS_MAX: u32 = 1024;

#[derive(Clone, PartialEq, Message)]
struct WantedMessage {
    #[prost(bytes = "vec", tag = "1")]
    statement: Vec<u8>,
    #[prost(string, tag = "2")]
    principal: String,
    #[prost(string, tag = "3")]
    consistency: String,
    #[prost(uint64, tag = "4")]
    revision: u64,
    #[prost(uint32, repeated, tag = "5")]
    slices: Vec<u32>,
    #[prost(uint64, repeated, tag = "6")]
    epochs: Vec<u64>,
    #[prost(uint32, repeated, tag = "7")]
    seen_slices: Vec<u32>,
    #[prost(uint64, repeated, tag = "8")]
    seen_epochs: Vec<u64>,
    #[prost(uint64, repeated, tag = "9")]
    seen_sequences: Vec<u64>,
}

#[derive(Clone, PartialEq, Message)]
struct NodeMessage {
    #[prost(uint32, tag = "1")]
    format: u32,
    /// 1: a scan, 2: partial aggregates, 3: errors told.
    #[prost(uint32, tag = "2")]
    node: u32,
    #[prost(string, tag = "3")]
    table: String,
    #[prost(bool, tag = "4")]
    all_tags: bool,
    /// Each tag's distance from the one before it.
    #[prost(uint64, repeated, tag = "5")]
    tags: Vec<u64>,
    #[prost(sint64, tag = "6")]
    first: i64,
    #[prost(sint64, tag = "7")]
    last: i64,
    #[prost(bool, tag = "8")]
    good_only: bool,
    #[prost(uint64, tag = "9")]
    batch_rows: u64,
    #[prost(uint32, repeated, tag = "10")]
    columns: Vec<u32>,
    #[prost(uint32, tag = "11")]
    partitions: u32,
    #[prost(uint64, optional, tag = "12")]
    limit: Option<u64>,
    #[prost(uint64, optional, tag = "13")]
    edge_rows: Option<u64>,
    #[prost(bool, tag = "14")]
    edge_newest: bool,
    #[prost(bool, tag = "15")]
    edge_ties: bool,
    #[prost(sint64, tag = "16")]
    bins_origin: i64,
    #[prost(sint64, optional, tag = "17")]
    bins_width: Option<i64>,
    #[prost(string, tag = "18")]
    name: String,
    #[prost(string, tag = "19")]
    url: String,
    #[prost(uint32, repeated, tag = "20")]
    slices: Vec<u32>,
    /// First and last of each range, each as its distance from the number before it.
    #[prost(uint64, repeated, tag = "21")]
    dropped: Vec<u64>,
    #[prost(message, optional, tag = "22")]
    wanted: Option<WantedMessage>,
}

/// Each number's distance from the one before it.
fn apart(numbers: impl Iterator<Item = u64>) -> Vec<u64> {
    let mut last = 0;
    numbers.map(|number| number.wrapping_sub(std::mem::replace(&mut last, number))).collect()
}

/// The numbers of which these are the distances.
fn together(distances: &[u64]) -> impl Iterator<Item = u64> {
    distances.iter().scan(0_u64, |last, distance| {
        *last = last.wrapping_add(*distance);
        Some(*last)
    })
}

fn unreadable(what: &str) -> Error {
    raise(Error::Internal, format!("internal error: a part of a plan can't be read: {what}"))
        .with_hint("are all nodes of the fleet of one release?")
}

impl WantedMessage {
    fn of(wanted: &Wanted) -> Self {
        WantedMessage {
            statement: wanted.statement.to_be_bytes().to_vec(),
            principal: wanted.principal.clone(),
            consistency: wanted.consistency.to_string(),
            revision: wanted.revision.0,
            slices: wanted.slices.iter().map(|(slice, _)| slice.0).collect(),
            epochs: wanted.slices.iter().map(|(_, epoch)| epoch.0).collect(),
            seen_slices: wanted.seen.iter().map(|(slice, _)| slice.0).collect(),
            seen_epochs: wanted.seen.iter().map(|(_, version)| version.epoch.0).collect(),
            seen_sequences: wanted.seen.iter().map(|(_, version)| version.sequence.0).collect(),
        }
    }

    fn read(self) -> std::result::Result<Wanted, Error> {
        let statement = self.statement.try_into().map_err(|_| unreadable("the statement's number"))?;
        let (slices, seen) = (self.slices.len(), self.seen_slices.len());
        if self.epochs.len() != slices || self.seen_epochs.len() != seen || self.seen_sequences.len() != seen {
            return Err(unreadable("slices and their epochs"));
        }
        let versions = self.seen_epochs.into_iter().zip(self.seen_sequences);
        let version = |(epoch, sequence)| Version { epoch: Epoch(epoch), sequence: Sequence(sequence) };
        Ok(Wanted {
            statement: u128::from_be_bytes(statement),
            principal: self.principal,
            consistency: Consistency::parse(&self.consistency)?,
            revision: Revision(self.revision),
            slices: self.slices.into_iter().map(SliceId).zip(self.epochs.into_iter().map(Epoch)).collect(),
            seen: self.seen_slices.into_iter().map(SliceId).zip(versions.map(version)).collect(),
        })
    }
}

impl NodeMessage {
    fn of(target: &Target, node: u32) -> std::result::Result<Self, Error> {
        let Place::Node(part) = &target.place else {
            return Err(raise(Error::Internal, "internal error: only a node's part of a scan is sent"));
        };
        let (all_tags, tags) = match &target.tags {
            TagSelection::All => (true, Vec::new()),
            TagSelection::List(tags) => (false, apart(tags.iter().map(|tag| tag.0))),
        };
        Ok(NodeMessage {
            format: FORMAT,
            node,
            table: target.sort.name().to_owned(),
            all_tags,
            tags,
            first: target.range.first.0,
            last: target.range.last.0,
            good_only: target.good_only,
            batch_rows: target.batch_rows as u64,
            name: part.node.to_string(),
            url: part.url.to_string(),
            slices: part.slices.iter().map(|slice| slice.0).collect(),
            dropped: apart(part.dropped.0.iter().flat_map(|(first, last)| [*first, *last])),
            wanted: Some(WantedMessage::of(&part.wanted)),
            ..NodeMessage::default()
        })
    }

    fn target(&mut self, opened: &Arc<Opened>) -> std::result::Result<Target, Error> {
        let wanted = std::mem::take(&mut self.wanted).ok_or_else(|| unreadable("what the statement wants"))?.read()?;
        let sort = Sort::named(&self.table).ok_or_else(|| unreadable("the table"))?;
        let numbers: Vec<u64> = together(&self.dropped).collect();
        let dropped = Dropped(numbers.chunks_exact(2).map(|range| (range[0], range[1])).collect());
        let slices: Vec<SliceId> = self.slices.iter().copied().map(SliceId).collect();
        let tags: Vec<TagId> = together(&self.tags).map(TagId).collect();
        if !tags.is_sorted() || !slices.is_sorted() || !numbers.len().is_multiple_of(2) {
            return Err(unreadable("tags or slices"));
        }
        let part = Part::away(&self.name, &self.url, Arc::new(wanted), slices, dropped).opened(opened);
        Ok(Target {
            place: Place::Node(Arc::new(part)),
            sort,
            tags: if self.all_tags { TagSelection::All } else { TagSelection::List(tags.into()) },
            range: TimeRange { first: Timestamp(self.first), last: Timestamp(self.last) },
            good_only: self.good_only,
            batch_rows: usize::try_from(self.batch_rows).unwrap_or(usize::MAX).clamp(1, 1 << 20),
            // What is read here was resolved by whoever sent it.
            bound: false,
        })
    }

    fn columns(&self) -> Arc<[usize]> {
        self.columns.iter().map(|column| *column as usize).collect()
    }

    fn partitions(&self) -> std::result::Result<usize, Error> {
        if (1..=PARTITIONS_MAX).contains(&self.partitions) { Ok(self.partitions as usize) } else { Err(unreadable("partitions")) }
    }

    fn series(&self, target: Target) -> std::result::Result<SeriesScan, Error> {
        let columns = self.columns();
        let whole = target.schema_read(&with_ordinal(target.sort));
        let schema = Arc::new(whole.project(&columns).map_err(|_| unreadable("columns"))?);
        let edge = self.edge_rows.map(|rows| Edge {
            rows: usize::try_from(rows).unwrap_or(usize::MAX),
            newest: self.edge_newest,
            ties: self.edge_ties,
        });
        let limit = self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
        Ok(SeriesScan::again(Arc::new(target), columns, schema, self.partitions()?, limit, edge))
    }
}

/// The codec: of a coordinator, which sends leaves, or of a node, which reads what is sent to it.
pub(crate) struct Codec(pub Option<Arc<Opened>>);

impl fmt::Debug for Codec {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Codec")
    }
}

impl PhysicalExtensionCodec for Codec {
    fn try_decode(
        &self,
        buf: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        _: &TaskContext,
        _: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut message = NodeMessage::decode(buf).map_err(|cause| unreadable(&cause.to_string()))?;
        if message.format != FORMAT {
            return Err(unreadable(&format!("format {} instead of {FORMAT}", message.format)).into());
        }
        if message.node == 3 {
            let input = inputs.first().ok_or_else(|| unreadable("nothing beneath"))?;
            return Ok(Told::over(Arc::clone(input)));
        }
        let opened = self.0.as_ref().ok_or_else(|| unreadable("this node reads no slices"))?;
        let target = message.target(opened)?;
        if message.node == 1 {
            return Ok(Arc::new(message.series(target)?));
        }
        let bins = message.bins_width.map(|width_us| Bins { origin: Timestamp(message.bins_origin), width_us });
        let scan = PartialScan::again(Arc::new(target), bins, message.columns(), message.partitions()?);
        Ok(Arc::new(scan.ok_or_else(|| unreadable("columns"))?))
    }

    fn try_encode(&self, node: Arc<dyn ExecutionPlan>, buf: &mut Vec<u8>, _: &dyn PhysicalProtoConverterExtension) -> Result<()> {
        let numbers = |columns: &Arc<[usize]>| columns.iter().map(|column| *column as u32).collect();
        let message = if node.is::<Told>() {
            NodeMessage { format: FORMAT, node: 3, ..NodeMessage::default() }
        } else if let Some(scan) = node.downcast_ref::<SeriesScan>() {
            let (columns, partitions, limit, edge) = scan.how();
            NodeMessage {
                columns: numbers(columns),
                partitions: partitions as u32,
                limit: limit.map(|limit| limit as u64),
                edge_rows: edge.map(|edge| edge.rows as u64),
                edge_newest: edge.is_some_and(|edge| edge.newest),
                edge_ties: edge.is_some_and(|edge| edge.ties),
                ..NodeMessage::of(scan.target(), 1)?
            }
        } else if let Some(scan) = node.downcast_ref::<PartialScan>() {
            let (bins, columns, partitions) = scan.how();
            NodeMessage {
                columns: numbers(columns),
                partitions: partitions as u32,
                bins_origin: bins.map_or(0, |bins| bins.origin.0),
                bins_width: bins.map(|bins| bins.width_us),
                ..NodeMessage::of(scan.target(), 2)?
            }
        } else {
            return Err(raise(Error::Internal, format!("internal error: {} can't be sent to a node", node.name())).into());
        };
        message.encode(buf).map_err(|cause| raise(Error::Internal, cause.to_string()).into())
    }
}
