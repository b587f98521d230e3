//! Measures the catalog: creation, memory, opening, look-ups, selections.
//!
//! `cargo run --release -p catalog --example ten_million -- [tags] [directory]`; ten million by default.
//! It may not be taken for a test: it asserts answers, never times.

#![expect(clippy::disallowed_methods, reason = "a program of its own: it owns its clock and its directory")]

use catalog::{Catalog, LabelCondition, Settings, TagFilter};
use std::path::{Path, PathBuf};
use std::time::Instant;
use types::{Kind, Kinds, TagDefinition, TagId};
use world::{Random, RealRandom, ThreadCounts, Threads, World};

const CALL_TAGS: u64 = 10_000;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let tags: u64 = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(10_000_000);
    let given = arguments.next().map(PathBuf::from);
    let dir = given.unwrap_or_else(|| std::env::temp_dir().join(format!("catalog-{:016x}", RealRandom.next_u64())));
    let before = rss_bytes();
    create(&dir, tags);
    println!("files                  {:>12.1} bytes a tag", files_bytes(&dir) as f64 / tags as f64);
    let threads = Threads::start(ThreadCounts::default());
    let (start, cpu) = (Instant::now(), cpu_seconds());
    let catalog = Catalog::open(World::real(&threads), &dir, Settings::default()).expect("it opens again");
    println!("open                   {:>12.2} s, {:.2} s of a core", start.elapsed().as_secs_f64(), cpu_seconds() - cpu);
    assert_eq!(catalog.len(), tags);
    println!("memory after open      {:>12.1} bytes a tag by its own account", catalog.memory_bytes() as f64 / tags as f64);
    println!("                       {:>12.1} bytes a tag resident", (rss_bytes() - before) as f64 / tags as f64);
    look_up(&catalog, tags);
    select(&catalog, tags);
    threads.stop();
    std::fs::remove_dir_all(&dir).expect("the directory is ours");
}

fn definition(i: u64) -> TagDefinition {
    let station = i / 1000;
    let kind = if i % 10 == 9 { Kind::Bool } else { Kind::F64 };
    TagDefinition {
        description: format!("feeder {} of substation {station}", i % 1000),
        unit: if i.is_multiple_of(2) { "kV" } else { "MW" }.to_owned(),
        labels: vec![("site".to_owned(), format!("s{station:05}")), ("type".to_owned(), format!("t{}", i % 7))],
        cadence_us: 1_000_000,
        ..TagDefinition::new(name(i), kind)
    }
}

fn name(i: u64) -> String {
    format!("grid.station{:05}.feeder{:03}.value", i / 1000, i % 1000)
}

fn create(dir: &Path, tags: u64) {
    let threads = Threads::start(ThreadCounts::default());
    let catalog = Catalog::open(World::real(&threads), dir, Settings::default()).expect("it opens");
    let (mut making, mut making_cpu, mut slowest) = (0.0, 0.0, 0.0_f64);
    let (start, cpu) = (Instant::now(), cpu_seconds());
    for first in (0..tags).step_by(CALL_TAGS as usize) {
        let (begun, before) = (Instant::now(), cpu_seconds());
        let definitions: Vec<_> = (first..(first + CALL_TAGS).min(tags)).map(definition).collect();
        making += begun.elapsed().as_secs_f64();
        making_cpu += cpu_seconds() - before;
        let begun = Instant::now();
        catalog.create(definitions).wait().expect("it runs").expect("they are created");
        slowest = slowest.max(begun.elapsed().as_secs_f64());
    }
    let took = start.elapsed().as_secs_f64();
    println!("create, durable        {:>12.0} tags/s (the client's own {making:.2} s included)", tags as f64 / took);
    println!(
        "                       {:>12.0} tags/s (without), slowest call {:.1} ms",
        tags as f64 / (took - making),
        slowest * 1e3
    );
    let cpu = (cpu_seconds() - cpu - making_cpu) / tags as f64;
    println!("                       {:>12.0} ns of core a tag, checkpoints included, the client's own not", cpu * 1e9);
    println!("memory after creation  {:>12.1} bytes a tag by its own account", catalog.memory_bytes() as f64 / tags as f64);
    catalog.close().wait().expect("it runs").expect("it closes");
    threads.stop();
}

fn look_up(catalog: &Catalog, tags: u64) {
    let count = 1_000_000.min(tags);
    let random: Vec<u64> = (0..count).map(|_| RealRandom.below(tags)).collect();
    let names: Vec<String> = random.iter().map(|i| name(*i)).collect();
    let each = |what: &str, start: Instant, count: u64| {
        println!("{what:<22} {:>12.1} ns each", start.elapsed().as_nanos() as f64 / count as f64);
    };
    let start = Instant::now();
    assert!(names.iter().zip(&random).all(|(name, i)| catalog.find(name) == Some(TagId(*i))));
    each("find, random", start, count);
    let texts: Vec<&str> = names.iter().map(String::as_str).collect();
    let start = Instant::now();
    assert!(catalog.find_many(&texts).iter().zip(&random).all(|(found, i)| *found == Some(TagId(*i))));
    each("find_many, random", start, count);
    let ids: Vec<TagId> = random.iter().map(|i| TagId(*i)).collect();
    let mut bytes = 0;
    let start = Instant::now();
    catalog.names(&ids, |name| bytes += name.map_or(0, str::len));
    each("names, random", start, count);
    let ids: Vec<TagId> = (0..tags).map(TagId).collect();
    let start = Instant::now();
    catalog.names(&ids, |name| bytes += name.map_or(0, str::len));
    each("names, in order", start, tags);
    assert!(bytes > 0);
    let bits = vec![0; ids.len()];
    let start = Instant::now();
    assert_eq!(catalog.first_misfit(&ids, &bits), None);
    each("kinds, in order", start, tags);
    let start = Instant::now();
    let read: usize = (0..100.min(tags.div_ceil(10_000))).map(|i| catalog.page(TagId(i * 10_000), 10_000).len()).sum();
    each("page of 10,000", start, read as u64);
}

fn select(catalog: &Catalog, tags: u64) {
    let pattern = regex::Regex::new("station00[0-4][0-9]5.*feeder00.").expect("it parses");
    let label = |key: &str, value: &str| {
        let conditions = vec![LabelCondition::OneOf(key.to_owned(), vec![value.to_owned()])];
        TagFilter { conditions, ..TagFilter::default() }
    };
    let filters = [
        ("select prefix", TagFilter { prefix: Some("grid.station00001".to_owned()), ..TagFilter::default() }),
        ("select pattern", TagFilter { pattern: Some(pattern), ..TagFilter::default() }),
        ("select label", label("site", "s00001")),
        ("select label, common", label("type", "t3")),
        (
            "select label <>",
            TagFilter {
                conditions: vec![LabelCondition::NotOneOf("type".to_owned(), vec!["t3".to_owned()])],
                ..TagFilter::default()
            },
        ),
    ];
    for (what, filter) in filters {
        let start = Instant::now();
        let found = catalog.select(&filter).len();
        println!("{what:<22} {:>12.1} ms for {found} of {tags}", start.elapsed().as_secs_f64() * 1e3);
    }
}

/// Core time that this process took, all threads, in the system's ticks of 10 ms.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ');
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}

fn rss_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}

fn files_bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).expect("the directory is there").map(|entry| entry.expect("it is listed"));
    let bytes = |entry: std::fs::DirEntry| {
        if entry.path().is_dir() { files_bytes(&entry.path()) } else { entry.metadata().expect("it is there").len() }
    };
    entries.map(bytes).sum()
}
