//! COPY in both directions: its options, and the two text formats as pure parsers and printers.

pub(crate) mod options;
pub(crate) mod print;
pub(crate) mod reader;
