//! `meridian import` against hostile CSV, made from seeds: quotes, line ends, a byte order mark, missing and
//! surplus columns, empty cells, very long lines, bytes that are no UTF-8, times in several forms.
//!
//! The file's maker knows what each row means. Every good row must be in the node as it was meant, and nothing
//! else; every bad row must be in the reject file as it stood, with the line on which it begins.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, ask, program, text};
use std::collections::BTreeMap;
use world::{Random, SeededRandom};

/// Columns of the file, in order.
const HEADS: [&str; 7] = ["at", "level", "count", "open", "valve", "note", "q"];
const STATES: [&str; 3] = ["shut", "half \"open\"", "a,b"];

/// A file and what must become of it.
#[derive(Default)]
struct Made {
    bytes: Vec<u8>,
    /// (tag, microseconds) -> (value as the node shows it, quality).
    expected: BTreeMap<(String, i64), (String, String)>,
    /// Line and cells of each bad row.
    refused: Vec<(u64, Vec<Vec<u8>>)>,
    good_rows: usize,
}

/// How a file is written.
struct Style {
    delimiter: u8,
    end: &'static [u8],
    quote_all: bool,
}

fn pick<T: Copy>(random: &SeededRandom, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

/// A moment in one of the forms that `--time-format auto` knows, and its microseconds.
fn time(random: &SeededRandom, row: i64) -> (String, i64) {
    let seconds = 1_700_000_000 + row * 7;
    let moment = |seconds: i64| chrono::DateTime::from_timestamp(seconds, 0).unwrap();
    let plain = |pattern: &str, seconds: i64| moment(seconds).format(pattern).to_string();
    let micros = seconds * 1_000_000;
    match random.below(8) {
        0 => (plain("%Y-%m-%d %H:%M:%S", seconds), micros),
        1 => (plain("%Y-%m-%dT%H:%M:%SZ", seconds), micros),
        2 => (plain("%Y/%m/%d %H:%M:%S", seconds), micros),
        3 => (plain("%Y-%m-%d %H:%M:%S+08:00", seconds + 8 * 3600), micros),
        4 => (plain("%Y-%m-%dT%H:%M:%S,5-03", seconds - 3 * 3600), micros + 500_000),
        5 => (plain("%Y-%m-%d %H:%M:%S.000007999", seconds), micros + 7),
        6 => (format!("  {} ", plain("%Y-%m-%d %H:%M:%S.25", seconds)), micros + 250_000),
        // Whole minutes and days are of their own: no two rows share them.
        _ => (plain("%Y-%m-%d %H:%M", 86_400 * (row + 100) + 3600), (86_400 * (row + 100) + 3600) * 1_000_000),
    }
}

/// Text with whatever CSV and COPY could trip over; never empty.
fn note(random: &SeededRandom) -> String {
    let parts = [
        "\"", "\"\"", ",", ";", "\t", "|", "\\", "\\N", "\\.", "'", "\n", "\r\n", "\r", " ", "阀门", "x", "\u{feff}", "{}", "%s",
        "=1+1",
    ];
    let mut text: String = (0..random.between(1, 9)).map(|_| pick(random, &parts)).collect();
    if random.one_in(40) {
        text.push_str(&"long ".repeat(random.between(1, 200_000) as usize));
    }
    text
}

/// Cells, the time in microseconds, what tags get, and the quality.
type Cells = (Vec<Vec<u8>>, i64, Vec<(&'static str, String)>, &'static str);

/// A row's cells, and what each means: (tag, value as shown); None where the row is good but says nothing of it.
fn cells(random: &SeededRandom, row: i64) -> Cells {
    let (at, micros) = time(random, row);
    let mut meant = Vec::new();
    let mut cell = |tag: &'static str, choices: &[(&str, &str)]| {
        let (written, shown) = pick(random, choices);
        if !written.is_empty() {
            meant.push((tag, shown.to_owned()));
        }
        written.as_bytes().to_vec()
    };
    let level = cell(
        "level",
        &[("1.5", "1.5"), (" -0.0 ", "-0"), ("1e3", "1000"), ("NaN", "NaN"), ("-inf", "-Infinity"), ("", ""), (".5", "0.5")],
    );
    let count = cell(
        "count",
        &[("9007199254740993", "9007199254740993"), ("-1", "-1"), ("", ""), ("-9223372036854775808", "-9223372036854775808")],
    );
    let open = cell("open", &[("true", "1"), ("F", "0"), ("ON", "1"), ("0", "0"), ("", "")]);
    let valve = cell("valve", &[("shut", "0"), ("half \"open\"", "1"), ("a,b", "2"), ("1", "1"), ("", "")]);
    let text = if random.one_in(5) { String::new() } else { note(random) };
    if !text.is_empty() {
        meant.push(("note", text.clone()));
    }
    let (quality, shown) = pick(random, &[("", "192"), ("good", "192"), ("bad", "0"), ("64", "64")]);
    (vec![at.into_bytes(), level, count, open, valve, text.into_bytes(), quality.as_bytes().to_vec()], micros, meant, shown)
}

/// Makes a good row bad in one of many ways.
fn spoil(random: &SeededRandom, cells: &mut Vec<Vec<u8>>) {
    let mut set = |column: usize, to: &[u8]| cells[column] = to.to_vec();
    match random.below(16) {
        0 => set(0, b""),
        1 => set(0, b"yesterday"),
        2 => set(0, b"2024-02-30 00:00:00"),
        3 => set(0, b"1700000000"),
        4 => set(1, b"1,5"),
        5 => set(1, b"1e999"),
        6 => set(2, b"9223372036854775808"),
        7 => set(2, b"1.5"),
        8 => set(3, b"maybe"),
        9 => set(4, b"ajar"),
        10 => set(5, b"caf\xe9"),
        11 => set(5, b"nul\0"),
        12 => set(5, &vec![b'y'; (1 << 20) + 1]),
        13 => set(6, b"256"),
        14 => cells.truncate(random.between(1, 6) as usize),
        _ => cells.push(b"surplus".to_vec()),
    }
}

fn write_row(out: &mut Vec<u8>, style: &Style, cells: &[Vec<u8>]) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(style.delimiter);
        }
        let plain = !cell.iter().any(|byte| b"\"\r\n,;\t|".contains(byte));
        // A row of one empty cell is an empty line, which is no row.
        if plain && !style.quote_all && !(cells.len() == 1 && cell.is_empty()) {
            out.extend_from_slice(cell);
            continue;
        }
        out.push(b'"');
        for byte in cell {
            out.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
        }
        out.push(b'"');
    }
}

