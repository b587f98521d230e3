//! Roles: every way of reading and writing, held against a plain model of what each role may, on one node and on a fleet; and
//! GRANT, REVOKE, CREATE, ALTER and DROP ROLE.

mod catalogue;
mod commands;
mod model;
mod waiting;
mod writes;

use crate::fixture::{House, texts};
use crate::fleet::nodes;
use futures::StreamExt;
use model::{ROLES, RoleModel, TAGS};
use query::{CopyPiece, Outcome, ScalarValue, Session, SessionSettings};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::DistributionRule;

/// A session of a role.
pub fn session(house: &House, role: &str) -> Arc<Session> {
    house.engine.session(SessionSettings { user: role.to_owned(), ..SessionSettings::default() })
}

/// What a statement gives: rows, values joined by `|`, or the lines of a COPY; a command's tag; or its SQLSTATE.
pub async fn ask(session: &Arc<Session>, sql: &str, params: Vec<ScalarValue>) -> Result<Vec<String>, String> {
    let state = |error: query::Error| error.sqlstate().to_owned();
    let prepared = session.prepare(sql, &[]).await.map_err(state)?;
    match prepared.execute(params).await.map_err(state)? {
        Outcome::Rows(mut rows) => {
            let mut out = Vec::new();
            while let Some(batch) = rows.batches.next().await {
                out.extend(texts(&batch.map_err(state)?));
            }
            Ok(out)
        }
        Outcome::CopyOut(mut copy) => {
            let mut out = Vec::new();
            while let Some(piece) = copy.chunks.next().await {
                match piece.map_err(state)? {
                    CopyPiece::Lines(lines) => {
                        out.extend(lines.rows().map(|row| String::from_utf8_lossy(row).trim_end().to_owned()))
                    }
                    CopyPiece::Batch(batch) => out.extend(texts(&batch)),
                }
            }
            Ok(out)
        }
        Outcome::Command(done) => Ok(vec![done.tag]),
        Outcome::CopyIn(_) => panic!("{sql} takes data"),
    }
}

/// Tags with samples, and roles with what they were granted.
pub async fn furnish(house: &House) {
    for tag in &TAGS {
        let labels = tag.site.map_or_else(|| "{}".to_owned(), |site| format!("{{\"site\":\"{site}\"}}"));
        house.tag(&format!("INSERT INTO tags (name, kind, labels) VALUES ('{}', '{}', '{labels}')", tag.name, tag.kind)).await;
        let (table, value) = if tag.kind == "text" { ("events", "'x'") } else { ("samples", "7") };
        for second in [1, 2] {
            house.tag(&format!("INSERT INTO {table} VALUES ('{}', '2026-01-01 00:00:0{second}Z', {value})", tag.name)).await;
        }
    }
    for role in &ROLES {
        house.tag(&format!("CREATE ROLE {} LOGIN", role.name)).await;
    }
    for grant in ROLES.iter().flat_map(|role| role.grants) {
        house.tag(grant).await;
    }
}

pub fn a_fleet() -> House {
    const BY_TAG: DistributionRule = DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: 8, day_us: 86_400_000_000 };
    House::fleet(|world, dir, catalog| nodes::fleet(world, dir, catalog, BY_TAG, 3).0)
}

/// First columns.
fn names(rows: Result<Vec<String>, String>) -> Result<BTreeSet<String>, String> {
    let first = |row: String| row.split(['|', '\t']).next().unwrap_or_default().to_owned();
    rows.map(|rows| rows.into_iter().map(first).collect())
}

fn text(value: &str) -> ScalarValue {
    ScalarValue::Utf8(Some(value.to_owned()))
}

fn list(values: &[ScalarValue]) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(values, &values[0].data_type()))
}

fn moment() -> ScalarValue {
    ScalarValue::TimestampMicrosecond(Some(1_767_225_700_000_000), Some("UTC".into()))
}

