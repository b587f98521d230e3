//! SQL over several nodes answers as one node does, whatever the statement; a node that moved its slices, or dies, is
//! gone round before the first row and named after it.

pub mod nodes;
pub mod questions;
mod random;

use crate::fixture::House;
use nodes::Router;
use query::Outcome;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use types::{DistributionRule, SliceId};

/// One node, and a fleet with the same tags.
struct Two {
    lone: House,
    fleet: House,
    router: Arc<Router>,
}

const BY_TAG: DistributionRule = DistributionRule { w1: 1, b1: 1, w2: 0, b2: 1, buckets: 8, day_us: 86_400_000_000 };
const BY_DAY: DistributionRule = DistributionRule { w2: 1, ..BY_TAG };

impl Two {
    fn of(rule: DistributionRule) -> Two {
        let lone = House::made(None, kernel::Settings { rule, ..kernel::Settings::default() }, |_| {});
        let mut router = None;
        let fleet = House::fleet(|world, dir, catalog| {
            let (engine, made) = nodes::fleet(world, dir, catalog, rule, 3);
            router = Some(made);
            engine
        });
        Two { lone, fleet, router: router.unwrap() }
    }

    async fn both(&self, sql: &str) {
        let (one, many) = (self.lone.tag(sql).await, self.fleet.tag(sql).await);
        assert_eq!(one, many, "{sql}");
    }

    async fn furnished(rule: DistributionRule) -> Two {
        let two = Two::of(rule);
        for sql in questions::FURNITURE {
            two.both(sql).await;
        }
        two
    }

    /// The same rows, in the same order where the statement says one; or the same error.
    async fn same(&self, sql: &str) {
        let (one, many) = (self.lone.try_rows(sql, Vec::new()).await, self.fleet.try_rows(sql, Vec::new()).await);
        match (one, many) {
            (Ok(mut one), Ok(mut many)) => {
                if !says_order(sql) {
                    one.sort();
                    many.sort();
                }
                assert_eq!(many, one, "{sql}");
            }
            (Err(one), Err(many)) => assert_eq!((many.sqlstate(), many.message()), (one.sqlstate(), one.message()), "{sql}"),
            (one, many) => panic!("{sql}: {one:?} on one node, {many:?} on many"),
        }
    }
}

/// Whether the statement itself says an order, not only a part of it in parentheses.
pub fn says_order(sql: &str) -> bool {
    let mut depth = 0_i32;
    let outside = sql.chars().filter(|c| {
        depth += i32::from(*c == '(') - i32::from(*c == ')');
        depth == 0
    });
    outside.collect::<String>().contains("ORDER BY")
}

