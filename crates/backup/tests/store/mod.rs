//! A store that is backed up: on a disk in memory, so that only the place is what a test says.

#[allow(dead_code, reason = "only some tests need one")]
pub mod faulty;

use backup::{Progress, Source};
use catalog::Catalog;
use kernel::{Direction, Kernel, Projection, ScanRequest, Settings, TagSelection};
use log::Hold;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use types::{DistributionRule, Kind, Kinds, TagId, TimeRange};
use world::{Simulation, Ticket};

/// What it holds: bits by tag and time.
pub type Rows = BTreeMap<(u64, i64), i64>;

/// Of three slices, small enough that everything happens in a short test.
#[allow(dead_code, reason = "not where the store is of one slice")]
pub fn settings() -> Settings {
    Settings {
        rule: DistributionRule { b1: 1, buckets: 3, ..DistributionRule::default() },
        period_us: 100,
        memory_bytes: 16 << 20,
        buffer_bytes_max: 1 << 20,
        cache_bytes_max: 1 << 20,
        segment_bytes: 16 << 10,
        log_bytes_max: 128 << 10,
        ..Settings::default()
    }
}

pub struct Store {
    pub simulation: Arc<Simulation>,
    #[allow(dead_code, reason = "only some tests back it up whole")]
    dir: String,
    pub catalog: Arc<Catalog>,
    pub kernel: Arc<Kernel>,
}

struct TableKinds(Arc<Catalog>);

impl Kinds for TableKinds {
    fn kind(&self, tag: TagId) -> Option<Kind> {
        self.0.kind(tag)
    }
}

/// Whoever is told of progress and lets work go on.
pub fn go(_: Progress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

impl Store {
    /// Opens the one in a directory of a simulation's disk, or makes it.
    #[allow(dead_code, reason = "not where its log is archived")]
    pub fn open(simulation: &Arc<Simulation>, dir: &str, settings: Settings) -> Store {
        let table = catalog::Settings { segment_bytes: 64 << 10, checkpoint_bytes: 8 << 10 };
        let catalog = Catalog::open(simulation.world(), &Path::new(dir).join("catalog"), table).unwrap();
        let kinds = Arc::new(TableKinds(Arc::clone(&catalog)));
        let kernel = Kernel::open(simulation.world(), Path::new(dir), settings, kinds).unwrap();
        Store { simulation: Arc::clone(simulation), dir: dir.to_owned(), catalog, kernel }
    }

    /// As `open`, where the tags are another one's.
    #[allow(dead_code, reason = "only some tests have nodes without a tag table")]
    pub fn over(simulation: &Arc<Simulation>, dir: &str, settings: Settings, catalog: &Arc<Catalog>) -> Store {
        let kinds = Arc::new(TableKinds(Arc::clone(catalog)));
        let kernel = Kernel::open(simulation.world(), Path::new(dir), settings, kinds).unwrap();
        Store { simulation: Arc::clone(simulation), dir: dir.to_owned(), catalog: Arc::clone(catalog), kernel }
    }

    /// As `open`, with holds on the two logs.
    #[allow(dead_code, reason = "only some tests archive")]
    pub fn open_held(simulation: &Arc<Simulation>, dir: &str, settings: Settings) -> (Store, Hold, Hold) {
        let table = catalog::Settings { segment_bytes: 64 << 10, checkpoint_bytes: 8 << 10 };
        let (catalog, tags) = Catalog::open_held(simulation.world(), &Path::new(dir).join("catalog"), table).unwrap();
        let kinds = Arc::new(TableKinds(Arc::clone(&catalog)));
        let (kernel, log) = Kernel::open_held(simulation.world(), Path::new(dir), settings, kinds).unwrap();
        (Store { simulation: Arc::clone(simulation), dir: dir.to_owned(), catalog, kernel }, log, tags)
    }

    pub fn done<T: Send + 'static>(&self, mut ticket: Ticket<T>) -> T {
        self.simulation.runner.run_until_idle();
        ticket.try_take().unwrap().unwrap()
    }

    pub fn rows(&self) -> Rows {
        let request = ScanRequest {
            tags: TagSelection::All,
            texts: false,
            range: TimeRange::ALL,
            projection: Projection::ALL,
            direction: Direction::Ascending,
            rows_per_tag_max: None,
            batch_rows: 1_000,
        };
        let mut out = Rows::new();
        for mut part in self.kernel.snapshot().scan(&request, 2) {
            while let Some(batch) = part.next_batch().unwrap() {
                let tags = batch.runs.iter().flat_map(|run| std::iter::repeat_n(run.tag.0, run.rows as usize));
                out.extend(tags.zip(&batch.times).zip(&batch.bits).map(|((tag, time), bits)| ((tag, time.0), *bits as i64)));
            }
        }
        out
    }

    /// It as it is now, for a backup of that moment.
    #[allow(dead_code, reason = "only some tests back it up whole")]
    pub fn source(&self, moment_us: i64) -> Source {
        let store = self.done(self.kernel.freeze()).unwrap();
        self.catalog.later_than(store.closed.0);
        Source {
            home: (self.simulation.world().disk, Path::new(&self.dir).to_path_buf()),
            store,
            tags: self.done(self.catalog.freeze()).unwrap(),
            tag_count: self.catalog.len(),
            beside: vec![("users-00000001".to_owned(), b"somebody".to_vec())],
            moment_us,
            release: "test".to_owned(),
            random: moment_us as u64,
            line: u128::from(self.simulation.world().random.next_u64()),
        }
    }
}
