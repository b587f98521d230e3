//! What a definition may not be, and what the error says.

use catalog::{Catalog, Error, Settings};
use std::path::Path;
use std::sync::Arc;
use types::{Compression, Kind, Kinds, Limits, TagDefinition, TagId};
use world::{Simulation, Ticket};

fn open() -> (Simulation, Arc<Catalog>) {
    let simulation = Simulation::new(1);
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    let catalog = Catalog::open(simulation.world(), Path::new("/c"), settings).expect("it opens");
    (simulation, catalog)
}

fn wait<T: Send + 'static>(simulation: &Simulation, ticket: Ticket<T>) -> T {
    simulation.runner.run_until_idle();
    ticket.wait().expect("it is answered")
}

#[test]
fn broken_rules_are_told() {
    let (simulation, catalog) = open();
    let tag = |name: &str| TagDefinition::new(name, Kind::F64);
    let state = |states: Vec<String>| TagDefinition { states, ..TagDefinition::new("s", Kind::State) };
    let label = |key: &str, value: &str| TagDefinition { labels: vec![(key.to_owned(), value.to_owned())], ..tag("l") };
    let limits = |limits: Limits| TagDefinition { limits, ..tag("m") };
    let compression = |compression| TagDefinition { compression, ..tag("c") };
    let long = "x".repeat(2 << 20);
    let table = [
        (tag(""), "at least one character"),
        (tag(&long), "2097152 bytes, at most 1024"),
        (tag("a\nb"), "control characters"),
        (tag("a\u{85}b"), "control characters"),
        (tag("\0"), "control characters"),
        (TagDefinition { description: long.clone(), ..tag("d") }, "at most 65536"),
        (TagDefinition { description: "\0".to_owned(), ..tag("d") }, "NUL"),
        (TagDefinition { unit: "u".repeat(257), ..tag("u") }, "at most 256"),
        (TagDefinition { states: vec!["on".to_owned()], ..tag("s") }, "only tags of kind state"),
        (state(vec![String::new()]), "1 to 256 bytes"),
        (state(vec!["on".to_owned(), "off".to_owned(), "on".to_owned()]), "\"on\" is named twice"),
        (state((0..65_537).map(|i| i.to_string()).collect()), "65537 states are more than 65536"),
        (label("", "v"), "key has 1 to 256"),
        (label("k", &"v".repeat(1025)), "at most 1024"),
        (TagDefinition { labels: vec![("k".to_owned(), "1".to_owned()), ("k".to_owned(), "2".to_owned())], ..tag("l") }, "twice"),
        (TagDefinition { labels: (0..65).map(|i| (format!("k{i}"), String::new())).collect(), ..tag("l") }, "65 labels"),
        (limits(Limits { low: Some(2.0), high: Some(1.0), ..Limits::default() }), "low_low <= low"),
        (limits(Limits { high: Some(f64::NAN), ..Limits::default() }), "NaN"),
        (TagDefinition { cadence_us: -1, ..tag("c") }, "cadence"),
        (compression(Compression::Deadband { deviation: -1.0, span_us: 0 }), "deviation"),
        (compression(Compression::SwingingDoor { deviation: f64::INFINITY, span_us: 0 }), "deviation"),
        (compression(Compression::SwingingDoor { deviation: 1.0, span_us: -1 }), "longest gap"),
        (TagDefinition { kind: Kind::Text, ..compression(Compression::Deadband { deviation: 0.0, span_us: 0 }) }, "kind text"),
        (TagDefinition { kind: Kind::Bool, ..compression(Compression::Deadband { deviation: 0.5, span_us: 0 }) }, "must be 0"),
        (
            TagDefinition { kind: Kind::State, ..compression(Compression::SwingingDoor { deviation: 0.0, span_us: 0 }) },
            "kind state",
        ),
    ];
    for (definition, expect) in table {
        let answer = wait(&simulation, catalog.create(vec![tag("good"), definition]));
        let Err(Error::Invalid { problem, name }) = answer else { panic!("{expect}: {answer:?}") };
        assert!(problem.contains(expect), "\"{problem}\" does not say \"{expect}\"");
        assert!(name.len() < 400, "the name is shortened");
    }
    assert_eq!((catalog.len(), catalog.ordinals()), (0, 0));
    // The largest there may be, and labels in any order.
    let labels = vec![("z".to_owned(), "v".repeat(1024)), ("键".to_owned(), String::new()), ("a".to_owned(), "°".to_owned())];
    let states = (0..65_536).map(|i| format!("{i:05}-{}", "s".repeat(250))).collect();
    let largest = TagDefinition {
        description: "d".repeat(65_536),
        unit: "u".repeat(256),
        states,
        labels,
        ..TagDefinition::new("n".repeat(1024), Kind::State)
    };
    assert_eq!(wait(&simulation, catalog.create(vec![largest.clone()])), Ok(0..1));
    simulation.crash();
    let settings = Settings { segment_bytes: 64 << 10, ..Settings::default() };
    let catalog = Catalog::open(simulation.world(), Path::new("/c"), settings).expect("it opens");
    let mut expect = largest;
    expect.labels.sort();
    assert_eq!(catalog.get(TagId(0)).expect("it is there").definition, expect);
}

