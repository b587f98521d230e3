//! What this machine gives us: memory (its own, or what a control group leaves of it), cores, a disk.
//!
//! Promises: a number that is never above what the machine or any control group above this
//! process allows; where nothing can be read, a modest guess rather than an error.

use std::fs;
use std::path::Path;
use world::{Disk, RealDisk};

/// Taken where the machine does not say how much memory it has.
const GUESS_BYTES: u64 = 4 << 30;

/// Bytes of memory that this process may use: the least of the machine's and its control groups'.
#[must_use]
pub fn memory_bytes() -> u64 {
    let machine = fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_of(&text)).unwrap_or(GUESS_BYTES);
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    group_limits(&groups, Path::new("/sys/fs/cgroup")).into_iter().fold(machine, u64::min)
}

/// Cores that this process may run on, at least 1.
#[must_use]
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// How large the disk is on which this directory lies, or will lie once it is made; None where nobody knows.
#[must_use]
pub fn disk_bytes(directory: &Path) -> Option<u64> {
    let whole = std::path::absolute(directory).ok()?;
    whole.ancestors().find_map(|at| RealDisk.size_bytes(at).ok())
}

fn total_of(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib << 10)
}

/// The limits of the group named in /proc/self/cgroup and of every group above it (versions 1 and 2).
fn group_limits(groups: &str, root: &Path) -> Vec<u64> {
    let mut limits = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next(), parts.next().unwrap_or_default(), parts.next().unwrap_or("/"));
        let (base, file) = match controllers {
            "" => (root.to_path_buf(), "memory.max"),
            names if names.split(',').any(|name| name == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        let mut at = base.join(path.trim_start_matches('/'));
        loop {
            limits.extend(fs::read_to_string(at.join(file)).ok().and_then(|text| text.trim().parse::<u64>().ok()));
            if at == base || !at.pop() {
                break;
            }
        }
    }
    limits
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test's own files")]
mod tests {
    use super::*;

    #[test]
    fn a_directory_to_be_has_the_disk_of_those_above_it() {
        let here = std::env::temp_dir();
        let size = disk_bytes(&here);
        assert!(size.is_some_and(|bytes| bytes > 1 << 20), "{size:?}");
        assert_eq!(disk_bytes(&here.join("not/made/yet")), size);
    }

    #[test]
    fn the_least_limit_on_the_way_up_counts() {
        let root = std::env::temp_dir().join(format!("meridian-cgroup-{}", std::process::id()));
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/memory.max"), "1048576\n").unwrap();
        fs::write(root.join("a/b/memory.max"), "max\n").unwrap();
        assert_eq!(group_limits("0::/a/b\n", &root), vec![1_048_576]);
        assert_eq!(group_limits("3:cpu:/x\n", &root), Vec::<u64>::new());
        fs::remove_dir_all(&root).unwrap();
    }

    #[test]
    fn meminfo_is_in_kibibytes() {
        assert_eq!(total_of("MemFree: 1 kB\nMemTotal:       16384 kB\n"), Some(16 << 20));
        assert_eq!(total_of(""), None);
        assert!(memory_bytes() > 0 && cores() > 0);
    }
}
