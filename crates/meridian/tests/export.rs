//! `meridian export` from outside, and `meridian import` of what it wrote: random samples of all kinds in every form, a whole
//! store moved to another one, types, pipes; and exports that are cut short, which leave no file.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{
    DataType, Date32Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Time64MicrosecondType, TimeUnit,
    TimestampMicrosecondType,
};
use arrow_ipc::reader::{FileReader, StreamReader};
use bytes::Bytes;
use futures::SinkExt;
use node::{Dir, Node, ask, program, run, text};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::pin::pin;
use std::process::{Output, Stdio};
use world::{Random, SeededRandom};

/// Every form of file, by how its name ends.
const FORMS: [&str; 5] = ["csv", "csv.gz", "parquet", "arrow", "arrows"];
/// The tables of samples.
const SERIES: [&str; 3] = ["samples", "integers", "events"];

/// Runs `meridian export --from NODE --to FILE` and further words.
fn export(node: &Node, to: &Path, words: &[&str]) -> Output {
    let url = node.url();
    let words = [&["export", "--from", &url, "--to", to.to_str().unwrap()], words].concat();
    run(&words)
}

fn import(node: &Node, file: &Path, words: &[&str]) -> Output {
    let url = node.url();
    run(&[&["import", file.to_str().unwrap(), "--to", &url], words].concat())
}

fn well(output: &Output) -> String {
    let said = text(output);
    assert!(output.status.success(), "{said}");
    said
}

/// Pours text into a COPY.
fn copy(node: &Node, sql: &str, data: String) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(&node.url(), tokio_postgres::NoTls).await.unwrap();
        tokio::spawn(connection);
        let mut sink = pin!(client.copy_in::<_, Bytes>(sql).await.unwrap());
        sink.send(data.into()).await.unwrap();
        sink.finish().await.unwrap();
    });
}

fn pick<T: Copy>(random: &SeededRandom, from: &[T]) -> T {
    from[random.below(from.len() as u64) as usize]
}

/// A time that PostgreSQL's binary form has; some years away, and some as far as it goes.
fn time(random: &SeededRandom) -> String {
    let us = match random.below(4) {
        0 => (random.next_u64() as i64).max(i64::MIN + 946_684_800_000_001),
        1 => pick(random, &[0, -1, i64::MAX, 253_402_300_800_000_000, -62_135_596_800_000_001]),
        _ => 1_700_000_000_000_000 + random.below(1 << 50) as i64,
    };
    let mut out = String::new();
    query::format_time(us, query::Zone::Utc, &mut out);
    out
}

/// A text with whatever a form could trip over.
fn note(random: &SeededRandom) -> String {
    let parts = ["\"", ",", ";", "\t", "\\", "\\N", "\\.", "'", "\n", "\r\n", "\r", " ", "阀门", "x", "NULL", "{}", "\u{feff}"];
    (0..random.below(6)).map(|_| pick(random, &parts)).collect()
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
}

/// The bits of a double that SQL has: of many NaNs one.
fn double(random: &SeededRandom) -> f64 {
    let odd = [0.0, -0.0, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 5e-324, f64::MAX, 9_007_199_254_740_993.0, 1e15, 0.1];
    let bits = f64::from_bits(random.next_u64());
    if random.one_in(2) || bits.is_nan() { pick(random, &odd) } else { bits }
}

