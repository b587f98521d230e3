//! Writes of each role, against the model.

use super::model::{ROLES, RoleModel, TAGS, Tag, holds};
use super::{a_fleet, ask, furnish, session};
use crate::fixture::House;
use query::{Outcome, Session};
use std::sync::Arc;

/// What a write of a tag's sample must give.
fn expected(role: &RoleModel, table: &str, tag: &Tag) -> Result<(), String> {
    if !role.reaches(table, 'a', tag) {
        return Err("42501".to_owned());
    }
    if holds(table, tag) { Ok(()) } else { Err("42804".to_owned()) }
}

/// COPY of one line.
async fn copied(session: &Arc<Session>, sql: &str, line: &str) -> Result<(), String> {
    let state = |error: query::Error| error.sqlstate().to_owned();
    let prepared = session.prepare(sql, &[]).await.map_err(state)?;
    let Outcome::CopyIn(mut copy) = prepared.execute(Vec::new()).await.map_err(state)? else { panic!("{sql} takes no data") };
    copy.push(line.as_bytes()).await.map_err(state)?;
    copy.finish().await.map(drop).map_err(state)
}

async fn writes_are_as_the_model_says(house: &House, role: &RoleModel) {
    let own = session(house, role.name);
    let done = |answer: Result<Vec<String>, String>| answer.map(drop);
    for table in ["samples", "integers", "events"] {
        let value = if table == "events" { "'y'" } else { "8" };
        for tag in &TAGS {
            let expect = expected(role, table, tag);
            for sql in [
                format!("INSERT INTO {table} VALUES ('{}', '2026-02-01 00:00Z', {value})", tag.name),
                format!("INSERT INTO {table} SELECT '{}', '2026-02-01 00:00Z'::timestamptz, {value}", tag.name),
            ] {
                assert_eq!(done(ask(&own, &sql, Vec::new()).await), expect, "{}: {sql}", role.name);
            }
            let line = format!("{}\t2026-02-01 00:00Z\t8\t192\n", tag.name);
            let copied = copied(&own, &format!("COPY {table} FROM STDIN"), &line).await;
            assert_eq!(copied, expect, "{}: COPY {table} of {}", role.name, tag.name);
        }
        // One row that may not be written, and nothing is.
        let mixed = format!(
            "INSERT INTO {table} SELECT n, '2026-02-03 00:00Z'::timestamptz, {value} FROM unnest(ARRAY['plant.a', 'secret']) AS t(n)"
        );
        if !role.touches(table, 'a') || !TAGS.iter().all(|tag| role.reaches(table, 'a', tag)) {
            assert!(ask(&own, &mixed, Vec::new()).await.is_err(), "{}: {mixed}", role.name);
        }
        // Of a tag that is not there it is told as of one that may not be written, unless its name is the role's to write.
        for (name, by_name) in [("plant.none", ["plant", "both"].contains(&role.name)), ("none", false)] {
            let sql = format!("INSERT INTO {table} VALUES ('{name}', now(), {value})");
            let whole = role.reaches(table, 'a', &TAGS[7]);
            let expect = if whole || (by_name && role.touches(table, 'a')) { "23503" } else { "42501" };
            assert_eq!(ask(&own, &sql, Vec::new()).await, Err(expect.to_owned()), "{}: {sql}", role.name);
        }
    }
    house.tag("DELETE FROM samples WHERE time >= '2026-02-01'").await;
    house.tag("DELETE FROM events WHERE time >= '2026-02-01'").await;
    deletes_are_as_the_model_says(house, role, &own).await;
    tags_change_as_the_model_says(house, role, &own).await;
}

