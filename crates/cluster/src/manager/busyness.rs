//! How busy the machine is, from what Linux says of itself under `/proc`.
//!
//! Promises: each part in thousandths, of the time between two samples; a file that can't be read, or is of another system,
//! counts as not busy. Of several disks or networks the busiest one counts. May not know whose machine it is.

use protocol::membership::Busyness;
use std::collections::HashMap;

/// What the machine counted since it began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Sample {
    /// Ticks: those not idle, and all.
    cpu: (u64, u64),
    /// Bytes received and sent, by network.
    networks: HashMap<String, u64>,
    /// Milliseconds that requests were under way, by disk.
    disks: HashMap<String, u64>,
    /// Kilobytes: in use, and all.
    memory: (u64, u64),
}

#[expect(clippy::disallowed_methods, reason = "these are not files but what the kernel says of the machine")]
fn read(path: &str) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

fn numbers(line: &str) -> Vec<u64> {
    line.split_whitespace().filter_map(|word| word.parse().ok()).collect()
}

fn thousandths(part: u64, whole: u64) -> u32 {
    part.min(whole).saturating_mul(1_000).checked_div(whole).unwrap_or(0) as u32
}

impl Sample {
    pub(super) fn take() -> Sample {
        Sample::of(&read("/proc/stat"), &read("/proc/net/dev"), &read("/proc/diskstats"), &read("/proc/meminfo"))
    }

    fn of(stat: &str, net: &str, disks: &str, memory: &str) -> Sample {
        let mut sample = Sample::default();
        if let Some(line) = stat.lines().find_map(|line| line.strip_prefix("cpu ")) {
            // user nice system idle iowait irq softirq steal; guests are counted among the users.
            let ticks = numbers(line);
            let (all, idle) = (ticks.iter().take(8).sum::<u64>(), ticks.iter().skip(3).take(2).sum::<u64>());
            sample.cpu = (all.saturating_sub(idle), all);
        }
        for (name, rest) in net.lines().filter_map(|line| line.split_once(':')) {
            let counts = numbers(rest);
            if let (Some(received), Some(sent)) = (counts.first(), counts.get(8)) {
                sample.networks.insert(name.trim().to_owned(), (*received).max(*sent));
            }
        }
        for line in disks.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            // major minor name, then 10 counts of which the last is the time that anything was under way.
            if let (Some(name), Some(ms)) = (words.get(2), words.get(12).and_then(|ms| ms.parse().ok())) {
                sample.disks.insert((*name).to_owned(), ms);
            }
        }
        let of = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| numbers(line.trim_start_matches(':')).first().copied()).unwrap_or(0)
        };
        let all = of("MemTotal");
        sample.memory = (all.saturating_sub(of("MemAvailable")), all);
        sample
    }

    /// How busy it was since an earlier sample, so many microseconds ago.
    pub(super) fn since(&self, before: &Sample, us: u64, network_bytes_s: u64) -> Busyness {
        let more = |now: &HashMap<String, u64>, before: &HashMap<String, u64>| {
            let grown = now.iter().filter_map(|(name, now)| Some(now.saturating_sub(*before.get(name)?)));
            grown.max().unwrap_or(0)
        };
        let room = u128::from(network_bytes_s) * u128::from(us) / 1_000_000;
        Busyness {
            cpu: thousandths(self.cpu.0.saturating_sub(before.cpu.0), self.cpu.1.saturating_sub(before.cpu.1)),
            network: thousandths(more(&self.networks, &before.networks), u64::try_from(room).unwrap_or(u64::MAX)),
            disk: thousandths(more(&self.disks, &before.disks), us / 1_000),
            memory: thousandths(self.memory.0, self.memory.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_of_the_time_between() {
        let net = |lo: u64, eth: u64| {
            format!("Inter-| x\n face |bytes\n  lo: {lo} 1 0 0 0 0 0 0 {lo} 1\neth0: {eth} 1 0 0 0 0 0 0 5 1\n")
        };
        let disk = |ms: u64| format!("8 0 sda 1 2 3 4 5 6 7 8 0 {ms} 9\n8 1 sdb 1 2 3 4 5 6 7 8 0 1 9\n");
        let memory = "MemTotal:  1000 kB\nMemFree: 1 kB\nMemAvailable:  250 kB\n";
        let before = Sample::of("cpu  10 0 10 70 10 0 0 0 0 0\ncpu0 1 1\n", &net(0, 100), &disk(500), memory);
        let now = Sample::of("cpu  30 0 20 100 50 0 0 0 0 0\n", &net(10, 50_100), &disk(700), memory);
        let busy = now.since(&before, 1_000_000, 100_000);
        assert_eq!(busy, Busyness { cpu: 300, network: 500, disk: 200, memory: 750 });
        let nothing = Sample::of("", "", "", "");
        assert_eq!(nothing.since(&nothing, 0, 0), Busyness::default());
        assert_eq!(now.since(&nothing, 1_000_000, 100_000).disk, 0, "what is new has no past");
    }

    #[test]
    fn this_machine_says_something() {
        let (first, second) = (Sample::take(), Sample::take());
        assert!(first.memory.1 > 0 && first.cpu.1 > 0);
        assert!(second.since(&first, 1_000, 1).memory > 0);
    }
}
