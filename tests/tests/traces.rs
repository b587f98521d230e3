//! Traces end to end: a client's traceparent, through every door and every process of a fleet, to a collector that reads
//! OpenTelemetry's own messages.
#![expect(clippy::disallowed_methods, reason = "tests from outside: real processes and time")]

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tests::{Directory, Fleet, Server, in_package, python};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(60);

/// A collector in a process of its own, which ends with the value.
struct Collector {
    process: Child,
    told: PathBuf,
    url: String,
}

/// A span as the collector read it.
#[derive(Clone, Debug)]
struct Span {
    trace: String,
    span: String,
    parent: String,
    name: String,
    kind: String,
    line: String,
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The value of a key of a line of JSON that is a plain text.
fn field(line: &str, key: &str) -> String {
    let (_, rest) = line.split_once(&format!("\"{key}\": \"")).unwrap_or_else(|| panic!("no {key} in {line}"));
    rest.split('"').next().unwrap_or_default().to_owned()
}

impl Collector {
    fn start(directory: &Path) -> Collector {
        Collector::speaking(directory, &[])
    }

    fn speaking(directory: &Path, protocol: &[&str]) -> Collector {
        let told = directory.join("spans");
        let python = std::env::var_os("MERIDIAN_TEST_PYTHON").unwrap_or_else(|| "python3".into());
        let mut command = Command::new(python);
        command.arg(in_package("clients/otlp_receiver.py")).arg(&told).args(protocol).env("PYTHONDONTWRITEBYTECODE", "1");
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("python can be started");
        let mut line = String::new();
        let read = BufReader::new(process.stdout.take().expect("it is piped")).read_line(&mut line);
        assert!(read.expect("text") > 0, "the collector says its port");
        Collector { process, told, url: format!("http://127.0.0.1:{}", line.trim()) }
    }

    fn spans(&self) -> Vec<Span> {
        let text = std::fs::read_to_string(&self.told).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let span = |line: &str| Span {
            trace: field(line, "trace"),
            span: field(line, "span"),
            parent: field(line, "parent"),
            name: field(line, "name"),
            kind: field(line, "kind"),
            line: line.to_owned(),
        };
        whole.lines().map(span).collect()
    }

