//! `meridian import` from outside: every sort of file, TLS and passwords, Ctrl-C and a killed node.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, Float64Array, Int64Array, ListBuilder, RecordBatch, StringArray};
use arrow::array::{StringBuilder, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions, StreamWriter};
use node::{Dir, Node, ask, program, text};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

/// Runs `meridian import FILE --to URL` and further words.
fn import(file: &Path, url: &str, words: &str) -> Output {
    command(file, url, words).output().unwrap()
}

fn command(file: &Path, url: &str, words: &str) -> Command {
    let mut command = program();
    command.arg("import").arg(file).args(["--to", url]).args(words.split_whitespace());
    command
}

fn parquet(path: &Path, columns: Vec<(&str, ArrayRef)>) {
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

#[test]
fn an_import_that_never_began_says_why_and_leaves_nothing() {
    let dir = Dir::new("never");
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("postgres://meridian@{closed}/meridian");
    let (rows, empty, reject) = (dir.join("rows.csv"), dir.join("empty.csv"), dir.join("reject.csv"));
    let open = dir.join("open.csv");
    std::fs::write(&rows, "t,a\n1,2\n").unwrap();
    std::fs::write(&empty, "").unwrap();
    std::fs::write(&open, "t,\"a\n1,2\n").unwrap();
    let words = format!("--time t --reject {}", reject.display());
    for (file, expected) in [
        (&rows, format!("127.0.0.1 port {}: ", closed.port())),
        (&empty, "empty.csv: it is empty".to_owned()),
        (&open, "open.csv: a quote is left open".to_owned()),
        (&dir.join("none.csv"), "none.csv: No such file".to_owned()),
    ] {
        let output = import(file, &url, &words);
        assert!(output.status.code() == Some(1) && text(&output).contains(&expected), "{}", text(&output));
        assert!(!reject.exists(), "a file of refused rows would keep the next import from beginning");
    }
    let node = Node::start(&dir.join("store"), &[]);
    std::fs::write(&reject, "rows refused before\n").unwrap();
    let output = import(&rows, &node.url(), &words);
    assert!(output.status.code() == Some(1) && text(&output).contains("give --reject another name"), "{}", text(&output));
    assert_eq!(std::fs::read_to_string(&reject).unwrap(), "rows refused before\n");
    assert_eq!(ask(&node, "SELECT count(*) FROM tags"), [["0"]]);
    node.stop();
}

#[test]
fn a_door_that_says_nothing_is_not_waited_for() {
    let dir = Dir::new("silent");
    let rows = dir.join("rows.csv");
    std::fs::write(&rows, "t,a\n1,2\n").unwrap();
    // It takes connections, for the system does, and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://meridian@{}/x?connect_timeout=1", silent.local_addr().unwrap());
    let output = import(&rows, &url, "--time t");
    assert!(output.status.code() == Some(1) && text(&output).contains("no answer within 1 s"), "{}", text(&output));
}

#[test]
fn parquet_files_wide_and_long_come_in_exactly() {
    let dir = Dir::new("parquet");
    let node = Node::start(&dir.join("store"), &[]);
    let wide = dir.join("wide.parquet");
    let columns: Vec<(&str, ArrayRef)> = vec![
        (
            "at",
            Arc::new(TimestampMillisecondArray::from(vec![Some(1_001), Some(2_002), None, Some(4_004)]).with_timezone("+08:00")),
        ),
        ("level", Arc::new(Float64Array::from(vec![Some(0.1), None, Some(3.0), Some(f64::NAN)]))),
        ("count", Arc::new(Int64Array::from(vec![(1_i64 << 53) + 1, -1, 0, i64::MIN]))),
        ("open", Arc::new(BooleanArray::from(vec![true, false, true, false]))),
        ("note", Arc::new(StringArray::from(vec![Some("a\tb\n\"c\""), Some(""), None, Some("阀门打开")]))),
    ];
    parquet(&wide, columns);
    let output = import(&wide, &node.url(), "--time at --prefix p.");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("3 rows with 10 samples") && text(&output).contains("row 3: has no time"),
        "{}",
        text(&output)
    );
    let rows = ask(&node, "SELECT tag, time, value FROM integers WHERE tag = 'p.count' ORDER BY time");
    let time = |seconds: &str| format!("1970-01-01 00:00:{seconds}+00");
    assert_eq!(rows[0], ["p.count", &time("01.001"), "9007199254740993"]);
    assert_eq!(rows[2], ["p.count", &time("04.004"), "-9223372036854775808"]);
    assert_eq!(ask(&node, "SELECT value FROM samples WHERE tag = 'p.level' ORDER BY time"), [["0.1"], ["NaN"]]);
    assert_eq!(ask(&node, "SELECT text FROM events ORDER BY time"), [["a\tb\n\"c\""], ["阀门打开"]]);
    assert_eq!(ask(&node, "SELECT kind FROM tags WHERE name = 'p.open'"), [["bool"]]);

    let long = dir.join("long.pq");
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("day", Arc::new(Date32Array::from(vec![0, 19_000, 19_000]))),
        ("point", Arc::new(StringArray::from(vec!["a", "a", "b"]))),
        ("v", Arc::new(StringArray::from(vec!["1.5", "2.5", "x"]))),
        ("q", Arc::new(StringArray::from(vec!["good", "bad", "good"]))),
    ];
    parquet(&long, columns);
    let output = import(&long, &node.url(), "--time day --tag point --value v --quality q --prefix l. --kind f64");
    assert!(text(&output).contains("2 rows with 2 samples") && text(&output).contains("row 3: tag \"l.b\""), "{}", text(&output));
    let rows = ask(&node, "SELECT time, value, quality FROM samples WHERE tag = 'l.a' ORDER BY time");
    assert_eq!(rows, [["1970-01-01 00:00:00+00", "1.5", "192"], ["2022-01-08 00:00:00+00", "2.5", "0"]]);

    let nested = dir.join("nested.parquet");
    let mut list = ListBuilder::new(StringBuilder::new());
    list.append(true);
    parquet(&nested, vec![("at", Arc::new(Date32Array::from(vec![0]))), ("parts", Arc::new(list.finish()))]);
    let output = import(&nested, &node.url(), "--time at");
    assert!(output.status.code() == Some(1) && text(&output).contains("column \"parts\" is nested"), "{}", text(&output));
    std::fs::write(&nested, b"PAR1 this is no parquet file PAR1").unwrap();
    let output = import(&nested, &node.url(), "--time at");
    assert!(output.status.code() == Some(1) && text(&output).contains("nested.parquet"), "{}", text(&output));
    node.stop();
}

