//! What the processes of a fleet know of each other: through meta, and where to ask.
//!
//! ```text
//!   meta ── node/N (watched: `following`) ──> `roster` ──> addresses, roles ──> `lines` (a channel to each)
//!        <── swap ── `member`: a process takes its number, says what it does and where it is reached
//!   fleet (watched) ──> `rule`: which slice a sample lies in, open until the first tag
//!   user/HEX (watched) ──> `logins`: who may come in at clients' doors
//! ```
//! Promises: what stands in meta is written and read in one place (`entries`); what is known may be old, but of one key it
//! never goes back. It may not know what the processes say to each other.

pub(crate) mod entries;
pub(crate) mod following;
pub(crate) mod lines;
mod logins;
mod member;
mod roster;
mod rule;
pub(crate) mod tenure;

pub use entries::{
    FleetRecord, Laid, NodeRecord, Roles, TargetRecord, fleet_key, fleet_record, fleet_value, node_key, node_record, node_value,
    slice_entry, slice_key, slice_value, target_key, target_record, target_value,
};
pub use lines::Lines;
pub use logins::{LoginChange, LoginListener, Logins, all_logins};
pub use member::{JoinError, Member, Membership};
pub use roster::Roster;
pub use rule::FleetRule;
