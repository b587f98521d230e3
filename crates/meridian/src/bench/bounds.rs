//! Physical bounds, measured in the same run: how fast the disk takes a synced sequential write,
//! how fast memory is copied, how much core time an operation takes; and the entropy of what is written.

use crate::grid::Shape;
use crate::node::cpu_of;
use crate::progress::now;
use crate::{Error, node::Node};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

const DISK_BYTES: usize = 256 << 20;
const DISK_BLOCK: usize = 1 << 20;
const MEMORY_BYTES: usize = 256 << 20;
const MEMORY_ROUNDS: usize = 4;

/// What the machine can do.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Bytes a second of sequential writes of 1 MiB, synced at the end and every 16 MiB.
    pub disk_write: f64,
    /// How long a write of 4 KiB with its sync takes.
    pub disk_sync: Duration,
    /// Bytes a second copied in memory by one core (read plus write count once).
    pub memory_copy: f64,
    /// Cores.
    pub cores: usize,
}

/// Measures the machine; the disk where `dir` lies.
///
/// # Errors
/// `Error::File`.
pub fn measure(dir: &Path) -> Result<Machine, Error> {
    let (disk_write, disk_sync) = disk(&dir.join("bound.tmp"))?;
    Ok(Machine { disk_write, disk_sync, memory_copy: memory(), cores: crate::config::cores() })
}

#[expect(clippy::disallowed_methods, reason = "measures the disk itself")]
fn disk(path: &Path) -> Result<(f64, Duration), Error> {
    let failed = |cause| Error::File { path: path.to_path_buf(), cause };
    let mut file = std::fs::File::create(path).map_err(failed)?;
    // Not all the same bytes, for file systems that compress.
    let block: Vec<u8> = (0..DISK_BLOCK as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let started = now();
    for i in 0..DISK_BYTES / DISK_BLOCK {
        file.write_all(&block).map_err(failed)?;
        if i % 16 == 15 {
            file.sync_data().map_err(failed)?;
        }
    }
    let write = DISK_BYTES as f64 / started.elapsed().as_secs_f64();
    let mut syncs: Vec<Duration> = Vec::new();
    for _ in 0..32 {
        let started = now();
        file.write_all(&block[..4096]).and_then(|()| file.sync_data()).map_err(failed)?;
        syncs.push(started.elapsed());
    }
    syncs.sort_unstable();
    drop(file);
    std::fs::remove_file(path).map_err(failed)?;
    Ok((write, syncs[syncs.len() / 2]))
}

fn memory() -> f64 {
    let from = vec![1_u8; MEMORY_BYTES];
    let mut to = vec![0_u8; MEMORY_BYTES];
    let mut best = f64::INFINITY;
    for _ in 0..MEMORY_ROUNDS {
        let started = now();
        to.copy_from_slice(std::hint::black_box(&from));
        std::hint::black_box(&to);
        best = best.min(started.elapsed().as_secs_f64());
    }
    MEMORY_BYTES as f64 / best
}

/// Core time and bytes written of the node and this process, at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// Core time of the node.
    pub server_cpu: Duration,
    /// Core time of this process.
    pub client_cpu: Duration,
    /// Bytes that the node gave to the disk.
    pub server_written: u64,
}

impl Usage {
    /// Now.
    pub fn now(node: &Node) -> Usage {
        Usage {
            server_cpu: node.cpu().unwrap_or_default(),
            client_cpu: cpu_of("self").unwrap_or_default(),
            server_written: node.pids().into_iter().filter_map(written).sum(),
        }
    }

    /// Since an earlier moment.
    pub fn since(self, earlier: Usage) -> Usage {
        Usage {
            server_cpu: self.server_cpu.saturating_sub(earlier.server_cpu),
            client_cpu: self.client_cpu.saturating_sub(earlier.client_cpu),
            server_written: self.server_written.saturating_sub(earlier.server_written),
        }
    }

    /// Core time of both.
    pub fn cpu(self) -> Duration {
        self.server_cpu + self.client_cpu
    }
}

/// Bytes that a process gave to the disk so far; None where the system does not tell.
pub fn written(pid: u32) -> Option<u64> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    text.lines().find_map(|line| line.strip_prefix("write_bytes: "))?.parse().ok()
}

/// Entropy of the data set in bytes a point: the least that its surprises take, by class.
pub fn entropy(shape: &Shape) -> f64 {
    // A normal deviate in units of its resolution: log2(sd * sqrt(2 pi e)).
    let normal = |sd: f64| (sd * (2.0 * std::f64::consts::PI * std::f64::consts::E).sqrt()).log2();
    let coin = |p: f64| -(p * p.log2() + (1.0 - p) * (1.0 - p).log2());
    // Bases are uniform in 5 to 500: the mean of log2 of 4 units of sd for each of the base.
    let mean_log2_base = (500.0 * 500_f64.ln() - 5.0 * 5_f64.ln() - 495.0) / 495.0 / std::f64::consts::LN_2;
    let bits = [normal(8.0), normal(4.0) + mean_log2_base, 0.0, coin(0.002)];
    let values: f64 = bits.iter().zip(shape.mix).map(|(bits, part)| bits * f64::from(part) / 100.0).sum();
    let times = 0.1 * 101_f64.log2();
    let qualities = coin(0.001) + 0.001;
    (values + times + qualities) / 8.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_data_set_has_the_entropy_that_is_said_of_it() {
        let shape = Shape { seed: 1, mix: Shape::MIX, start_us: 0, step_us: 1_000_000 };
        let bytes = entropy(&shape);
        assert!((0.85..0.98).contains(&bytes), "{bytes}");
    }
}
