//! Floor 6: whole fleets in one thread from one seed, with faults, and checks of what was promised.
//!
//! What it is: the protocols' machines, driven over a simulated network, simulated disks, clocks that drift
//! and jump, and a simulated meta; clients; a plan of faults; a checker with a model of its own. There are fleets of
//! data nodes (`fleet`: slices), of schedulers (`tags`), of managers (`members`), and whole ones (`whole`).
//! What it promises: a plan gives one run; a failing seed replays exactly and is minimised; a bug that is
//! planted on purpose is found.
//! What it may not know: the standard library's clock, threads, files.
//!
//! ```
//! let outcome = simulator::run(&simulator::Plan::of(1), None);
//! assert_eq!(outcome.complaint, None);
//! ```

mod check;
mod clock;
pub mod data;
mod dice;
mod fleet;
mod managers;
mod members;
mod meta;
mod minimise;
mod network;
mod plan;
mod queue;
mod run;
mod scenario;
pub mod store;
mod tags;
mod whole;

pub use check::Counts;
pub use dice::Dice;
pub use managers::MemberCounts;
pub use members::{MemberFault, MemberPlan, TimedMemberFault};
pub use minimise::minimise;
pub use plan::{Fault, Plan, Timed};
pub use run::{run, run_traced};
pub use scenario::{Outcome, Play, Scenario};
pub use tags::{TagCounts, TagFault, TagPlan, TimedTagFault, Whom};
pub use whole::{WholeCounts, WholePlan};
