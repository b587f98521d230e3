//! What is asked for by `meridian_backup(place [, keep])`, and what is said of it: of a lone node as of a fleet.
//!
//! Promises: what can't be a repository is refused before anything is done. May not know how a backup is taken.

use super::place;
use ::backup::{Head, Place, Progress};
use arrow::datatypes::DataType;
use parking_lot::Mutex;
use query::{Error, OperatorFunction, Report, ScalarValue};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The function's name.
pub const FUNCTION: &str = "meridian_backup";

/// The function.
pub fn function() -> OperatorFunction {
    OperatorFunction { name: FUNCTION, arguments: vec![DataType::Utf8, DataType::Int64], optional: 1, strict: true }
}

pub fn report(message: impl Into<String>) -> Box<Report> {
    Box::new(Report { message: message.into(), ..Report::default() })
}

/// What is asked for.
pub struct Asked {
    /// The repository.
    pub to: String,
    /// How many backups stay.
    pub keep: Option<usize>,
}

impl Asked {
    /// By these arguments.
    ///
    /// # Errors
    /// `Error::InvalidParameter`.
    pub fn of(arguments: &[ScalarValue]) -> Result<Asked, Error> {
        let (to, keep) = match arguments {
            [ScalarValue::Utf8(Some(to)), rest @ ..] => (to.clone(), rest.first().cloned()),
            _ => return Err(Error::InvalidParameter(report("a backup needs the place where it is to lie"))),
        };
        let keep = match keep {
            None => None,
            Some(ScalarValue::Int64(Some(keep))) if keep > 0 => usize::try_from(keep).ok(),
            Some(_) => return Err(Error::InvalidParameter(report("at least one backup is kept"))),
        };
        if !place::is_whole(&to) {
            let message = format!("\"{to}\" is no whole path: the node writes the backup, in whatever directory it runs");
            return Err(Error::InvalidParameter(report(message)));
        }
        Ok(Asked { to, keep })
    }
}

/// A backup that runs.
#[derive(Clone)]
pub struct Running {
    /// Where to.
    pub place: String,
    /// Since when, in microseconds since 1970.
    pub since_us: i64,
    /// How far it is.
    pub progress: Progress,
}

/// Whose turn it is: one backup runs at a time.
#[derive(Clone, Default)]
pub struct Turn(Arc<Mutex<Option<Running>>>);

impl Turn {
    /// The one that runs.
    pub fn running(&self) -> Option<Running> {
        self.0.lock().clone()
    }

    /// Begins one, until what is given is dropped.
    ///
    /// # Errors
    /// `Error::CantChange` where another one runs.
    pub fn begin(&self, place: String, since_us: i64) -> Result<Ends, Error> {
        let mut running = self.0.lock();
        if let Some(other) = &*running {
            let message = format!("a backup to {} runs already; wait for it, or cancel it", other.place);
            return Err(Error::CantChange(report(message)));
        }
        *running = Some(Running { place, since_us, progress: Progress::default() });
        Ok(Ends(self.clone()))
    }

    /// It is so far now.
    pub fn tell(&self, progress: Progress) {
        if let Some(running) = self.0.lock().as_mut() {
            running.progress = progress;
        }
    }
}

/// The backup that runs is over, however.
pub struct Ends(Turn);

impl Drop for Ends {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}

/// Gives up a backup whose statement is gone.
pub struct Waiting(pub Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What is said of a backup that was taken.
pub fn said(head: &Head, place: &str) -> String {
    let Head { id, tags, bytes, new_bytes, .. } = head;
    format!("backup {id} of {tags} tags lies in {place}: {bytes} bytes, {new_bytes} of them new")
}

/// Removes backups beyond those that stay, and says so.
///
/// # Errors
/// As `told`.
pub fn pruned(place: &dyn Place, keep: Option<usize>) -> Result<String, Error> {
    let Some(keep) = keep else { return Ok(String::new()) };
    let pruned = ::backup::keep_newest(place, keep).map_err(told)?;
    let mut said = format!("; {} older ones removed", pruned.backups.len());
    if pruned.parcels > 0 {
        said.push_str(&format!(", and {} parcels of archived log", pruned.parcels));
    }
    Ok(said)
}

/// A backup's error in SQL's words.
pub fn told(fault: ::backup::Error) -> Error {
    let report = report(fault.to_string());
    match fault {
        ::backup::Error::Foreign { .. } | ::backup::Error::Format { .. } => Error::CantChange(report),
        ::backup::Error::Cancelled => Error::Cancelled(report),
        ::backup::Error::Full { .. } => Error::DiskFull(report),
        ::backup::Error::Disk(fault) if fault.is_full() => Error::DiskFull(report),
        _ => Error::Io(report),
    }
}
