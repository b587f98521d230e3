//! psql against a real server: what a person types in the first five minutes, and what psql itself asks.

use tests::{Directory, Server, psql, python};

/// Runs a script; the output must hold the expected lines in order, and errors exactly the expected ones.
fn check(server: &Server, script: &str, lines: &[&str], errors: &[&str]) {
    let output = psql(server, script);
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let mut rest = out.lines();
    for line in lines {
        assert!(rest.any(|found| found == *line), "{script}\nprints no line {line:?} (in this order):\n{out}\n{err}");
    }
    let found: Vec<&str> = err.lines().filter(|line| line.contains("ERROR:")).collect();
    assert_eq!(found.len(), errors.len(), "{script}\nerrors:\n{err}");
    for (found, expected) in found.iter().zip(errors) {
        assert!(found.contains(expected), "{script}\nexpected {expected:?} in {found:?}\n{err}");
    }
}

fn with_server(name: &str, test: impl FnOnce(&Server)) {
    let directory = Directory::new(name);
    let server = Server::start(directory.path(), &[]);
    test(&server);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}

const TAGS: &str = "INSERT INTO tags(name, kind, unit, description) VALUES ('a.u', 'f64', 'kV', 'voltage'), ('a.i', 'i64', '', ''), ('a.b', 'bool', '', ''), ('a.t', 'text', '', '');\n";

#[test]
fn tags_samples_and_snapshot_values() {
    with_server("psql-first", |server| {
        let script = format!(
            "{TAGS}INSERT INTO samples(tag, time, value) VALUES ('a.u', '2024-01-01 00:00:00+00', 220.5), ('a.u', '2024-01-01 00:00:01+00', 221), ('a.i', '2024-01-01 00:00:00+00', 7);
INSERT INTO samples(tag, time, value, quality) VALUES ('a.u', '2024-01-01 00:00:02+00', 0, 0);
INSERT INTO events(tag, time, text) VALUES ('a.t', '2024-01-01 00:00:00+00', 'breaker opened');
\\pset tuples_only on
SELECT count(*) FROM samples;
SELECT tag, value, quality FROM samples WHERE tag = 'a.u' ORDER BY time;
SELECT tag, text FROM events;
SELECT tag, value FROM latest WHERE tag = 'a.u';
SELECT name, kind, unit FROM tags ORDER BY name;
DELETE FROM samples WHERE tag = 'a.u' AND time >= '2024-01-01 00:00:01+00';
SELECT tag, value FROM latest WHERE tag = 'a.u';
UPDATE tags SET unit = 'V' WHERE name = 'a.u';
SELECT unit FROM tags WHERE name = 'a.u';
"
        );
        let lines = [
            "4",
            "a.u|220.5|192",
            "a.u|221|192",
            "a.u|0|0",
            "a.t|breaker opened",
            "a.u|0",
            "a.b|bool|",
            "a.i|i64|",
            "a.t|text|",
            "a.u|f64|kV",
            "a.u|220.5",
            "V",
        ];
        check(server, &script, &lines, &[]);
    });
}

#[test]
fn errors_carry_their_sqlstate_and_place() {
    with_server("psql-errors", |server| {
        check(server, TAGS, &[], &[]);
        let rows = [
            ("SELECT * FROM nothing;", "42P01"),
            ("SELECT nothing FROM samples;", "42703"),
            ("SELEC 1;", "42601"),
            ("SELECT 1/0;", "22012"),
            ("INSERT INTO tags(name, kind) VALUES ('a.u', 'f64');", "23505"),
            ("INSERT INTO tags(name, kind) VALUES ('x', 'nonsense');", "22"),
            ("INSERT INTO samples(tag, time, value) VALUES ('unknown', now(), 1);", "23503"),
            ("INSERT INTO samples(tag, time, value) VALUES ('a.u', 'no time', 1);", "22007"),
            ("INSERT INTO samples(tag, time, value) VALUES ('a.u', now(), 'abc');", "22P02"),
            ("INSERT INTO samples(tag, time, value) VALUES ('a.i', now(), 1.5);", "22"),
            ("INSERT INTO samples(tag, time, value) VALUES ('a.b', now(), 2);", "22"),
            ("INSERT INTO samples(tag, time, value) VALUES ('a.t', now(), 2);", "42804"),
            ("SELECT * FROM samples FOR SYSTEM_TIME AS OF now();", ""),
            ("SELECT count(*) FROM samples TABLESAMPLE SYSTEM (10);", ""),
        ];
        for (statement, state) in rows {
            check(server, statement, &[], &[state]);
        }
        check(server, "\\pset tuples_only on\nSELECT count(*) FROM samples;", &["0"], &[]);
    });
}

#[test]
fn copy_comes_back_as_it_went() {
    with_server("psql-copy", |server| {
        let script = format!(
            "{TAGS}COPY samples(tag, time, value, quality) FROM STDIN;
a.u\t2024-01-01 00:00:00+00\tNaN\t192
a.u\t1850-06-01 12:00:00.000001+00\t-Infinity\t64
a.u\t2024-01-01 00:00:02+00\t-0\t192
a.u\t2024-01-01 00:00:03+00\t0.1\t192
\\.
COPY samples(tag, time, value) FROM STDIN WITH (FORMAT csv, HEADER true);
tag,time,value
a.i,2024-01-01T00:00:00Z,9007199254740993
\\.
COPY events(tag, time, text) FROM STDIN WITH (FORMAT csv);
a.t,2024-01-01T00:00:00Z,\"comma, \"\"quote\"\" and
newline\"
\\.
COPY (SELECT value, quality FROM samples WHERE tag = 'a.u' ORDER BY time) TO STDOUT WITH (FORMAT csv);
COPY (SELECT text FROM events) TO STDOUT WITH (FORMAT csv);
COPY (SELECT value FROM integers WHERE tag = 'a.i') TO STDOUT;
"
        );
        let lines =
            ["-Infinity,64", "NaN,192", "-0,192", "0.1,192", "\"comma, \"\"quote\"\" and", "newline\"", "9007199254740993"];
        check(server, &script, &lines, &[]);
    });
}

