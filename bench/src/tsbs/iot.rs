//! The case IoT: trucks that tell where they are and how they do.

use super::rows::unit;
use super::{Measurement, Model};
use crate::asked::Question;
use crate::grid::START_US;
use meridian::grid::hash;

const KEYS: &[&str] =
    &["name", "fleet", "driver", "model", "device_version", "load_capacity", "fuel_capacity", "nominal_fuel_consumption"];
const MEASUREMENTS: &[Measurement] = &[
    Measurement {
        name: "readings",
        fields: &["latitude", "longitude", "elevation", "velocity", "heading", "grade", "fuel_consumption"],
    },
    Measurement { name: "diagnostics", fields: &["fuel_state", "current_load", "status"] },
];
const FLEETS: &[&str] = &["East", "West", "North", "South"];
const DRIVERS: &[&str] = &["Derek", "Rodney", "Albert", "Andy", "Seth", "Trish"];
/// Model, load capacity, fuel capacity, nominal fuel consumption.
const MODELS: &[(&str, u32, u32, u32)] = &[("F-150", 2000, 200, 15), ("G-2000", 5000, 300, 19), ("H-2", 1500, 150, 12)];
/// Where in a truck's state each figure stands.
const VELOCITY: usize = 3;
const CONSUMPTION: usize = 6;
const FUEL: usize = 7;
const LOAD: usize = 8;
const STATUS: usize = 9;
/// Ten steps of ten seconds in a hundred are standing still.
const REST_STEPS: u64 = 360;

/// The trucks.
pub fn model(scale: u64, seed: u64) -> Model {
    let of = |truck: u64, key: u64, many: usize| (hash(seed ^ 0x0010_7707, truck, key) % many as u64) as usize;
    let labels = (0..scale).map(|truck| {
        let (model, load, fuel, nominal) = MODELS[of(truck, 1, MODELS.len())];
        vec![
            format!("truck_{truck}"),
            FLEETS[of(truck, 2, FLEETS.len())].to_owned(),
            DRIVERS[of(truck, 3, DRIVERS.len())].to_owned(),
            model.to_owned(),
            ["v1.0", "v1.5", "v2.0", "v2.3"][of(truck, 4, 4)].to_owned(),
            load.to_string(),
            fuel.to_string(),
            nominal.to_string(),
        ]
    });
    Model { keys: KEYS, labels: labels.collect(), measurements: MEASUREMENTS }
}

/// A truck's first state.
pub fn first(field: usize, part: f64) -> f64 {
    match field {
        0 => (part * 180.0 - 90.0).round(),
        1 => (part * 360.0 - 180.0).round(),
        2 => (part * 500.0).round(),
        FUEL => 1.0,
        LOAD => (part * 1500.0).round(),
        _ => 0.0,
    }
}

/// One step of a truck: it drives for hours, stands for an hour, burns fuel, and breaks down now and then.
pub fn drive(state: &mut [f64; 10], seed: u64, truck: u64, step: u64) {
    let bits = |salt: u64| hash(seed ^ salt, truck, step);
    let rests = hash(seed ^ 0x003E_5705, truck, step / REST_STEPS).is_multiple_of(4);
    let walk = |value: f64, salt: u64, by: f64| value + (unit(bits(salt)) - 0.5) * by;
    state[VELOCITY] = if rests { 0.0 } else { walk(state[VELOCITY].max(20.0), 1, 10.0).clamp(0.0, 100.0).round() };
    if !rests {
        state[0] = (walk(state[0], 2, 0.01).clamp(-90.0, 90.0) * 1e5).round() / 1e5;
        state[1] = (walk(state[1], 3, 0.01).clamp(-180.0, 180.0) * 1e5).round() / 1e5;
        state[2] = walk(state[2], 4, 10.0).clamp(0.0, 5000.0).round();
        state[4] = walk(state[4], 5, 20.0).rem_euclid(360.0).round();
        state[5] = walk(state[5], 6, 2.0).clamp(0.0, 100.0).round();
    }
    state[CONSUMPTION] =
        if rests { 0.0 } else { (walk(state[CONSUMPTION].max(10.0), 7, 2.0).clamp(0.0, 50.0) * 10.0).round() / 10.0 };
    state[FUEL] = if state[FUEL] < 0.05 { 1.0 } else { ((state[FUEL] - state[CONSUMPTION] * 2e-5) * 1e4).round() / 1e4 };
    if bits(8).is_multiple_of(2000) {
        state[LOAD] = (unit(bits(9)) * 5000.0).round();
    }
    if bits(10).is_multiple_of(500) {
        state[STATUS] = (bits(11) % 6) as f64;
    }
}

