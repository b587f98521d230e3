//! `meridian sql` where nobody types: statements given, scripts, formats, errors, statuses, files.

#![expect(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests from outside: real processes, files and time")]

#[expect(dead_code, reason = "shared by several tests, each of which needs a part")]
mod node;

use node::{Dir, Node, ask, program};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Output, Stdio};

/// The shell, towards a node, with nothing of the user's own environment.
fn shell(node: &Node) -> Command {
    let mut command = program();
    for name in ["PGHOST", "PGPORT", "PGUSER", "PGDATABASE", "PGPASSWORD", "PGPASSFILE", "PGOPTIONS", "PGSSLMODE", "PAGER"] {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C.UTF-8").env("TERM", "xterm");
    command.arg("sql").arg(node.url()).stdin(Stdio::null());
    command
}

/// What it said on standard output; it must have gone well.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn errors(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn with_input(command: &mut Command, input: &str) -> Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn node(name: &str) -> (Dir, Node) {
    let dir = Dir::new(name);
    let node = Node::start(&dir.join("store"), &[]);
    ask(
        &node,
        "INSERT INTO tags (name, kind, unit) VALUES ('boiler.level', 'f64', 'm'), ('boiler.flow', 'f64', 't/h'), ('note', 'text', '')",
    );
    (dir, node)
}

#[test]
fn statements_come_from_the_command_line_files_and_standard_input() {
    let (dir, node) = node("sql-ways");
    let script = dir.join("a.sql");
    let inner = dir.join("inner.sql");
    std::fs::write(&inner, "SELECT 'inner' AS x").unwrap();
    std::fs::write(
        &script,
        format!("-- first\nSELECT 1 AS a;\nSELECT ';' AS b, $q$;$q$ AS c\\g\n\\i {}\nSELECT 2 AS d", inner.display()),
    )
    .unwrap();
    assert_eq!(said(shell(&node).args(["-t", "-c", "SELECT 1; SELECT 2", "-c", "SELECT 'x'"])), "        1\n        2\n x\n");
    let expected = "a\n1\nb,c\n;,;\nx\ninner\nd\n2\n";
    assert_eq!(said(shell(&node).args(["--format", "csv", "-f"]).arg(&script)), expected);
    let text = std::fs::read_to_string(&script).unwrap();
    let piped = with_input(shell(&node).args(["--format", "csv"]), &text);
    assert_eq!((piped.status.code(), String::from_utf8(piped.stdout).unwrap().as_str()), (Some(0), expected));
    // By flags and by the environment.
    let (host, port) = node.pg.split_once(':').unwrap();
    let mut flags = program();
    assert_eq!(
        said(
            flags.args(["sql", "-h", host, "-p", port, "-U", "meridian", "-d", "meridian", "--format", "csv", "-tc", "SELECT 7"])
        ),
        "7\n"
    );
    let mut variables = program();
    variables.env("PGHOST", host).env("PGPORT", port).env("PGUSER", "meridian");
    assert_eq!(said(variables.args(["sql", "--format", "csv", "-tc", "SELECT 8"])), "8\n");
    let into = dir.join("out");
    assert_eq!(said(shell(&node).arg("-o").arg(&into).args(["-c", "SELECT 5 AS five"])), "");
    assert_eq!(std::fs::read_to_string(&into).unwrap(), " five \n------\n    5\n(1 row)\n\n");
}

