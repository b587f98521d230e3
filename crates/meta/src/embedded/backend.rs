//! redb's storage over `world::Disk`: so that the simulator runs it, faults and power cuts included.
//!
//! Promises nothing beyond `world::File`'s own promises, which are those that redb leans on (durable
//! after sync, no byte outside of a write changes). May not know what redb stores.

use redb::StorageBackend;
use std::fmt;
use std::io::Error;
use std::sync::Arc;
use world::{DiskError, File};

/// A file, as redb sees it.
pub(super) struct Backend(pub(super) Arc<dyn File>);

impl fmt::Debug for Backend {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("world::File")
    }
}

/// Keeps the kind, and the text that names operation and file.
fn told(error: DiskError) -> Error {
    Error::new(error.cause.kind(), error)
}

impl StorageBackend for Backend {
    fn len(&self) -> Result<u64, Error> {
        self.0.len().map_err(told)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        self.0.read_at(offset, out).map_err(told)
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.0.truncate(len).map_err(told)
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.0.sync().map_err(told)
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        self.0.write_at(offset, &[data]).map_err(told)
    }
}