/// A batch as IPC, `.arrows` as a stream, all else as a file.
fn ipc(path: &Path, batch: &RecordBatch, compression: Option<CompressionType>) {
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let (file, schema) = (File::create(path).unwrap(), batch.schema());
    if path.extension().is_some_and(|end| end == "arrows") {
        let mut writer = StreamWriter::try_new_with_options(file, &schema, options).unwrap();
        (0..3).for_each(|part| writer.write(&batch.slice(part * 100, 100)).unwrap());
        writer.finish().unwrap();
    } else {
        let mut writer = FileWriter::try_new_with_options(file, &schema, options).unwrap();
        (0..3).for_each(|part| writer.write(&batch.slice(part * 100, 100)).unwrap());
        writer.finish().unwrap();
    }
}

#[test]
fn arrow_files_and_streams_come_in_by_either_name_and_damaged_ones_are_told() {
    let dir = Dir::new("ipc");
    let node = Node::start(&dir.join("store"), &[]);
    let tags: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..300).map(|row| ["a", "b"][row % 2])));
    let tags = cast(&tags, &DataType::Dictionary(DataType::Int8.into(), DataType::Utf8.into())).unwrap();
    let times: ArrayRef = Arc::new(TimestampMicrosecondArray::from_iter_values(0..300));
    let values: ArrayRef = Arc::new(Float64Array::from_iter((0..300).map(|row| (row != 7).then_some(f64::from(row) * 0.1))));
    let batch =
        RecordBatch::try_from_iter_with_nullable([("tag", tags, true), ("at", times, false), ("v", values, true)]).unwrap();
    let compressions = [None, Some(CompressionType::LZ4_FRAME), Some(CompressionType::ZSTD)];
    for (index, compression) in compressions.into_iter().enumerate() {
        for (place, name) in ["one.arrow", "two.feather", "three.arrows"].iter().enumerate() {
            let file = dir.join(name);
            ipc(&file, &batch, compression);
            if *name == "three.arrows" {
                // Either name: what it is stands in it.
                std::fs::rename(&file, dir.join("three.arrow")).unwrap();
            }
            let file = dir.join(&name.replace("arrows", "arrow"));
            let prefix = format!("p{index}{place}.");
            let output = import(&file, &node.url(), &format!("--time at --tag tag --value v --prefix {prefix}"));
            assert!(output.status.success() && text(&output).contains("with 299 samples"), "{name}: {}", text(&output));
            let sum = ask(&node, &format!("SELECT count(*), sum(value) FROM samples WHERE tag LIKE '{prefix}%'"));
            assert!(sum[0][0] == "299" && sum[0][1].starts_with("4484."), "{name} {compression:?}: {sum:?}");
        }
    }
    let whole = std::fs::read(dir.join("one.arrow")).unwrap();
    let stream = std::fs::read(dir.join("three.arrow")).unwrap();
    let words = "--time at --tag tag --value v --prefix odd.";
    let check = |bytes: &[u8], expected: &str| {
        let file = dir.join("odd.arrow");
        std::fs::write(&file, bytes).unwrap();
        let output = import(&file, &node.url(), words);
        assert!(output.status.code() == Some(1) && text(&output).contains(expected), "{expected}: {}", text(&output));
    };
    check(&whole[..whole.len() - 20], "odd.arrow: ");
    check(&whole[..200], "it is damaged, or was cut short");
    check(&stream[..stream.len() - 50], "it was cut short");
    check(b"FEA1 of long ago", "first version");
    check(b"tag,at,v\na,1,2\n", "neither an Arrow IPC file nor a stream");
    check(b"", "neither an Arrow IPC file nor a stream");
    // Whatever bit is flipped: an error or what it says, never a crash.
    for place in (8..whole.len()).step_by(whole.len() / 40) {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x11;
        std::fs::write(dir.join("odd.arrow"), bytes).unwrap();
        let output = import(&dir.join("odd.arrow"), &node.url(), words);
        assert!(matches!(output.status.code(), Some(0 | 1 | 3)), "{place}: {:?} {}", output.status, text(&output));
    }
    node.stop();
}

