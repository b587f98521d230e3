//! A tree of files as it will lie where it is installed.
//!
//! It promises that modes are as they are asked for, whatever the umask, and that all times are the one given. Owners are said by whoever packs it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// The tree.
pub struct Stage {
    /// Where it lies.
    pub root: PathBuf,
    time: SystemTime,
}

impl Stage {
    /// An empty one, in a directory that is made.
    pub fn new(root: &Path, epoch: u64) -> Result<Stage, String> {
        let stage = Stage { root: root.to_path_buf(), time: SystemTime::UNIX_EPOCH + Duration::from_secs(epoch) };
        make_dir(root)?;
        set_mode(root, 0o755)?;
        Ok(stage)
    }

    /// Where a path of the installed system lies here; the directories above it are there.
    pub fn place(&self, path: &str) -> Result<PathBuf, String> {
        let whole = self.root.join(path.trim_start_matches('/'));
        let mut above: Vec<&Path> = whole.ancestors().skip(1).take_while(|above| *above != self.root).collect();
        above.reverse();
        for dir in above.into_iter().filter(|dir| !dir.is_dir()).map(Path::to_path_buf).collect::<Vec<_>>() {
            make_dir(&dir)?;
            set_mode(&dir, 0o755)?;
        }
        Ok(whole)
    }

    /// A file of this text.
    pub fn file(&self, path: &str, mode: u32, text: &str) -> Result<PathBuf, String> {
        let place = self.place(path)?;
        super::write(&place, text)?;
        set_mode(&place, mode)?;
        Ok(place)
    }

    /// A file as it lies somewhere on this machine; through links.
    pub fn copy(&self, path: &str, mode: u32, from: &Path) -> Result<(), String> {
        let place = self.place(path)?;
        fs::copy(from, &place).map_err(|error| format!("{}: {error}", from.display()))?;
        set_mode(&place, mode)
    }

    /// A directory.
    pub fn dir(&self, path: &str, mode: u32) -> Result<PathBuf, String> {
        let place = self.place(path)?;
        make_dir(&place)?;
        set_mode(&place, mode)?;
        Ok(place)
    }

    /// Gives a file, by its path from the root, a mode.
    pub fn set_mode(&self, file: &Path, mode: u32) -> Result<(), String> {
        set_mode(&self.root.join(file), mode)
    }

    /// All files, as paths from the root, in order.
    pub fn files(&self) -> Result<Vec<PathBuf>, String> {
        let mut files = Vec::new();
        self.each(&self.root, &mut |path, is_dir| {
            if !is_dir {
                files.push(path.strip_prefix(&self.root).unwrap_or(path).to_path_buf());
            }
            Ok(())
        })?;
        files.sort();
        Ok(files)
    }

    /// Gives everything its one time. Last, since what is written later has its own.
    pub fn settle(&self) -> Result<(), String> {
        self.each(&self.root, &mut |path, _| {
            let opened = fs::File::open(path).and_then(|file| file.set_modified(self.time));
            opened.map_err(|error| format!("{}: {error}", path.display()))
        })
    }

    /// Calls for everything in a directory, then for itself.
    fn each(&self, dir: &Path, call: &mut dyn FnMut(&Path, bool) -> Result<(), String>) -> Result<(), String> {
        let failed = |error: std::io::Error| format!("{}: {error}", dir.display());
        for entry in fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.is_dir() { self.each(&path, call)? } else { call(&path, false)? }
        }
        call(dir, true)
    }
}

fn make_dir(path: &Path) -> Result<(), String> {
    fs::create_dir(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), String> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(|error| format!("{}: {error}", path.display()))
}
