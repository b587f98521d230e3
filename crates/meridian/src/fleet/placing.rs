//! What goes on beside a manager and a scheduler: slices are placed once there are nodes enough, and a router hears how busy nodes are.
//!
//! Promises: it is said from time to time why slices are not placed. May not know how they are.

use cluster::fleet::FleetRule;
use cluster::manager::{Admin, Placement};
use cluster::router::Router;
use std::sync::Arc;
use std::time::Duration;

/// How often something that is not there yet is looked for.
const PAUSE: Duration = Duration::from_millis(250);
/// How often it is said that something is waited for.
const SAID_EVERY: u32 = 40;

/// Places all slices once there are nodes enough, and those that another rule brings. Any manager may do it; what is placed stays.
pub async fn place(admin: Arc<Admin>, rule: Arc<FleetRule>, (nodes_min, how): (usize, Placement)) {
    let (mut tries, mut changes) = (0, rule.changes());
    loop {
        let why = match there(&admin).await {
            Ok(there) if there < nodes_min => format!("{there} of {nodes_min} data nodes are there"),
            Ok(_) => match admin.place(&how).await {
                Ok(0) if changes.changed().await.is_err() => return,
                Ok(0) => continue,
                Ok(placed) => format!("{placed} were placed now"),
                Err(fault) => fault.to_string(),
            },
            Err(fault) => fault.to_string(),
        };
        if tries % SAID_EVERY == 0 {
            tracing::info!(why, "not all slices are placed yet");
        }
        tries += 1;
        tokio::time::sleep(PAUSE).await;
    }
}

/// How often a scheduler hears how busy nodes are: as often as they say so.
const BUSY_PAUSE: Duration = Duration::from_millis(500);

/// Tells the router how busy nodes are, as managers hear it, as long as there is a router.
pub async fn hear_busyness(admin: Arc<Admin>, router: std::sync::Weak<Router>) {
    loop {
        let busy = admin.busyness().await;
        let Some(router) = router.upgrade() else { return };
        router.map().note_busyness(busy);
        drop(router);
        tokio::time::sleep(BUSY_PAUSE).await;
    }
}

/// How many data nodes report; none are needed where slices were placed before.
async fn there(admin: &Admin) -> Result<usize, cluster::manager::AdminError> {
    if !admin.slice_map().await?.is_empty() {
        return Ok(usize::MAX);
    }
    let nodes = admin.nodes().await?;
    Ok(nodes.iter().filter(|node| node.record.roles.data && node.record.entry.state.is_there()).count())
}
