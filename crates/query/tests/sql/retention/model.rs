//! Policies, tags, labels, late rows, flushes and a clock that goes on, in an order that a seed decides, against a plain model.

use super::{BEGIN_US, DAY_US, house_of};
use crate::fixture::House;
use query::{format_time, run_retention};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use world::{Clock, Random, SeededRandom};

/// Groups, and which tags are of them: by name and site.
type Group = (&'static str, fn(&str, &str) -> bool);

const GROUPS: [Group; 6] = [
    ("true", |_, _| true),
    ("name LIKE 'a.%'", |name, _| name.starts_with("a.")),
    ("labels['site'] = 'north'", |_, site| site == "north"),
    ("labels['site'] <> 'north' AND name LIKE 'b.%'", |name, site| name.starts_with("b.") && site == "south"),
    ("NOT name LIKE 'a.%'", |name, _| !name.starts_with("a.")),
    ("labels['site'] IS NULL", |_, site| site.is_empty()),
];
const KEEPS: [(&str, i64); 5] = [("3 hours", 3), ("1 day", 24), ("36 hours", 36), ("5 days", 120), ("12 days", 288)];
const HOUR_US: i64 = DAY_US / 24;
const SITES: [&str; 3] = ["north", "south", ""];

struct Tag {
    site: &'static str,
    text: bool,
    rows: BTreeSet<i64>,
}

struct Rule {
    group: usize,
    hours: i64,
    /// Some(true): events only.
    texts: Option<bool>,
}

#[derive(Default)]
struct Model {
    tags: BTreeMap<String, Tag>,
    policies: BTreeMap<String, Rule>,
    /// Hours that are kept of tags that no policy means: whole days.
    setting: Option<i64>,
}

impl Model {
    /// What must be gone by now is.
    fn run(&mut self, now_us: i64) {
        for (name, tag) in &mut self.tags {
            let means = |rule: &&Rule| GROUPS[rule.group].1(name, tag.site) && rule.texts.is_none_or(|texts| texts == tag.text);
            let longest = self.policies.values().filter(means).map(|rule| rule.hours).max();
            let Some(hours) = longest.or(self.setting) else { continue };
            let step = if hours >= 24 || longest.is_none() { DAY_US } else { HOUR_US };
            let kept_from = (now_us - hours * HOUR_US).div_euclid(step) * step;
            tag.rows.retain(|time| *time >= kept_from);
        }
    }

    fn rows(&self) -> Vec<String> {
        self.tags.iter().flat_map(|(name, tag)| tag.rows.iter().map(move |time| format!("{name} {time}"))).collect()
    }
}

async fn rows(house: &House) -> Vec<String> {
    let of = |table: &str| format!("SELECT tag || ' ' || (extract(epoch FROM time) * 1000000)::bigint AS row FROM {table}");
    let mut rows = house.rows(&format!("{} UNION ALL {}", of("samples"), of("events"))).await;
    rows.sort();
    rows
}

struct Dice(SeededRandom);

impl Dice {
    fn below(&self, limit: u64) -> u64 {
        self.0.next_u64() % limit
    }

    fn of<'a, T>(&self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len() as u64) as usize]
    }
}

async fn write(house: &House, model: &mut Model, dice: &Dice, now_us: i64) {
    let names: Vec<String> = model.tags.keys().cloned().collect();
    for _ in 0..1 + dice.below(12) {
        let Some(name) = (!names.is_empty()).then(|| dice.of(&names)) else { return };
        let tag = model.tags.get_mut(name).unwrap();
        // Up to 16 days old, most of them young; some on the edge of a day.
        let age = dice.below(1 + dice.below(16 * 24)) as i64 * HOUR_US + dice.below(HOUR_US as u64) as i64;
        let time =
            if dice.below(4) == 0 { (now_us - age).div_euclid(DAY_US) * DAY_US - dice.below(2) as i64 } else { now_us - age };
        let (table, value) = if tag.text { ("events", "'x'") } else { ("samples", "1") };
        let mut at = String::new();
        format_time(time, query::Zone::Utc, &mut at);
        house.tag(&format!("INSERT INTO {table} VALUES ('{name}', '{at}', {value})")).await;
        tag.rows.insert(time);
    }
}