#[test]
fn numbers_that_doubles_lack_are_refused_by_their_row() {
    let dir = Dir::new("beyond");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('single', 'f32')");
    let file = dir.join("beyond.csv");
    std::fs::write(&file, "t,a,single\n1,1e400,1\n2,-1e-400,1\n3,inf,1e39\n4,-Infinity,1e-50\n5,1e300,nan\n6,x,\n").unwrap();
    let output = import(&file, &node.url(), "--time t --time-format s --kind f64");
    let said = text(&output);
    assert!(output.status.code() == Some(3) && said.contains("1 rows with 2 samples"), "{said}");
    for part in [
        "row 2: tag \"a\": \"1e400\" is out of range for type double precision [22003]",
        "row 3: tag \"a\": \"-1e-400\" is out of range for type double precision [22003]",
        "row 4: tag \"single\": \"1e39\" is out of range for type real [22003]",
        "row 5: tag \"single\": \"1e-50\" is out of range for type real [22003]",
        "row 7: tag \"a\": value \"x\" is not of kind f64",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    // Times that only SQL writes are no reason to end either.
    std::fs::write(&file, "t,far\n12024-01-01 00:00:00+00,1\n0044-03-15 12:00:00+00 BC,2\n1900-01-01 08:05:43+08:05:43,3\n")
        .unwrap();
    let output = import(&file, &node.url(), "--time t");
    assert!(output.status.success(), "{}", text(&output));
    let times = ask(&node, "SELECT time FROM samples WHERE tag = 'far' ORDER BY time").concat();
    assert_eq!(times, ["0044-03-15 12:00:00+00 BC", "1900-01-01 00:00:00+00", "12024-01-01 00:00:00+00"]);
    node.stop();
}

fn gzip(text: &str) -> Vec<u8> {
    let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    out.write_all(text.as_bytes()).unwrap();
    out.finish().unwrap()
}

fn rows(range: std::ops::Range<u64>) -> String {
    range.map(|row| format!("{row},{row}.5\n")).collect()
}

#[test]
fn gzip_files_come_in_and_one_that_was_cut_off_says_what_stands() {
    let dir = Dir::new("gzip");
    let node = Node::start(&dir.join("store"), &[]);
    let file = dir.join("two.csv.gz");
    // Two members, as `cat a.gz b.gz` makes them; the cut between them is in the middle of a row.
    let parts = [format!("t,a\n{}50", rows(0..50)), format!(",50.5\n{}", rows(51..100))];
    std::fs::write(&file, parts.iter().flat_map(|part| gzip(part)).collect::<Vec<u8>>()).unwrap();
    let output = import(&file, &node.url(), "--time t --time-format s");
    assert!(output.status.success() && text(&output).contains("100 rows with 100 samples"), "{}", text(&output));
    assert_eq!(ask(&node, "SELECT count(*), sum(value) FROM samples"), [["100", "5000"]]);

    let cut = dir.join("cut.csv.gz");
    let whole = gzip(&format!("t,b\n{}", rows(0..20_000)));
    std::fs::write(&cut, &whole[..whole.len() - 10]).unwrap();
    let output = import(&cut, &node.url(), "--time t --time-format s --batch 1000");
    let (code, said) = (output.status.code(), text(&output));
    assert!(code == Some(1) && said.contains("cut.csv.gz") && said.contains("rows are committed"), "{said}");
    assert_eq!(ask(&node, "SELECT count(*) FROM samples WHERE tag = 'b'"), [[committed(&said).to_string()]]);
    node.stop();
}

#[test]
fn what_an_open_quote_swallows_is_told_and_kept() {
    let dir = Dir::new("open-quote");
    let node = Node::start(&dir.join("store"), &[]);
    let (file, reject) = (dir.join("open.csv"), dir.join("reject.csv"));
    std::fs::write(&file, "t,v\n10,10\n11,11\n12,\"5\n13,13\n").unwrap();
    let output = import(&file, &node.url(), &format!("--time t --time-format s --reject {}", reject.display()));
    let said = text(&output);
    assert!(output.status.code() == Some(3) && said.contains("2 rows with 2 samples"), "{said}");
    assert!(said.contains("1 rows refused") && said.contains("row 4: a quote is left open"), "{said}");
    let kept = std::fs::read_to_string(&reject).unwrap();
    assert!(kept.contains("12,\"5\n13,13\n\",4,"), "{kept}");
    let output = import(&file, &node.url(), "--time t --time-format s --from-row 5");
    assert!(output.status.code() == Some(3) && text(&output).contains("row 4: a quote is left open"), "{}", text(&output));
    assert_eq!(ask(&node, "SELECT count(*), sum(value) FROM samples"), [["2", "21"]]);
    node.stop();
}

/// The number in "N rows are committed".
fn committed(said: &str) -> u64 {
    let words: Vec<&str> = said.split(" rows are committed").next().unwrap().split_whitespace().collect();
    words[words.len() - 1].replace(',', "").parse().unwrap_or_else(|_| panic!("{said}"))
}

/// The number in "--from-row N".
fn from_row(said: &str) -> u64 {
    let (_, rest) = said.split_once("--from-row ").unwrap_or_else(|| panic!("{said}"));
    rest.split(|c: char| !c.is_ascii_digit()).next().unwrap().parse().unwrap()
}

/// A file without an end: rows as long as somebody reads them, every tenth one a bad one.
fn endless(path: &Path) -> std::thread::JoinHandle<()> {
    let path_text = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is a text with an end, which outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path_text.as_ptr(), 0o600) }, 0);
    let path = path.to_path_buf();
    std::thread::spawn(move || {
        let mut file = File::options().write(true).open(path).unwrap();
        let mut line = 2;
        let mut block = "t,a,note\n".to_owned();
        // Ends when the reader has gone.
        while file.write_all(block.as_bytes()).is_ok() {
            block = (line..line + 100).map(endless_row).collect();
            line += 100;
        }
    })
}

