//! Floor 2: the storage layer. Which immutable files make up a slice, and since when.
//!
//! What it is: the manifest of a slice (its files, versions, deletions and producers), the
//! directory that swaps manifests as a whole, and the checksummed block that all our files are made of.
//! What it promises: after a crash at any step a slice opens to the old or the new manifest, never
//! to anything else; a file belongs to a slice only while the manifest names it; damage is an error
//! that names file and place.
//! What it may not know: what is in the files (samples or rows), the log, commits across slices.
//!
//! ```text
//!   slices/0007/manifest-0000000042              the one truth; N only rises, never renamed
//!   slices/0007/period-17136/00000017.series     a file of one period (figure 7: a file group)
//!   slices/0007/mixed/00000019.series            a file of several periods, not yet split by merging
//!   slices/0007/latest-00000018                  the snapshot values
//! ```

pub mod block;
mod codec;
mod directory;
mod error;
mod head;
mod inspection;
mod manifest;
mod opening;
pub mod wire;

pub use codec::{FORMAT as MANIFEST_FORMAT, decode as decode_manifest, encode as encode_manifest};
pub use directory::SliceDirectory;
pub use error::Error;
pub use head::{FileHead, FileType};
pub use inspection::{Inspection, Table, describe_manifest};
pub use manifest::{EpochStart, FileMeta, FileNumber, FilePlace, Manifest, ManifestEdit, Opaque, Producer, StoreId, file_path};
pub use opening::{DirectoryCheck, check_directory, files_in, identify, inspect_manifest, manifest_path};
