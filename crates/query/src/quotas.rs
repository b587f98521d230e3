//! Limits of roles that several servers share: who says how much of them this one may use.
//!
//! It may not know how servers agree; on a lone node there is nobody to ask, and a limit is its own.

use futures::future::BoxFuture;

/// What is limited of a role, by a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rated {
    /// Rows that it writes.
    Written,
    /// Rows that it is sent.
    Read,
}

/// A session's seat among those that its role may have, given back when it is dropped.
pub type Seat = Box<dyn Send + Sync>;

/// Whoever knows what this server may use. Rates are in thousandths of a row a second.
pub trait Quotas: Send + Sync {
    /// What is in force here of a rate.
    fn rate(&self, role: u32, rated: Rated, limit: u64) -> u64;

    /// Rows of it were used.
    fn counts(&self, role: u32, rated: Rated, rows: u64);

    /// Somebody begins, or ceases, to wait for it.
    fn waits(&self, role: u32, rated: Rated, begins: bool);

    /// A seat for one more session of a role that may have so many; None where they are taken.
    fn seat(&self, role: u32, limit: Option<u32>) -> BoxFuture<'static, Option<Seat>>;
}

/// A limit of a role that was met here, as it is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct RateInForce {
    /// The role's name.
    pub role: String,
    /// Of what.
    pub rated: Rated,
    /// Rows a second: all servers together.
    pub limit: u64,
    /// Rows a second: here, now.
    pub here: f64,
}