async fn random_ones_the_same(rule: DistributionRule, seeds: std::ops::Range<u64>) {
    let two = Two::furnished(rule).await;
    for seed in seeds {
        let sql = random::statement(&mut random::Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15)));
        let answers = [two.lone.try_rows(&sql, Vec::new()).await, two.fleet.try_rows(&sql, Vec::new()).await];
        let [one, many] = answers.map(|answer| {
            let mut rows = answer.map_err(|error| format!("{} {}", error.sqlstate(), error.message()))?;
            rows.sort();
            Ok::<_, String>(rows)
        });
        // Which of several errors comes first may differ.
        let same = one == many || matches!((&one, &many), (Err(one), Err(many)) if one[..5] == many[..5]);
        assert!(same, "seed {seed}: {sql}: {one:?} on one node, {many:?} on many");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_answer_random_statements_as_one() {
    let from = std::env::var("MERIDIAN_TEST_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    random_ones_the_same(BY_TAG, from..from + 120).await;
    random_ones_the_same(BY_DAY, from + 120..from + 170).await;
}

async fn all_the_same(rule: DistributionRule) {
    let two = Two::furnished(rule).await;
    let all = questions::all();
    assert!(all.len() > 300, "{}", all.len());
    for round in 0..2 {
        // What is deleted and merged is asked of a third of them.
        for sql in all.iter().step_by(1 + 2 * round) {
            two.same(sql).await;
        }
        if round == 0 {
            two.both("DELETE FROM samples WHERE tag = 'b' AND time >= '2026-01-02' AND time < '2026-01-03'").await;
            two.both("DELETE FROM samples WHERE value > 400 AND value < 420").await;
            two.both("DELETE FROM tags WHERE name = 'gone'").await;
            for house in [&two.lone, &two.fleet] {
                assert_eq!(house.rows("SELECT meridian_flush()").await, ["true"]);
                assert_eq!(house.rows("SELECT meridian_merge()").await, ["true"]);
            }
        }
    }
    assert!(two.router.nodes.iter().all(|node| node.asked.load(Ordering::Relaxed) > 100), "every node was asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_answer_as_one() {
    all_the_same(BY_TAG).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_nodes_answer_as_one_by_day() {
    all_the_same(BY_DAY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_tells_which_nodes_and_why_not_others() {
    let two = Two::furnished(BY_TAG).await;
    let plan = async |sql: &str| two.fleet.rows(&format!("EXPLAIN {sql}")).await.join("\n");
    let has = |shown: &str, parts: &[&str]| parts.iter().for_each(|part| assert!(shown.contains(part), "{part} in\n{shown}"));
    let one = plan("SELECT value + 1 FROM samples WHERE tag = 'a'").await;
    has(&one, &["slices=1 of 8", "nodes=1 [node-0: 0]", "others hold no slice", "NetworkCoalesceExec"]);
    let all = plan("SELECT count(*) FROM samples WHERE value > 3").await;
    has(&all, &["slices=8 of 8", "nodes=3 [node-0: 0 3 6; node-1: 1 4 7; node-2: 2 5]", "mode=Partial"]);
    // What is beneath the network is what nodes do.
    let beneath = |shown: &str, part: &str| shown.find(part).unwrap() > shown.find("NetworkCoalesceExec").unwrap();
    assert!(beneath(&all, "mode=Partial") && beneath(&all, "FilterExec"), "{all}");
    let by_tag = plan("SELECT tag, stddev(value) FROM samples GROUP BY tag").await;
    assert!(beneath(&by_tag, "mode=Partial") && !beneath(&by_tag, "Names"), "{by_tag}");
    let top = plan("SELECT tag, value FROM samples ORDER BY value DESC LIMIT 3").await;
    assert!(beneath(&top, "SortExec: TopK(fetch=3)"), "{top}");
    let newest = plan("SELECT tag, time FROM samples ORDER BY time DESC LIMIT 3").await;
    has(&newest, &["newest=3"]);
    let read = two.fleet.count("rows_decoded", "SELECT sum(value + 1) FROM samples").await;
    let rows: u64 = two.fleet.rows("SELECT count(*) FROM samples").await[0].parse().unwrap();
    assert!(read <= rows, "{read} of {rows}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_says_how_fresh_it_reads() {
    let two = Two::furnished(BY_TAG).await;
    assert_eq!(two.fleet.rows("SHOW read_consistency").await, ["primary"]);
    two.fleet.tag("SET read_consistency = session").await;
    two.same("SELECT count(*) FROM samples").await;
    two.fleet.tag("SET read_consistency = bounded(250)").await;
    assert_eq!(two.fleet.rows("SHOW read_consistency").await, ["bounded(250)"]);
    two.fleet.tag("SET read_consistency TO 'any'").await;
    assert_eq!(two.fleet.error("SET read_consistency = strong").await.sqlstate(), "22023");
    assert_eq!(two.lone.tag("SET read_consistency = any").await, "SET");
}

#[tokio::test(flavor = "multi_thread")]
async fn slices_that_moved_are_looked_up_again() {
    let two = Two::furnished(BY_TAG).await;
    for slice in 0..8 {
        two.router.switch(SliceId(slice));
    }
    two.same("SELECT tag, count(*), sum(value) FROM samples GROUP BY tag ORDER BY tag").await;
    assert_eq!(two.router.refreshed.load(Ordering::Relaxed), 1);
    assert_eq!(two.fleet.session.take_notices().len(), 0, "nobody is told of what only took longer");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_one_node_wait_for_what_others_say() {
    let two = large().await;
    let count: usize = two.fleet.rows("SELECT count(*) FROM samples").await[0].parse().unwrap();
    two.router.switch(SliceId(1));
    two.router.nodes[1].held_back.send_replace(true);
    let mut asked = std::pin::pin!(two.fleet.run("SELECT tag, time, value FROM samples", Vec::new()));
    // The other nodes have far more to give than is held here.
    let early = tokio::time::timeout(Duration::from_secs(1), &mut asked).await;
    assert!(early.is_err(), "rows left before a node said that a slice is not its own any more");
    two.router.nodes[1].held_back.send_replace(false);
    let Ok(Outcome::Rows(mut rows)) = asked.await else { panic!("a query gives rows") };
    // What changes hands from here on is none of its business.
    (0..8).for_each(|slice| two.router.switch(SliceId(slice)));
    assert_eq!(counted(&mut rows).await, count);
    assert_eq!(two.router.refreshed.load(Ordering::Relaxed), 1);
}

async fn counted(rows: &mut query::Rows) -> usize {
    use futures::StreamExt;
    let mut count = 0;
    while let Some(batch) = rows.batches.next().await {
        count += batch.unwrap().num_rows();
    }
    count
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slice_that_nobody_leads_is_waited_for() {
    let two = Two::furnished(BY_TAG).await;
    two.router.unlead(SliceId(3), 4);
    two.same("SELECT tag, count(*) FROM samples GROUP BY tag ORDER BY tag").await;
    assert_eq!(two.router.refreshed.load(Ordering::Relaxed), 4);
    two.router.unlead(SliceId(3), usize::MAX);
    let error = two.fleet.error("SELECT count(*) FROM samples").await;
    assert_eq!((error.sqlstate(), error.may_retry()), ("57P03", true), "patience ends: {error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_died_is_gone_round() {
    let two = Two::furnished(BY_TAG).await;
    two.same("SELECT count(*) FROM samples").await;
    two.router.nodes[1].kill();
    for sql in ["SELECT tag, count(*), max(value) FROM samples GROUP BY tag ORDER BY tag", "SELECT * FROM events"] {
        two.same(sql).await;
        let notices = two.fleet.session.take_notices();
        assert_eq!(notices.len(), 1, "{notices:?}");
        assert!(notices[0].message.contains(&two.router.nodes[1].url), "{notices:?}");
    }
    two.router.nodes[2].kill();
    let error = two.fleet.error("SELECT count(*) FROM samples").await;
    assert_eq!((error.sqlstate(), error.may_retry()), ("57P03", true), "{error:?}");
}

async fn large() -> Two {
    let two = Two::furnished(BY_TAG).await;
    two.fleet
        .tag("INSERT INTO samples (tag, time, value) SELECT substr('abcdfgh', 1 + CAST(t AS int), 1), to_timestamp(1600000000 + n), n * 7919 % 1000003 FROM generate_series(0, 6) AS a(t), generate_series(0, 149999) AS b(n)")
        .await;
    two
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_after_the_first_row_is_an_error() {
    use futures::StreamExt;
    let two = large().await;
    let Ok(Outcome::Rows(mut rows)) = two.fleet.run("SELECT tag, time, value FROM samples", Vec::new()).await else {
        panic!("a query gives rows")
    };
    rows.batches.next().await.unwrap().unwrap();
    two.router.nodes.iter().for_each(|node| node.kill());
    let mut end = None;
    while let Some(batch) = rows.batches.next().await {
        end = batch.err();
    }
    let error = end.unwrap();
    assert_eq!((error.sqlstate(), error.may_retry()), ("08006", true), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_cancelled_ends_on_every_node() {
    use futures::StreamExt;
    let two = large().await;
    let idle: Vec<usize> = two.router.nodes.iter().map(|node| node.tasks()).collect();
    let Ok(Outcome::Rows(mut rows)) = two.fleet.run("SELECT tag, time, value FROM samples", Vec::new()).await else {
        panic!("a query gives rows")
    };
    rows.batches.next().await.unwrap().unwrap();
    assert!(two.router.nodes.iter().zip(&idle).any(|(node, idle)| node.tasks() > *idle), "nodes are at work");
    assert!(two.fleet.session.cancel());
    let error = loop {
        if let Err(error) = rows.batches.next().await.unwrap() {
            break error;
        }
    };
    assert_eq!(error.sqlstate(), "57014");
    drop(rows);
    let quiet = async {
        while two.router.nodes.iter().zip(&idle).any(|(node, idle)| node.tasks() > *idle + 4) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), quiet).await.unwrap();
}
