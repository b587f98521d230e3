//! Where a repository is said to be, read.
//!
//! Promises: what can't be a repository is refused with what can. May not know what lies there.

use crate::Error;
use ::backup::{Directory, Place};
use std::path::Path;
use std::sync::Arc;
use world::Disk;

/// A repository: `file:///whole/path`, or a path.
///
/// # Errors
/// `Error::Usage`.
pub fn open(text: &str, disk: &Arc<dyn Disk>) -> Result<Box<dyn Place>, Error> {
    let path = match text.split_once("://") {
        None => text,
        Some(("file", path)) => path,
        Some((scheme, _)) => {
            return Err(Error::Usage(format!("\"{text}\": a repository is a directory, not {scheme}://")));
        }
    };
    if path.is_empty() {
        return Err(Error::Usage("a repository's path is not empty".to_owned()));
    }
    Ok(Box::new(Directory::new(Arc::clone(disk), Path::new(path))))
}
