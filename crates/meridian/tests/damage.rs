//! Every sort of file of a store, damaged in every way: `check` names it, `serve` refuses or serves only what is true,
//! `check --repair` keeps all else, and a second check finds nothing.
//!
//! Only true: a question is answered with exactly what was written, or with an error that says what is damaged.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, run, text, try_ask};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use world::{Random, SeededRandom};

const FLAGS: [&str; 10] =
    ["--rule-buckets", "4", "--rule-b1", "1", "--segment-bytes", "1MiB", "--stop-max", "0s", "--password", "secret"];
/// Tags by name; each lies in a slice of its own.
const TAGS: [(&str, &str); 4] = [("f", "f64"), ("n", "i64"), ("t", "text"), ("m", "f64")];
/// The tag whose slice is damaged.
const TAG: &str = "f";

type Rows = BTreeMap<i64, String>;

/// What a tag holds, and what it held before something of it was replaced or deleted.
#[derive(Clone, Default)]
struct Truth {
    now: Rows,
    before: Rows,
}

/// A store with files of several flushes and merges, deletions, replaced rows, and rows that only the log holds.
struct Template {
    dir: Dir,
    truth: BTreeMap<&'static str, Truth>,
}

/// SQL that writes seconds `from..to` of a tag, with the values that `rows` gives.
fn write(tag: &str, from: i64, to: i64, step: i64, factor: i64) -> (String, Rows) {
    let (table, column) = if tag == "t" { ("events", "text") } else { ("samples", "value") };
    let value = if tag == "t" { format!("'text ' || i * {factor}") } else { format!("i * {factor}") };
    let sql = format!(
        "INSERT INTO {table} (tag, time, {column}) SELECT '{tag}', to_timestamp_seconds(i * {step}), {value} FROM generate_series({from}, {}) AS g(i)",
        to - 1
    );
    let shown = |i: i64| if tag == "t" { format!("text {}", i * factor) } else { (i * factor).to_string() };
    (sql, (from..to).map(|i| (i * step, shown(i))).collect())
}

impl Template {
    fn new(name: &str) -> Template {
        let dir = Dir::new(name);
        let node = Node::start(&dir.join("store"), &FLAGS);
        let mut truth: BTreeMap<&'static str, Truth> = BTreeMap::new();
        for (tag, kind) in TAGS {
            node::ask(&node, &format!("INSERT INTO tags (name, kind) VALUES ('{tag}', '{kind}')"));
            let mut put = |(sql, rows): (String, Rows)| {
                node::ask(&node, &sql);
                let truth = truth.entry(tag).or_default();
                for (time, value) in rows {
                    if let Some(old) = truth.now.insert(time, value) {
                        truth.before.insert(time, old);
                    }
                }
            };
            put(write(tag, 0, 6_000, 1, 3));
            node::ask(&node, "SELECT meridian_flush()");
            // Other days: a mixed file, which a merge splits.
            put(write(tag, 10, 40, 86_400, 5));
            node::ask(&node, "SELECT meridian_flush(); SELECT meridian_merge()");
            put(write(tag, 1_000, 1_200, 1, 7));
            put(write(tag, 20, 25, 86_400, 11));
            let table = if tag == "t" { "events" } else { "samples" };
            node::ask(
                &node,
                &format!(
                    "DELETE FROM {table} WHERE tag = '{tag}' AND time >= to_timestamp_seconds(2000) AND time < to_timestamp_seconds(2100)"
                ),
            );
            let truth = truth.get_mut(tag).unwrap();
            let deleted: Rows = truth.now.extract_if(2_000..2_100, |_, _| true).collect();
            truth.before.extend(deleted);
            node::ask(&node, "SELECT meridian_flush()");
        }
        for (tag, _) in TAGS {
            let (sql, rows) = write(tag, 7_000, 7_100, 1, 13);
            node::ask(&node, &sql);
            truth.get_mut(tag).unwrap().now.extend(rows);
        }
        node.stop();
        Template { dir, truth }
    }