/// Fills a store with tags of all kinds and random samples of each.
fn fill(node: &Node, seed: u64, rows: u64) {
    let random = SeededRandom::new(seed);
    ask(
        node,
        "INSERT INTO tags (name, kind, states) VALUES ('a.f64', 'f64', NULL), ('b.f32', 'f32', NULL), ('c.bool', 'bool', NULL),
         ('d.i32', 'i32', NULL), ('e.i64', 'i64', NULL), ('f, \"state\"', 'state', '{off,\"a, b\"}'), (' g.text ', 'text', NULL),
         ('阀门', 'f64', NULL)",
    );
    let (mut samples, mut integers, mut events) = (String::new(), String::new(), String::new());
    for _ in 0..rows {
        let (time, quality) = (time(&random), pick(&random, &[192, 192, 0, 64, 255]));
        let line = |into: &mut String, tag: &str, value: String| {
            into.push_str(&format!("{tag}\t{time}\t{value}\t{quality}\n"));
        };
        line(&mut samples, pick(&random, &["a.f64", "阀门"]), format!("{:e}", double(&random)).replace("inf", "Infinity"));
        let single = f32::from_bits(random.next_u64() as u32);
        let single = if single.is_nan() { -0.0 } else { single };
        line(&mut samples, "b.f32", format!("{single:e}").replace("inf", "Infinity"));
        let long = if random.one_in(3) { pick(&random, &[i64::MIN, i64::MAX, (1 << 53) + 1]) } else { random.next_u64() as i64 };
        line(&mut integers, "c.bool", random.below(2).to_string());
        line(&mut integers, "d.i32", (random.next_u64() as i32).to_string());
        line(&mut integers, "e.i64", long.to_string());
        line(&mut integers, "f, \"state\"", random.below(3).to_string());
        line(&mut events, " g.text ", escaped(&note(&random)));
    }
    copy(node, "COPY samples (tag, time, value, quality) FROM STDIN", samples);
    copy(node, "COPY integers (tag, time, value, quality) FROM STDIN", integers);
    copy(node, "COPY events (tag, time, text, quality) FROM STDIN", events);
}

/// All that a store holds of samples: text of doubles is theirs alone (-0 and NaN too).
fn held(node: &Node) -> Vec<Vec<Vec<String>>> {
    let floats = "SELECT * FROM samples WHERE tag IN (SELECT name FROM tags WHERE kind IN ('f32', 'f64')) ORDER BY tag, time";
    let others = ["integers", "events"].map(|table| format!("SELECT * FROM {table} ORDER BY tag, time"));
    [floats.to_owned()].iter().chain(&others).map(|sql| ask(node, sql)).collect()
}

fn tags(node: &Node) -> Vec<Vec<String>> {
    let columns = "name, description, unit, kind, states, labels, low_low, low, high, high_high, cadence, compression";
    ask(node, &format!("SELECT {columns}, deviation, span FROM tags ORDER BY name"))
}

#[test]
fn what_comes_back_from_every_form_is_the_same_bit_for_bit() {
    let dir = Dir::new("export-forms");
    let seed = std::env::var("MERIDIAN_EXPORT_SEED").map_or(u64::from(std::process::id()), |seed| seed.parse().unwrap());
    eprintln!("MERIDIAN_EXPORT_SEED={seed}");
    let old = Node::start(&dir.join("old"), &[]);
    fill(&old, seed, 400);
    let expected = held(&old);
    assert!(expected.iter().all(|rows| rows.len() > 200));
    for form in FORMS {
        let new = Node::start(&dir.join(&format!("new-{form}")), &[]);
        let file = |table: &str| dir.join(&format!("{table}.{form}"));
        well(&export(&old, &file("tags"), &["--table", "tags"]));
        well(&import(&new, &file("tags"), &["--table", "tags"]));
        for (table, rows) in SERIES.iter().zip(&expected) {
            let kinds: &[&str] = if *table == "samples" { &["--kind", "f32,f64"] } else { &[] };
            let said = well(&export(&old, &file(table), &[&["--table", table], kinds].concat()));
            assert!(said.starts_with(&format!("{} rows in", thousands(rows.len()))), "{form}: {said}");
            well(&import(&new, &file(table), &["--table", table, "--batch", "333"]));
        }
        let found = held(&new);
        for (found, expected) in found.iter().zip(&expected) {
            let wrong = found.iter().zip(expected).find(|(found, expected)| found != expected);
            assert!(found.len() == expected.len() && wrong.is_none(), "{form}, seed {seed}: {wrong:?}");
        }
        assert_eq!(tags(&new), tags(&old), "{form}");
        new.stop();
    }
    assert!(std::fs::read_dir(&dir.0).unwrap().all(|entry| !entry.unwrap().path().to_string_lossy().ends_with(".part")));
    old.stop();
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    if digits.len() <= 3 { digits } else { format!("{},{}", &digits[..digits.len() - 3], &digits[digits.len() - 3..]) }
}

