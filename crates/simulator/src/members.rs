//! Fleets of data nodes under several managers, with faults: who is there, and where slices end up.
//!
//! The replicas themselves are a sketch here (`replicas`): members join, fall out and succeed as the real ones do, without
//! records. Promises: those of `Scenario`. It may not know what a record is.

mod faults;
mod fleet;
mod plan;
mod replicas;

pub use plan::{MemberFault, MemberPlan, TimedMemberFault};