    /// Writes so much that the log is cut, and flushes it; then rows of each tag, which only the log holds, in several
    /// files.
    fn cut_log(&mut self) {
        let store = self.dir.join("store");
        let node = Node::start(&store, &FLAGS);
        let truth = &mut self.truth;
        let mut put = |tag: &str, from: i64, to: i64| {
            let (sql, rows) = write(tag, from, to, 1, 17);
            node::ask(&node, &sql);
            truth.get_mut(tag).unwrap().now.extend(rows);
        };
        (1..=10).for_each(|part| put("m", part * 10_000, (part + 1) * 10_000));
        node::ask(&node, "SELECT meridian_flush()");
        assert!(files(&store, &["log/00000000000000000000.log"]).iter().all(|path| path.starts_with(store.join("catalog"))));
        TAGS.iter().for_each(|(tag, _)| put(tag, 8_000, 8_050));
        (11..=16).for_each(|part| put("m", part * 10_000, (part + 1) * 10_000));
        assert!(files(&store, &["log/"]).iter().filter(|path| path.parent() == Some(&store.join("log"))).count() > 1);
        node.stop();
    }

    fn copy(&self, name: &str) -> PathBuf {
        let to = self.dir.join(name);
        let _ = std::fs::remove_dir_all(&to);
        copy(&self.dir.join("store"), &to);
        to
    }
}

/// Copies a directory; the room that logs have reserved stays a hole.
fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").args(["-r", "--sparse=always"]).args([from, to]).status().unwrap();
    assert!(copied.success());
}

/// Files below a directory whose paths hold all of these parts, the largest first.
fn files(store: &Path, parts: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut rest = vec![store.to_path_buf()];
    while let Some(dir) = rest.pop() {
        for path in std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                rest.push(path);
            } else if parts.iter().all(|part| path.strip_prefix(store).unwrap().to_str().unwrap().contains(part)) {
                found.push(path);
            }
        }
    }
    found.sort_by_key(|path| (std::cmp::Reverse(std::fs::metadata(path).unwrap().len()), path.clone()));
    found
}

/// What a node answers for a tag: its rows, or the error.
fn held(node: &Node, tag: &str) -> Result<Rows, String> {
    let (table, column) = if tag == "t" { ("events", "text") } else { ("samples", "value") };
    let sql = format!("SELECT extract(epoch FROM time)::bigint, {column} FROM {table} WHERE tag = '{tag}'");
    Ok(try_ask(node, &sql)?.into_iter().map(|row| (row[0].parse().unwrap(), row[1].clone())).collect())
}

/// The snapshot value of a tag: second and value.
fn latest(node: &Node, tag: &str) -> Result<Vec<Vec<String>>, String> {
    let column = if tag == "t" { "text" } else { "value" };
    try_ask(node, &format!("SELECT extract(epoch FROM time)::bigint, {column} FROM latest WHERE tag = '{tag}'"))
}

/// Where rows differ, for a message.
fn difference(found: &Rows, expected: &Rows) -> String {
    let odd: Vec<_> = found.iter().filter(|(time, value)| expected.get(time) != Some(value)).take(3).collect();
    let lost = expected.keys().filter(|time| !found.contains_key(time)).count();
    format!("{} rows, {lost} lost, {odd:?} are not what was written", found.len())
}

/// Checks that a served store says only what is true.
fn check_true(template: &Template, node: &Node, what: &str) -> bool {
    let mut whole = true;
    for (tag, truth) in &template.truth {
        match held(node, tag) {
            Ok(rows) => assert!(rows == truth.now, "{what}: tag {tag}: {}", difference(&rows, &truth.now)),
            Err(error) => {
                assert!(error.starts_with("XX001"), "{what}: tag {tag}: {error}");
                whole = false;
            }
        }
        let (time, value) = truth.now.last_key_value().unwrap();
        match latest(node, tag) {
            Ok(rows) => assert_eq!(rows, [[time.to_string(), value.clone()]], "{what}: the snapshot value of {tag}"),
            Err(error) => assert!(error.starts_with("XX001"), "{what}: the snapshot value of {tag}: {error}"),
        }
    }
    whole
}

/// What a repair of a slice may bring back or lose.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Loss {
    /// Nothing.
    None,
    /// Rows of the damaged slice; where the newer of two rows is lost, the older is seen.
    Rows,
    /// Nothing, but deleted rows may be seen again.
    Deletions,
}

/// Damages a copy of the store in one way, and follows it through check, serve and repair.
fn follow(template: &Template, what: &str, loss: Loss, damage: impl Fn(&Path) -> PathBuf) {
    follow_all(template, what, (loss, Loss::None), damage);
}

