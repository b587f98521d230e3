//! What `bench table1` measures: a node alone, or a fleet on this machine.
//!
//! Promises: the processes of a fleet together take the memory that a node alone would take.

use super::table1::Arguments;
use crate::Error;
use crate::fleet::local::{FleetKeeper, LocalFleet};
use crate::node::{Node, Scratch};

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