fn endless_row(line: u64) -> String {
    if line.is_multiple_of(10) { format!("{line},bad,x\n") } else { format!("{line},{line}.5,row {line}\n") }
}

/// Checks that the node holds just the good rows up to a line, as samples and as events.
fn check_endless(node: &Node, last: u64) {
    let good: Vec<u64> = (2..=last).filter(|line| !line.is_multiple_of(10)).collect();
    let expected = [good.len().to_string(), good.iter().map(|line| *line as f64 + 0.5).sum::<f64>().to_string()];
    assert_eq!(ask(node, "SELECT count(*), sum(value) FROM samples"), [expected]);
    let last = format!("row {}", good[good.len() - 1]);
    assert_eq!(ask(node, "SELECT count(*), last(text, time) FROM events"), [[good.len().to_string(), last]]);
}

fn go_on(dir: &Dir, node: &Node, said: &str) {
    let last = from_row(said) + 2_000;
    let file = dir.join("whole.csv");
    std::fs::write(&file, (2..=last).fold("t,a,note\n".to_owned(), |text, line| text + &endless_row(line))).unwrap();
    let output = import(&file, &node.url(), &format!("--time t --time-format s --batch 700 --from-row {}", from_row(said)));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    check_endless(node, last);
}

#[test]
fn ctrl_c_ends_between_commits_and_says_how_to_go_on() {
    let dir = Dir::new("ctrl-c");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    let file = dir.join("endless.csv");
    let writer = endless(&file);
    let reject = dir.join("reject.csv");
    let words = format!("--time t --time-format s --batch 700 --reject {}", reject.display());
    let mut importing = command(&file, &node.url(), &words);
    let importing = importing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while ask(&node, "SELECT count(*) > 2000 FROM samples") != [["t"]] {}
    // SAFETY: kill takes no memory; the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(importing.id() as i32, libc::SIGINT) }, 0);
    let output = importing.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(130), "{said}");
    let last = from_row(&said) - 1;
    assert_eq!(committed(&said), (2..=last).filter(|line| !line.is_multiple_of(10)).count() as u64, "{said}");
    check_endless(&node, last);
    let kept = std::fs::read_to_string(&reject).unwrap();
    assert!(kept.lines().count() as u64 > last / 10 && kept.contains("10,bad,x,10,\"tag \"\"a\"\""), "{kept:.200}");
    go_on(&dir, &node, &said);
    node.stop();
}

