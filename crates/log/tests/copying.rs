//! A log is copied while it is written, rolled and cut, and laid elsewhere: up to any place where a record ended, what opens
//! there is what was appended before it.
#![expect(clippy::unwrap_used, reason = "a test may: its functions are tests too")]

use bytes::Bytes;
use log::{Body, Error, Known, Layer, Log, Options, Position, Stretch};
use parking_lot::Mutex;
use std::path::Path;
use std::sync::Arc;
use world::{Random, SeededRandom, Simulation};

const DIR: &str = "/store/log";
const COPY: &str = "/copy/log";

/// Where each record lies, and its body.
type Kept = Arc<Mutex<Vec<(Position, Vec<u8>)>>>;

fn copy(hold: &log::Hold, at: &mut Position, random: &SeededRandom, out: &mut Vec<Stretch>) {
    while let Some(stretch) = hold.read(*at, random.between(64, 3000) as usize).unwrap() {
        *at = stretch.next;
        out.push(stretch);
        if random.one_in(3) {
            break;
        }
    }
    hold.advance(*at);
}

fn round(seed: u64) {
    let (simulation, random) = (Simulation::new(seed), SeededRandom::new(seed ^ 0xC0));
    let options = Options { segment_bytes: random.between(200, 2000) + 500, record_bytes_max: 300, ..Options::default() };
    let world = simulation.world();
    let (log, _) = Log::open(&world, Path::new(DIR), options).unwrap();
    let kept: Kept = Arc::default();
    let mut hold = None;
    let (mut at, mut stretches, mut ends) = (Position(0), Vec::new(), Vec::new());
    for _ in 0..random.between(1, 120) {
        match random.between(0, 9) {
            0 | 1 if hold.is_none() => {
                let made = log.hold();
                at = made.segment_of(Position(random.between(0, log.synced().0)));
                // What was cut before the hold was taken is no part of the copy.
                at = at.max(made.segment_of(log.first()));
                hold = Some(made);
            }
            0..=2 => hold.iter().for_each(|hold| copy(hold, &mut at, &random, &mut stretches)),
            3 => drop(log.cut(Position(random.between(0, log.synced().0))).unwrap()),
            _ => {
                let body: Vec<u8> = (0..random.between(0, 250)).map(|_| random.next_u64() as u8).collect();
                let (kept, bytes) = (Arc::clone(&kept), Bytes::from(body.clone()));
                log.append(7, Bytes::new(), Body::new(vec![bytes]), move |answer| kept.lock().push((answer.unwrap(), body)));
                simulation.runner.run_until_idle();
                ends.push(log.synced());
            }
        }
    }
    let Some(hold) = hold else { return };
    while at < log.synced() {
        copy(&hold, &mut at, &random, &mut stretches);
    }
    let Some(first) = stretches.first().map(|stretch| Position(stretch.base)) else { return };
    let ends: Vec<Position> = ends.into_iter().filter(|end| end.0 > first.0 + 64).collect();
    if ends.is_empty() {
        return;
    }
    let up_to = ends[random.between(0, ends.len() as u64 - 1) as usize];
    let mut layer = Layer::new(&world.disk, Path::new(COPY), up_to).unwrap();
    for (number, stretch) in stretches.iter().enumerate() {
        layer.push(stretch).unwrap();
        if random.one_in(4) {
            // What comes twice is the same, or the same and more.
            layer.push(&stretches[random.between(0, number as u64) as usize]).unwrap();
        }
    }
    let (id, begins) = layer.finish().unwrap();
    // Now and then it is to end before some record of it.
    let within: Vec<Position> =
        kept.lock().iter().map(|(position, _)| *position).filter(|at| *at >= begins && *at < up_to).collect();
    let up_to = match within.len() {
        count if count > 0 && random.one_in(2) => {
            let at = within[random.between(0, count as u64 - 1) as usize];
            log::end_at(&world.disk, Path::new(COPY), at).unwrap();
            at
        }
        _ => up_to,
    };
    let known = Known { id, first: begins };
    let (laid, replay) = Log::open_known(&world, Path::new(COPY), options, known).unwrap();
    assert_eq!(laid.id(), log.id());
    let found: Vec<(Position, Vec<u8>)> =
        replay.map(|record| record.unwrap()).map(|record| (record.position, record.body.to_vec())).collect();
    let wanted: Vec<(Position, Vec<u8>)> =
        kept.lock().iter().filter(|(position, _)| *position >= begins && *position < up_to).cloned().collect();
    assert_eq!(found, wanted, "seed {seed}");
    // It goes on as any log does.
    laid.append(7, Bytes::new(), Body::new(Vec::new()), |answer| assert!(answer.is_ok()));
    simulation.runner.run_until_idle();
}

