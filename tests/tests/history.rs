//! The checker of histories is right: each promise that is broken is found, what keeps all of them is let pass, and on many small
//! histories it says what trying every order says.

use std::time::Duration;
use tests::Dice;
use tests::history::{Action, Consistency, Operation, check};

fn at(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn operation(session: usize, action: Action, invoked: u64, returned: u64) -> Operation {
    Operation { session, key: 0, action, invoked: at(invoked), returned: Some(at(returned)) }
}

fn write(session: usize, value: u64, invoked: u64, returned: u64) -> Operation {
    operation(session, Action::Write(value), invoked, returned)
}

fn read(session: usize, how: Consistency, value: u64, invoked: u64, returned: u64) -> Operation {
    operation(session, Action::Read(how, value), invoked, returned)
}

fn unknown(mut operation: Operation) -> Operation {
    operation.returned = None;
    operation
}

const PRIMARY: Consistency = Consistency::Primary;
const SESSION: Consistency = Consistency::Session;
const ANY: Consistency = Consistency::Any;
const BOUNDED: Consistency = Consistency::Bounded(Duration::from_millis(100));

#[test]
fn what_keeps_all_promises_passes() {
    let histories: [&[Operation]; 9] = [
        &[],
        &[read(1, PRIMARY, 0, 10, 20), write(2, 1, 30, 40), read(1, PRIMARY, 1, 50, 60)],
        // Two at a time: in either order.
        &[write(1, 1, 10, 50), write(2, 2, 10, 50), read(3, PRIMARY, 2, 60, 70)],
        &[write(1, 1, 10, 50), write(2, 2, 10, 50), read(3, PRIMARY, 1, 60, 70)],
        // Read while it is written.
        &[write(1, 1, 10, 90), read(2, PRIMARY, 1, 20, 30), read(2, PRIMARY, 1, 40, 50)],
        // A write of unknown fate comes late, or never.
        &[unknown(write(1, 1, 10, 0)), read(2, PRIMARY, 0, 100, 110), read(2, PRIMARY, 1, 120, 130)],
        &[unknown(write(1, 1, 10, 0)), write(2, 2, 20, 30), read(2, PRIMARY, 2, 40, 50)],
        // What others wrote may be seen late, by a session and within a bound; by anybody in any order.
        &[write(1, 1, 10, 20), read(2, SESSION, 0, 30, 40), read(2, BOUNDED, 0, 50, 60), read(2, SESSION, 1, 70, 80)],
        &[
            write(1, 1, 10, 20),
            write(1, 2, 30, 40),
            read(2, ANY, 2, 900, 910),
            read(2, ANY, 1, 920, 930),
            read(2, ANY, 0, 940, 950),
        ],
    ];
    for history in histories {
        check(history).unwrap_or_else(|why| panic!("{history:#?}\n{why}"));
    }
}

#[test]
fn each_broken_promise_is_found() {
    let histories: [(&str, &[Operation]); 13] = [
        ("never written", &[read(1, ANY, 7, 10, 20)]),
        ("read before it is written", &[read(1, ANY, 1, 10, 20), write(2, 1, 30, 40)]),
        ("an acknowledged write is lost", &[write(1, 1, 10, 20), read(2, PRIMARY, 0, 30, 40)]),
        ("lost behind an older one", &[write(1, 1, 10, 20), write(1, 2, 30, 40), read(2, PRIMARY, 1, 50, 60)]),
        ("seen, then gone", &[unknown(write(1, 1, 10, 0)), read(2, PRIMARY, 1, 20, 30), read(3, PRIMARY, 0, 40, 50)]),
        (
            "an old one comes back",
            &[write(1, 1, 10, 20), write(1, 2, 30, 40), read(2, PRIMARY, 2, 50, 60), read(2, PRIMARY, 1, 70, 80)],
        ),
        (
            "two readers see two orders",
            &[write(1, 1, 10, 50), write(2, 2, 10, 50), read(3, PRIMARY, 1, 60, 70), read(4, PRIMARY, 2, 80, 90)],
        ),
        ("not its own write", &[write(1, 1, 10, 20), read(1, SESSION, 0, 30, 40)]),
        ("its own write, then what came before", &[write(2, 1, 10, 20), write(1, 2, 30, 40), read(1, SESSION, 1, 50, 60)]),
        ("a session goes back", &[write(1, 1, 10, 20), read(2, SESSION, 1, 30, 40), read(2, SESSION, 0, 50, 60)]),
        (
            "two sessions see two orders",
            &[
                unknown(write(1, 1, 10, 0)),
                unknown(write(2, 2, 10, 0)),
                read(3, SESSION, 1, 20, 30),
                read(3, SESSION, 2, 40, 50),
                read(4, SESSION, 2, 20, 30),
                read(4, SESSION, 1, 40, 50),
            ],
        ),
        ("older than the bound", &[write(1, 1, 10, 20), read(2, BOUNDED, 0, 121, 130)]),
        (
            "older than the bound, though once seen late",
            &[write(1, 1, 10, 20), write(1, 2, 200, 210), read(2, BOUNDED, 1, 250, 260), read(2, BOUNDED, 1, 311, 320)],
        ),
    ];
    for (what, history) in histories {
        assert!(check(history).is_err(), "{what}: {history:#?}");
    }
}

/// Whether there is an order of all operations that keeps to their intervals and in which each read sees the write before it:
/// tries all of them.
fn tried(left: &[(Operation, (u64, u64))], value: u64) -> bool {
    let written = |operation: &Operation| matches!(operation.action, Action::Write(_)) && operation.returned.is_none();
    // What is only left in doubt need never have happened.
    if left.iter().all(|(operation, _)| written(operation)) {
        return true;
    }
    let first_end = left.iter().map(|(_, (_, end))| *end).min().unwrap_or(u64::MAX);
    (0..left.len()).filter(|next| left[*next].1.0 <= first_end).any(|next| {
        let mut rest = left.to_vec();
        let (operation, _) = rest.remove(next);
        match operation.action {
            Action::Write(new) => tried(&rest, new),
            Action::Read(_, seen) => seen == value && tried(&rest, value),
        }
    })
}

#[test]
fn it_says_what_trying_every_order_says() {
    let (mut right, mut wrong) = (0, 0);
    for seed in 0..20_000 {
        let mut dice = Dice::new(seed, 0);
        let writes = 1 + dice.below(3) as u64;
        let mut history = Vec::new();
        let moment = |dice: &mut Dice| {
            let invoked = 1_000 + dice.below(12) as u64 * 50;
            (invoked, invoked + 10 + dice.below(6) as u64 * 50)
        };
        for value in 1..=writes {
            let (invoked, returned) = moment(&mut dice);
            let write = write(value as usize, value, invoked, returned);
            history.push(if dice.below(4) == 0 { unknown(write) } else { write });
        }
        for reader in 0..1 + dice.below(4) {
            let (invoked, returned) = moment(&mut dice);
            let how = if dice.below(3) == 0 { BOUNDED } else { PRIMARY };
            // Sessions of one operation: only intervals count.
            history.push(read(10 + reader, how, dice.below(writes as usize + 1) as u64, invoked, returned));
        }
        let ms = |moment: Duration| moment.as_millis() as u64;
        let interval = |operation: &Operation| {
            let back = if matches!(operation.action, Action::Read(BOUNDED, _)) { 100 } else { 0 };
            (ms(operation.invoked) - back, operation.returned.map_or(u64::MAX, ms))
        };
        let intervals: Vec<_> = history.iter().map(|operation| (*operation, interval(operation))).collect();
        let expect = tried(&intervals, 0);
        *(if expect { &mut right } else { &mut wrong }) += 1;
        assert_eq!(check(&history).is_ok(), expect, "seed {seed}: {history:#?}");
    }
    assert!(right > 2_000 && wrong > 2_000, "both kinds are tried: {right} right, {wrong} wrong");
}