#[test]
fn psql_describes_the_tables() {
    with_server("psql-describe", |server| {
        let output = psql(
            server,
            "\\pset tuples_only on\n\\d\n\\d samples\n\\d+ tags\nSELECT count(*) > 0 FROM meridian.settings;\nSELECT version() LIKE '%Meridian%';\n",
        );
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!err.contains("ERROR"), "{err}");
        for word in ["samples", "events", "latest", "tags", "double precision", "timestamp with time zone", "description"] {
            assert!(out.contains(word), "\\d shows no {word}:\n{out}");
        }
        assert!(out.lines().filter(|line| *line == "t").count() == 2, "{out}");
    });
}

/// Commands that describe something, of all sorts of things.
const PLAIN: &str = r"\d \dt \dv \di \ds \dm \dE \dtS \dvS \dS \d+ \dt+ \dv+ \di+ \dn \dn+ \df \df+ \da \dw \du \du+ \dg \l \l+ \dp \z \dT \dT+ \dTS
    \db \db+ \dc \dC \dd \ddp \dD \des \det \deu \dew \dF \dFd \dFp \dFt \dL \do \dO \dP \drds \dRp \dRs \dx \dX \dy \dA+ \dAc \dAf \dAo \dAp \dconfig \dl";

/// Of one thing.
const NAMED: [&str; 14] = [
    "\\d samples",
    "\\d+ samples",
    "\\d tags",
    "\\d+ tags",
    "\\d latest",
    "\\d+ latest",
    "\\d samples_pkey",
    "\\d+ samples_pkey",
    "\\d meridian.*",
    "\\d+ pg_catalog.pg_class",
    "\\d information_schema.columns",
    "\\dconfig *",
    "\\dfS now",
    "\\dTS+ timestamptz",
];

/// Plain, with `+` and with a pattern: psql asks nothing that is not answered.
#[test]
fn every_describing_command_is_answered() {
    with_server("psql-commands", |server| {
        for command in PLAIN.split_whitespace().chain(NAMED) {
            let output = psql(server, &format!("{command}\n"));
            let err = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!err.contains("ERROR"), "{command}:\n{err}");
        }
    });
}

/// What they show is what there is.
#[test]
fn descriptions_tell_the_truth() {
    with_server("psql-truth", |server| {
        let rows = [
            (
                "\\dt",
                &[
                    "public|events|table|meridian",
                    "public|integers|table|meridian",
                    "public|samples|table|meridian",
                    "public|tags|table|meridian",
                ][..],
            ),
            ("\\dv", &["public|latest|view|meridian"]),
            (
                "\\di",
                &[
                    "public|events_pkey|index|meridian|events",
                    "public|samples_pkey|index|meridian|samples",
                    "public|tags_pkey|index|meridian|tags",
                ],
            ),
            ("\\dn", &["meridian|meridian", "public|meridian"]),
            ("\\l", &["meridian|meridian|UTF8|C|C||libc|"]),
            (
                "\\d samples",
                &[
                    "tag|text||not null|",
                    "time|timestamp with time zone||not null|now()",
                    "value|double precision||not null|",
                    "quality|smallint||not null|192",
                    "Indexes:",
                    "    \"samples_pkey\" PRIMARY KEY, btree (tag, \"time\")",
                    "Foreign-key constraints:",
                    "    \"samples_tag_fkey\" FOREIGN KEY (tag) REFERENCES tags(name) ON UPDATE CASCADE ON DELETE CASCADE",
                ],
            ),
            ("\\d tags", &["states|text[]|||", "Referenced by:"]),
            ("\\d latest", &["age|interval||not null|"]),
            (
                "\\d samples_pkey",
                &[
                    "tag|text|yes|tag",
                    "time|timestamp with time zone|yes|\"time\"",
                    "primary key, btree, for table \"public.samples\"",
                ],
            ),
            ("\\df values_at", &["public|values_at|record|tags text[], times timestamp with time zone[]|func"]),
            ("\\sf values_at", &["CREATE OR REPLACE FUNCTION public.values_at(tags text[], times timestamp with time zone[])"]),
            ("\\dT timestamptz", &["pg_catalog|timestamp with time zone|"]),
            (
                "SELECT obj_description('samples'::regclass, 'pg_class') LIKE '%samples%', col_description('samples'::regclass, 4) LIKE '%OPC%';",
                &["t|t"],
            ),
            (
                "SELECT 'samples'::regclass, 'samples'::regclass::oid, c.oid::regclass FROM pg_class c WHERE oid = 'samples'::regclass;",
                &["samples|16384|samples"],
            ),
        ];
        for (command, lines) in rows {
            check(server, &format!("{command}\n"), lines, &[]);
        }
        check(server, "SELECT 'nothing'::regclass;\n", &[], &["42P01"]);
        check(server, "\\sf nothing\n", &[], &["function \"nothing\" does not exist"]);
    });
}

/// A terminal: completion by Tab, \watch, \copy, \crosstabview, \gdesc and interrupts.
#[test]
fn psql_in_a_terminal() {
    let directory = Directory::new("psql-terminal");
    let server = Server::start(directory.path(), &[]);
    let place = directory.path().to_str().expect("a temporary path is text").to_owned();
    python(&server, "psql_completion.py", &[&place]);
    assert!(server.stop().success(), "the server ends with 0 on SIGTERM");
}
