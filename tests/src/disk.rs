//! A small disk for one store, which a test fills: a tmpfs mounted on the store's directory.
//!
//! It promises that it is unmounted with the value, and that nothing else of the machine gets full with it.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A mounted disk.
pub struct SmallDisk {
    at: PathBuf,
}

impl SmallDisk {
    /// Mounts one of so many MiB on a directory, which is made.
    ///
    /// # Errors
    /// What `mount` said: it takes root.
    pub fn mount(at: &Path, mib: u64) -> Result<SmallDisk, String> {
        std::fs::create_dir_all(at).map_err(|fault| fault.to_string())?;
        let size = format!("size={mib}m,mode=0755");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let output = output.map_err(|fault| fault.to_string())?;
        if output.status.success() {
            return Ok(SmallDisk { at: at.to_owned() });
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    fn ballast(&self) -> PathBuf {
        self.at.join("ballast")
    }

    /// Leaves no byte free.
    pub fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(self.ballast()).expect("a file can be made");
        // By large pieces, then by small ones: until not even the smallest fits.
        for bytes in [1 << 20, 4 << 10, 1] {
            let piece = vec![0; bytes];
            while file.write_all(&piece).is_ok() {}
        }
    }

    /// Makes room again.
    ///
    /// # Panics
    /// When the file that filled it can't be removed.
    pub fn clear(&self) {
        std::fs::remove_file(self.ballast()).expect("the ballast can be removed");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is just ending may still hold a file. Best effort, as with directories.
        drop(Command::new("umount").arg("--lazy").arg(&self.at).status());
    }
}