async fn deletes_are_as_the_model_says(house: &House, role: &RoleModel, own: &Arc<Session>) {
    for table in ["samples", "events"] {
        let value = if table == "events" { "'z'" } else { "9" };
        for tag in TAGS.iter().filter(|tag| holds(table, tag)) {
            for condition in ["time = '2026-03-01 00:00Z'", "time = '2026-03-01 00:00Z' AND quality + 0 = 192"] {
                house.tag(&format!("INSERT INTO {table} VALUES ('{}', '2026-03-01 00:00Z', {value})", tag.name)).await;
                let sql = format!("DELETE FROM {table} WHERE tag = '{}' AND {condition}", tag.name);
                let expect = match (role.touches(table, 'd') && role.touches(table, 'r'), role.reaches(table, 'r', tag)) {
                    (false, _) => Err("42501".to_owned()),
                    // As by row level security: there is no such row.
                    (true, false) => Ok(vec!["DELETE 0".to_owned()]),
                    (true, true) if role.reaches(table, 'd', tag) => Ok(vec!["DELETE 1".to_owned()]),
                    (true, true) => Err("42501".to_owned()),
                };
                assert_eq!(ask(own, &sql, Vec::new()).await, expect, "{}: {sql}", role.name);
                let left = house.rows(&format!("SELECT count(*) FROM {table} WHERE tag = '{}' AND {condition}", tag.name)).await;
                let gone = expect == Ok(vec!["DELETE 1".to_owned()]);
                assert_eq!(left, [if gone { "0" } else { "1" }], "{}: {sql}", role.name);
            }
        }
        // All that may be seen, where not all of it may be deleted.
        let all = ask(own, &format!("DELETE FROM {table} WHERE time = '2026-03-01 00:00Z'"), Vec::new()).await;
        let seen: Vec<&Tag> = TAGS.iter().filter(|tag| holds(table, tag) && role.reaches(table, 'r', tag)).collect();
        let may = role.touches(table, 'd') && role.touches(table, 'r');
        let whole = seen.iter().all(|tag| role.reaches(table, 'd', tag));
        assert_eq!(all.is_ok(), may && whole, "{}: {all:?}", role.name);
        house.tag(&format!("DELETE FROM {table} WHERE time = '2026-03-01 00:00Z'")).await;
    }
}

async fn tags_change_as_the_model_says(house: &House, role: &RoleModel, own: &Arc<Session>) {
    for tag in &TAGS {
        let sql = format!("UPDATE tags SET unit = 'V' WHERE name = '{}'", tag.name);
        let expect = match (role.touches("tags", 'w') && role.touches("tags", 'r'), role.reaches("tags", 'r', tag)) {
            (false, _) => Err("42501".to_owned()),
            (true, false) => Ok(vec!["UPDATE 0".to_owned()]),
            (true, true) if role.reaches("tags", 'w', tag) => Ok(vec!["UPDATE 1".to_owned()]),
            (true, true) => Err("42501".to_owned()),
        };
        assert_eq!(ask(own, &sql, Vec::new()).await, expect, "{}: {sql}", role.name);
        // Out of the group.
        let out = format!("UPDATE tags SET name = 'away.{0}' WHERE name = '{0}'", tag.name);
        if role.reaches("tags", 'w', tag) {
            assert_eq!(ask(own, &out, Vec::new()).await, Err("42501".to_owned()), "{}: {out}", role.name);
        }
        let delete = format!("DELETE FROM tags WHERE name = '{}'", tag.name);
        assert_eq!(ask(own, &delete, Vec::new()).await, Err("42501".to_owned()), "{}: {delete}", role.name);
    }
    for new in [
        Tag { name: "plant.new", kind: "f64", site: None },
        Tag { name: "new", kind: "f64", site: Some("north") },
        Tag { name: "new", kind: "f64", site: Some("south") },
    ] {
        let labels = new.site.map_or_else(|| "{}".to_owned(), |site| format!("{{\"site\":\"{site}\"}}"));
        let expect = if role.reaches("tags", 'a', &new) { Ok(()) } else { Err("42501".to_owned()) };
        let sql = format!("INSERT INTO tags (name, kind, labels) VALUES ('{}', 'f64', '{labels}')", new.name);
        assert_eq!(ask(own, &sql, Vec::new()).await.map(drop), expect, "{}: {sql}", role.name);
        house.tag(&format!("DELETE FROM tags WHERE name = '{}'", new.name)).await;
        let line = format!("{}\tf64\t{labels}\n", new.name);
        assert_eq!(copied(own, "COPY tags (name, kind, labels) FROM STDIN", &line).await, expect, "{}: COPY {line}", role.name);
        house.tag(&format!("DELETE FROM tags WHERE name = '{}'", new.name)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_writes_what_it_may_and_nothing_else() {
    let house = House::empty();
    furnish(&house).await;
    for role in &ROLES {
        writes_are_as_the_model_says(&house, role).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_writes_to_a_fleet_what_it_may_and_nothing_else() {
    let house = a_fleet();
    furnish(&house).await;
    for role in &ROLES {
        writes_are_as_the_model_says(&house, role).await;
    }
}
