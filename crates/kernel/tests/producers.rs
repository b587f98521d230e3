//! Exactly once, where batches are refused: whatever a producer sends again under its number is applied once.

mod fixture;

use fixture::{open, rows, settings, settle, write, write_from};
use kernel::{Error, Kernel};
use types::{Origin, ProducerId};
use world::{Faults, Simulation};

/// Rows of one batch: enough of them that the log soon needs a further segment.
fn batch(number: u64) -> Vec<(u64, i64, i64)> {
    (0..300).map(|row| (row % 40, (number * 1_000 + row) as i64, number as i64)).collect()
}

fn send(simulation: &Simulation, kernel: &Kernel, numbers: &[u64]) -> Vec<Result<bool, Error>> {
    let origin = |number| Some(Origin { producer: ProducerId(77), number });
    let tickets: Vec<_> = numbers.iter().map(|number| write_from(kernel, &batch(*number), origin(*number))).collect();
    simulation.runner.run_until_idle();
    let answer = |ticket: world::Ticket<_>| ticket.wait().expect("all has come to rest");
    tickets.into_iter().map(|ticket| answer(ticket).map(|committed: kernel::Committed| committed.duplicate)).collect()
}

/// Sends on a full disk until a batch is refused; gives its number.
fn fill(simulation: &Simulation, kernel: &Kernel) -> u64 {
    let full = Faults { capacity_bytes: simulation.disk.used_bytes(), ..Faults::NONE };
    simulation.disk.set_faults(full);
    (1..)
        .find(|number| match &send(simulation, kernel, &[*number])[..] {
            [Ok(false)] => false,
            [Err(Error::DiskFull(_))] => true,
            other => panic!("{other:?}"),
        })
        .expect("the log is full some time")
}

#[test]
fn a_batch_that_was_refused_is_no_duplicate_after_a_restart() {
    for (seed, flushed) in [(1, false), (2, true)] {
        let simulation = Simulation::new(seed);
        let kernel = open(&simulation, settings()).expect("an empty directory");
        let refused = fill(&simulation, &kernel);
        simulation.disk.set_faults(Faults::NONE);
        // A client that has not looked at its answers yet sends on: there is room again.
        let higher = send(&simulation, &kernel, &[refused + 1, refused + 2]);
        if flushed {
            settle(&simulation, kernel.flush());
        }
        drop(kernel);
        simulation.crash();
        let kernel = open(&simulation, settings()).expect("a store");
        // Now it sends again what was not acknowledged.
        let again: Vec<u64> = [refused]
            .into_iter()
            .chain((refused + 1..).zip(&higher).filter(|(_, answer)| answer.is_err()).map(|(number, _)| number))
            .collect();
        for answer in send(&simulation, &kernel, &again) {
            assert_eq!(answer, Ok(false), "it was never applied");
        }
        let held = rows(&kernel.snapshot()).expect("readable");
        for number in 1..=refused + 2 {
            assert_eq!(held.iter().filter(|row| row.2 == number as i64).count(), 300, "batch {number} of {refused}");
        }
        assert_eq!(send(&simulation, &kernel, &again).into_iter().filter(|answer| *answer == Ok(true)).count(), again.len());
    }
}

#[test]
fn nothing_passes_a_refused_batch_and_others_go_on() {
    let simulation = Simulation::new(3);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    let refused = fill(&simulation, &kernel);
    simulation.disk.set_faults(Faults::NONE);
    let behind = |number| Err(Error::Behind { number, refused });
    assert_eq!(send(&simulation, &kernel, &[refused + 1, refused + 5]), [behind(refused + 1), behind(refused + 5)]);
    let text = Error::Behind { number: 9, refused }.to_string();
    assert!(text.contains(&format!("batch {refused} of the same producer")), "{text}");
    let other = Some(Origin { producer: ProducerId(78), number: 1 });
    let tickets = [write_from(&kernel, &[(1, 1, 1)], other), write(&kernel, &[(1, 2, 1)])];
    simulation.runner.run_until_idle();
    assert!(tickets.into_iter().all(|ticket| matches!(ticket.wait(), Ok(Ok(_)))), "nobody else is held up");
    assert_eq!(
        send(&simulation, &kernel, &[refused, refused + 1, refused, refused + 5]),
        [Ok(false), Ok(false), Ok(true), Ok(false)]
    );
}

#[test]
fn a_batch_that_can_never_be_taken_is_as_if_never_sent() {
    let simulation = Simulation::new(4);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    let large: Vec<_> = (0..100_000).map(|row| (row % 40, row as i64, 1)).collect();
    let origin = |number| Some(Origin { producer: ProducerId(77), number });
    let answer = write_from(&kernel, &large, origin(1)).try_take();
    assert!(matches!(answer, Some(Ok(Err(Error::TooLarge { .. })))), "told at once");
    // Mended, it is sent under the same number.
    assert_eq!(send(&simulation, &kernel, &[1, 2]), [Ok(false), Ok(false)]);
    assert!(
        write_from(&kernel, &[(2_000, 1, 1)], origin(3))
            .try_take()
            .is_some_and(|answer| matches!(answer, Ok(Err(Error::UnknownTag(_)))))
    );
    assert_eq!(send(&simulation, &kernel, &[3]), [Ok(false)]);
}

#[test]
fn a_log_that_found_no_room_makes_some() {
    let simulation = Simulation::new(5);
    let kernel = open(&simulation, settings()).expect("an empty directory");
    // Room for a few segments, far from what the log may have, and for the files of the little that is overwritten.
    let room = Faults { capacity_bytes: simulation.disk.used_bytes() + (512 << 10), ..Faults::NONE };
    simulation.disk.set_faults(room);
    let mut refused = 0;
    for number in 0..400 {
        let rows: Vec<_> = (0..300).map(|row| (row % 40, row as i64, number)).collect();
        let mut answer = Err(Error::Closed);
        for _ in 0..4 {
            let ticket = write(&kernel, &rows);
            simulation.runner.run_until_idle();
            answer = ticket.wait().expect("all has come to rest");
            if answer.is_ok() {
                break;
            }
            assert!(matches!(answer, Err(Error::DiskFull(_))), "{answer:?}");
            refused += 1;
        }
        assert!(answer.is_ok(), "batch {number} after {refused} refusals: {answer:?}");
    }
    assert!(refused > 0, "the disk was never full");
    assert_eq!(rows(&kernel.snapshot()).expect("readable").iter().filter(|row| row.2 == 399).count(), 300);
}