    /// The spans of a trace, once there are some of all these names, from so many processes, and every one is a part of another or of
    /// the client's.
    async fn of(&self, trace: &str, client: &str, processes: usize, names: &[&str]) -> Vec<Span> {
        let begun = Instant::now();
        loop {
            let spans: Vec<Span> = self.spans().into_iter().filter(|span| span.trace == trace).collect();
            let known: BTreeSet<&str> = spans.iter().map(|span| span.span.as_str()).collect();
            let from: BTreeSet<String> = spans.iter().map(Span::process).collect();
            let whole = spans.iter().all(|span| span.parent == client || known.contains(span.parent.as_str()));
            if whole && from.len() == processes && names.iter().all(|name| spans.iter().any(|span| span.name == *name)) {
                return spans;
            }
            assert!(begun.elapsed() < PATIENCE, "not all of {names:?} of {processes} processes are told: {spans:#?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Span {
    /// The process that told of it.
    fn process(&self) -> String {
        self.line
            .split_once("\"process.pid\": ")
            .and_then(|(_, rest)| rest.split([',', '}']).next())
            .unwrap_or_default()
            .to_owned()
    }
}

/// A client's place in a trace of its own.
fn client(number: u64) -> (String, String, String) {
    let (trace, span) = (format!("{:032x}", 0xABC_0000 + number), format!("{:016x}", 0xDEF_0000 + number));
    (format!("00-{trace}-{span}-01"), trace, span)
}

/// Every span is a part of another one of its trace, and one alone of the client's.
fn check_tree(spans: &[Span], client: &str) {
    let known: BTreeSet<&str> = spans.iter().map(|span| span.span.as_str()).collect();
    assert_eq!(known.len(), spans.len(), "each span has a number of its own: {spans:#?}");
    for span in spans {
        assert!(span.parent == client || known.contains(span.parent.as_str()), "whose is {span:#?} of {spans:#?}");
    }
    assert!(spans.iter().filter(|span| span.parent == client).all(|span| span.name == "statement"), "{spans:#?}");
}

fn parent<'a>(spans: &'a [Span], of: &Span) -> &'a Span {
    spans.iter().find(|span| span.span == of.parent).unwrap_or_else(|| panic!("a span of {of:?}"))
}

async fn http(address: &str, path: &str, headers: &str, body: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a door");
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

/// The log tells of a slow statement of a trace, with its plan, and what each node of it did.
fn is_told_slow(directory: &std::path::Path, trace: &str) {
    let log = std::fs::read_to_string(directory.join("server.err")).expect("a log");
    let slow = log.lines().find(|line| line.contains("slow statement") && line.contains(trace));
    assert!(slow.is_some_and(|line| line.contains("pg_sleep(") && line.contains("metrics=[")), "{slow:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_at_any_door_is_part_of_its_clients_trace() {
    let directory = Directory::new("traces");
    let collector = Collector::start(directory.path());
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let flags = [endpoint.as_str(), "--http=127.0.0.1:0", "--slow-statement=1ms"];
    let server = Server::start(directory.path(), &flags);
    let pg = server.connect().await.expect("a door");
    pg.simple_query("INSERT INTO tags (name, kind) VALUES ('a', 'f64')").await.expect("a tag is made");

    // By a comment, in the simple protocol; what it is told of, slow as it is.
    let (named, trace, span) = client(1);
    pg.simple_query(&format!("SELECT pg_sleep(0.01) /*app='x',traceparent='{named}'*/;")).await.expect("rows");
    let spans = collector.of(&trace, &span, 1, &["statement", "parse", "plan", "execute", "optimize"]).await;
    check_tree(&spans, &span);
    let statement = spans.iter().find(|span| span.name == "statement").expect("it is there");
    assert_eq!((statement.kind.as_str(), statement.parent.as_str()), ("SPAN_KIND_SERVER", span.as_str()));
    assert!(statement.line.contains("SELECT pg_sleep(0.01)") && statement.line.contains("\"service.name\": \"meridian\""));
    is_told_slow(directory.path(), &trace);

    // By a setting: prepared once, on the point path, a span each time; what it writes waits for the log.
    let (named, trace, span) = client(2);
    pg.simple_query(&format!("SET traceparent = '{named}'")).await.expect("it is set");
    pg.simple_query("INSERT INTO samples VALUES ('a', '2024-01-01', 1)").await.expect("a row");
    let point = pg.prepare("SELECT value FROM latest WHERE tag = $1").await.expect("it is prepared");
    for _ in 0..3 {
        assert_eq!(pg.query_one(&point, &[&"a"]).await.expect("a row").get::<_, f64>(0), 1.0);
    }
    let shown = "SELECT query, trace_id FROM meridian.queries WHERE trace_id IS NOT NULL";
    let row = pg.query_one(shown, &[]).await.expect("it sees itself");
    assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (shown, trace.as_str()));
    pg.simple_query("RESET traceparent").await.expect("it is reset");
    let wrong = pg.simple_query("SET traceparent = '00-1'").await.expect_err("that is none");
    assert_eq!(wrong.code().map(|code| code.code().to_owned()).as_deref(), Some("22023"));
    let spans = collector.of(&trace, &span, 1, &["log commit"]).await;
    check_tree(&spans, &span);
    let points = || spans.iter().filter(|span| span.name == "statement" && span.line.contains("FROM latest"));
    assert_eq!(points().count(), 3, "{spans:#?}");
    let commit = spans.iter().find(|span| span.name == "log commit").expect("it is there");
    assert_eq!(parent(&spans, commit).name, "execute");

    // By a header of HTTP, where an error names it too; and of gRPC.
    let (named, trace, span) = client(3);
    let answer =
        http(&server.http, "/query", &format!("traceparent: {named}\r\n"), "SELECT 1/(count(*)-count(*)) FROM tags").await;
    assert!(answer.contains("22012") && answer.contains(&format!("\"trace_id\":\"{trace}\"")), "{answer}");
    let spans = collector.of(&trace, &span, 1, &["statement", "execute"]).await;
    check_tree(&spans, &span);
    assert!(spans.iter().any(|span| span.name == "statement" && span.line.contains("22012: division by zero")), "{spans:#?}");
    let (named, trace, span) = client(4);
    python(&server, "traced_flight.py", &[&named]);
    let spans = collector.of(&trace, &span, 1, &["statement", "execute"]).await;
    check_tree(&spans, &span);

    // Who says that it is not recorded is not, and who says nothing neither.
    let (named, trace, _) = client(5);
    let unrecorded = named.replace("-01", "-00");
    let answer = http(&server.http, "/query", &format!("traceparent: {unrecorded}\r\n"), "SELECT nothing").await;
    assert!(answer.contains(&trace), "an error names it all the same: {answer}");
    pg.simple_query("SELECT 'unrecorded'").await.expect("a row");
    let (named, last, span) = client(6);
    pg.simple_query(&format!("SELECT 1 /*traceparent='{named}'*/")).await.expect("a row");
    collector.of(&last, &span, 1, &["statement"]).await;
    let told = collector.spans();
    assert!(told.iter().all(|span| span.trace != trace && !span.line.contains("unrecorded")), "{told:#?}");
    let metrics = http_get(&server.http, "/metrics").await;
    assert!(metrics.contains("\nmeridian_spans_dropped_total 0\n"), "nothing was dropped");
    assert!(server.stop().success());
}

async fn http_get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a door");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("it is sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_is_told_over_grpc_too() {
    let directory = Directory::new("traces-grpc");
    let collector = Collector::speaking(directory.path(), &["grpc"]);
    let endpoint = format!("--otlp-endpoint={}", collector.url);
    let server = Server::start(directory.path(), &[&endpoint, "--otlp-protocol=grpc", "--http=127.0.0.1:0"]);
    let pg = server.connect().await.expect("a door");
    // More than one request's spans, and a pause between: the connection is used again.
    for round in 0..2 {
        let (named, trace, span) = client(20 + round);
        for number in 0..300 {
            pg.simple_query(&format!("SELECT {number} /*traceparent='{named}'*/")).await.expect("a row");
        }
        let names = ["statement", "parse", "plan", "execute"];
        let begun = Instant::now();
        let spans = loop {
            let spans = collector.of(&trace, &span, 1, &names).await;
            if spans.iter().filter(|span| span.name == "statement").count() == 300 {
                break spans;
            }
            assert!(begun.elapsed() < PATIENCE, "all of them are told: {}", spans.len());
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        check_tree(&spans, &span);
    }
    let metrics = http_get(&server.http, "/metrics").await;
    assert!(metrics.contains("\nmeridian_spans_dropped_total 0\n"), "nothing was dropped");
    // What the collector says when it is another's port, and what can't be meant.
    drop(collector);
    let (named, ..) = client(30);
    pg.simple_query(&format!("SELECT 1 /*traceparent='{named}'*/")).await.expect("a row");
    let log = directory.path().join("server.err");
    let begun = Instant::now();
    while !std::fs::read_to_string(&log).expect("a log").contains("the collector does not take spans") {
        assert!(begun.elapsed() < PATIENCE, "it is said that it is away");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(server.stop().success());
    let wrong = Directory::new("traces-grpc-path");
    let said = Server::try_start(wrong.path(), &["--otlp-endpoint=http://127.0.0.1:4317/v1/traces", "--otlp-protocol=grpc"]);
    assert!(said.err().is_some_and(|said| said.contains("a collector has no path by gRPC")), "it is refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_of_a_fleet_is_one_trace_across_its_processes() {
    let directory = Directory::new("traces-fleet");
    let collector = Collector::start(directory.path());
    let fleet = Fleet::start("traces-of-fleet", "self", 1, 2, &[&format!("--otlp-endpoint={}", collector.url)]);
    let pg = fleet.door(0).connect().await.expect("a door");
    fleet.until_in_step(&pg).await;
    pg.simple_query("INSERT INTO tags (name, kind) SELECT 'w.' || i, 'f64' FROM generate_series(0, 31) AS g(i)")
        .await
        .expect("tags");
    let who = |span: &Span| field(&span.line, "service.instance.id");
    let instances = |spans: &[Span]| spans.iter().map(who).collect::<BTreeSet<_>>();
    let all: BTreeSet<String> = ["0", "100", "101"].map(str::to_owned).into();

    // A write goes to the primaries of its slices.
    let (named, trace, span) = client(7);
    let rows = "INSERT INTO samples SELECT 'w.' || i, '2024-01-01', i FROM generate_series(0, 31) AS g(i)";
    pg.simple_query(&format!("{rows} /*traceparent='{named}'*/")).await.expect("rows");
    let spans = collector.of(&trace, &span, 3, &["statement", "execute", "write to a node", "write", "log commit"]).await;
    check_tree(&spans, &span);
    assert_eq!(instances(&spans), all, "{spans:#?}");
    for write in spans.iter().filter(|span| span.name == "write") {
        let asked = parent(&spans, write);
        assert_eq!((asked.name.as_str(), who(asked).as_str()), ("write to a node", "0"));
        assert_ne!(who(write), "0");
    }

    // A query that nodes run a part of.
    let (named, trace, span) = client(8);
    let counted = pg.simple_query(&format!("SELECT count(*), sum(value) FROM samples /*traceparent='{named}'*/")).await;
    counted.expect("a row");
    let spans = collector.of(&trace, &span, 3, &["statement", "plan", "execute", "request to a node", "scan slices"]).await;
    check_tree(&spans, &span);
    assert_eq!(instances(&spans), all, "{spans:#?}");
    for scan in spans.iter().filter(|span| span.name == "scan slices") {
        let asked = parent(&spans, scan);
        assert_eq!((asked.name.as_str(), who(asked).as_str()), ("request to a node", "0"));
    }

    // A point question, on a framed connection.
    let (named, trace, span) = client(9);
    pg.simple_query(&format!("SET traceparent = '{named}'")).await.expect("it is set");
    let row = pg.query_one("SELECT value FROM latest WHERE tag = $1", &[&"w.5"]).await.expect("a row");
    assert_eq!(row.get::<_, f64>(0), 5.0);
    let spans = collector.of(&trace, &span, 2, &["statement", "read of a node", "read"]).await;
    check_tree(&spans, &span);
    let read = spans.iter().find(|span| span.name == "read").expect("it is there");
    assert_eq!((parent(&spans, read).name.as_str(), who(parent(&spans, read)).as_str()), ("read of a node", "0"));
    let kinds: BTreeMap<&str, &str> = spans.iter().map(|span| (span.name.as_str(), span.kind.as_str())).collect();
    assert_eq!((kinds["read of a node"], kinds["read"]), ("SPAN_KIND_CLIENT", "SPAN_KIND_SERVER"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let directory = Directory::new("traces-away");
    // Nobody listens there.
    let nobody = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a free port");
    let endpoint = format!("--otlp-endpoint=http://{nobody}");
    let server = Server::start(directory.path(), &[&endpoint, "--otlp-sample=1", "--http=127.0.0.1:0"]);
    let pg = server.connect().await.expect("a door");
    for _ in 0..100 {
        pg.simple_query("SELECT 1").await.expect("a row");
    }
    let begun = Instant::now();
    loop {
        let metrics = http_get(&server.http, "/metrics").await;
        let dropped = metrics.lines().find_map(|line| line.strip_prefix("meridian_spans_dropped_total "));
        if dropped.and_then(|count| count.parse::<u64>().ok()).is_some_and(|count| count >= 100) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "spans that were not taken are counted: {dropped:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let log = std::fs::read_to_string(directory.path().join("server.err")).expect("a log");
    assert_eq!(log.matches("the collector does not take spans").count(), 1, "it is said once");
    assert!(server.stop().success());
}