fn make(seed: u64) -> Made {
    let random = SeededRandom::new(seed);
    let style = Style {
        delimiter: pick(&random, b",;\t|"),
        end: pick(&random, &[b"\n".as_slice(), b"\r\n"]),
        quote_all: random.one_in(3),
    };
    let mut made = Made::default();
    if random.one_in(2) {
        made.bytes.extend_from_slice("\u{feff}".as_bytes());
    }
    write_row(&mut made.bytes, &style, &HEADS.map(|head| head.as_bytes().to_vec()));
    for row in 0..random.between(20, 60) as i64 {
        made.bytes.extend_from_slice(style.end);
        if random.one_in(10) {
            made.bytes.extend_from_slice(style.end);
        }
        let line = made.bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + 1;
        let (mut cells, micros, meant, quality) = cells(&random, row);
        if random.one_in(3) {
            spoil(&random, &mut cells);
            made.refused.push((line, cells.clone()));
        } else {
            made.good_rows += 1;
            let known = meant.into_iter().map(|(tag, value)| ((format!("{seed}.{tag}"), micros), (value, quality.to_owned())));
            made.expected.extend(known);
        }
        write_row(&mut made.bytes, &style, &cells);
    }
    if random.one_in(2) {
        made.bytes.extend_from_slice(style.end);
    }
    made
}

