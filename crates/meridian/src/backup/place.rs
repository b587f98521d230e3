//! Where a repository is said to be, read.
//!
//! Promises: what can't be a repository is refused with what can. May not know what lies there.

use crate::Error;
use crate::config::Config;
use ::backup::{Directory, Place, S3, S3Settings, Stop};
use std::path::Path;
use std::sync::Arc;
use world::{Clock, Disk};

/// A repository: `file:///whole/path`, a path, or `s3://bucket/prefix` with what the variables AWS_* of this process say.
/// `stop` tells whether work with it is to be given up.
///
/// # Errors
/// `Error::Usage`.
pub fn open(text: &str, disk: &Arc<dyn Disk>, clock: Arc<dyn Clock>, stop: Stop) -> Result<Box<dyn Place>, Error> {
    let path = match text.split_once("://") {
        None => text,
        Some(("file", path)) => path,
        Some(("s3", _)) => {
            let usage = |fault: ::backup::Error| Error::Usage(fault.to_string());
            let variable = |name: &str| std::env::var(name).ok();
            let settings = S3Settings::read(text, &variable, &**disk).map_err(usage)?;
            return Ok(Box::new(S3::new(settings, clock, stop).map_err(usage)?));
        }
        Some((scheme, _)) => {
            let message = format!("\"{text}\": a repository is a directory or s3://bucket/prefix, not {scheme}://");
            return Err(Error::Usage(message));
        }
    };
    if path.is_empty() {
        return Err(Error::Usage("a repository's path is not empty".to_owned()));
    }
    Ok(Box::new(Directory::new(Arc::clone(disk), Path::new(path))))
}

/// Whether a repository that the node itself writes to is named by its whole path.
#[must_use]
pub fn is_whole(to: &str) -> bool {
    (to.contains("://") && !to.starts_with("file://")) || Path::new(to.strip_prefix("file://").unwrap_or(to)).is_absolute()
}

/// Where the setting `archive_to` has a node or a fleet archived.
///
/// # Errors
/// `Error::Usage` where it is no whole path.
pub fn archive(config: &Config) -> Result<Option<String>, Error> {
    let Some(to) = &config.archive_to else { return Ok(None) };
    let to = to.display().to_string();
    if !is_whole(&to) {
        let text = "give one, that all machines of a fleet share, or s3://bucket/prefix";
        return Err(Error::Usage(format!("setting archive_to: \"{to}\" is no whole path; {text}")));
    }
    Ok(Some(to))
}