/// The suite's questions.
pub fn questions(hours: u64) -> Vec<Question> {
    let first = START_US / 1_000_000;
    let last = first + hours as i64 * 3600;
    let question = |what: &str, ours: String, duck: String, click: String| Question {
        what: what.to_owned(),
        ours,
        duck,
        click,
        victoria: None,
    };
    let newest = |field: &str| {
        format!(
            "(SELECT label(tag, 'name') AS name, label(tag, 'fleet') AS fleet, label(tag, 'load_capacity')::float8 AS load_capacity, value AS {field} FROM latest WHERE label(tag, '_field') = '{field}')"
        )
    };
    vec![
        question(
            "last-loc",
            "SELECT label(tag, 'name') AS name, max(value) FILTER (WHERE label(tag, '_field') = 'longitude'), max(value) FILTER (WHERE label(tag, '_field') = 'latitude') FROM latest WHERE label(tag, '_measurement') = 'readings' GROUP BY 1 ORDER BY 1".to_owned(),
            "SELECT name, arg_max(longitude, time), arg_max(latitude, time) FROM readings GROUP BY 1 ORDER BY 1".to_owned(),
            "SELECT name, argMax(longitude, time), argMax(latitude, time) FROM readings GROUP BY 1 ORDER BY 1".to_owned(),
        ),
        question(
            "low-fuel",
            format!("SELECT name, fuel_state FROM {} AS t WHERE fuel_state < 0.1 ORDER BY 1", newest("fuel_state")),
            "SELECT name, f FROM (SELECT name, arg_max(fuel_state, time) AS f FROM diagnostics GROUP BY 1) WHERE f < 0.1 ORDER BY 1".to_owned(),
            "SELECT name, f FROM (SELECT name, argMax(fuel_state, time) AS f FROM diagnostics GROUP BY 1) WHERE f < 0.1 ORDER BY 1".to_owned(),
        ),
        question(
            "high-load",
            format!("SELECT name, current_load FROM {} AS t WHERE current_load / load_capacity > 0.9 ORDER BY 1", newest("current_load")),
            "SELECT name, f FROM (SELECT name, load_capacity::double AS c, arg_max(current_load, time) AS f FROM diagnostics GROUP BY 1, 2) WHERE f / c > 0.9 ORDER BY 1".to_owned(),
            "SELECT name, f FROM (SELECT name, toFloat64(load_capacity) AS c, argMax(current_load, time) AS f FROM diagnostics GROUP BY 1, 2) WHERE f / c > 0.9 ORDER BY 1".to_owned(),
        ),
        question(
            "stationary-trucks",
            format!("SELECT label(tag, 'name') AS name, avg(value) FROM samples WHERE label(tag, '_field') = 'velocity' AND time >= to_timestamp({}) AND time < to_timestamp({last}) GROUP BY 1 HAVING avg(value) < 1 ORDER BY 1", last - 600),
            format!("SELECT name, avg(velocity) FROM readings WHERE time >= make_timestamp({}000000) AND time < make_timestamp({last}000000) GROUP BY 1 HAVING avg(velocity) < 1 ORDER BY 1", last - 600),
            format!("SELECT name, avg(velocity) AS v FROM readings WHERE time >= toDateTime64({}, 6, 'UTC') AND time < toDateTime64({last}, 6, 'UTC') GROUP BY 1 HAVING v < 1 ORDER BY 1", last - 600),
        ),
        driving_sessions("long-driving-sessions", last, 4, 22),
        driving_sessions("long-daily-sessions", last, 24, 60),
        question(
            "avg-vs-projected-fuel-consumption",
            "SELECT label(f.tag, 'fleet') AS fleet, avg(f.value), avg(label(f.tag, 'nominal_fuel_consumption')::float8) FROM samples f JOIN samples v ON label(f.tag, 'name') = label(v.tag, 'name') AND f.time = v.time WHERE label(f.tag, '_field') = 'fuel_consumption' AND label(v.tag, '_field') = 'velocity' AND v.value > 1 GROUP BY 1 ORDER BY 1".to_owned(),
            "SELECT fleet, avg(fuel_consumption), avg(nominal_fuel_consumption::double) FROM readings WHERE velocity > 1 GROUP BY 1 ORDER BY 1".to_owned(),
            "SELECT fleet, avg(fuel_consumption), avg(toFloat64(nominal_fuel_consumption)) FROM readings WHERE velocity > 1 GROUP BY 1 ORDER BY 1".to_owned(),
        ),
        question(
            "avg-daily-driving-duration",
            format!("SELECT fleet, name, avg(hours) FROM (SELECT fleet, name, date_trunc('day', slot) AS day, count(*) / 6.0 AS hours FROM {} GROUP BY 1, 2, 3) AS d GROUP BY 1, 2 ORDER BY 1, 2", ours_moving()),
            format!("SELECT fleet, name, avg(hours) FROM (SELECT fleet, name, date_trunc('day', slot) AS day, count(*) / 6.0 AS hours FROM {} GROUP BY 1, 2, 3) GROUP BY 1, 2 ORDER BY 1, 2", duck_moving()),
            format!("SELECT fleet, name, avg(hours) FROM (SELECT fleet, name, toStartOfDay(slot) AS day, count() / 6.0 AS hours FROM {} GROUP BY 1, 2, 3) GROUP BY 1, 2 ORDER BY 1, 2", click_moving()),
        ),
        question(
            "avg-load",
            "SELECT label(tag, 'fleet') AS fleet, label(tag, 'model') AS model, avg(value / label(tag, 'load_capacity')::float8) FROM samples WHERE label(tag, '_field') = 'current_load' GROUP BY 1, 2 ORDER BY 1, 2".to_owned(),
            "SELECT fleet, model, avg(current_load / load_capacity::double) FROM diagnostics GROUP BY 1, 2 ORDER BY 1, 2".to_owned(),
            "SELECT fleet, model, avg(current_load / toFloat64(load_capacity)) FROM diagnostics GROUP BY 1, 2 ORDER BY 1, 2".to_owned(),
        ),
        question(
            "daily-activity",
            format!("SELECT fleet, date_trunc('day', slot) AS day, count(*) / 144.0 FROM {} GROUP BY 1, 2 ORDER BY 1, 2", ours_moving()),
            format!("SELECT fleet, date_trunc('day', slot) AS day, count(*) / 144.0 FROM {} GROUP BY 1, 2 ORDER BY 1, 2", duck_moving()),
            format!("SELECT fleet, toStartOfDay(slot) AS day, count() / 144.0 FROM {} GROUP BY 1, 2 ORDER BY 1, 2", click_moving()),
        ),
        breakdowns(),
    ]
}