#[test]
fn a_node_killed_in_the_middle_is_told_and_the_import_goes_on_afterwards() {
    let dir = Dir::new("import-killed");
    let store = dir.join("store");
    let node = Node::start(&store, &[]);
    ask(&node, "INSERT INTO tags (name, kind) VALUES ('a', 'f64')");
    let file = dir.join("endless.csv");
    let writer = endless(&file);
    let mut importing = command(&file, &node.url(), "--time t --time-format s --batch 700");
    let importing = importing.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while ask(&node, "SELECT count(*) > 2000 FROM samples") != [["t"]] {}
    node.kill();
    let output = importing.wait_with_output().unwrap();
    writer.join().unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    // What made the count pass 2,000 may not have been answered yet when the node died.
    assert!(committed(&said) + 700 > 2_000, "{said}");
    let node = Node::start(&store, &[]);
    let found: u64 = ask(&node, "SELECT count(*) FROM samples")[0][0].parse().unwrap();
    // A batch that was not answered may be there.
    assert!((committed(&said)..=committed(&said) + 700).contains(&found), "{found} rows: {said}");
    go_on(&dir, &node, &said);
    node.stop();
}

#[test]
fn digital_states_come_by_name() {
    let dir = Dir::new("states");
    let node = Node::start(&dir.join("store"), &[]);
    ask(&node, "INSERT INTO tags (name, kind, states) VALUES ('v.old', 'state', ARRAY['shut', 'half \"open\"', 'a,b'])");
    let file = dir.join("valves.csv");
    let cells = "t,old,new\n1,shut,off\n2,\"half \"\"open\"\"\",on\n3,\"a,b\",1\n4,ajar,on\n5,2,On\n";
    std::fs::write(&file, cells).unwrap();
    let output = import(&file, &node.url(), "--time t --time-format s --prefix v. --states off,on");
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    for part in
        ["3 rows with 6 samples of 2 tags (1 made)", "row 5: tag \"v.old\": value \"ajar\"", "row 6: tag \"v.new\": value \"On\""]
    {
        assert!(text(&output).contains(part), "{part}: {}", text(&output));
    }
    assert_eq!(ask(&node, "SELECT kind, states FROM tags WHERE name = 'v.new'"), [["state", "{off,on}"]]);
    let values = |tag: &str| ask(&node, &format!("SELECT value FROM integers WHERE tag = '{tag}' ORDER BY time")).concat();
    assert_eq!(
        (values("v.old"), values("v.new")),
        (["0", "1", "2"].map(str::to_owned).into(), ["0", "1", "1"].map(str::to_owned).into())
    );
    let output = import(&file, &node.url(), "--time t --time-format s --states a --kind f64");
    assert!(output.status.code() == Some(2) && text(&output).contains("--states"), "{}", text(&output));
    node.stop();
}

