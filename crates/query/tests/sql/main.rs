//! SQL over a kernel, and over the nodes of a fleet: what statements mean, what they read, and what they cost.
//!
//! One binary: each would be linked with all of DataFusion.

#![allow(clippy::unwrap_used, reason = "a test fails where it stands")]

mod access;
mod activity;
mod arrays;
mod blocks;
mod bounds;
mod by_day;
mod catalogue;
mod copy;
mod cursors;
mod fixture;
mod fleet;
mod functions;
mod joins;
mod limits;
mod meaning;
mod numerics;
mod own_writes;
mod planning;
mod pushdown;
mod ranges;
mod reads;
mod retention;
mod sessions;
mod spill;
mod statements;
mod subqueries;
mod thinning;
mod unknowns;
mod unreadable;