#[test]
fn the_exit_status_is_psqls() {
    let (dir, node) = node("sql-status");
    let script = dir.join("bad.sql");
    std::fs::write(&script, "SELECT 1;\nSELECT nope;\nSELECT 2;\n").unwrap();
    let script = script.to_str().unwrap();
    for (arguments, status, rows) in [
        (&["-c", "SELECT 1"][..], 0, "1\n"),
        (&["-c", "SELEC 1"], 1, ""),
        (&["-c", "SELEC 1", "-c", "SELECT 2"], 0, "2\n"),
        (&["-v", "ON_ERROR_STOP=1", "-c", "SELEC 1", "-c", "SELECT 2"], 1, ""),
        (&["-c", "\\nosuch"], 1, ""),
        (&["-f", script], 0, "1\n2\n"),
        (&["-v", "ON_ERROR_STOP=1", "-f", script], 3, "1\n"),
        (&["-f", "/nonexistent"], 1, ""),
    ] {
        let output = shell(&node).args(["-t", "--format", "csv"]).args(arguments).output().unwrap();
        assert_eq!(
            (output.status.code(), String::from_utf8_lossy(&output.stdout).as_ref()),
            (Some(status), rows),
            "{arguments:?}: {output:?}"
        );
        assert_eq!(
            output.stderr.is_empty(),
            !arguments.iter().any(|a| a.contains("SELEC 1") || a.contains("no") || *a == script),
            "{output:?}"
        );
    }
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let output = program().args(["sql", &format!("postgres://{nobody}/x"), "-c", "SELECT 1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert_eq!(program().args(["sql", "--format", "xml"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn a_password_comes_from_where_psql_takes_it() {
    let dir = Dir::new("sql-password");
    let node = Node::start(&dir.join("store"), &["--password", "s3cret", "--loopback-trusted", "false"]);
    let passfile = dir.join("pgpass");
    std::fs::write(&passfile, "*:*:*:*:s3cret\n").unwrap();
    std::fs::set_permissions(&passfile, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let ask = |set: &[(&str, &str)], more: &[&str]| {
        let mut command = shell(&node);
        command.env("HOME", &dir.0).envs(set.iter().copied()).args(["-t", "--format", "csv", "-c", "SELECT 1"]).args(more);
        command.output().unwrap()
    };
    assert_eq!(ask(&[("PGPASSWORD", "s3cret")], &[]).stdout, b"1\n");
    assert_eq!(ask(&[("PGPASSFILE", passfile.to_str().unwrap())], &[]).stdout, b"1\n");
    for (set, more) in [(&[("PGPASSWORD", "wrong")][..], &[][..]), (&[], &["-w"])] {
        let refused = ask(set, more);
        assert_eq!(refused.status.code(), Some(2), "{refused:?}");
        assert!(errors(&refused).contains("password") && !errors(&refused).contains("s3cret"), "{refused:?}");
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn text(&mut self) -> String {
        const PARTS: [&str; 16] =
            ["a", "B c", "'", "\"", ",", "\n", "\t", "\\", "温度", "é", "\r\n", "|", "<b>", "\\.", "\u{1b}[0m", "🌡"];
        (0..self.roll(6)).map(|_| PARTS[self.roll(16) as usize]).collect()
    }
}

#[test]
fn csv_and_json_parse_back_to_the_same_values() {
    let (_dir, node) = node("sql-formats");
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    let rows: Vec<(i64, String, f64, bool, bool)> = (0..200)
        .map(|_| {
            let integer = dice.roll(u64::MAX) as i64;
            let real = f64::from_bits(dice.roll(u64::MAX) & 0x7FEF_FFFF_FFFF_FFFF);
            (
                integer.max(-i64::MAX),
                dice.text(),
                if dice.roll(2) == 0 { real } else { -real },
                dice.roll(2) == 0,
                dice.roll(3) == 0,
            )
        })
        .collect();
    let tuples: Vec<String> = rows
        .iter()
        .enumerate()
        .map(|(i, (integer, text, real, yes, null))| {
            let text = if *null { "NULL::text".to_owned() } else { format!("'{}'", text.replace('\'', "''")) };
            format!("({i}, '{integer}'::bigint, {text}, '{real:e}'::float8, {yes})")
        })
        .collect();
    let sql = format!("SELECT * FROM (VALUES {}) AS v(n, i, t, f, b) ORDER BY n", tuples.join(", "));
    let input = |format: &str| {
        let output = with_input(shell(&node).args(["--format", format]), &format!("{sql};\n"));
        assert!(output.status.success() && output.stderr.is_empty(), "{}", errors(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let text = input("json");
    let json: Vec<serde_json::Value> = serde_json::from_str(&text).unwrap();
    let objects: Vec<&str> = text.lines().skip(1).collect();
    let csv = input("csv");
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
    assert_eq!((json.len(), records.len()), (rows.len(), rows.len()));
    for (i, (integer, text, real, yes, null)) in rows.iter().enumerate() {
        let (object, record) = (&json[i], &records[i]);
        assert_eq!((object["i"].as_i64(), object["b"].as_bool()), (Some(*integer), Some(*yes)), "{object}");
        // serde_json reads doubles to the last digit but one: the text itself is compared.
        assert!(objects[i].contains(&format!("\"f\": {}, ", &record[3])), "{}", objects[i]);
        assert_eq!(object["t"].as_str(), (!null).then_some(text.as_str()), "{object}");
        assert_eq!(record[1].parse::<i64>().unwrap(), *integer);
        assert_eq!(&record[2], if *null { "" } else { text });
        assert_eq!((record[3].parse::<f64>().unwrap(), &record[4]), (*real, if *yes { "t" } else { "f" }));
    }
    // An empty text and NULL are told apart, and an array is one.
    let odd = "SELECT ''::text AS a, NULL::text AS b, ARRAY[1, 2] AS c, 'NaN'::float8 AS d, 'x' AS a";
    assert_eq!(said(shell(&node).args(["--format", "csv", "-tc", odd])), "\"\",,\"{1,2}\",NaN,x\n");
    let json = said(shell(&node).args(["--format", "json", "-c", odd]));
    assert_eq!(json, "[\n {\"a\": \"\", \"b\": null, \"c\": [1,2], \"d\": \"NaN\", \"a_2\": \"x\"}\n]\n");
}

#[test]
fn tables_records_and_markdown_look_as_they_should() {
    let (_dir, node) = node("sql-looks");
    let sql = "SELECT * FROM (VALUES ('温度', 1.5::float8, NULL::text), ('a|b', 20, 'x')) AS v(name, value, note)";
    let table = " name | value | note \n------+-------+------\n 温度 |   1.5 | NULL\n a|b  |    20 | x\n(2 rows)\n\n";
    assert_eq!(said(shell(&node).args(["-c", sql])), table);
    let markdown = "| name | value | note |\n| --- | ---: | --- |\n| 温度 | 1.5 | NULL |\n| a\\|b | 20 | x |\n";
    assert_eq!(said(shell(&node).args(["--format", "markdown", "-c", sql])), markdown);
    let records = said(shell(&node).args(["--format", "expanded", "-c", sql]));
    assert!(records.starts_with("-[ RECORD 1 ]") && records.contains("\nname  | 温度\nvalue | 1.5\nnote  | NULL\n"), "{records}");
    assert_eq!(records, said(shell(&node).args(["-x", "-c", sql])));
    let listed = said(shell(&node).args(["-c", "\\tags boiler.*"]));
    assert!(listed.contains("boiler.level") && listed.contains("t/h") && !listed.contains("note "), "{listed}");
    let described =
        said(shell(&node).args(["-c", "\\d samples", "-c", "\\dt", "-c", "\\d meridian.slices", "-c", "\\df date_b*"]));
    for part in ["public.samples", "timestamp with time zone", "integers", "meridian.slices", "date_bin"] {
        assert!(described.contains(part), "{part}: {described}");
    }
}

#[test]
fn errors_point_into_the_statement() {
    let (dir, node) = node("sql-errors");
    for (sql, line) in [
        ("SELECT nope FROM samples", "LINE 1: SELECT nope FROM samples"),
        ("SELECT\n  time,\n  '温度', nope\nFROM samples", "LINE 3:   '温度', nope"),
        ("SELECT time,\n\tnope FROM samples", "LINE 2:         nope FROM samples"),
        ("SELECT '日本語',\tnope FROM samples", "LINE 1: SELECT '日本語',        nope FROM samples"),
    ] {
        let text = errors(&shell(&node).args(["-c", sql]).output().unwrap());
        let found: Vec<&str> = text.lines().collect();
        assert_eq!((found[0], found[1]), ("ERROR:  42703: column \"nope\" does not exist", line), "{text}");
        let column = unicode_width::UnicodeWidthStr::width(&line[..line.find("nope").unwrap()]);
        assert_eq!(found[2], format!("{:column$}^", ""), "{text}");
        assert!(found[3].starts_with("HINT:  columns are"), "{text}");
    }
    let script = dir.join("two.sql");
    std::fs::write(&script, "SELECT 1;\n\nSELECT\n  nope\nFROM samples;\n").unwrap();
    let text = errors(&shell(&node).arg("-f").arg(&script).output().unwrap());
    assert!(
        text.starts_with(&format!("meridian:{}:5: ERROR:  42703: ", script.display())) && text.contains("\nLINE 2:   nope\n"),
        "{text}"
    );
    let notice = shell(&node).args(["-c", "COMMIT"]).output().unwrap();
    assert!(notice.status.success() && errors(&notice).starts_with("WARNING:  "), "{notice:?}");
}

#[test]
fn variables_are_replaced_as_psql_replaces_them() {
    let (_dir, node) = node("sql-variables");
    let script = "\\set t boiler\n\\set n 'it''s'\nSELECT :'n' AS a, 'x:n' AS b, :x AS c, 1::int AS :\"t\";\n\
        SELECT count(*) AS found, 'tags' AS tab FROM tags \\gset got_\n\\echo :got_found :got_tab :unset\nSELECT count(*) FROM :got_tab;\n\\unset n\nSELECT :{?n} AS n, :{?t} AS t;\n";
    let output = with_input(shell(&node).args(["--format", "csv", "-v", "x=40 + 2"]), script);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a,b,c,boiler\nit's,x:n,42,1\n3 tags :unset\ncount\n3\nn,t\nf,t\n");
}

#[test]
fn copies_go_out_and_come_back() {
    let (dir, node) = node("sql-copy");
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) SELECT 'boiler.level', t, 1.5 FROM generate_series(TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-02', INTERVAL '10 seconds') AS t",
    );
    ask(&node, "INSERT INTO events (tag, time, text) VALUES ('note', '2026-01-01', 'a,\"b\"\nc'), ('note', '2026-01-02', '')");
    let (samples, events) = (dir.join("it's.csv"), dir.join("events.txt"));
    let (quoted, plain) = (samples.to_str().unwrap().replace('\'', "''"), events.to_str().unwrap());
    let out = said(shell(&node).args([
        "-c",
        &format!("\\copy samples to '{quoted}' csv header"),
        "-c",
        &format!("\\copy (SELECT * FROM events) to {plain}"),
    ]));
    assert_eq!(out, "COPY 8641\nCOPY 2\n");
    let before = (ask(&node, "SELECT count(*), sum(value) FROM samples"), ask(&node, "SELECT * FROM events ORDER BY time"));
    ask(&node, "DELETE FROM samples");
    ask(&node, "DELETE FROM events");
    let back = said(shell(&node).args([
        "-c",
        &format!("\\copy samples from '{quoted}' with (format csv, header)"),
        "-c",
        &format!("\\copy events from {plain}"),
    ]));
    assert_eq!(back, "COPY 8641\nCOPY 2\n");
    assert_eq!(
        (ask(&node, "SELECT count(*), sum(value) FROM samples"), ask(&node, "SELECT * FROM events ORDER BY time")),
        before
    );
    // Data within a script, from standard input, and to standard output.
    let script = "COPY samples (tag, time, value) FROM STDIN;\nboiler.flow\t2026-01-01 00:00:00+00\t7\n\\.\nSELECT value FROM samples WHERE tag = 'boiler.flow';\n";
    let output = with_input(shell(&node).args(["--format", "csv"]), script);
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "value\n7\n", "{}", errors(&Output { stdout: Vec::new(), ..output }));
    let output = with_input(
        shell(&node).args(["-c", "COPY samples FROM STDIN WITH (FORMAT csv)"]),
        "boiler.flow,2026-01-02 00:00:00+00,8,192\n",
    );
    assert_eq!(String::from_utf8_lossy(&output.stdout), "COPY 1\n");
    assert_eq!(
        said(
            shell(&node).args(["-c", "\\copy (SELECT value FROM samples WHERE tag = 'boiler.flow' ORDER BY time) to stdout csv"])
        ),
        "7\n8\n"
    );
    let bad =
        with_input(shell(&node).args(["-c", "COPY samples FROM STDIN WITH (FORMAT csv)"]), "boiler.flow,yesterday?,8,192\n");
    assert!(bad.status.code() == Some(1) && errors(&bad).contains("ERROR:  22"), "{bad:?}");
    let missing = shell(&node).args(["-c", "\\copy samples from /nonexistent"]).output().unwrap();
    assert!(missing.status.code() == Some(1) && errors(&missing).contains("/nonexistent"), "{missing:?}");
}

#[test]
fn results_are_drawn() {
    let (_dir, node) = node("sql-plot");
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) SELECT 'boiler.level', t, extract(epoch FROM t)::bigint % 3600 FROM generate_series(TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01 00:59', INTERVAL '1 minute') AS t",
    );
    ask(
        &node,
        "INSERT INTO samples (tag, time, value) SELECT 'boiler.flow', t, 1000 FROM generate_series(TIMESTAMPTZ '2026-01-01', TIMESTAMPTZ '2026-01-01 00:59', INTERVAL '1 minute') AS t",
    );
    let long = said(shell(&node).args(["-c", "\\plot SELECT * FROM samples"]));
    assert!(
        long.contains("* boiler.") && long.contains("+ boiler.") && long.contains("boiler.level 3540") && long.contains("00:30"),
        "{long}"
    );
    assert!(long.contains("2026-01-01 00:00:00+00 .. 2026-01-01 00:59:00+00") && !long.contains('\u{1b}'), "{long}");
    let script = "SELECT time, value, -value AS below FROM samples WHERE tag = 'boiler.level';\n\\plot\nSELECT time, value FROM samples WHERE tag = 'boiler.level' \\plot\n";
    let output = with_input(&mut shell(&node), script);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.stderr.is_empty() && text.contains("* value 3540") && text.contains("+ below -3540") && text.contains("(60 rows)"),
        "{text}"
    );
    let braille = text.lines().filter(|line| line.chars().any(|c| ('\u{2801}'..='\u{28FF}').contains(&c))).count();
    assert!(braille >= 6, "a single line is drawn in braille: {text}");
    for (sql, problem) in [
        ("SELECT 1 AS one", "no column of times among one"),
        ("SELECT now() AS t", "no column of numbers"),
        ("SELECT now() AS t, 1.5::float8 AS v WHERE false", "no points"),
    ] {
        let refused = shell(&node).args(["-c", &format!("\\plot {sql}")]).output().unwrap();
        assert!(refused.status.code() == Some(1) && errors(&refused).contains(problem), "{sql}: {refused:?}");
    }
    let watched = said(shell(&node).args(["-t", "-c", "SELECT 41 + 1 \\watch i=0 c=3"]));
    assert_eq!((watched.matches(" 42\n").count(), watched.matches("every 0 s").count()), (3, 3), "{watched}");
}

#[test]
fn rows_are_not_held_and_ctrl_c_cancels() {
    let (_dir, node) = node("sql-stream");
    let mut child = shell(&node)
        .args(["--format", "csv", "-c", "SELECT g, g * 2 FROM generate_series(1, 3000000000) AS g(g)"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    for _ in 0..300_000 {
        line.clear();
        assert!(lines.read_line(&mut line).unwrap() > 0, "the rows end early");
    }
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < 400 << 10, "{peak} KiB for rows that pass through");
    // SAFETY: kill takes no memory; the child is ours and was not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    std::io::copy(&mut lines, &mut std::io::sink()).unwrap();
    let mut errors = String::new();
    child.stderr.take().unwrap().read_to_string(&mut errors).unwrap();
    assert_eq!((child.wait().unwrap().code(), errors.contains("57014")), (Some(130), true), "{errors}");
    assert!(ask(&node, "SELECT query FROM meridian.queries").iter().all(|row| !row[0].contains("3000000000")));
}
