//! Retention policies: which rows go, and when, against a plain model; who may make them; what they refuse; what is heeded.

mod model;

use crate::access::{ask, session};
use crate::fixture::House;
use parking_lot::Mutex;
use query::{Error, Kept, RecordChange, Roles, SessionSettings, run_retention};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use types::DistributionRule;
use world::{Clock, SimulatedClock};

const DAY_US: i64 = 86_400_000_000;
/// The first moment of 2026-06-01.
const BEGIN_US: i64 = 1_780_272_000_000_000;

/// A database whose policies go by a clock of the test's, at noon of 2026-06-01.
fn house() -> (House, Arc<SimulatedClock>) {
    house_of(None)
}

/// The same, with the setting `retention` in hours.
fn house_of(hours: Option<u64>) -> (House, Arc<SimulatedClock>) {
    let clock = Arc::new(SimulatedClock::new(BEGIN_US + DAY_US / 2));
    let of_engine = Arc::clone(&clock);
    let rule = DistributionRule { b1: 2, buckets: 3, ..DistributionRule::default() };
    let retention = hours.map(|hours| Duration::from_secs(hours * 3600));
    let kernel = kernel::Settings { rule, retention, retention_told_only: true, ..kernel::Settings::default() };
    let house = House::made(None, kernel, |settings| settings.clock = of_engine);
    (house, clock)
}

/// Two tags of each of two sites, and a text tag of each, with a row at noon of each of the 30 days before 2026-06-01.
async fn furnish(house: &House) {
    house
        .tag(
            "INSERT INTO tags (name, kind, labels) SELECT site || '.' || kind || n, kind, ('{\"site\": \"' || site || '\"}')
             FROM (VALUES ('north'), ('south')) AS s(site), (VALUES ('f64', 1), ('i64', 2), ('text', 3)) AS k(kind, n)",
        )
        .await;
    let days = "generate_series(1, 30) AS d(day)";
    let at = "TIMESTAMPTZ '2026-06-01 12:00Z' - day * INTERVAL '1 day'";
    house
        .tag(&format!("INSERT INTO samples (tag, time, value) SELECT name, {at}, day FROM tags, {days} WHERE kind <> 'text'"))
        .await;
    house
        .tag(&format!("INSERT INTO events (tag, time, text) SELECT name, {at}, 'x' FROM tags, {days} WHERE kind = 'text'"))
        .await;
}