#[test]
fn a_copied_log_is_the_log() {
    (0..2000).for_each(round);
}

/// A log of one segment and some records, copied whole.
fn copied(simulation: &Simulation) -> (Vec<Stretch>, Position) {
    let options = Options { segment_bytes: 600, record_bytes_max: 300, ..Options::default() };
    let (log, _) = Log::open(&simulation.world(), Path::new(DIR), options).unwrap();
    let hold = log.hold();
    for _ in 0..6 {
        log.append(1, Bytes::from_static(b"head"), Body::new(vec![Bytes::from_static(&[5; 100])]), |answer| {
            assert!(answer.is_ok())
        });
        simulation.runner.run_until_idle();
    }
    let (mut at, mut out) = (Position(0), Vec::new());
    while let Some(stretch) = hold.read(at, 10_000).unwrap() {
        at = stretch.next;
        out.push(stretch);
    }
    (out, log.synced())
}

#[test]
fn a_copy_with_a_gap_or_cut_short_is_refused() {
    let simulation = Simulation::new(1);
    let disk = simulation.world().disk;
    let (stretches, end) = copied(&simulation);
    assert!(stretches.len() > 1, "it has two segments");
    let mut layer = Layer::new(&disk, Path::new("/a"), end).unwrap();
    layer.push(&stretches[0]).unwrap();
    assert!(matches!(layer.finish(), Err(Error::Damaged { .. })), "it is cut short");
    let mut layer = Layer::new(&disk, Path::new("/b"), end).unwrap();
    let headless = Stretch { offset: 64, bytes: stretches[0].bytes.slice(64..), ..stretches[0].clone() };
    assert!(matches!(layer.push(&headless), Err(Error::Damaged { .. })), "it lacks its beginning");
    let mut layer = Layer::new(&disk, Path::new("/c"), end).unwrap();
    layer.push(&stretches[0]).unwrap();
    let beyond = Stretch { offset: 8, bytes: stretches[1].bytes.slice(8..), ..stretches[1].clone() };
    assert!(matches!(layer.push(&beyond), Err(Error::Damaged { .. })), "there is a gap");
    let mut layer = Layer::new(&disk, Path::new("/d"), end).unwrap();
    layer.push(&stretches[0]).unwrap();
    let mut bytes = stretches[0].bytes[100..].to_vec();
    bytes[7] ^= 1;
    let other = Stretch { offset: 100, bytes: bytes.into(), ..stretches[0].clone() };
    assert!(matches!(layer.push(&other), Err(Error::Damaged { .. })), "it is another log's");
}

#[test]
fn a_stretch_is_cut_at_both_ends() {
    let (stretches, _) = copied(&Simulation::new(2));
    let (stretch, len) = (&stretches[0], stretches[0].bytes.len() as u64);
    let (begin, end) = (stretch.begin().0, stretch.begin().0 + len);
    assert!(stretch.next.0 > end, "it ends with an END, and positions that name nothing");
    let cut = |from: u64, to: u64| stretch.clone().within(Position(from), Position(to));
    assert_eq!(cut(begin, end), Some(stretch.clone()));
    assert_eq!(cut(begin, u64::MAX).map(|cut| cut.next), Some(stretch.next));
    let middle = cut(begin + 64, end - 48).unwrap();
    assert_eq!((middle.begin().0, middle.next.0, middle.bytes.len() as u64), (begin + 64, end - 48, len - 112));
    assert_eq!(middle.bytes[..], stretch.bytes[64..len as usize - 48]);
    assert_eq!((cut(end, u64::MAX), cut(0, begin), cut(begin + 64, begin + 64)), (None, None, None));
}
