//! A temporary directory that goes with the test, or stays for a look when the test fails.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

static NUMBER: AtomicU64 = AtomicU64::new(0);

/// A directory of its own for one test.
pub struct Directory {
    path: PathBuf,
}

impl Directory {
    /// A new, empty directory whose name holds `name`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("meridian-{name}-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a temporary directory can be made");
        Directory { path }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look: {}", self.path.display());
        } else {
            // Best effort: a leftover in the temporary directory harms nobody.
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
