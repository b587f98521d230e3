//! The metas of a fleet before the suite that every meta must pass, and what only a network does to
//! them: real etcd (Debian's `etcd-server`), killed, stopped, wiped, and a lone manager's over TLS.
#![expect(clippy::disallowed_methods, reason = "these tests are the outside world: processes, files, real time")]

mod certificates;
#[path = "../../../meta/tests/conformance/mod.rs"]
mod conformance;
mod directory;
mod etcd;
mod faults;
mod lone;
mod members;

use conformance::Bench;
use meta::Meta;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use world::{Abandoned, Ticket};

/// A meta behind a network; its calls run on the runtime, the test waits outside of it.
struct Networked {
    meta: Arc<dyn Meta>,
    _runtime: Arc<Runtime>,
}

impl Bench for Networked {
    fn meta(&self) -> Arc<dyn Meta> {
        Arc::clone(&self.meta)
    }

    fn answer<T: Send + 'static>(&self, ticket: Ticket<T>) -> Result<T, Abandoned> {
        ticket.wait()
    }

    fn pass(&self, time: Duration) {
        std::thread::sleep(time);
    }
}

fn runtime() -> Arc<Runtime> {
    Arc::new(
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("an answer that is no fault"),
    )
}