/// Trucks that moved in more than so many stretches of ten minutes of the last hours.
fn driving_sessions(what: &str, last: i64, hours: i64, stretches: u32) -> Question {
    let from = last - hours * 3600;
    Question {
        what: what.to_owned(),
        ours: format!(
            "SELECT name, count(*) FROM (SELECT label(tag, 'name') AS name, date_bin('10 minutes', time) AS slot FROM samples WHERE label(tag, '_field') = 'velocity' AND time >= to_timestamp({from}) AND time < to_timestamp({last}) GROUP BY 1, 2 HAVING avg(value) > 1) AS d GROUP BY 1 HAVING count(*) > {stretches} ORDER BY 1"
        ),
        duck: format!(
            "SELECT name, count(*) FROM (SELECT name, time_bucket(INTERVAL '10 minutes', time) AS slot FROM readings WHERE time >= make_timestamp({from}000000) AND time < make_timestamp({last}000000) GROUP BY 1, 2 HAVING avg(velocity) > 1) GROUP BY 1 HAVING count(*) > {stretches} ORDER BY 1"
        ),
        click: format!(
            "SELECT name, count() AS n FROM (SELECT name, toStartOfInterval(time, INTERVAL 10 MINUTE) AS slot FROM readings WHERE time >= toDateTime64({from}, 6, 'UTC') AND time < toDateTime64({last}, 6, 'UTC') GROUP BY 1, 2 HAVING avg(velocity) > 1) GROUP BY 1 HAVING n > {stretches} ORDER BY 1"
        ),
        victoria: None,
    }
}

/// Stretches of ten minutes in which a truck moved.
fn ours_moving() -> &'static str {
    "(SELECT label(tag, 'fleet') AS fleet, label(tag, 'name') AS name, date_bin('10 minutes', time) AS slot FROM samples WHERE label(tag, '_field') = 'velocity' GROUP BY 1, 2, 3 HAVING avg(value) > 1) AS m"
}

fn duck_moving() -> &'static str {
    "(SELECT fleet, name, time_bucket(INTERVAL '10 minutes', time) AS slot FROM readings GROUP BY 1, 2, 3 HAVING avg(velocity) > 1)"
}

fn click_moving() -> &'static str {
    "(SELECT fleet, name, toStartOfInterval(time, INTERVAL 10 MINUTE) AS slot FROM readings GROUP BY 1, 2, 3 HAVING avg(velocity) > 1)"
}

/// How often trucks of a model went from well to broken, by stretches of ten minutes.
fn breakdowns() -> Question {
    let outer =
        "SELECT model, count(*) FROM (SELECT model, broken, lead(broken) OVER (PARTITION BY name ORDER BY slot) AS next FROM";
    let end = "WHERE NOT broken AND next GROUP BY 1 ORDER BY 1";
    Question {
        what: "breakdown-frequency".to_owned(),
        ours: format!(
            "{outer} (SELECT label(tag, 'model') AS model, label(tag, 'name') AS name, date_bin('10 minutes', time) AS slot, count(*) FILTER (WHERE value = 0) * 2 < count(*) AS broken FROM samples WHERE label(tag, '_field') = 'status' GROUP BY 1, 2, 3) AS s) AS b {end}"
        ),
        duck: format!(
            "{outer} (SELECT model, name, time_bucket(INTERVAL '10 minutes', time) AS slot, count(*) FILTER (WHERE status = 0) * 2 < count(*) AS broken FROM diagnostics GROUP BY 1, 2, 3)) {end}"
        ),
        click: format!(
            "SELECT model, count() FROM (SELECT model, broken, leadInFrame(broken) OVER (PARTITION BY name ORDER BY slot ROWS BETWEEN CURRENT ROW AND 1 FOLLOWING) AS next FROM (SELECT model, name, toStartOfInterval(time, INTERVAL 10 MINUTE) AS slot, countIf(status = 0) * 2 < count() AS broken FROM diagnostics GROUP BY 1, 2, 3)) {end}"
        ),
        victoria: None,
    }
}
