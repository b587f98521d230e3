//! Floor 2: traces: which statement something is done for, whichever process does it, and the spans that tell how long that took.
//!
//! ```text
//!   client's traceparent ──> Context ──within──> current() ──child──> Span ──dropped──> Tracer's queue ──take──> whoever exports
//!                               └──> 25 bytes of a message, or a header ──> Context of another process
//! ```
//! What it promises: without a tracer, and for what is not sampled, nothing is allocated, locked or told; a context goes along all
//! the same, so that logs can show its trace. What is told waits in a queue of `SPANS_WAITING_MAX`; what finds no room there is
//! dropped and counted, and nobody waits.
//! What it may not know: what is traced, and where spans go (docs/decisions/0026-tracing.md says why this is no crate of others).
//!
//! ```
//! let context: traces::Context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".parse().unwrap();
//! assert!(context.sampled);
//! assert_eq!(context.trace.to_string(), "0af7651916cd43dd8448eb211c80319c");
//! ```

mod context;
mod current;
mod span;
mod tracer;

pub use context::{CONTEXT_BYTES, Context, Malformed, TraceId};
pub use current::{Entered, carried, current, enter, within};
pub use span::{Finished, Kind, Span, Value};
pub use tracer::{
    Counts, SPANS_WAITING_MAX, Settings, begin, child, counts, install, note_dropped, note_exported, past, stop, take, under,
};
