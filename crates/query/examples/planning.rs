//! How long statements of many parts take to plan, and to give their rows: what `docs/PERFORMANCE.md` tells of planning.
//!
//! `cargo run --release -p query --example planning [-- PART [SIZE]]`: only statements whose name holds PART, of SIZE parts.
#![expect(clippy::disallowed_methods, reason = "a measuring program of its own, outside the house's world")]
#![allow(clippy::unwrap_used, reason = "what goes wrong should end it")]

use catalog::Catalog;
use futures::StreamExt;
use kernel::Kernel;
use query::{Engine, EngineSettings, Error, Outcome, Session, SessionSettings};
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;
use types::Kinds;
use world::{ThreadCounts, Threads, World};

/// A kind of statement: its name, how many parts it has where nobody says, and its text.
type Case = (&'static str, usize, fn(usize) -> String);

fn joined(count: usize, between: &str, part: impl Fn(usize) -> String) -> String {
    (0..count).map(part).collect::<Vec<_>>().join(between)
}

fn cases() -> Vec<Case> {
    [chains(), others()].concat()
}

/// Long chains of operators.
fn chains() -> Vec<Case> {
    vec![
        ("sum of columns", 400, |n| format!("SELECT {} FROM samples", joined(n, " + ", |_| "value".to_owned()))),
        ("sum in WHERE", 400, |n| format!("SELECT tag FROM samples WHERE {} > 1", joined(n, " + ", |_| "value".to_owned()))),
        ("sum of products", 400, |n| {
            format!("SELECT {} FROM samples", joined(n, " + ", |at| format!("value * {at} - quality / 7")))
        }),
        ("sum of integers", 400, |n| format!("SELECT {} FROM integers", joined(n, " + ", |at| format!("value * {at}")))),
        ("sum of constants", 400, |n| format!("SELECT {}", joined(n, " + ", |at| at.to_string()))),
        ("sum of texts", 400, |n| format!("SELECT {} FROM samples", joined(n, " || ", |at| format!("tag || '{at}'")))),
        ("sum of times", 100, |n| {
            format!("SELECT time + {} FROM samples", joined(n, " + ", |at| format!("interval '{at} days'")))
        }),
        ("OR", 400, |n| format!("SELECT tag FROM samples WHERE {}", joined(n, " OR ", |at| format!("value = {at}")))),
        ("OR of two columns", 400, |n| {
            format!("SELECT tag FROM samples WHERE {}", joined(n, " OR ", |at| format!("(value > {at} AND quality < {at})")))
        }),
        ("AND", 400, |n| format!("SELECT tag FROM samples WHERE {}", joined(n, " AND ", |at| format!("value <> {at}")))),
        ("AND in the list", 400, |n| {
            format!("SELECT {} FROM samples", joined(n, " AND ", |at| format!("(value <> {at} OR quality = {at})")))
        }),
        ("CASE", 400, |n| {
            format!("SELECT CASE {} ELSE 0 END FROM samples", joined(n, " ", |at| format!("WHEN value > {at} THEN value * {at}")))
        }),
        ("CASE of a value", 400, |n| {
            format!("SELECT CASE quality {} END FROM samples", joined(n, " ", |at| format!("WHEN {at} THEN 'q{at}'")))
        }),
    ]
}

/// Long lists, many tables, deep nesting.
fn others() -> Vec<Case> {
    vec![
        ("IN, tags", 10_000, |n| {
            format!("SELECT value FROM samples WHERE tag IN ({})", joined(n, ", ", |at| format!("'tag{at}'")))
        }),
        ("IN, values", 10_000, |n| {
            format!("SELECT value FROM samples WHERE value IN ({})", joined(n, ", ", |at| at.to_string()))
        }),
        ("IN, integers", 10_000, |n| {
            format!("SELECT value FROM integers WHERE value NOT IN ({})", joined(n, ", ", |at| at.to_string()))
        }),
        ("IN, times", 10_000, |n| {
            format!(
                "SELECT value FROM samples WHERE time IN ({})",
                joined(n, ", ", |at| format!("'2026-01-01 00:00:00.{at:06}'"))
            )
        }),
        ("IN, pairs", 1_000, |n| {
            let pair = |at| format!("('tag{at}', '2026-01-01 00:00:00.{at:06}')");
            format!("SELECT value FROM samples WHERE (tag, time) IN ({})", joined(n, ", ", pair))
        }),
        ("columns", 1_000, |n| format!("SELECT {} FROM samples", joined(n, ", ", |at| format!("value + {at} AS c{at}")))),
        ("grouped columns", 200, |n| {
            format!("SELECT {} FROM samples GROUP BY tag", joined(n, ", ", |at| format!("sum(value + {at}) AS c{at}")))
        }),
        ("UNION ALL", 200, |n| joined(n, " UNION ALL ", |at| format!("SELECT tag, value + {at} FROM samples"))),
        ("UNION", 50, |n| joined(n, " UNION ", |at| format!("SELECT tag, value + {at} FROM samples"))),
        ("joins", 30, |n| {
            let join = |at| format!("JOIN tags t{at} ON t{at}.name = s.tag");
            format!("SELECT s.value FROM samples s {}", joined(n, " ", join))
        }),
        ("VALUES", 5_000, |n| format!("SELECT * FROM (VALUES {}) v(a, b)", joined(n, ", ", |at| format!("({at}, 'x{at}')")))),
        ("WITH", 60, |n| {
            let table = |at: usize| match at {
                0 => "c0 AS (SELECT tag, value FROM samples)".to_owned(),
                at => format!("c{at} AS (SELECT tag, value + {at} AS value FROM c{})", at - 1),
            };
            format!("WITH {} SELECT * FROM c{}", joined(n, ", ", table), n - 1)
        }),
        ("subqueries", 50, |n| format!("{} SELECT * FROM samples {}", "SELECT * FROM (".repeat(n), ") x".repeat(n))),
        ("parentheses", 50, |n| format!("SELECT {}value{} FROM samples", "(1 + ".repeat(n), ")".repeat(n))),
        ("functions", 50, |n| format!("SELECT {}value{} FROM samples", "abs(".repeat(n), ")".repeat(n))),
        ("nested CASE", 50, |n| {
            format!("SELECT {}0{} FROM samples", "CASE WHEN value > 1 THEN 1 ELSE ".repeat(n), " END".repeat(n))
        }),
        ("casts", 200, |n| format!("SELECT value{} FROM samples", "::bigint::float8".repeat(n / 2))),
    ]
}

async fn measured(session: &Arc<Session>, sql: &str) -> Result<(u128, u128), Error> {
    let started = Instant::now();
    let prepared = session.prepare(sql, &[]).await?;
    let planned = started.elapsed().as_millis();
    if let Outcome::Rows(mut rows) = prepared.execute(Vec::new()).await? {
        while let Some(batch) = rows.batches.next().await {
            batch?;
        }
    }
    Ok((planned, started.elapsed().as_millis() - planned))
}

async fn measure(engine: Arc<Engine>) {
    let session = engine.session(SessionSettings::default());
    for sql in [
        "INSERT INTO tags (name, kind) VALUES ('a', 'f64'), ('b', 'i64')",
        "INSERT INTO samples VALUES ('a', '2026-01-01 00:00:00', 1.5)",
        "INSERT INTO integers VALUES ('b', '2026-01-01 00:00:00', 1)",
    ] {
        measured(&session, sql).await.unwrap();
    }
    let part = std::env::args().nth(1).unwrap_or_default();
    let size = std::env::args().nth(2).and_then(|size| size.parse().ok());
    let mut out = String::from("| statement | parts | planned, ms | the rest, ms |\n|---|---|---|---|\n");
    for (name, usual, text) in cases().into_iter().filter(|(name, ..)| name.contains(&part)) {
        let size = size.unwrap_or(usual);
        match measured(&session, &text(size)).await {
            Ok((planned, rest)) => writeln!(out, "| {name} | {size} | {planned} | {rest} |").unwrap(),
            Err(error) => {
                let shown: String = error.to_string().chars().take(100).collect();
                writeln!(out, "| {name} | {size} | {} | {shown} |", error.sqlstate()).unwrap();
            }
        }
        print!("{out}");
        out.clear();
    }
}

fn main() {
    let dir = std::env::temp_dir().join(format!("meridian-planning-{}", std::process::id()));
    let threads = Threads::start(ThreadCounts::default());
    let world = World::real(&threads);
    world.disk.make_dir(&dir.join("catalog")).unwrap();
    let catalog = Catalog::open(world.clone(), &dir.join("catalog"), catalog::Settings::default()).unwrap();
    let kinds: Arc<dyn Kinds> = Arc::clone(&catalog) as Arc<dyn Kinds>;
    let kernel = Kernel::open(world.clone(), &dir, kernel::Settings::default(), kinds).unwrap();
    let engine = Engine::alone(kernel, catalog, EngineSettings::new(world.clock.clone())).unwrap();
    // As the server's threads for queries.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).thread_stack_size(16 << 20).enable_all().build();
    let runtime = runtime.unwrap();
    runtime.block_on(runtime.spawn(measure(engine))).unwrap();
    runtime.shutdown_background();
    threads.stop();
    std::fs::remove_dir_all(&dir).unwrap();
}
