//! Who holds a store: the process behind a lock, for whoever is told that a store is in use.
//!
//! Promises: reads only; where the system does not tell, nobody is named.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// "process 1234 (meridian serve --dir ..)" where it can be told, else "another process".
#[must_use]
pub fn holder(lock: &Path) -> String {
    let found = std::fs::metadata(lock).ok().and_then(|data| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        search(&locks, data.dev(), data.ino())
    });
    let Some(process) = found else { return "another process".to_owned() };
    let command = std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    let command = command.trim_end_matches('\0').replace('\0', " ");
    let shown: String = command.chars().take(120).collect();
    if shown.is_empty() { format!("process {process}") } else { format!("process {process} ({shown})") }
}

/// The process that holds a lock on a file, in the text of /proc/locks:
/// `1: FLOCK  ADVISORY  WRITE 1234 fd:00:5309012 0 EOF`, the device in hexadecimal.
fn search(locks: &str, device: u64, file: u64) -> Option<u32> {
    let name = format!("{:02x}:{:02x}:{file}", libc::major(device), libc::minor(device));
    locks.lines().find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        // A line with an arrow is of somebody who waits.
        let [_, "FLOCK", _, _, process, place, ..] = fields[..] else { return None };
        // Processes of another container have no number here.
        (place == name).then(|| process.parse().ok().filter(|process| *process > 0)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_holder_is_found_by_device_and_file() {
        let locks = "1: FLOCK  ADVISORY  WRITE 12588 fe:00:6062120 0 EOF\n\
                     1: -> FLOCK  ADVISORY  WRITE 7 fe:00:6062121 0 EOF\n\
                     2: POSIX  ADVISORY  READ 420 fe:00:6062121 0 EOF\n\
                     3: FLOCK  ADVISORY  WRITE 0 fe:00:6062122 0 EOF\n\
                     4: FLOCK  ADVISORY  WRITE 99 fe:01:6062121 0 EOF\n";
        let device = libc::makedev(0xfe, 0);
        assert_eq!(search(locks, device, 6_062_120), Some(12_588));
        assert_eq!(search(locks, device, 6_062_121), None);
        assert_eq!(search(locks, device, 6_062_122), None);
        assert_eq!(search(locks, libc::makedev(0xfe, 1), 6_062_121), Some(99));
    }
}