/// The same, where `losses` are those of the damaged slice and of all others.
fn follow_all(template: &Template, what: &str, losses: (Loss, Loss), damage: impl Fn(&Path) -> PathBuf) {
    let store = template.copy("served");
    damage(&store);
    let served = match Node::try_start(&store, &FLAGS) {
        Err(refusal) => {
            assert!(!refusal.contains("panicked"), "{what}: {refusal}");
            false
        }
        Ok(node) => {
            let whole = check_true(template, &node, what);
            node.signal(libc::SIGTERM);
            node.wait();
            whole
        }
    };
    let store = template.copy("repaired");
    let file = damage(&store);
    let path = store.to_str().unwrap();
    let found = run(&["check", path]);
    if found.status.success() {
        // What means nothing can be changed without harm; then all must be there.
        assert!(served, "{what}: check names nothing, and yet it is not served as it was: {}", text(&found));
        return;
    }
    // Of a slice without any manifest only the directory can be named.
    let gone = !file.exists() && file.parent().is_some_and(|dir| text(&found).contains(&format!("{} is damaged", dir.display())));
    let name = file.file_name().unwrap().to_str().unwrap();
    let named = gone || text(&found).contains(name);
    assert!(found.status.code() == Some(1) && named, "{what}: {name} is not named: {}", text(&found));
    let repaired = run(&["check", "--repair", path]);
    assert!(repaired.status.success(), "{what}: {}", text(&repaired));
    let again = run(&["check", path]);
    assert!(again.status.success() && text(&again).contains("the store is whole"), "{what}: {}", text(&again));
    let node = Node::try_start(&store, &FLAGS).unwrap_or_else(|refusal| panic!("{what}: {refusal}\n{}", text(&repaired)));
    for (tag, truth) in &template.truth {
        let rows = held(&node, tag).unwrap_or_else(|error| panic!("{what}: tag {tag}: {error}"));
        check_kept(&rows, truth, if *tag == TAG { losses.0 } else { losses.1 }, &format!("{what}: tag {tag}"));
        let newest = rows.last_key_value().map(|(time, value)| vec![time.to_string(), value.clone()]);
        assert_eq!(latest(&node, tag), Ok(newest.into_iter().collect()), "{what}: the snapshot value of {tag}");
    }
    node.stop();
}

fn check_kept(rows: &Rows, truth: &Truth, loss: Loss, what: &str) {
    for (time, value) in rows {
        let older = truth.before.get(time) == Some(value) && loss != Loss::None;
        assert!(truth.now.get(time) == Some(value) || older, "{what}: {value} at {time} was never written");
    }
    let lost: Vec<i64> = truth.now.iter().filter(|(time, value)| rows.get(time) != Some(value)).map(|(time, _)| *time).collect();
    match loss {
        Loss::None => assert!(*rows == truth.now, "{what}: {}", difference(rows, &truth.now)),
        Loss::Deletions => assert!(lost.is_empty(), "{what}: {} rows are lost: {:?}", lost.len(), &lost[..lost.len().min(5)]),
        Loss::Rows => {}
    }
}

/// The files of the slice that holds `TAG`, of one sort. Ordinal 0 lies in slice 0.
fn of_slice(store: &Path, part: &str) -> PathBuf {
    files(store, &["slices/0000", part]).remove(0)
}

fn flip(path: &Path, at: u64, mask: u8) {
    let mut bytes = std::fs::read(path).unwrap();
    let at = (at % bytes.len() as u64) as usize;
    bytes[at] ^= mask;
    std::fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path, to: u64) {
    std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(to).unwrap();
}

/// A few bits, anywhere.
fn random_bits(seed: u64) -> Vec<(u64, u8)> {
    let random = SeededRandom::new(seed);
    (0..3).map(|_| (random.below(1 << 40), 1 << random.below(8))).collect()
}