/// Every way to read a table as a whole.
fn whole_reads(table: &str) -> Vec<String> {
    let name = if table == "tags" { "name" } else { "tag" };
    let mut out = vec![
        format!("SELECT {name} FROM {table}"),
        format!("SELECT {name}, count(*) FROM public.{table} GROUP BY {name}"),
        format!("WITH w AS (SELECT {name} AS n FROM {table}) SELECT n FROM w ORDER BY n"),
        format!("SELECT n FROM (SELECT {name} AS n FROM {table} UNION SELECT {name} FROM {table}) u"),
        format!("SELECT {name} FROM {table} WHERE {name} LIKE '%' AND upper({name}) <> 'x'"),
        format!("SELECT {name} FROM {table} WHERE {name} IN (SELECT {name} FROM {table})"),
        format!("COPY (SELECT {name} FROM {table}) TO STDOUT"),
        format!("COPY {table} TO STDOUT"),
        // An expression that fails for what may not be seen must not be computed of it.
        format!("SELECT {name} FROM {table} WHERE 1 / (CASE WHEN {name} = 'nothing of that name' THEN 0 ELSE 1 END) = 1"),
    ];
    if table != "tags" {
        out.push(format!("SELECT s.tag FROM {table} s JOIN (SELECT tag FROM {table}) o ON s.tag = o.tag"));
        out.push(format!("SELECT tag FROM {table} WHERE tag IN ({})", all_quoted()));
        out.push(format!("SELECT tag FROM {table} WHERE tag ~ '.' AND tag = ANY (ARRAY[{}])", all_quoted()));
    }
    if ["samples", "integers", "events"].contains(&table) {
        out.push(format!("SELECT tag, time FROM {table} WHERE tag IN ({}) ORDER BY time DESC LIMIT 999", all_quoted()));
        out.push(format!("SELECT tag, count(*), max(time) FROM {table} WHERE tag IN ({}) GROUP BY 1 ORDER BY 1", all_quoted()));
    }
    if ["samples", "integers"].contains(&table) {
        out.push(format!(
            "SELECT tag, min(value), first(value, time), date_bin(INTERVAL '1 day', time) AS d FROM {table} GROUP BY tag, d"
        ));
        out.push(format!("SELECT tag FROM {table} WHERE time >= '2026-01-01' GROUP BY tag HAVING count(*) = 2"));
        out.push(format!("SELECT tag FROM {table} ORDER BY time DESC LIMIT 1000"));
    }
    out
}

fn all_quoted() -> String {
    TAGS.iter().map(|tag| format!("'{}'", tag.name)).collect::<Vec<_>>().join(", ")
}

/// The tags that point questions about each tag find.
async fn points(session: &Arc<Session>, sql: &str, params: usize) -> Result<BTreeSet<String>, String> {
    let mut found = BTreeSet::new();
    for tag in &TAGS {
        let all = [text(tag.name), moment()];
        found.extend(names(ask(session, sql, all[..params].to_vec()).await)?);
    }
    Ok(found)
}

async fn reads_are_as_the_model_says(house: &House, role: &RoleModel) {
    let session = session(house, role.name);
    let expected = |seen: Option<BTreeSet<String>>| seen.ok_or_else(|| "42501".to_owned());
    for table in ["samples", "integers", "events", "latest", "tags"] {
        let seen = expected(role.sees(table));
        for sql in whole_reads(table) {
            assert_eq!(names(ask(&session, &sql, Vec::new()).await), seen, "{}: {sql}", role.name);
        }
        let count = ask(&session, &format!("SELECT count(*) FROM {table}"), Vec::new()).await;
        let rows = if ["latest", "tags"].contains(&table) { 1 } else { 2 };
        assert_eq!(count, seen.clone().map(|seen| vec![(seen.len() * rows).to_string()]), "{}: count of {table}", role.name);
        let plan = ask(&session, &format!("EXPLAIN SELECT count(*) FROM {table}"), Vec::new()).await;
        match (&seen, plan) {
            (Err(_), plan) => assert_eq!(plan.map(|_| ()), Err("42501".to_owned())),
            (Ok(seen), plan) => {
                let plan = plan.unwrap().join("\n");
                // How many tags there are is not told to whom may not see them all.
                let shown = plan.split("tags=").skip(1).map(|rest| rest.split([',', '\n']).next().unwrap_or_default());
                let all = TAGS.iter().filter(|tag| model::holds(table, tag)).count();
                let told = shown.clone().any(|shown| shown.ends_with(&format!(" of {}", TAGS.len())));
                assert!(seen.len() == all || !told, "{}: {plan}", role.name);
            }
        }
    }
    for table in ["samples", "integers", "events"] {
        for sql in [
            format!("SELECT tag FROM {table} WHERE tag = $1 AND time <= $2 ORDER BY time DESC LIMIT 1"),
            format!("SELECT tag FROM {table} WHERE tag = $1 AND time <= $2 ORDER BY time LIMIT 5"),
            format!("SELECT tag FROM {table} WHERE tag = $1 AND time >= '2026-01-01' AND time < $2"),
            format!("SELECT tag FROM {table} WHERE tag IN ($1, 'nothing of that name') AND time < $2 ORDER BY tag LIMIT 9"),
        ] {
            assert_eq!(points(&session, &sql, 2).await, expected(role.sees(table)), "{}: {sql}", role.name);
        }
    }
    let latest = expected(role.sees("latest"));
    assert_eq!(points(&session, "SELECT tag FROM latest WHERE tag = $1", 1).await, latest, "{}", role.name);
    let all: Vec<ScalarValue> = TAGS.iter().map(|tag| text(tag.name)).collect();
    let many = ask(&session, "SELECT tag FROM latest WHERE tag = ANY ($1)", vec![list(&all)]).await;
    assert_eq!(names(many), latest, "{}", role.name);
    let values = expected(role.sees_values());
    let times = vec![moment(); TAGS.len()];
    let bulk = ask(&session, "SELECT tag, time FROM values_at($1, $2)", vec![list(&all), list(&times)]).await;
    let found = |rows: Result<Vec<String>, String>| {
        names(rows.map(|rows| rows.into_iter().filter(|row| !row.ends_with("NULL")).collect()))
    };
    assert_eq!(found(bulk), values, "{}: values_at", role.name);
    let at = vec!["'2026-01-02 00:00Z'::timestamptz"; TAGS.len()].join(", ");
    let planned = format!("SELECT v.tag, v.time FROM values_at(ARRAY[{}], ARRAY[{at}]) v WHERE 1 = 1", all_quoted());
    assert_eq!(found(ask(&session, &planned, Vec::new()).await), values, "{}: {planned}", role.name);
    tags_tell_no_more(&session, role).await;
}

