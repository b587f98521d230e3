//! What `bench table1` measures: a node alone, or a fleet on this machine.
//!
//! Promises: the processes of a fleet together take the memory that a node alone would take.

use super::table1::Arguments;
use crate::Error;
use crate::fleet::local::{FleetKeeper, LocalFleet, Shape as FleetShape};
use crate::node::{Node, Scratch};

/// Bytes of a sample as it is: tag 4, time 8, value 8, quality 1.
pub const RAW_BYTES: f64 = 21.0;

/// Copies of each slice of a fleet: a primary and a backup.
pub const COPIES: u32 = 2;

/// The paper's figure and what ours must reach, of one node and of a fleet of three managers and schedulers and five data nodes.
#[derive(Clone, Copy, Debug)]
pub struct Goals {
    pub alone: (f64, f64),
    pub fleet: (f64, f64),
}

pub const TAGS: Goals = Goals { alone: (93_800.0, 500_000.0), fleet: (66_800.0, 200_000.0) };
pub const IN_ORDER: Goals = Goals { alone: (1.2054e6, 6e6), fleet: (1.0282e6, 1.0282e6) };
pub const BULK: Goals = Goals { alone: (16_800.0, 200_000.0), fleet: (64_600.0, 64_600.0) };
pub const SINGLE: Goals = Goals { alone: (16_800.0, 85_000.0), fleet: (64_600.0, 64_600.0) };

/// Out of order; a node alone is held against its own rate in order.
pub fn out_of_order(alone: f64) -> Goals {
    Goals { alone: (0.3862e6, alone), fleet: (0.7483e6, 0.7483e6) }
}

/// Bytes a point: as on one node, times the copies. The paper's fleet took 6.8 TB of 10.
pub fn storage(fleet: Option<FleetShape>) -> Goals {
    let copies = if fleet.is_some() { f64::from(COPIES) } else { 1.0 };
    Goals { alone: (RAW_BYTES * 0.58, 1.1), fleet: (RAW_BYTES * 0.68, 1.1 * copies) }
}

/// Starts it: one alone, or a fleet's first door with all others as its companions.
///
/// # Errors
/// `Error::Child`, `Error::File`, `Error::Fleet`.
pub fn start(arguments: &Arguments, scratch: &Scratch, flags: &[String]) -> Result<(Node, Option<FleetKeeper>), Error> {
    let flags: Vec<String> = arguments.setup.serve.iter().chain(flags).cloned().collect();
    match arguments.fleet {
        None => Ok((Node::start(&scratch.dir.join("node"), &flags)?, None)),
        Some(shape) => {
            // All processes share what one alone would take.
            let share = format!(
                "--memory-bytes={}B",
                (crate::config::machine_memory() / 2 / u64::from(shape.doors + shape.data)).max(512 << 20)
            );
            let flags = std::iter::once(share).chain(flags).collect::<Vec<_>>();
            let (node, keeper) = LocalFleet::start(scratch, shape, &flags)?.into_node();
            Ok((node, Some(keeper)))
        }
    }
}