fn data(name: &str) -> PathBuf {
    Path::new(&std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is")).join("tests/data").join(name)
}

#[test]
fn tls_and_passwords_mean_what_they_mean_to_psql() {
    let dir = Dir::new("tls");
    let (certificate, key) = (data("self-made-certificate.pem"), data("self-made-key.pem"));
    let (certificate, other) = (certificate.to_str().unwrap(), data("../../../server/tests/data/test-certificate.pem"));
    let flags = ["--tls-certificate", certificate, "--tls-key", key.to_str().unwrap()];
    let mut flags = flags.to_vec();
    flags.extend(["--loopback-trusted", "false", "--password", "hunter 2"]);
    let node = Node::start(&dir.join("store"), &flags);
    let plain = Node::start(&dir.join("plain"), &[]);
    let file = dir.join("a.csv");
    std::fs::write(&file, "t,a\n1,1\n").unwrap();
    let pass = dir.join("pass");
    std::fs::write(&pass, "localhost:*:*:meridian:hunter 2\n").unwrap();
    std::fs::set_permissions(&pass, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let (pass, other) = (pass.to_str().unwrap(), other.to_str().unwrap());
    let tls = |host: &str, parameters: &str| node.url().replace("127.0.0.1", host) + "?" + parameters;
    let known = |host: &str, mode: &str| tls(host, &format!("sslmode={mode}&sslrootcert={certificate}"));
    let password = [("PGPASSWORD", "hunter 2")];
    let check = |url: &str, environment: &[(&str, &str)], expected: Option<&str>| {
        let mut command = command(&file, url, "--time t --time-format s");
        command.env("HOME", &dir.0).envs(environment.iter().copied());
        let output = command.output().unwrap();
        let said = text(&output);
        match expected {
            None => assert!(output.status.success(), "{url}: {said}"),
            Some(part) => assert!(!output.status.success() && said.contains(part), "{url}: {said}"),
        }
        assert!(!said.contains("hunter"), "{url}: {said}");
    };
    check(&known("localhost", "verify-full"), &password, None);
    check(&known("localhost", "verify-full"), &[("PGPASSFILE", pass)], None);
    check(&known("localhost", "verify-full").replace("meridian@", "meridian:hunter%202@"), &[], None);
    check(&known("localhost", "verify-full"), &[], Some("password"));
    check(&known("localhost", "verify-full"), &[("PGPASSWORD", "hunter 3")], Some("28P01"));
    check(&known("127.0.0.1", "verify-full"), &password, Some("not valid for"));
    check(&known("127.0.0.1", "verify-ca"), &password, None);
    check(&known("127.0.0.1", "require"), &password, None);
    check(&tls("127.0.0.1", &format!("sslmode=require&sslrootcert={other}")), &password, Some("certificate"));
    check(&tls("localhost", &format!("sslmode=verify-full&sslrootcert={other}")), &password, Some("certificate"));
    check(&tls("localhost", "sslmode=verify-full"), &password, Some("needs certificates to trust"));
    check(&tls("localhost", "sslmode=verify-full&sslrootcert=/nonexistent"), &password, Some("/nonexistent"));
    for mode in ["disable", "prefer", "require"] {
        check(&tls("127.0.0.1", &format!("sslmode={mode}")), &password, None);
    }
    check(&plain.url(), &[("PGSSLMODE", "require")], Some("does not support TLS"));
    check(&plain.url(), &[("PGSSLMODE", "prefer")], None);
    assert_eq!(ask(&plain, "SELECT count(*) FROM samples"), [["1"]]);
    node.stop();
    plain.stop();
}
