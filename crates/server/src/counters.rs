//! Counters of the server, for whoever shows them. They only grow, but for the connections open now.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Counters since the start.
        #[derive(Debug, Default)]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
        }

        /// The counters at one moment.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            pub(crate) fn counts(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// PostgreSQL connections open now.
    pg_connections,
    /// PostgreSQL connections accepted.
    pg_accepted,
    /// Connections refused for want of room.
    pg_refused,
    /// Logins refused, at all doors.
    logins_refused,
    /// Statements executed on the point path.
    point_statements,
    /// Statements executed otherwise.
    other_statements,
    /// Statements that ended in an error.
    failed_statements,
    /// Requests to cancel a statement that named one of ours.
    cancel_requests,
    /// Flight streams opened by DoPut.
    flight_streams,
    /// Batches committed through Flight.
    flight_batches,
    /// Rows committed through Flight.
    flight_rows,
    /// HTTP connections open now.
    http_connections,
    /// HTTP connections accepted.
    http_accepted,
    /// HTTP connections refused for want of room.
    http_refused,
    /// HTTP requests answered, well or with an error.
    http_requests,
    /// HTTP requests answered with a status of 400 or more.
    http_failed_requests,
    /// Lines of the line protocol that were written.
    http_lines,
    /// Lines of the line protocol that were refused.
    http_lines_refused,
    /// Rows committed through the line protocol.
    http_rows,
    /// Tags made for fields of lines that had none.
    http_tags_created,
    /// Lines whose series was known already.
    http_series_hits,
    /// Lines whose series had to be looked up.
    http_series_misses,
}

pub(crate) fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