async fn step(house: &House, model: &mut Model, dice: &Dice, clock: &world::SimulatedClock) {
    match dice.below(12) {
        0..4 => write(house, model, dice, clock.wall_us()).await,
        4 => {
            let (name, site, text) =
                (format!("{}.{}", dice.of(&["a", "b"]), model.tags.len()), *dice.of(&SITES), dice.below(4) == 0);
            let labels = if site.is_empty() { "{}".to_owned() } else { format!("{{\"site\": \"{site}\"}}") };
            let kind = if text { "text" } else { *dice.of(&["f64", "i64", "bool"]) };
            house.tag(&format!("INSERT INTO tags (name, kind, labels) VALUES ('{name}', '{kind}', '{labels}')")).await;
            model.tags.insert(name, Tag { site, text, rows: BTreeSet::new() });
        }
        5 => {
            let Some(name) = model.tags.keys().nth(dice.below(1 + model.tags.len() as u64) as usize).cloned() else { return };
            let site = *dice.of(&SITES);
            let labels = if site.is_empty() { "{}".to_owned() } else { format!("{{\"site\": \"{site}\"}}") };
            house.tag(&format!("UPDATE tags SET labels = '{labels}' WHERE name = '{name}'")).await;
            model.tags.get_mut(&name).unwrap().site = site;
        }
        6 => {
            let (name, group) = (format!("p{}", dice.below(5)), dice.below(GROUPS.len() as u64) as usize);
            let (keep, hours) = *dice.of(&KEEPS);
            let (rows, texts) = *dice.of(&[("", None), (" FOR SAMPLES", Some(false)), (" FOR EVENTS", Some(true))]);
            if let Some(rule) = model.policies.get_mut(&name) {
                house.tag(&format!("ALTER RETENTION POLICY {name} KEEP '{keep}'")).await;
                rule.hours = hours;
                return;
            }
            house.tag(&format!("CREATE RETENTION POLICY {name} ON TAGS WHERE {} KEEP '{keep}'{rows}", GROUPS[group].0)).await;
            model.policies.insert(name, Rule { group, hours, texts });
        }
        7 => {
            let name = format!("p{}", dice.below(5));
            house.tag(&format!("DROP RETENTION POLICY IF EXISTS {name}")).await;
            model.policies.remove(&name);
        }
        8 => clock.advance(Duration::from_secs(3600 * dice.below(40))),
        9 => {
            house.rows("SELECT meridian_flush()").await;
        }
        10 => {
            run_retention(&house.engine).await.unwrap();
            model.run(clock.wall_us());
            house.tag("VACUUM").await;
            let sum = house.rows("SELECT coalesce(sum(rows), 0) FROM meridian.files").await;
            assert_eq!(sum, [model.rows().len().to_string()], "what is gone lies in no file");
        }
        _ => {
            run_retention(&house.engine).await.unwrap();
            model.run(clock.wall_us());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_as_a_model_says() {
    let first: u64 = std::env::var("MERIDIAN_RETENTION_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    for seed in first..first + 5 {
        // Shorter than all policies, than some, than none.
        let setting = [None, Some(12), Some(60), Some(200), Some(400)][seed as usize % 5];
        let (house, clock) = house_of(setting);
        let setting = setting.map(|hours| i64::try_from(hours).unwrap());
        let (dice, mut model) = (Dice(SeededRandom::new(seed)), Model { setting, ..Model::default() });
        assert!(clock.wall_us() > BEGIN_US);
        for number in 0..150 {
            step(&house, &mut model, &dice, &clock).await;
            assert_eq!(rows(&house).await, model.rows(), "seed {seed}, step {number}");
        }
        let removed = house.rows("SELECT coalesce(sum(rows_removed), 0) > 0 FROM meridian.retention").await;
        println!("seed {seed}: {} tags, {} rows are left, removed: {removed:?}", model.tags.len(), model.rows().len());
    }
}