#[test]
fn kinds_stay_and_names_may_be_swapped_in_one_call() {
    let (simulation, catalog) = open();
    let tag = |name: &str, kind| TagDefinition::new(name, kind);
    wait(&simulation, catalog.create(vec![tag("a", Kind::F64), tag("b", Kind::I32)])).expect("they are created");
    let version = catalog.version();
    let answer = wait(&simulation, catalog.change(vec![(TagId(0), tag("a", Kind::Text))]));
    let Err(Error::Invalid { problem, .. }) = answer else { panic!("{answer:?}") };
    assert_eq!(problem, "its kind is f64 and can't be changed to text; create a new tag instead");
    let taken = wait(&simulation, catalog.change(vec![(TagId(0), tag("b", Kind::F64))]));
    assert_eq!(taken, Err(Error::Exists("b".to_owned())));
    assert_eq!(catalog.version(), version);
    let swap = vec![(TagId(0), tag("b", Kind::F64)), (TagId(1), tag("a", Kind::I32))];
    assert_eq!(wait(&simulation, catalog.change(swap)), Ok(()));
    assert_eq!((catalog.find("a"), catalog.find("b")), (Some(TagId(1)), Some(TagId(0))));
    assert!(catalog.version() > version);
}

#[test]
fn changed_compressions_are_told() {
    let (simulation, catalog) = open();
    let lossless = TagDefinition::new("t", Kind::F64);
    let compression = Compression::Deadband { deviation: 1.0, span_us: 0 };
    let thinned = TagDefinition { compression, ..lossless.clone() };
    let change = |definition: &TagDefinition| {
        wait(&simulation, catalog.change(vec![(TagId(0), definition.clone())])).expect("it keeps the rules");
        (catalog.is_thinned(TagId(0)), catalog.compression(TagId(0)), catalog.compressions())
    };
    assert!(!catalog.any_is_thinned(&[TagId(0)]));
    wait(&simulation, catalog.create(vec![lossless.clone(), TagDefinition { name: "u".to_owned(), ..thinned.clone() }]))
        .expect("they keep the rules");
    assert_eq!((catalog.is_thinned(TagId(0)), catalog.is_thinned(TagId(1)), catalog.compressions()), (false, true, 0));
    assert!(catalog.any_is_thinned(&[TagId(0), TagId(1)]) && !catalog.any_is_thinned(&[TagId(0), TagId(2)]));
    assert_eq!(change(&thinned), (true, compression, 1));
    assert_eq!(change(&TagDefinition { unit: "bar".to_owned(), ..thinned }), (true, compression, 1), "the same as before");
    assert_eq!(change(&lossless), (false, Compression::Lossless, 2));
    assert_eq!((catalog.kind(TagId(0)), catalog.kind(TagId(1))), (Some(Kind::F64), Some(Kind::F64)));
}

#[test]
fn what_a_name_was_resolved_to_holds_until_it_is_told_otherwise() {
    let (simulation, catalog) = open();
    let tag = |name: &str| TagDefinition::new(name, Kind::F64);
    wait(&simulation, catalog.create(vec![tag("a"), tag("b")])).expect("they are made");
    let before = catalog.unnamed();
    wait(&simulation, catalog.create(vec![tag("c")])).expect("it is made");
    let described = TagDefinition { description: "other".to_owned(), ..tag("a") };
    wait(&simulation, catalog.change(vec![(TagId(0), described)])).expect("it is changed");
    assert_eq!(catalog.unnamed(), before, "every name leads where it led");
    wait(&simulation, catalog.change(vec![(TagId(0), tag("d"))])).expect("it is renamed");
    let renamed = catalog.unnamed();
    assert!(renamed > before, "a is no more");
    wait(&simulation, catalog.delete(vec![TagId(1)])).expect("it is deleted");
    assert!(catalog.unnamed() > renamed, "nor is b");
}
