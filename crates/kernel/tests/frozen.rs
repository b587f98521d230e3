//! A copy of a frozen store opens as the store was at that moment, whatever was written, deleted, flushed and merged before
//! and afterwards, and goes on as a store of its own.

#[expect(dead_code, reason = "others need more of it")]
mod fixture;

use fixture::{Numbers, open, rows, settings, write};
use kernel::{Deletion, Frozen, FrozenFile, Kernel, Settings, TagSelection};
use log::Layer;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use types::{TagId, TimeRange, Timestamp};
use world::{Disk, Random, SeededRandom, Simulation, Ticket};

type Rows = Vec<(u64, i64, i64)>;
/// Which changes are surely in a copy, which may be, and the copy that was asked for.
type Asked = (usize, usize, Ticket<Result<Frozen, kernel::Error>>);

fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) {
    disk.make_dir(path.parent().expect("below a directory")).expect("a working disk");
    let file = disk.create(path).expect("a working disk");
    file.write_at(0, &[bytes]).expect("a working disk");
    file.sync().expect("a working disk");
    disk.sync_dir(path.parent().expect("below a directory")).expect("a working disk");
}

fn bytes_of(file: &FrozenFile) -> Vec<u8> {
    let mut bytes = vec![0; file.bytes as usize];
    file.file.read_at(0, &mut bytes).expect("a working disk");
    bytes
}

/// Lays a copy.
fn lay(simulation: &Simulation, frozen: &Frozen, dir: &Path) {
    let disk = simulation.world().disk;
    let mut layer = Layer::new(&disk, &dir.join("log"), frozen.log_to).expect("a working disk");
    let mut at = frozen.log_from;
    while at < frozen.log_to
        && let Some(stretch) = frozen.log.read(at, 5_000).expect("a working disk")
    {
        at = stretch.next;
        layer.push(&stretch).expect("it follows");
    }
    layer.finish().expect("it is whole");
    for slice in &frozen.slices {
        for file in slice.files.iter().chain(&slice.latest) {
            put(&*disk, &dir.join(&file.path), &bytes_of(file));
        }
        put(&*disk, &dir.join(slice.manifest_path()), &storage::encode_manifest(&slice.manifest, slice.number));
    }
    put(&*disk, &dir.join("node"), &frozen.node);
}

struct Round {
    simulation: Simulation,
    kernel: Arc<Kernel>,
    /// What is there after each change, in their order.
    after: Vec<BTreeMap<(u64, i64), i64>>,
    asked: Vec<(usize, Ticket<Result<kernel::Committed, kernel::Error>>)>,
    answered: usize,
}

impl Round {
    fn change(&mut self, dice: &SeededRandom) {
        let mut next = self.after.last().expect("nothing is the first").clone();
        let ticket = if dice.one_in(5) {
            let (tag, from) = (dice.between(0, 9), dice.between(0, 300) as i64);
            let to = from + dice.between(0, 100) as i64;
            next.retain(|(other, time), _| *other != tag || *time < from || *time > to);
            let range = TimeRange { first: Timestamp(from), last: Timestamp(to) };
            self.kernel.delete(Deletion::Range { tags: TagSelection::of(vec![TagId(tag)]), range })
        } else {
            let new: Rows = (0..dice.between(1, 60))
                .map(|_| (dice.between(0, 9), dice.between(0, 300) as i64, dice.next_u64() as i64))
                .collect();
            next.extend(new.iter().map(|(tag, time, value)| ((*tag, *time), *value)));
            write(&self.kernel, &new)
        };
        self.after.push(next);
        self.asked.push((self.after.len() - 1, ticket));
    }

    fn settle(&mut self) {
        for (number, ticket) in std::mem::take(&mut self.asked) {
            let mut ticket = ticket;
            match ticket.try_take() {
                Some(answer) => {
                    assert!(matches!(answer, Ok(Ok(_))), "{answer:?}");
                    self.answered = self.answered.max(number);
                }
                None => self.asked.push((number, ticket)),
            }
        }
    }
}

fn round(seed: u64) -> bool {
    let (simulation, dice) = (Simulation::new(seed), SeededRandom::new(seed ^ 0xF0));
    let settings = Settings { period_us: 60, segment_bytes: 16 << 10, log_bytes_max: 64 << 10, ..settings() };
    let kernel = open(&simulation, settings.clone()).expect("an empty directory");
    let mut round = Round { simulation, kernel, after: vec![BTreeMap::new()], asked: Vec::new(), answered: 0 };
    let mut frozen: Option<Asked> = None;
    let (freezes_at, steps) = (dice.between(0, 60), dice.between(60, 110));
    for step in 0..steps {
        if step == freezes_at {
            round.settle();
            frozen = Some((round.answered, round.after.len() - 1, round.kernel.freeze()));
        }
        match dice.between(0, 9) {
            0..=5 => round.change(&dice),
            6 => drop(round.kernel.flush()),
            7 => drop(round.kernel.merge()),
            _ => (0..dice.between(1, 12)).for_each(|_| {
                round.simulation.runner.step();
            }),
        }
    }
    let (surely, at_most, mut ticket) = frozen.expect("it was frozen");
    round.simulation.runner.run_until_idle();
    let frozen = ticket.try_take().expect("it is answered").expect("it is kept").expect("a working disk");
    lay(&round.simulation, &frozen, Path::new("/copy"));
    drop(frozen);
    let copy = Kernel::open(round.simulation.world(), Path::new("/copy"), settings.clone(), Arc::new(Numbers)).expect("a copy");
    let found: BTreeMap<(u64, i64), i64> =
        rows(&copy.snapshot()).expect("readable").into_iter().map(|(tag, time, value)| ((tag, time), value)).collect();
    assert!(round.after[surely..=at_most].contains(&found), "seed {seed}: neither of {surely} to {at_most}");
    // The copy goes on, and so does the store.
    for kernel in [&copy, &round.kernel] {
        let before = rows(&kernel.snapshot()).expect("readable").len();
        let mut ticket = write(kernel, &[(77, 5, 6)]);
        round.simulation.runner.run_until_idle();
        assert!(matches!(ticket.try_take(), Some(Ok(Ok(_)))));
        assert_eq!(rows(&kernel.snapshot()).expect("readable").len(), before + 1);
    }
    at_most > 0
}

#[test]
fn a_copy_is_the_store_at_a_moment() {
    let told = (0..200).filter(|seed| round(*seed)).count();
    assert!(told > 130, "{told} rounds had something to copy");
}
