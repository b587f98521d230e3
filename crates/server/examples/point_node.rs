//! A node with 20,000 tags, named 0 to 19999, and some samples of each: for `pgbench` against the
//! point path (`docs/decisions/0005-postgresql-loop.md` has the commands). Ends when its input ends.
//!
//! `cargo run --release -p server --example point_node -- DIR [ROWS_A_TAG]`

use catalog::Catalog;
use kernel::{Kernel, Write};
use query::{Engine, EngineSettings};
use server::{Server, Settings, Users};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use types::{Kind, Samples, TagDefinition, TagId, Timestamp};
use world::{ThreadCounts, Threads, World};

const TAGS: u64 = 20_000;
/// 2026-01-01 00:00:00 UTC.
const START_US: i64 = 1_767_225_600_000_000;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let dir = words.next().ok_or("usage: point_node DIR [ROWS_A_TAG]")?;
    let rows: i64 = words.next().map_or(Ok(50), |word| word.parse())?;
    let dir = Path::new(&dir);
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    world.disk.make_dir(&dir.join("catalog"))?;
    let catalog = Catalog::open(world.clone(), &dir.join("catalog"), catalog::Settings::default())?;
    let kinds = Arc::<Catalog>::clone(&catalog);
    let kernel = Kernel::open(world.clone(), dir, kernel::Settings::default(), kinds)?;
    if catalog.is_empty() {
        let tags = (0..TAGS).map(|tag| TagDefinition::new(tag.to_string(), Kind::F64)).collect();
        catalog.create(tags).wait()??;
        let tags: Vec<TagId> = (0..TAGS).map(TagId).collect();
        for row in 0..rows {
            let times = vec![Timestamp(START_US + row * 1_000_000); TAGS as usize];
            let bits: Vec<u64> = (0..TAGS).map(|tag| (tag as f64 * 0.01 + row as f64).to_bits()).collect();
            let samples = Samples::new(&tags, &times, &bits, None)?;
            kernel.write(Write { samples: &[samples], ..Write::default() }).wait()??;
        }
        kernel.flush().wait()??;
    }
    let engine = Engine::alone(kernel, catalog, EngineSettings::new(world.clock.clone()))?;
    let free = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
    let settings = Settings { pg_address: free, flight_address: free, ..Settings::default() };
    let server = Server::start(settings, engine, Users::in_memory(world.clone()), &world)?;
    println!("pg={:?} flight={:?}", server.pg_address(), server.flight_address());
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    println!("{:?}", server.counts());
    server.stop()?;
    threads.stop();
    Ok(())
}
