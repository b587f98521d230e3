//! The tour: queries over what was loaded, each shown with its result, a plot where it helps, and
//! the time it took from here, over the network, as any client sees it.

use super::show::Show;
use crate::client::{Answer, Session};
use crate::progress::now;
use crate::{Error, interrupt};
use std::time::Duration;

/// How an answer is shown.
#[derive(Clone, Copy)]
enum Form {
    /// As a table.
    Table,
    /// As a plot of two columns: across and up.
    Plot(usize, usize),
    /// The last column as lines.
    Lines,
}

/// A stop of the tour.
struct Stop {
    title: &'static str,
    sql: &'static str,
    form: Form,
    /// What the answer must be for the stop to have worked.
    rows: fn(usize) -> bool,
}

const fn table(title: &'static str, sql: &'static str, rows: fn(usize) -> bool) -> Stop {
    Stop { title, sql, form: Form::Table, rows }
}

const STOPS: &[Stop] = &[
    table(
        "What is there: tags by kind and unit",
        "SELECT split_part(name, '.', 1) AS part, kind, unit, count(*) AS tags\nFROM tags GROUP BY 1, 2, 3 ORDER BY 1, 4 DESC",
        |rows| rows >= 2,
    ),
    table(
        "Snapshot values: the newest reading of each transformer tag, always in memory",
        "SELECT tag, time, value, quality FROM latest WHERE tag LIKE 'ett.%' ORDER BY tag",
        |rows| rows == 7,
    ),
    Stop {
        title: "Two years of oil temperature by week",
        sql: "SELECT date_bin(INTERVAL '7 days', time) AS week, round(avg(value), 2) AS oil_temperature\nFROM samples WHERE tag = 'ett.OT' GROUP BY 1 ORDER BY 1",
        form: Form::Plot(0, 1),
        rows: |rows| rows > 100,
    },
    Stop {
        title: "The transformer's day: mean useful high load by hour",
        sql: "SELECT date_part('hour', time) AS hour, round(avg(value), 3) AS load\nFROM samples WHERE tag = 'ett.HUFL' GROUP BY 1 ORDER BY 1",
        form: Form::Plot(0, 1),
        rows: |rows| rows == 24,
    },
    table(
        "The hottest hours",
        "SELECT time, round(value, 2) AS oil_temperature FROM samples\nWHERE tag = 'ett.OT' ORDER BY value DESC LIMIT 5",
        |rows| rows == 5,
    ),
    table(
        "The value at a moment (the point path: no plan is made for it)",
        "SELECT time, value, quality FROM samples\nWHERE tag = 'ett.OT' AND time <= '2017-08-01 12:34:56Z' ORDER BY time DESC LIMIT 1",
        |rows| rows == 1,
    ),
    table(
        "Steepest rises within a day (window functions)",
        "WITH days AS (\n  SELECT time, value, value - lag(value, 24) OVER (ORDER BY time) AS rise\n  FROM samples WHERE tag = 'ett.OT')\nSELECT time, round(value, 2) AS value, round(rise, 2) AS rise_in_24h FROM days\nWHERE rise IS NOT NULL ORDER BY rise DESC LIMIT 5",
        |rows| rows == 5,
    ),
    table(
        "First, last, least and most of every load",
        "SELECT tag, count(*) AS readings, round(first(value, time), 2) AS first, round(last(value, time), 2) AS last,\n       round(min(value), 2) AS least, round(max(value), 2) AS most\nFROM samples WHERE tag LIKE 'ett.%' GROUP BY tag ORDER BY tag",
        |rows| rows == 7,
    ),
    table(
        "The live grid by what it measures",
        "SELECT split_part(tag, '.', 4) AS measures, count(*) AS readings, count(DISTINCT tag) AS tags,\n       round(avg(value), 3) AS mean, sum(CASE WHEN quality < 192 THEN 1 ELSE 0 END) AS not_good\nFROM samples WHERE tag LIKE 'live.%' GROUP BY 1 ORDER BY 2 DESC",
        |rows| rows == 4,
    ),
    Stop {
        title: "The grid's mean power, tick by tick",
        sql: "SELECT date_bin(INTERVAL '200 milliseconds', time + INTERVAL '100 milliseconds') AS tick, round(avg(value), 3) AS mean_power\nFROM samples WHERE tag LIKE 'live.%.power' GROUP BY 1 ORDER BY 1",
        form: Form::Plot(0, 1),
        rows: |rows| rows >= 5,
    },
    Stop {
        title: "What a plan leaves out",
        sql: "EXPLAIN SELECT avg(value) FROM samples\nWHERE tag = 'ett.OT' AND time >= '2017-01-01' AND time < '2017-02-01'",
        form: Form::Lines,
        rows: |rows| rows >= 1,
    },
];

/// Walks the tour; gives how many stops did not do what they should.
///
/// # Errors
/// `Error::Interrupted`.
pub fn walk(show: &Show, session: &Session) -> Result<usize, Error> {
    let mut wrong = 0;
    for stop in STOPS {
        if interrupt::asked() {
            return Err(Error::Interrupted);
        }
        show.question(stop.title, stop.sql);
        let started = now();
        let found = session.query(stop.sql);
        let took = started.elapsed();
        match found {
            Ok(answer) if (stop.rows)(answer.rows.len()) => tell(show, stop, &answer, took),
            Ok(answer) => {
                tell(show, stop, &answer, took);
                show.wrong(&format!("{} rows are not what was loaded", answer.rows.len()));
                wrong += 1;
            }
            Err(error) => {
                show.wrong(&error.to_string());
                wrong += 1;
            }
        }
    }
    Ok(wrong)
}

fn tell(show: &Show, stop: &Stop, answer: &Answer, took: Duration) {
    match stop.form {
        Form::Table => return show.answer(answer, took),
        Form::Plot(across, up) => show.plot(answer, across, up),
        Form::Lines => show.lines(answer),
    }
    show.aside(&format!("  {} rows in {}", answer.rows.len(), crate::config::units::round_span(took)));
}
