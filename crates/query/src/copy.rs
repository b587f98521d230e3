//! COPY in both directions: its options, and its formats as pure parsers and printers.

pub(crate) mod binary;
pub(crate) mod options;
pub(crate) mod print;
pub(crate) mod reader;
