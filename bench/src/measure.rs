//! What a process and its children took: core time, bytes given to the disk; and its memory.

use meridian::bench::bounds::written;
use meridian::bench::resident::resident;
use meridian::node::cpu_of;
use std::time::Duration;

/// What a process has taken so far.
#[derive(Clone, Copy, Debug, Default)]
pub struct Spent {
    /// User and system time.
    pub cpu: Duration,
    /// Bytes that it gave to the disk.
    pub written: u64,
}

impl Spent {
    /// So far, of a process and its children.
    pub fn of(process: u32) -> Spent {
        let mut sum = Spent::alone(process);
        children(process).into_iter().for_each(|child| sum += Spent::alone(child));
        sum
    }

    fn alone(process: u32) -> Spent {
        Spent { cpu: cpu_of(&process.to_string()).unwrap_or_default(), written: written(process).unwrap_or(0) }
    }

    /// Since an earlier moment.
    pub fn since(self, earlier: Spent) -> Spent {
        Spent { cpu: self.cpu.saturating_sub(earlier.cpu), written: self.written.saturating_sub(earlier.written) }
    }
}

impl std::ops::AddAssign for Spent {
    fn add_assign(&mut self, more: Spent) {
        self.cpu += more.cpu;
        self.written += more.written;
    }
}

/// PostgreSQL has a process a session.
fn children(process: u32) -> Vec<u32> {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let told = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok());
    told.flat_map(|line| line.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<u32>>()).collect()
}

/// The most memory that a process has held.
pub fn peak(process: u32) -> u64 {
    resident(process).peak
}