/// Labels, joins with `tags`, and what there is.
async fn tags_tell_no_more(session: &Arc<Session>, role: &RoleModel) {
    for tag in &TAGS {
        let label = ask(session, "SELECT label($1, 'site')", vec![text(tag.name)]).await.unwrap();
        let known = tag.site.filter(|_| role.reaches("tags", 'r', tag)).unwrap_or("NULL");
        assert_eq!(label, [known], "{}: label of {}", role.name, tag.name);
    }
    let by_label = "SELECT DISTINCT tag FROM samples WHERE label(tag, 'site') = 'north'";
    let north = |tag: &&model::Tag| tag.site == Some("north") && model::holds("samples", tag) && role.reaches("tags", 'r', tag);
    let found = role
        .sees("samples")
        .map(|seen| TAGS.iter().filter(north).map(|tag| tag.name.to_owned()).filter(|name| seen.contains(name)).collect());
    assert_eq!(names(ask(session, by_label, Vec::new()).await), found.ok_or_else(|| "42501".to_owned()), "{}", role.name);
    let joined = "SELECT DISTINCT s.tag FROM samples s JOIN tags t ON t.name = s.tag
        WHERE 10 / (CASE WHEN t.name = 'secret' THEN 1 ELSE 2 END) > 1 AND t.kind <> 'none'";
    let both = match (role.sees("samples"), role.sees("tags")) {
        (Some(samples), Some(tags)) => Ok(samples.intersection(&tags).cloned().collect::<BTreeSet<_>>()),
        _ => Err("42501".to_owned()),
    };
    assert_eq!(names(ask(session, joined, Vec::new()).await), both, "{}", role.name);
    let listed =
        ask(session, "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1", Vec::new())
            .await;
    let known: Vec<&str> = ["events", "integers", "latest", "samples", "tags"]
        .into_iter()
        .filter(|table| "rawd".chars().any(|letter| role.touches(table, letter)))
        .collect();
    assert_eq!(listed.unwrap(), known, "{}", role.name);
    for table in ["samples", "integers", "events", "latest", "tags"] {
        for (letter, privilege) in [('r', "SELECT"), ('a', "INSERT"), ('w', "UPDATE"), ('d', "DELETE")] {
            let sql = format!("SELECT has_table_privilege('{table}', '{privilege}')");
            assert_eq!(
                ask(session, &sql, Vec::new()).await.unwrap(),
                [role.touches(table, letter).to_string()],
                "{}: {sql}",
                role.name
            );
        }
    }
    for sql in ["SELECT * FROM meridian.slices", "SELECT count(*) FROM meridian.queries", "SELECT meridian_flush()", "CHECKPOINT"]
    {
        assert_eq!(ask(session, sql, Vec::new()).await, Err("42501".to_owned()), "{}: {sql}", role.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_reads_what_it_may_and_nothing_else() {
    let house = House::empty();
    furnish(&house).await;
    // From buffers, then from files with their statistics.
    for round in 0..2 {
        for role in &ROLES {
            reads_are_as_the_model_says(&house, role).await;
        }
        if round == 0 {
            house.rows("SELECT meridian_flush()").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_reads_from_a_fleet_what_it_may_and_nothing_else() {
    let house = a_fleet();
    furnish(&house).await;
    for role in &ROLES {
        reads_are_as_the_model_says(&house, role).await;
    }
}
