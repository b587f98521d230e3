//! SQL over the nodes of a fleet, on datafusion-distributed over Arrow Flight.
//!
//! What it is: the planner that cuts a plan into what data nodes do and what is done here; the leaves' form on the
//! wire; a data node's worker.
//! What it promises: the same rows as on a lone node; what may run where the data lie runs there (filters,
//! projections, partial aggregates, the first n of a sort); a part that was planned for another state of the slice
//! map, or whose node is lost, is refused or fails before a row of it was handed on, and is then planned again.
//! What it may not know: names of tags on data nodes, how nodes are reached.
//!
//! ```text
//!   plan of a lone node ──cut──> here: joins, windows, final aggregates, sorts, names of tags
//!                                 │ NetworkCoalesceExec: one task a node
//!                                node: filter, projection, partial aggregate, top n over a leaf of its slices
//! ```

mod away;
mod channels;
mod codec;
mod cut;
mod names;
mod opening;
mod openings;
mod part;
mod planner;
mod run;
mod told;
mod travels;
mod worker;

pub(crate) use away::{Away, DroppedTags};
pub use channels::Channels;
pub(crate) use names::Names;
pub(crate) use openings::Openings;
pub(crate) use part::Part;
pub use part::{SliceReader, Wanted};
pub(crate) use run::{carry, install, run};
pub(crate) use told::read as told;
pub(crate) use worker::trace as task_trace;
pub use worker::worker;