#[test]
fn all_of_time_is_in_csv_and_what_binary_lacks_is_said() {
    let dir = Dir::new("export-time");
    let old = Node::start(&dir.join("old"), &[]);
    ask(&old, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    ask(&old, "INSERT INTO samples (tag, time, value) VALUES ('a', '290309-12-21 19:59:05.224192+00 BC', 1), ('a', now(), 2)");
    let (csv, parquet) = (dir.join("a.csv"), dir.join("a.parquet"));
    well(&export(&old, &csv, &["--table", "samples"]));
    let output = export(&old, &parquet, &["--table", "samples"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("22008"), "{}", text(&output));
    assert!(!parquet.exists() && !dir.join("a.parquet.part").exists());
    well(&export(&old, &parquet, &["--table", "samples", "--since", "2000-01-01"]));
    let new = Node::start(&dir.join("new"), &[]);
    well(&import(&new, &csv, &["--table", "samples"]));
    assert_eq!(ask(&new, "SELECT * FROM samples ORDER BY time"), ask(&old, "SELECT * FROM samples ORDER BY time"));
    old.stop();
    new.stop();
}

#[test]
fn a_whole_store_is_moved_tags_with_all_that_they_are_first() {
    let dir = Dir::new("export-move");
    let old = Node::start(&dir.join("old"), &[]);
    fill(&old, 7, 50);
    let rest = "INSERT INTO tags (name, kind, unit, description, states, labels, low_low, low, high, high_high, cadence, compression,
        deviation, span) VALUES
        ('plain', 'f64', '°C', E'of a \"boiler\",\\nupper', NULL, '{\"site\": \"north\", \"a\": \"x,\\\"y\\\"\"}', -1e300, 0.1, 2, 3,
         '1.5 s', 'lossless', NULL, NULL),
        ('door', 'f64', 'bar', '', NULL, '{}', NULL, NULL, 9.75, NULL, '30 hours', 'swinging_door', 0.5, '1 hour'),
        ('band', 'i64', '', '', NULL, '{}', NULL, NULL, NULL, NULL, '10 ms', 'deadband', 2, '0 s'),
        ('valve', 'state', '', 'it''s', ARRAY['shut', 'half \"open\"', 'a,b', 'NULL', ' ', '{}', '\\'], '{}', NULL, NULL, NULL, NULL,
         NULL, 'deadband', 0, NULL)";
    ask(&old, rest);
    ask(
        &old,
        "INSERT INTO samples (tag, time, value) SELECT 'door', to_timestamp_seconds(i), abs(i % 20 - 10) FROM generate_series(1, 2000) AS g(i)",
    );
    ask(
        &old,
        "INSERT INTO integers (tag, time, value) SELECT 'band', to_timestamp_seconds(i), i FROM generate_series(1, 2000) AS g(i)",
    );
    for form in ["parquet", "csv", "arrow"] {
        let new = Node::start(&dir.join(&format!("new-{form}")), &[]);
        let file = |table: &str| dir.join(&format!("{table}.{form}"));
        well(&export(&old, &file("tags"), &["--table", "tags"]));
        well(&export(&old, &file("samples"), &["--table", "samples", "--kind", "f32,f64"]));
        well(&export(&old, &file("integers"), &["--table", "integers"]));
        well(&export(&old, &file("events"), &["--table", "events"]));
        let said = well(&import(&new, &file("tags"), &["--table", "tags", "--lossless"]));
        assert!(said.contains("12 tags made, 0 changed, 0 as they were"), "{form}: {said}");
        for table in SERIES {
            let said = well(&import(&new, &file(table), &["--table", table]));
            assert!(said.contains("(0 made)"), "{form}: {said}");
        }
        let said = well(&import(&new, &file("tags"), &["--table", "tags", "--update"]));
        assert!(said.contains("0 tags made, 3 changed, 9 as they were"), "{form}: {said}");
        let said = well(&import(&new, &file("tags"), &["--table", "tags"]));
        assert!(said.contains("0 tags made, 0 changed, 12 as they were"), "{form}: {said}");
        assert_eq!(tags(&new), tags(&old), "{form}");
        assert!(held(&new) == held(&old), "{form}: the samples are others");
        new.stop();
    }
    old.stop();
}

#[test]
fn tags_that_are_refused_are_told_and_the_others_are_made() {
    let dir = Dir::new("export-tags");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind, unit) VALUES ('there', 'f64', 'K'), ('same', 'i64', '')");
    let (file, reject) = (dir.join("tags.csv"), dir.join("reject.csv"));
    let rows = "name,kind,unit,states,low\nnew,f64,C,,1.5\nthere,f64,C,,\nodd,f65,,,\n,f64,,,\nsame,bigint,,,\nshort,f64\n\
                twice,bool,,,\ntwice,bool,,,x\nvalve,state,,\"{off,\"\"on, now\"\"}\",\n";
    std::fs::write(&file, rows).unwrap();
    let output = import(&node, &file, &["--table", "tags", "--reject", reject.to_str().unwrap()]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    for part in [
        "3 tags made, 0 changed, 1 as they were; 5 rows refused",
        "row 3: tag \"there\" is there with another unit: \"K\", not \"C\"",
        "row 4: tag \"odd\": unknown kind \"f65\"",
        "row 5: has no name",
        "row 7: has 2 columns",
        "row 9: tag \"twice\": ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(std::fs::read_to_string(&reject).unwrap().lines().count(), 6);
    let names = ask(&node, "SELECT name, unit, states FROM tags ORDER BY name");
    let names: Vec<String> = names.iter().map(|row| row.join("|")).collect();
    assert_eq!(names, ["new|C|NULL", "same||NULL", "there|K|NULL", "twice||NULL", "valve||{off,\"on, now\"}"]);
    let output = import(&node, &file, &["--table", "tags", "--update", "--columns", "name,unit"]);
    assert!(text(&output).contains("1 tags made, 1 changed, 5 as they were"), "{}", text(&output));
    assert_eq!(ask(&node, "SELECT unit FROM tags WHERE name = 'there'"), [["C"]]);
    std::fs::write(&file, "name,colour\na,red\n").unwrap();
    let output = import(&node, &file, &["--table", "tags"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("column \"colour\" is none of tags"), "{}", text(&output));
    node.stop();
}

fn parquet_batches(path: &Path) -> Vec<RecordBatch> {
    ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap().build().unwrap().map(Result::unwrap).collect()
}

fn check_types(batch: &RecordBatch) {
    let types: Vec<DataType> = batch.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let list = |of: DataType| DataType::List(Field::new_list_field(of, true).into());
    let moment = |zone: Option<&str>| DataType::Timestamp(TimeUnit::Microsecond, zone.map(Into::into));
    let expected = [
        DataType::Boolean,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        moment(Some("UTC")),
        moment(None),
        DataType::Date32,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Utf8,
        DataType::Utf8,
        list(DataType::Int64),
        list(DataType::Utf8),
        DataType::Binary,
    ];
    assert_eq!(types, expected);
    let column = |index: usize| batch.column(index);
    assert!(batch.columns().iter().all(|column| column.is_null(1) && column.is_valid(0)), "the second row is NULL");
    assert!(column(0).as_boolean().value(0));
    assert_eq!(column(1).as_primitive::<Int16Type>().value(0), -2);
    assert_eq!(column(2).as_primitive::<Int32Type>().value(0), 3);
    assert_eq!(column(3).as_primitive::<Int64Type>().value(0), i64::MAX);
    assert_eq!(column(4).as_primitive::<Float32Type>().value(0), 1.5);
    assert!(column(5).as_primitive::<Float64Type>().value(0).is_nan());
    assert_eq!(column(6).as_string::<i32>().value(0), "a\"b");
    assert_eq!(column(7).as_primitive::<TimestampMicrosecondType>().value(0), -1);
    assert_eq!(column(8).as_primitive::<TimestampMicrosecondType>().value(0), 1_000_000);
    assert_eq!(column(9).as_primitive::<Date32Type>().value(0), -1);
    assert_eq!(column(10).as_primitive::<Time64MicrosecondType>().value(0), 3_600_000_001);
    assert_eq!(column(11).as_string::<i32>().value(0), "-12.340");
    assert_eq!(column(12).as_string::<i32>().value(0), "1 mon 2 days 03:00:00");
    let numbers = column(13).as_list::<i32>().value(0);
    let numbers: Vec<Option<i64>> = numbers.as_primitive::<Int64Type>().iter().collect();
    assert_eq!(numbers, [Some(1), None, Some(3)]);
    assert_eq!(column(14).as_list::<i32>().value(0).len(), 0);
    assert_eq!(column(15).as_binary::<i32>().value(0), [0, 255]);
}

#[test]
fn types_are_arrows_own_where_it_has_them() {
    let dir = Dir::new("export-types");
    let node = Node::start(&dir.join("store"), &[]);
    let columns = "true, -2::int2, 3::int4, 9223372036854775807::int8, 1.5::real, 'NaN'::float8, 'a\"b',
        TIMESTAMPTZ '1969-12-31 23:59:59.999999Z', TIMESTAMP '1970-01-01 00:00:01', DATE '1969-12-31', TIME '01:00:00.000001',
        (-12.34)::numeric(10, 3), INTERVAL '1 month 2 days 3 hours', ARRAY[1, NULL, 3]::int8[], ARRAY[]::text[], '\\x00ff'::bytea";
    let names: Vec<String> = (0..16).map(|index| format!("c{index}")).collect();
    let nulls = names.iter().map(|name| format!("CASE WHEN i = 1 THEN {name} END AS {name}")).collect::<Vec<_>>().join(", ");
    let query = format!(
        "SELECT {nulls} FROM (SELECT * FROM (VALUES ({columns})) AS v({})) AS w, generate_series(1, 2) AS g(i) ORDER BY i -- last",
        names.join(", ")
    );
    let (parquet, arrow, arrows) = (dir.join("a.parquet"), dir.join("a.feather"), dir.join("a.arrows"));
    let said = well(&export(&node, &parquet, &["--query", &query]));
    assert!(said.contains("note: column \"c11\" is numeric without a scale"), "{said}");
    well(&export(&node, &arrow, &["--query", &format!("{query}\n;")]));
    well(&export(&node, &arrows, &["--query", &query]));
    check_types(&parquet_batches(&parquet)[0]);
    check_types(&FileReader::try_new(File::open(arrow).unwrap(), None).unwrap().next().unwrap().unwrap());
    check_types(&StreamReader::try_new(File::open(arrows).unwrap(), None).unwrap().next().unwrap().unwrap());
    let csv = dir.join("a.csv");
    well(&export(&node, &csv, &["--query", &query]));
    let lines = std::fs::read_to_string(&csv).unwrap();
    assert!(lines.starts_with("c0,c1,c2") && lines.lines().nth(1).unwrap().starts_with("t,-2,3,9223372036854775807,1.5,NaN"));
    for (query, code, expected) in [
        ("SELECT ARRAY[ARRAY[1]] AS a", 1, "column \"a\" has a value that Arrow's like of"),
        ("SELECT nothing", 1, "42703"),
        ("CHECKPOINT", 2, "answers no columns"),
        ("", 2, "answers no columns"),
    ] {
        let output = export(&node, &dir.join("odd.parquet"), &["--query", query]);
        assert!(output.status.code() == Some(code) && text(&output).contains(expected), "{query}: {}", text(&output));
        assert!(!dir.join("odd.parquet").exists() && !dir.join("odd.parquet.part").exists());
    }
    node.stop();
}

#[test]
fn parts_of_tables_and_pipes() {
    let dir = Dir::new("export-parts");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('b.x', 'f64'), ('b.y', 'i64'), ('c', 'f64')");
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) SELECT t, to_timestamp_seconds(i * 86400), i FROM (VALUES ('b.x'), ('b.y'), ('c')) AS v(t), generate_series(1, 10) AS g(i)",
    );
    let stdout = |words: &[&str]| {
        let output = export(&node, Path::new("-"), words);
        assert!(output.status.success(), "{}", text(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let words = ["--table", "samples", "--tags", "b.%", "--kind", "f64", "--since", "1970-01-03", "--until", "1970-01-05"];
    let (rows, said) = stdout(&words);
    assert_eq!(rows, "tag,time,value,quality\nb.x,1970-01-03 00:00:00+00,2,192\nb.x,1970-01-04 00:00:00+00,3,192\n");
    assert!(said.contains("2 rows in"), "{said}");
    let (rows, _) = stdout(&["--table", "latest", "--tags", "c"]);
    assert!(rows.starts_with("tag,time,value,text,quality,age\nc,1970-01-11 00:00:00+00,10,,192,"), "{rows}");
    let output = export(&node, Path::new("-"), &["--table", "integers", "--format", "arrows"]);
    let batches: Vec<RecordBatch> = StreamReader::try_new(&output.stdout[..], None).unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 10);
    let empty = dir.join("empty.parquet");
    assert!(well(&export(&node, &empty, &["--table", "events"])).starts_with("0 rows"));
    assert_eq!(parquet_batches(&empty).iter().map(RecordBatch::num_rows).sum::<usize>(), 0);
    for (words, expected) in [
        (&["--table", "tags", "--since", "2026-01-01"][..], "tags have no time"),
        (&["--table", "samples", "--kind", "double trouble"], "--kind"),
        (&["--query", "SELECT 1", "--tags", "a"], "cannot be used with"),
        (&[], "required"),
    ] {
        let output = export(&node, &dir.join("x.csv"), words);
        assert!(output.status.code() == Some(2) && text(&output).contains(expected), "{words:?}: {}", text(&output));
    }
    let output = export(&node, &dir.join("x.txt"), &["--table", "tags"]);
    assert!(output.status.code() == Some(2) && text(&output).contains("--format"), "{}", text(&output));
    let output = export(&node, &dir.join("x.csv"), &["--table", "samples", "--since", "yesteryear"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("22007"), "{}", text(&output));
    node.stop();
}

#[test]
fn a_long_answer_is_cut_into_row_groups_and_batches() {
    let dir = Dir::new("export-long");
    let node = Node::start(&dir.join("store"), &[]);
    let query = "SELECT i, repeat('x', 1000) AS t FROM generate_series(1, 120000) AS g(i)";
    let (parquet, arrow) = (dir.join("a.parquet"), dir.join("a.arrow"));
    well(&export(&node, &parquet, &["--query", query]));
    well(&export(&node, &arrow, &["--query", query]));
    let reader = FileReader::try_new(File::open(&arrow).unwrap(), None).unwrap();
    assert!(reader.num_batches() > 10, "a batch holds some MiB, and there are 120");
    let (mut rows, mut sum) = (0, 0);
    for batch in reader.map(Result::unwrap) {
        rows += batch.num_rows();
        sum += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    assert_eq!((rows, sum), (120_000, 120_000 * 120_001 / 2));
    let file = ParquetRecordBatchReaderBuilder::try_new(File::open(&parquet).unwrap()).unwrap();
    assert_eq!(file.metadata().file_metadata().num_rows(), 120_000);
    let group = file.metadata().row_group(0);
    assert!(group.column(0).statistics().is_some() && group.column(0).compression().to_string().contains("ZSTD"));
    node.stop();
}

/// Waits until a file of the export holds something.
fn has_begun(part: &Path) {
    while std::fs::metadata(part).map_or(0, |part| part.len()) == 0 {
        std::thread::yield_now();
    }
}

const ENDLESS: &str = "SELECT i, i * 0.5 AS half FROM generate_series(1, 100000000000) AS g(i)";

#[test]
fn ctrl_c_a_killed_node_and_a_full_disk_leave_no_file() {
    let dir = Dir::new("export-cut");
    let node = Node::start(&dir.join("store"), &[]);
    let url = node.url();
    let begin = |file: &Path| {
        let words = ["export", "--from", &url, "--query", ENDLESS, "--to", file.to_str().unwrap()];
        program().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    for form in ["csv", "csv.gz", "arrow"] {
        let (file, part) = (dir.join(&format!("a.{form}")), dir.join(&format!("a.{form}.part")));
        let exporting = begin(&file);
        has_begun(&part);
        let other = export(&node, &file, &["--table", "tags"]);
        assert!(other.status.code() == Some(1) && text(&other).contains("another export is writing it"), "{}", text(&other));
        // SAFETY: kill takes no memory; the child is ours and was not waited for.
        assert_eq!(unsafe { libc::kill(exporting.id() as i32, libc::SIGINT) }, 0);
        let output = exporting.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert!(text(&output).contains("is not written") && !file.exists() && !part.exists(), "{}", text(&output));
    }
    let running =
        "SELECT count(*) FROM meridian.queries WHERE query LIKE '%100000000000%' AND query NOT LIKE '%meridian.queries%'";
    while ask(&node, running) != [["0"]] {}
    let full = export(&node, Path::new("/dev/full"), &["--query", ENDLESS, "--format", "csv"]);
    assert!(full.status.code() == Some(1) && text(&full).contains("No space left on device"), "{}", text(&full));
    let full = export(&node, Path::new("/dev/full"), &["--query", ENDLESS, "--format", "parquet"]);
    assert!(full.status.code() == Some(1) && text(&full).contains("No space left on device"), "{}", text(&full));
    // A reader that goes.
    let words = ["export", "--from", &url, "--query", ENDLESS, "--to", "-"];
    let mut exporting = program().args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut head = [0; 7];
    exporting.stdout.take().unwrap().read_exact(&mut head).unwrap();
    assert_eq!(&head, b"i,half\n");
    let output = exporting.wait_with_output().unwrap();
    assert!(output.status.code() == Some(1) && text(&output).contains("Broken pipe"), "{}", text(&output));
    let (file, part) = (dir.join("b.csv"), dir.join("b.csv.part"));
    let exporting = begin(&file);
    has_begun(&part);
    node.kill();
    let output = exporting.wait_with_output().unwrap();
    assert!(output.status.code() == Some(1) && text(&output).contains("reading the answer"), "{}", text(&output));
    assert!(!file.exists() && !part.exists());
    let gone = run(&words);
    assert!(gone.status.code() == Some(1) && text(&gone).contains("connecting"), "{}", text(&gone));
}

#[test]
fn a_file_that_is_there_is_replaced_only_when_asked_and_only_by_a_whole_one() {
    let dir = Dir::new("export-replace");
    let node = Node::start(&dir.join("store"), &[]);
    let file = dir.join("a.csv");
    std::fs::write(&file, "mine\n").unwrap();
    let output = export(&node, &file, &["--query", "SELECT 1 AS a"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("--replace"), "{}", text(&output));
    let output = export(&node, &file, &["--query", "SELECT 1 / 0 AS a", "--replace"]);
    assert!(output.status.code() == Some(1) && text(&output).contains("22012"), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine\n");
    let link = dir.join("link.csv");
    std::os::unix::fs::symlink(&file, &link).unwrap();
    well(&export(&node, &link, &["--query", "SELECT 1 AS a", "--replace"]));
    assert!(link.is_symlink());
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "a\n1\n");
    node.stop();
}