/// Follows the usual damages of a file: bits, a cut, an empty file, none at all.
fn follow_usual(template: &Template, part: &str, loss: Loss, pick: impl Fn(&Path) -> PathBuf) {
    for (at, mask) in random_bits(part.len() as u64) {
        follow(template, &format!("{part}: bit {mask:#x} of byte {at} flipped"), loss, |store| {
            let path = pick(store);
            flip(&path, at, mask);
            path
        });
    }
    for (kept, of) in [(1, 2), (0, 1)] {
        follow(template, &format!("{part}: cut to {kept}/{of} of its length"), loss, |store| {
            let path = pick(store);
            truncate(&path, std::fs::metadata(&path).unwrap().len() * kept / of);
            path
        });
    }
    follow(template, &format!("{part}: removed"), loss, |store| {
        let path = pick(store);
        std::fs::remove_file(&path).unwrap();
        // Of the numbered files of passwords it can't be told which one it was.
        if part == "users" { store.join("users-N") } else { path }
    });
}

#[test]
fn files_of_samples() {
    let template = Template::new("damage-series");
    let pick = |store: &Path| of_slice(store, ".series");
    follow_usual(&template, "series file", Loss::Rows, pick);
    let len = std::fs::metadata(pick(&template.dir.join("store"))).unwrap().len();
    for (part, at) in [("head", 20), ("first chunk", 60), ("index", len - 150), ("footer", len - 20), ("tail", len - 2)] {
        follow(&template, &format!("series file: {part}"), Loss::Rows, |store| {
            let path = pick(store);
            flip(&path, at, 4);
            path
        });
    }
    follow(&template, "series file: that of another slice in its place", Loss::Rows, |store| {
        let path = pick(store);
        std::fs::copy(files(store, &["slices/0001", ".series"]).remove(0), &path).unwrap();
        path
    });
}

#[test]
fn manifests() {
    let template = Template::new("damage-manifest");
    let pick = |store: &Path| of_slice(store, "manifest-");
    follow_usual(&template, "manifest", Loss::Deletions, pick);
    // And a file of the slice as well.
    let len = std::fs::metadata(of_slice(&template.dir.join("store"), ".series")).unwrap().len();
    for (part, at) in [("first chunk", 60), ("footer", len - 20)] {
        follow(&template, &format!("manifest and a file's {part}"), Loss::Rows, |store| {
            flip(&of_slice(store, ".series"), at, 1);
            let manifest = pick(store);
            truncate(&manifest, 60);
            manifest
        });
    }
}

#[test]
fn slices() {
    let mut template = Template::new("damage-slice");
    template.cut_log();
    let store = template.copy("repaired");
    std::fs::remove_dir_all(store.join("slices/0000")).unwrap();
    let repaired = run(&["check", "--repair", store.to_str().unwrap()]);
    let said = text(&repaired);
    assert!(repaired.status.success() && said.contains("slices/0000 is missing, though samples were written to it"), "{said}");
    assert!(said.contains("are neither in a whole file nor in the log") && said.contains("the store is whole"), "{said}");
    for slice in ["slices/0000", "slices"] {
        let others = if slice == "slices" { Loss::Rows } else { Loss::None };
        follow_all(&template, &format!("{slice}: removed"), (Loss::Rows, others), |store| {
            std::fs::remove_dir_all(store.join(slice)).unwrap();
            store.join("slices/0000")
        });
        follow_all(&template, &format!("{slice}: emptied"), (Loss::Rows, others), |store| {
            std::fs::remove_dir_all(store.join(slice)).unwrap();
            std::fs::create_dir(store.join(slice)).unwrap();
            store.join("slices/0000")
        });
    }
}

#[test]
fn logs() {
    let mut template = Template::new("damage-log");
    let older = template.copy("older");
    template.cut_log();
    let other = Template::new("damage-log-other");
    let log = |store: &Path| store.join("log");
    let both = (Loss::Rows, Loss::Rows);
    follow_all(&template, "log: removed", both, |store| {
        std::fs::remove_dir_all(log(store)).unwrap();
        log(store)
    });
    follow_all(&template, "log: emptied", both, |store| {
        std::fs::remove_dir_all(log(store)).unwrap();
        std::fs::create_dir(log(store)).unwrap();
        log(store)
    });
    follow_all(&template, "log: another store's", both, |store| {
        std::fs::remove_dir_all(log(store)).unwrap();
        copy(&log(&other.dir.join("store")), &log(store));
        log(store)
    });
    follow_all(&template, "log: an older copy", both, |store| {
        std::fs::remove_dir_all(log(store)).unwrap();
        copy(&log(&older), &log(store));
        log(store)
    });
    follow_all(&template, "log: its oldest file removed", both, |store| {
        let mut segments = files(store, &["log/"]);
        segments.retain(|path| path.parent() == Some(&log(store)));
        segments.sort();
        std::fs::remove_file(&segments[0]).unwrap();
        log(store)
    });
}