/// What the node holds under a prefix.
fn held(node: &Node, seed: u64) -> BTreeMap<(String, i64), (String, String)> {
    let columns = "tag, extract(epoch FROM time) * 1000000";
    let questions = [
        format!("SELECT {columns}, value, quality FROM samples WHERE tag = '{seed}.level'"),
        format!("SELECT {columns}, value, quality FROM integers WHERE tag LIKE '{seed}.%'"),
        format!("SELECT {columns}, text, quality FROM events WHERE tag LIKE '{seed}.%'"),
    ];
    let rows = questions.iter().flat_map(|question| ask(node, question));
    rows.map(|row| {
        let micros = row[1].parse::<f64>().unwrap().round() as i64;
        ((row[0].clone(), micros), (row[2].clone(), row[3].clone()))
    })
    .collect()
}

/// The reject file's rows: line, cells.
fn kept(path: &std::path::Path) -> Vec<(u64, Vec<Vec<u8>>)> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).from_path(path).unwrap();
    assert_eq!(reader.headers().unwrap().iter().take(7).collect::<Vec<_>>(), HEADS);
    let rows = reader.byte_records().map(|record| {
        let record = record.unwrap();
        let cells: Vec<Vec<u8>> = record.iter().map(<[u8]>::to_vec).collect();
        let (mut cells, end) = (cells.clone(), cells.len());
        let line = String::from_utf8(cells[end - 2].clone()).unwrap().parse().unwrap();
        cells.truncate(end - 2);
        (line, cells)
    });
    rows.collect()
}

#[test]
fn every_good_row_comes_in_and_every_bad_one_is_told() {
    let dir = Dir::new("hostile");
    let node = Node::start(&dir.join("store"), &[]);
    let states = STATES.map(|state| format!("'{state}'")).join(", ");
    let (mut good, mut bad) = (0, 0);
    for seed in 0..24 {
        let made = make(seed);
        let kinds = [("level", "f64"), ("count", "i64"), ("open", "bool"), ("note", "text")];
        let tags = kinds.map(|(name, kind)| format!("('{seed}.{name}', '{kind}', NULL)")).join(", ");
        ask(&node, &format!("INSERT INTO tags (name, kind, states) VALUES {tags}, ('{seed}.valve', 'state', ARRAY[{states}])"));
        let (file, reject) = (dir.join(&format!("{seed}.csv")), dir.join(&format!("{seed}-reject.csv")));
        std::fs::write(&file, &made.bytes).unwrap();
        let mut command = program();
        command.arg("import").arg(&file).args(["--to", &node.url(), "--time", "at", "--quality", "q", "--batch", "37"]);
        let output = command.args(["--prefix", &format!("{seed}."), "--reject"]).arg(&reject).output().unwrap();
        let said = text(&output);
        let expected = if made.refused.is_empty() { 0 } else { 3 };
        assert_eq!(output.status.code(), Some(expected), "seed {seed}: {said}");
        assert!(
            said.starts_with(&format!("{} rows with {} samples", made.good_rows, made.expected.len())),
            "seed {seed}: {said}"
        );
        let found = held(&node, seed);
        for (key, value) in &made.expected {
            assert!(found.get(key) == Some(value), "seed {seed}: {key:?} should be {value:?}, is {:?}", found.get(key));
        }
        assert_eq!(found.len(), made.expected.len(), "seed {seed}: what no good row says is there");
        let kept = kept(&reject);
        for (kept, refused) in kept.iter().zip(&made.refused) {
            let shown = |row: &(u64, Vec<Vec<u8>>)| {
                format!(
                    "{}: {:?}",
                    row.0,
                    row.1.iter().map(|cell| cell[..cell.len().min(80)].escape_ascii().to_string()).collect::<Vec<_>>()
                )
            };
            assert!(kept == refused, "seed {seed}: the reject file has {}, not {}", shown(kept), shown(refused));
        }
        assert_eq!(kept.len(), made.refused.len(), "seed {seed}");
        good += made.good_rows;
        bad += made.refused.len();
    }
    assert!(good > 100 && bad > 100, "{good} good rows and {bad} bad ones are no test");
    node.stop();
}
