//! Who may do what: roles, what they were granted, and how statements are held to it.
//!
//! ```text
//!   CREATE ROLE, GRANT .. ──> parse ──> commands, granting (over a draft of the roster) ──> Keeper: a file, or the fleet's meta
//!                                                                                             │ learn
//!   session ──> Access (who it is) ──> Rights of that role, worked out of the Roster <────────┘
//!   statement ──> admit (tables and functions of its plan) ──> scans, point path, writes: the tags within reach
//! ```
//!
//! Promises: every statement is held to the rights of the moment at which it is executed, whatever was prepared before; of tags
//! that a role may not see it learns nothing from rows, counts, plans or errors but what `docs/access.md` lists. May not know how
//! passwords are checked, or where roles are kept.

mod admit;
mod commands;
pub(crate) mod condition;
mod draft;
mod granting;
pub(crate) mod parse;
pub(crate) mod privilege;
mod rights;
pub(crate) mod role;
pub(crate) mod roles;
mod roster;
mod standing;
mod words;

pub(crate) use admit::{Signal, admit_plan, admit_signal};
pub(crate) use commands::{Asked, When, change, run};
pub(crate) use draft::{Asking, Draft};
pub(crate) use granting::Told;
pub use privilege::Privileges;
pub use rights::Rights;
pub(crate) use rights::{Missing, Reach, refused};
pub use role::{BOOTSTRAP, PUBLIC};
pub use roles::{Keeper, Kept, RecordChange, Roles};
pub(crate) use roster::Roster;
pub use standing::Access;
pub(crate) use standing::{Identity, Standing, no_role};
pub(crate) use words::Words;