#[test]
fn snapshot_values() {
    let template = Template::new("damage-latest");
    follow_usual(&template, "snapshot values", Loss::None, |store| of_slice(store, "latest-"));
}

#[test]
fn users() {
    let template = Template::new("damage-users");
    let pick = |store: &Path| files(store, &["users-"]).remove(0);
    follow_usual(&template, "users", Loss::None, pick);
    // Also without a password setting, which would make a new file: nobody gets in who had to know one.
    let store = template.copy("served");
    std::fs::remove_file(pick(&store)).unwrap();
    let refusal = Node::try_start(&store, &FLAGS[..FLAGS.len() - 2]).err().unwrap();
    assert!(refusal.contains("it has roles or passwords") && refusal.contains("check --repair"), "{refusal}");
    assert_eq!(files(&store, &["users-"]), Vec::<PathBuf>::new(), "it is left as it was");
}

#[test]
fn the_tag_table_as_a_whole() {
    let template = Template::new("damage-catalog");
    for emptied in [false, true] {
        let store = template.copy("served");
        let catalog = store.join("catalog");
        std::fs::remove_dir_all(&catalog).unwrap();
        if emptied {
            std::fs::create_dir(&catalog).unwrap();
        }
        let refusal = Node::try_start(&store, &FLAGS).err().unwrap();
        assert!(refusal.contains("its tag table, the directory catalog, is missing"), "{refusal}");
        assert!(catalog.exists() == emptied && files(&store, &["catalog/"]).is_empty(), "it is left as it was");
        let path = store.to_str().unwrap();
        let found = run(&["check", path]);
        let named = format!("{} is missing, though the store has a tag table", catalog.display());
        assert!(found.status.code() == Some(1) && text(&found).contains(&named), "{}", text(&found));
        let repaired = run(&["check", "--repair", path]);
        assert!(repaired.status.success() && text(&repaired).contains("the store is whole"), "{}", text(&repaired));
        // The samples are there, under names that tell of the loss; and their kinds.
        let node = Node::start(&store, &FLAGS);
        for (ordinal, (tag, kind)) in TAGS.iter().enumerate() {
            let name = format!("lost.{ordinal}");
            assert_eq!(node::ask(&node, &format!("SELECT kind FROM tags WHERE name = '{name}'")), [[*kind]]);
            let column = if *kind == "text" { "text" } else { "value" };
            let table = if *kind == "text" { "events" } else { "samples" };
            let rows =
                node::ask(&node, &format!("SELECT extract(epoch FROM time)::bigint, {column} FROM {table} WHERE tag = '{name}'"));
            let rows: Rows = rows.into_iter().map(|row| (row[0].parse().unwrap(), row[1].clone())).collect();
            assert!(rows == template.truth[tag].now, "{tag}: {}", difference(&rows, &template.truth[tag].now));
        }
        node.stop();
    }
}

#[test]
fn what_can_not_be_mended_does_not_keep_the_rest_from_it() {
    let template = Template::new("damage-several");
    let store = template.copy("repaired");
    // A slice whose manifest can't be read can't be mended; another's file can.
    let manifest = files(&store, &["slices/0001", "manifest-"]).remove(0);
    std::fs::remove_file(&manifest).unwrap();
    std::fs::create_dir(&manifest).unwrap();
    let series = of_slice(&store, ".series");
    flip(&series, 60, 4);
    std::fs::remove_file(files(&store, &["users-"]).remove(0)).unwrap();
    let path = store.to_str().unwrap();
    let repaired = run(&["check", "--repair", path]);
    let said = text(&repaired);
    assert_eq!(repaired.status.code(), Some(1), "{said}");
    assert!(said.contains("not mended: 0001") && said.contains("the store is damaged"), "{said}");
    let series = series.to_str().unwrap();
    let mended = said.lines().any(|line| line.contains("repaired:") && line.contains(series));
    assert!(mended && said.contains("all passwords are forgotten"), "{said}");
    // What was mended is.
    let found = text(&run(&["check", path]));
    assert!(!found.contains(series) && !found.contains("users-N"), "{found}");
}