/// How many rows there are of each tag, from the oldest day on.
async fn held(house: &House) -> Vec<String> {
    house
        .rows(
            "SELECT tag || ' ' || count(*) || ' ' || min(time)::date FROM (SELECT tag, time FROM samples UNION ALL SELECT tag, time FROM events) AS a
             GROUP BY tag ORDER BY tag",
        )
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_of_tags_is_kept_as_long_as_its_policy_says() {
    let (house, clock) = house();
    furnish(&house).await;
    let all = [
        "north.f641 30 2026-05-02",
        "north.i642 30 2026-05-02",
        "north.text3 30 2026-05-02",
        "south.f641 30 2026-05-02",
        "south.i642 30 2026-05-02",
        "south.text3 30 2026-05-02",
    ];
    assert_eq!(held(&house).await, all);
    let would = house.rows("SELECT meridian_retention_preview('labels[''site''] = ''north''', '10 days')").await;
    assert_eq!(
        would,
        ["60 rows of 3 tags would go, the oldest of 2026-05-02 12:00:00+00, all from before 2026-05-22 00:00:00+00"]
    );
    let made = "CREATE RETENTION POLICY north ON TAGS WHERE (labels['site'] = 'north') KEEP '10 days'";
    assert_eq!(house.tag(made).await, "CREATE RETENTION POLICY");
    assert_eq!(house.rows("SELECT meridian_retention('north', true)").await, would);
    assert_eq!(held(&house).await, all, "only a run removes");
    run_retention(&house.engine).await.unwrap();
    let kept = "10 2026-05-22";
    let mut expect = all.map(str::to_owned);
    for (tag, name) in ["north.f641", "north.i642", "north.text3"].into_iter().enumerate() {
        expect[tag] = format!("{name} {kept}");
    }
    assert_eq!(held(&house).await, expect);
    assert_eq!(house.rows("SELECT count(*) FROM latest").await, ["6"], "the newest are there");
    let shown =
        "SELECT name, tags, rows, keep, matching_tags, created, creator, rows_removed, removed_before, last_removal, next_removal
                 FROM meridian.retention";
    let noon = "2026-06-01T12:00:00Z";
    assert_eq!(
        house.rows(shown).await,
        [format!(
            "north|labels['site'] = 'north'|NULL|10 days|3|{noon}|meridian|60|2026-05-22T00:00:00Z|{noon}|2026-06-02T00:00:00Z"
        )]
    );
    // Until midnight nothing more goes, then a day's.
    clock.advance(Duration::from_secs(12 * 3600 - 1));
    run_retention(&house.engine).await.unwrap();
    assert_eq!(held(&house).await, expect);
    clock.advance(Duration::from_secs(1));
    assert_eq!(
        house.rows("SELECT meridian_retention('north')").await,
        ["3 rows of 3 tags are removed, the oldest of 2026-05-22 12:00:00+00, all from before 2026-05-23 00:00:00+00"]
    );
    assert_eq!(house.rows("SELECT rows_removed FROM meridian.retention").await, ["63"]);
    // What comes late is taken, and goes with the next run; a tag that is made later is of the group too.
    house.tag("INSERT INTO tags (name, labels) VALUES ('later', '{\"site\": \"north\"}')").await;
    house
        .tag("INSERT INTO samples VALUES ('later', '2020-01-01', 1), ('later', '2026-06-01', 2), ('north.f641', '2020-01-01', 1)")
        .await;
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time < '2021-01-01'").await, ["2"]);
    run_retention(&house.engine).await.unwrap();
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time < '2026-05-01'").await, ["0"]);
    assert_eq!(house.rows("SELECT value FROM samples WHERE tag = 'later'").await, ["2.0"]);
    // A tag that leaves the group before its rows go keeps them.
    house.tag("UPDATE tags SET labels = '{}' WHERE name = 'later'").await;
    clock.advance(Duration::from_secs(400 * 86_400));
    run_retention(&house.engine).await.unwrap();
    assert_eq!(
        house.rows("SELECT tag, count(*) FROM samples GROUP BY tag ORDER BY tag").await,
        ["later|1", "south.f641|30", "south.i642|30"]
    );
    assert_eq!(house.rows("SELECT count(*) FROM latest WHERE tag LIKE 'north.%'").await, ["0"], "no value is left of them");
    assert_eq!(house.tag("DROP RETENTION POLICY north").await, "DROP RETENTION POLICY");
    assert_eq!(house.rows("SELECT count(*) FROM meridian.retention").await, ["0"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_policies_the_longest_counts_for_a_tag() {
    let (house, _) = house();
    furnish(&house).await;
    for made in [
        "CREATE RETENTION POLICY short ON TAGS WHERE true KEEP '2 days'",
        "CREATE RETENTION POLICY long ON TAGS WHERE labels['site'] = 'south' KEEP '20 days'",
        "CREATE RETENTION POLICY texts ON TAGS WHERE name LIKE 'north.%' KEEP INTERVAL '1 week' FOR EVENTS",
        "CREATE RETENTION POLICY numbers ON TAGS WHERE name LIKE 'north.i%' KEEP '1 day' FOR SAMPLES",
    ] {
        house.tag(made).await;
    }
    assert_eq!(
        house.rows("SELECT name, rows, matching_tags FROM meridian.retention ORDER BY name").await,
        ["long|NULL|3", "numbers|samples|0", "short|NULL|2", "texts|events|1"]
    );
    run_retention(&house.engine).await.unwrap();
    assert_eq!(
        held(&house).await,
        [
            "north.f641 2 2026-05-30",
            "north.i642 2 2026-05-30",
            "north.text3 7 2026-05-25",
            "south.f641 20 2026-05-12",
            "south.i642 20 2026-05-12",
            "south.text3 20 2026-05-12",
        ]
    );
    house.tag("ALTER RETENTION POLICY long KEEP '1 day'").await;
    house.tag("ALTER RETENTION POLICY short RENAME TO rest").await;
    run_retention(&house.engine).await.unwrap();
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE tag LIKE 'south.%'").await, ["4"], "the one for all keeps them");
    assert_eq!(
        house.rows("SELECT name, rows_removed FROM meridian.retention ORDER BY name").await,
        ["long|30", "numbers|0", "rest|110", "texts|23"]
    );
}

/// Less than a file group is kept: its parts go by the hour.
#[tokio::test(flavor = "multi_thread")]
async fn less_than_a_file_group_goes_in_parts() {
    let (house, clock) = house();
    house.tag("INSERT INTO tags (name) VALUES ('a')").await;
    house.tag("INSERT INTO samples SELECT 'a', TIMESTAMPTZ '2026-06-01 00:30Z' + n * INTERVAL '1 hour', n FROM generate_series(0, 11) AS g(n)").await;
    house.tag("CREATE RETENTION POLICY p ON TAGS WHERE name = 'a' KEEP '90 minutes'").await;
    for (hours, expect) in [(0, "10.0"), (1, "11.0"), (1, "NULL")] {
        clock.advance(Duration::from_secs(hours * 3600));
        run_retention(&house.engine).await.unwrap();
        assert_eq!(house.rows("SELECT min(value) FROM samples").await, [expect]);
    }
}

/// A file group is written anew when it falls off, and no other is; one of which nothing is left goes as a whole.
#[tokio::test(flavor = "multi_thread")]
async fn each_file_group_is_rewritten_once() {
    let (house, clock) = house();
    furnish(&house).await;
    house.tag("VACUUM").await;
    house.tag("CREATE RETENTION POLICY north ON TAGS WHERE name LIKE 'north.%' KEEP '20 days'").await;
    house.tag("CREATE RETENTION POLICY south ON TAGS WHERE name LIKE 'south.%' KEEP '25 days'").await;
    let files = "SELECT slice || ' ' || path FROM meridian.files ORDER BY 1";
    let days = "SELECT count(DISTINCT first_time) FROM meridian.file_groups WHERE rows > 0";
    run_retention(&house.engine).await.unwrap();
    house.tag("VACUUM").await;
    assert_eq!(house.rows(days).await, ["25"], "the last 25 days");
    for day in 1..=5 {
        let before = house.rows(files).await;
        clock.advance(Duration::from_secs(86_400));
        // Many runs a day remove no more than one.
        for _ in 0..3 {
            run_retention(&house.engine).await.unwrap();
        }
        house.tag("VACUUM").await;
        let after = house.rows(files).await;
        assert_eq!(house.rows(days).await, [(25 - day).to_string()], "a day of both is gone as a whole");
        let anew = after.iter().filter(|file| !before.contains(file));
        let groups: BTreeSet<&str> = anew.filter_map(|file| file.split_once(' ')?.1.split('/').next()).collect();
        assert!(groups.len() <= 1, "day {day}: {groups:?} were written anew");
        let rows = house.rows("SELECT sum(rows) FROM meridian.files").await;
        let held = house.rows("SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM events)").await;
        assert_eq!(rows, held, "what is hidden is not there any more");
        assert_eq!(house.rows("SELECT sum(tombstones) FROM meridian.slices").await, ["0"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_be_as_it_says_is_refused() {
    let (house, _) = house_of(Some(30 * 24));
    for (sql, state, message) in [
        ("CREATE RETENTION POLICY p ON TAGS KEEP '1 day'", "42601", "syntax error at or near \"KEEP\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE KEEP '1 day'", "42601", "syntax error at or near \"KEEP\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true", "42601", "syntax error at or near \"true\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP 90", "42601", "syntax error at or near \"90\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '1 day' FOR tags", "42601", "syntax error at or near \"tags\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '1 day' x", "42601", "syntax error at or near \"x\""),
        ("CREATE RETENTION POLICY p ON samples KEEP '1 day'", "42601", "syntax error at or near \"ON\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE unit = 'bar' KEEP '1 day'", "0A000", "a condition on tags can't be"),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP 'long'", "22007", "invalid input syntax for type interval: \"long\""),
        ("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '0 days'", "22023", "samples can't be kept for \"0 days\""),
        ("ALTER RETENTION POLICY p KEEP '1 day'", "42704", "retention policy \"p\" does not exist"),
        ("ALTER RETENTION POLICY p SET x", "42601", "syntax error at or near \"SET\""),
        ("DROP RETENTION POLICY p", "42704", "retention policy \"p\" does not exist"),
        ("SELECT meridian_retention('p')", "42704", "retention policy \"p\" does not exist"),
        ("SELECT meridian_retention_preview('unit = 1', '1 day')", "0A000", "a condition on tags can't be"),
        ("CREATE ROLE \"pg_retention:p\"", "42939", "role name \"pg_retention:p\" is reserved"),
    ] {
        let error = house.error(sql).await;
        assert_eq!(error.sqlstate(), state, "{sql}: {error}");
        assert!(error.message().starts_with(message), "{sql}: {error}");
    }
    let made = "CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '30 days'";
    house.tag(made).await;
    assert_eq!(house.error(made).await.sqlstate(), "42710");
    house.tag(&made.replace("POLICY", "POLICY IF NOT EXISTS")).await;
    house.tag("ALTER RETENTION POLICY p KEEP '2 months'").await;
    house.tag("ALTER RETENTION POLICY IF EXISTS q KEEP '1 day'").await;
    house.tag("DROP RETENTION POLICY IF EXISTS q, r").await;
    // One name for another, as one change.
    for sql in [
        "BEGIN",
        "DROP RETENTION POLICY p",
        "CREATE RETENTION POLICY p ON TAGS WHERE name = 'keep' KEEP '1 day'",
        "CREATE RETENTION POLICY q ON TAGS WHERE true KEEP '2 days'",
        "COMMIT",
        "BEGIN",
        "DROP RETENTION POLICY p, q",
        "ROLLBACK",
    ] {
        house.tag(sql).await;
    }
    assert_eq!(
        house.rows("SELECT name, tags, keep FROM meridian.retention ORDER BY name").await,
        ["p|name = 'keep'|1 days", "q|true|2 days"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_operates_says_what_is_kept() {
    let house = House::empty();
    for sql in [
        "CREATE ROLE reader LOGIN",
        "CREATE ROLE watcher LOGIN IN ROLE pg_monitor",
        "CREATE ROLE operator LOGIN IN ROLE meridian_operator",
    ] {
        house.tag(sql).await;
    }
    for (role, sql, expect) in [
        ("reader", "CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '1 day'", "42501"),
        ("watcher", "CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '1 day'", "42501"),
        ("operator", "CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '1 day'", "CREATE RETENTION POLICY"),
        ("reader", "ALTER RETENTION POLICY p KEEP '2 days'", "42501"),
        ("reader", "DROP RETENTION POLICY IF EXISTS p", "42501"),
        ("reader", "SELECT name FROM meridian.retention", "42501"),
        ("reader", "SELECT meridian_retention('p')", "42501"),
        ("reader", "SELECT meridian_retention_preview('true', '1 day')", "42501"),
        ("watcher", "SELECT name, creator FROM meridian.retention", "p|operator"),
        ("watcher", "SELECT meridian_retention('p', true)", "42501"),
        ("operator", "ALTER RETENTION POLICY p KEEP '2 days'", "ALTER RETENTION POLICY"),
        ("operator", "DROP RETENTION POLICY p", "DROP RETENTION POLICY"),
    ] {
        let found = ask(&session(&house, role), sql, Vec::new()).await;
        assert_eq!(found.map_or_else(|state| state, |rows| rows.join(" ")), expect, "{role}: {sql}");
    }
}

/// What two schedulers agree on, as a fleet's meta.
#[derive(Default)]
struct Agreed(Mutex<BTreeMap<String, String>>);

struct AtScheduler(Arc<Agreed>);

impl query::Keeper for AtScheduler {
    fn swap(&self, changes: &[RecordChange]) -> Result<Option<Vec<Kept>>, Error> {
        let mut records = self.0.0.lock();
        if changes.iter().any(|change| records.get(&change.name) != change.was.as_ref()) {
            return Ok(Some(changes.iter().map(|change| (change.name.clone(), records.get(&change.name).cloned())).collect()));
        }
        for change in changes {
            match &change.now {
                Some(now) => drop(records.insert(change.name.clone(), now.clone())),
                None => drop(records.remove(&change.name)),
            }
        }
        Ok(None)
    }

    fn verifier(&self, _: &str) -> Result<String, Error> {
        Err(Error::unsupported("no passwords"))
    }

    fn random(&self) -> u32 {
        7
    }
}

/// What another scheduler was told holds here too, though this one has not heard of it yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_scheduler_was_told_is_heeded_unheard() {
    let agreed = Arc::new(Agreed::default());
    let roles = [0, 1].map(|_| Roles::kept_by(Arc::new(AtScheduler(Arc::clone(&agreed)))));
    let hear = |of: &Arc<Roles>| {
        let records = agreed.0.lock().clone();
        records.iter().for_each(|(name, record)| assert!(of.learn(name, Some(record)), "{name}: {record}"));
    };
    let (house, _) = house();
    furnish(&house).await;
    house.engine.set_roles(Arc::clone(&roles[0]));
    let other = House::empty();
    other.engine.set_roles(Arc::clone(&roles[1]));
    let here = house.engine.session(SessionSettings::default());
    let there = other.engine.session(SessionSettings::default());
    let create = "CREATE RETENTION POLICY all_of_them ON TAGS WHERE true KEEP '1 day'";
    for change in
        ["CREATE RETENTION POLICY north ON TAGS WHERE name LIKE 'north.%' KEEP '1 year'", "DROP RETENTION POLICY all_of_them"]
    {
        drop(ask(&here, create, Vec::new()).await.unwrap());
        hear(&roles[1]);
        drop(ask(&there, change, Vec::new()).await.unwrap());
        let error = run_retention(&house.engine).await.unwrap_err();
        assert_eq!(error.sqlstate(), "40001", "{error}");
        // As long as nothing is heard of it, whatever was learnt by being refused: that a policy is gone, but not that one is there.
        let again = run_retention(&house.engine).await;
        assert!(again.map_or_else(|error| error.sqlstate() == "40001", |()| change.starts_with("DROP")), "{change}");
        assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["120"], "after {change}");
        hear(&roles[0]);
        drop(ask(&here, "DROP RETENTION POLICY IF EXISTS all_of_them, north", Vec::new()).await.unwrap());
        hear(&roles[1]);
        for gone in ["pg_retention:all_of_them", "pg_retention:north"] {
            roles.iter().for_each(|roles| assert!(roles.learn(gone, None)));
        }
    }
    // One that a later release made, and that may keep anything: nothing goes.
    drop(ask(&here, create, Vec::new()).await.unwrap());
    assert!(!roles[0].learn("pg_retention:later", Some("{\"keep_most\":1}")));
    let error = run_retention(&house.engine).await.unwrap_err();
    assert!(error.message().contains("can't be read"), "{error}");
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["120"]);
    assert!(roles[0].learn("pg_retention:later", None));
    run_retention(&house.engine).await.unwrap();
    assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["4"]);
}

/// The setting is for the tags of no policy; whole file groups go where no policy keeps anything in them.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_keeps_longer_or_shorter_than_the_setting() {
    let (house, clock) = house_of(Some(15 * 24));
    furnish(&house).await;
    for made in [
        "CREATE RETENTION POLICY long ON TAGS WHERE name LIKE 'south.%' KEEP '20 days' FOR SAMPLES",
        "CREATE RETENTION POLICY short ON TAGS WHERE name = 'north.f641' KEEP '3 days'",
    ] {
        house.tag(made).await;
    }
    run_retention(&house.engine).await.unwrap();
    assert_eq!(
        held(&house).await,
        [
            "north.f641 3 2026-05-29",
            "north.i642 15 2026-05-17",
            "north.text3 15 2026-05-17",
            "south.f641 20 2026-05-12",
            "south.i642 20 2026-05-12",
            "south.text3 15 2026-05-17",
        ]
    );
    assert_eq!(
        house.rows("SELECT name, rows_removed FROM meridian.retention ORDER BY name").await,
        ["long|20", "short|27"],
        "each counts what is its own"
    );
    // What comes late is old by the setting too, and a new tag has it from the beginning.
    house.tag("INSERT INTO tags (name) VALUES ('later')").await;
    house
        .tag("INSERT INTO samples VALUES ('later', '2020-01-01', 1), ('later', '2026-05-18', 2), ('south.f641', '2020-01-01', 1)")
        .await;
    run_retention(&house.engine).await.unwrap();
    assert_eq!(house.rows("SELECT value FROM samples WHERE tag = 'later'").await, ["2.0"]);
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE tag = 'south.f641'").await, ["20"]);
    // Without the longer one nothing lies in file groups that are older than the setting, and they go as a whole.
    house.tag("DROP RETENTION POLICY long").await;
    run_retention(&house.engine).await.unwrap();
    house.tag("VACUUM").await;
    let days = "SELECT count(DISTINCT first_time) FROM meridian.file_groups WHERE rows > 0";
    assert_eq!(house.rows(days).await, ["15"]);
    let rows = house.rows("SELECT sum(rows) FROM meridian.files").await;
    assert_eq!(rows, house.rows("SELECT (SELECT count(*) FROM samples) + (SELECT count(*) FROM events)").await);
    // Without any policy the setting goes on alone.
    house.tag("DROP RETENTION POLICY short").await;
    clock.advance(Duration::from_secs(12 * 86_400));
    run_retention(&house.engine).await.unwrap();
    assert_eq!(held(&house).await.len(), 6);
    assert_eq!(house.rows("SELECT min(time)::date FROM samples").await, ["2026-05-29"]);
}

/// The setting too asks whether policies are what it knows: one that keeps longer may have been made elsewhere.
#[tokio::test(flavor = "multi_thread")]
async fn the_setting_heeds_a_policy_that_was_not_heard_of() {
    let agreed = Arc::new(Agreed::default());
    let roles = [0, 1].map(|_| Roles::kept_by(Arc::new(AtScheduler(Arc::clone(&agreed)))));
    let (house, _) = house_of(Some(24));
    furnish(&house).await;
    house.engine.set_roles(Arc::clone(&roles[0]));
    let other = House::empty();
    other.engine.set_roles(Arc::clone(&roles[1]));
    let there = other.engine.session(SessionSettings::default());
    let made = "CREATE RETENTION POLICY long ON TAGS WHERE name LIKE 'north.%' KEEP '1 year'";
    drop(ask(&there, made, Vec::new()).await.unwrap());
    for _ in 0..2 {
        assert_eq!(run_retention(&house.engine).await.unwrap_err().sqlstate(), "40001");
        assert_eq!(house.rows("SELECT count(*) FROM samples").await, ["120"]);
    }
    let records = agreed.0.lock().clone();
    records.iter().for_each(|(name, record)| assert!(roles[0].learn(name, Some(record)), "{name}: {record}"));
    run_retention(&house.engine).await.unwrap();
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE tag LIKE 'north.%'").await, ["60"]);
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE tag LIKE 'south.%'").await, ["2"]);
    // One of a later release may keep anything: nothing goes by the setting either.
    assert!(!roles[0].learn("pg_retention:later", Some("{\"keep_most\":1}")));
    house.tag("INSERT INTO samples VALUES ('south.f641', '2020-01-01', 1)").await;
    assert!(run_retention(&house.engine).await.unwrap_err().message().contains("can't be read"));
    assert_eq!(house.rows("SELECT count(*) FROM samples WHERE time < '2021-01-01'").await, ["1"]);
}

/// The loop that a server runs, by a moved clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_runs_policies_from_time_to_time() {
    let (house, clock) = house();
    furnish(&house).await;
    house.tag("CREATE RETENTION POLICY p ON TAGS WHERE true KEEP '29 days'").await;
    let runs = tokio::spawn(query::keep_retention(Arc::clone(&house.engine), Duration::from_millis(1)));
    for expect in ["116", "112", "108"] {
        while house.rows("SELECT count(*) FROM samples").await != [expect] {
            assert!(!runs.is_finished());
            tokio::task::yield_now().await;
        }
        clock.jump_wall(DAY_US);
    }
    assert!(clock.wall_us() > BEGIN_US);
    runs.abort();
}
