//! Questions about values, on connections of their own: what schedulers ask most often, and what must cost least.
//!
//! ```text
//!   frame = length of the rest (u32), number of the question (u64), protobuf: `Reading` there, `Told` back; little-endian
//! ```
//! Why not gRPC: a question about one value costs some 5 microseconds of work at the node, and ten times that as a call of its own,
//! most of it for waking threads (docs/decisions/0015-reads-on-their-own-connections.md). A connection belongs to one runtime of
//! the scheduler, so that whoever asks on a thread of its own wakes nobody there, and a question that needs no waiting is
//! answered where it was read.
//! Promises: questions on a connection may be answered in any order; a connection that fails, or leaves a question without its
//! answer for too long, fails all of its questions, which may be asked again elsewhere. It is the door's own, behind the same certificates.

mod answering;
mod asking;
mod frames;

pub use answering::Reads;
pub use asking::Readers;

/// Its name in the handshake (ALPN); the number is the layout's.
pub(super) const READS: &[u8] = b"meridian-reads-1";
