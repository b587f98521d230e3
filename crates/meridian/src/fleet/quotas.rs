//! The limits of roles that schedulers of a fleet share, as SQL asks for them.
//!
//! It only translates words. May not know how schedulers agree.

use cluster::manager::Quotas;
use futures::FutureExt;
use futures::future::BoxFuture;
use protocol::quotas::{LimitId, Limited};
use query::{Rated, Seat};
use std::sync::Arc;

/// What this scheduler may use.
pub struct FleetQuotas(pub Arc<Quotas>);

fn id(role: u32, rated: Rated) -> LimitId {
    let what = match rated {
        Rated::Written => Limited::Written,
        Rated::Read => Limited::Read,
    };
    LimitId { role, what }
}

impl query::Quotas for FleetQuotas {
    fn rate(&self, role: u32, rated: Rated, limit: u64) -> u64 {
        self.0.rate(id(role, rated), limit)
    }

    fn counts(&self, role: u32, rated: Rated, rows: u64) {
        self.0.counts(id(role, rated), rows);
    }

    fn waits(&self, role: u32, rated: Rated, begins: bool) {
        self.0.waits(id(role, rated), begins);
    }

    fn seat(&self, role: u32, limit: Option<u32>) -> BoxFuture<'static, Option<Seat>> {
        let quotas = Arc::clone(&self.0);
        async move { quotas.seat(role, limit).await.map(|seat| -> Seat { Box::new(seat) }) }.boxed()
    }
}
