//! Who holds a store: the process behind a lock, for whoever is told that a store is in use.
//!
//! Promises: reads only; where the system does not tell, nobody is named; of a command line only the program and its
//! first word are said, for flags may hold passwords.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// "process 1234 (meridian serve)" where it can be told, else "another process".
#[must_use]
pub fn holder(lock: &Path) -> String {
    let found = std::fs::metadata(lock).ok().and_then(|data| {
        let locks = std::fs::read_to_string("/proc/locks").ok()?;
        search(&locks, data.dev(), data.ino())
    });
    let Some(process) = found else { return "another process".to_owned() };
    let shown = command_shown(&std::fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default());
    if shown.is_empty() { format!("process {process}") } else { format!("process {process} ({shown})") }
}

/// The program's name and its first word, of words that each end with a zero byte.
fn command_shown(command: &str) -> String {
    let mut words = command.split('\0').take(2);
    let program = words.next().and_then(|path| path.rsplit('/').next()).unwrap_or_default();
    let first = words.next().filter(|word| !word.is_empty() && !word.starts_with('-'));
    let shown = first.map_or_else(|| program.to_owned(), |first| format!("{program} {first}"));
    shown.chars().take(80).collect()
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
    fn passwords_on_command_lines_are_not_said() {
        assert_eq!(command_shown("/usr/bin/meridian\0serve\0--password\0secret\0"), "meridian serve");
        assert_eq!(command_shown("meridian\0--password=secret\0serve\0"), "meridian");
        assert_eq!(command_shown("meridian\0"), "meridian");
        assert_eq!(command_shown(""), "");
    }

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
