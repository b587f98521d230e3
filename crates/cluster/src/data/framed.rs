//! Questions about values, and writes, on connections of their own: what schedulers ask most often, and what must cost least.
//!
//! ```text
//!   frame = length of the rest (u32), number of the question (u64), protobuf: `Reading` or `Writing` there, `Told` back; little-endian
//! ```
//! Why not gRPC: a question about one value costs some 5 microseconds of work at the node, and ten times that as a call of its own,
//! most of it for waking threads (docs/decisions/0015-framed-connections.md). A connection belongs to one runtime of
//! the scheduler, so that whoever asks on a thread of its own wakes nobody there, and a question that needs no waiting is
//! answered where it was read. Reads and writes have connections of their own: a question does not wait behind a large write.
//! Promises: questions on a connection may be answered in any order; a connection that fails, or leaves a question without its
//! answer for too long, fails all of its questions, which may be asked again elsewhere. It is the door's own, behind the same certificates.

mod answering;
mod asking;
mod frames;

pub use answering::Answers;
pub use asking::Askers;

use super::asking::{Reading, Writing};
use prost::Message;

/// What is asked on such a connection.
pub(in crate::data) trait Asked: Message + Default + 'static {
    /// The connection's name in the handshake (ALPN); the number is the layout's.
    const PROTOCOL: &'static [u8];
}

impl Asked for Reading {
    const PROTOCOL: &'static [u8] = b"meridian-reads-1";
}

impl Asked for Writing {
    const PROTOCOL: &'static [u8] = b"meridian-writes-1";
}
