//! `to_char(time, format)` with PostgreSQL's patterns.
//!
//! Promises: a pattern that is not known here but is one of PostgreSQL's is refused, not printed; text in
//! double quotes and everything that is no pattern stays as it is.

use super::calendar::{Field, iso_week, part};
use super::typed::Typed;
use super::zones::is_moment;
use crate::error::{Error, raise};
use crate::schema::{local_type, time_type};
use crate::time::{Zone, civil};
use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
pub(super) const MONTHS: [&str; 12] =
    ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
pub(super) const DAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// PostgreSQL's patterns, those first that others are the beginning of.
pub(super) const PATTERNS: [&str; 65] = [
    "HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6", "A.M.", "P.M.",
    "a.m.", "p.m.", "AM", "PM", "am", "pm", "Y,YYY", "YYYY", "YYY", "YY", "IYYY", "IYY", "IY", "B.C.", "A.D.", "BC", "AD",
    "MONTH", "Month", "month", "MON", "Mon", "mon", "MM", "IDDD", "DDD", "DD", "DAY", "Day", "day", "DY", "Dy", "dy", "ID", "WW",
    "IW", "CC", "TZH", "TZM", "TZ", "tz", "OF", "RM", "rm", "D", "W", "Q", "J",
];

/// A clock's time, taken apart.
struct Clock {
    local_us: i64,
    offset: Option<i64>,
    year: i64,
    month: u32,
    day: u32,
    of_day: i64,
}

impl Clock {
    fn field(&self, field: Field) -> i64 {
        // None of the fields asked for is refused for a time.
        part(field, self.local_us, self.offset).map_or(0, |value| value as i64)
    }
}

/// How a pattern's text is filled up to its width.
#[derive(Clone, Copy)]
struct Fill {
    on: bool,
}

impl Fill {
    fn number(self, value: i64, width: usize) -> String {
        let width = if self.on { width } else { 0 };
        if value < 0 { format!("-{:0width$}", -value) } else { format!("{value:0width$}") }
    }

    fn name(self, name: &str, pattern: &str) -> String {
        let cased = match pattern.as_bytes() {
            [_, second, ..] if second.is_ascii_uppercase() => name.to_uppercase(),
            [first, ..] if first.is_ascii_lowercase() => name.to_lowercase(),
            _ => name.to_owned(),
        };
        if self.on && pattern.len() != 2 && !pattern.eq_ignore_ascii_case("mon") { format!("{cased:<9}") } else { cased }
    }
}

fn written(pattern: &str, clock: &Clock, fill: Fill) -> std::result::Result<String, Error> {
    let (hour, minute, second) =
        (clock.of_day / (3600 * SECOND_US), clock.of_day / (60 * SECOND_US) % 60, clock.of_day / SECOND_US % 60);
    let micros = clock.of_day % SECOND_US;
    let year = if clock.year > 0 { clock.year } else { 1 - clock.year };
    let iso = iso_week(clock.local_us.div_euclid(DAY_US));
    let short = |value: i64, digits: u32| value.rem_euclid(10_i64.pow(digits));
    let half = |before: &str, after: &str| if hour < 12 { before.to_owned() } else { after.to_owned() };
    let era = |after: &str, before: &str| if clock.year > 0 { after.to_owned() } else { before.to_owned() };
    let sign = |offset: i64| if offset < 0 { '-' } else { '+' };
    Ok(match pattern {
        "HH24" => fill.number(hour, 2),
        "HH12" | "HH" => fill.number(if hour % 12 == 0 { 12 } else { hour % 12 }, 2),
        "MI" => fill.number(minute, 2),
        "SS" => fill.number(second, 2),
        "SSSSS" | "SSSS" => (clock.of_day / SECOND_US).to_string(),
        "MS" | "FF3" => format!("{:03}", micros / 1000),
        "US" | "FF6" => format!("{micros:06}"),
        "FF1" | "FF2" | "FF4" | "FF5" => {
            let digits = usize::from(pattern.as_bytes()[2] - b'0');
            format!("{micros:06}")[..digits].to_owned()
        }
        "AM" | "PM" => half("AM", "PM"),
        "am" | "pm" => half("am", "pm"),
        "A.M." | "P.M." => half("A.M.", "P.M."),
        "a.m." | "p.m." => half("a.m.", "p.m."),
        "Y,YYY" => format!("{},{:03}", year / 1000, year % 1000),
        "YYYY" => fill.number(year, 4),
        "YYY" => fill.number(short(year, 3), 3),
        "YY" => fill.number(short(year, 2), 2),
        "IYYY" => fill.number(iso.1, 4),
        "IYY" => fill.number(short(iso.1, 3), 3),
        "IY" => fill.number(short(iso.1, 2), 2),
        "BC" | "AD" => era("AD", "BC"),
        "B.C." | "A.D." => era("A.D.", "B.C."),
        "MM" => fill.number(clock.month.into(), 2),
        "MONTH" | "Month" | "month" => fill.name(MONTHS[clock.month as usize - 1], pattern),
        "MON" | "Mon" | "mon" => fill.name(&MONTHS[clock.month as usize - 1][..3], pattern),
        "DAY" | "Day" | "day" => fill.name(DAYS[clock.field(Field::DayOfWeek) as usize], pattern),
        "DY" | "Dy" | "dy" => fill.name(&DAYS[clock.field(Field::DayOfWeek) as usize][..3], pattern),
        "DDD" => fill.number(clock.field(Field::DayOfYear), 3),
        "DD" => fill.number(clock.day.into(), 2),
        "D" => (clock.field(Field::DayOfWeek) + 1).to_string(),
        "ID" => clock.field(Field::IsoDayOfWeek).to_string(),
        "IDDD" => fill.number((iso.0 - 1) * 7 + clock.field(Field::IsoDayOfWeek), 3),
        "WW" => fill.number((clock.field(Field::DayOfYear) - 1) / 7 + 1, 2),
        "IW" => fill.number(iso.0, 2),
        "W" => ((clock.day - 1) / 7 + 1).to_string(),
        "CC" => fill.number(clock.field(Field::Century), 2),
        "Q" => clock.field(Field::Quarter).to_string(),
        "J" => clock.field(Field::Julian).to_string(),
        "TZH" => clock.offset.map_or_else(String::new, |offset| format!("{}{:02}", sign(offset), offset.abs() / 3600)),
        "TZM" => clock.offset.map_or_else(String::new, |offset| format!("{:02}", offset.abs() / 60 % 60)),
        "OF" => clock.offset.map_or_else(String::new, |offset| {
            let minutes = offset.abs() / 60 % 60;
            let rest = if minutes == 0 { String::new() } else { format!(":{minutes:02}") };
            format!("{}{:02}{rest}", sign(offset), offset.abs() / 3600)
        }),
        other => return Err(raise(Error::Unsupported, format!("pattern {other} of to_char is not supported"))),
    })
}

/// A time in a format.
fn one(clock: &Clock, format: &str) -> std::result::Result<String, Error> {
    let mut out = String::new();
    let mut rest = format;
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let (quoted, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
            out.push_str(quoted);
            rest = after;
            continue;
        }
        let unfilled = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm"));
        let (fill, tail) = unfilled.map_or((Fill { on: true }, rest), |tail| (Fill { on: false }, tail));
        // Numbers' patterns may be written in small letters as well.
        let found = PATTERNS.iter().find(|pattern| {
            let named = pattern.as_bytes()[pattern.len() - 1].is_ascii_lowercase() || is_name(pattern);
            tail.get(..pattern.len())
                .is_some_and(|head| if named { head == **pattern } else { head.eq_ignore_ascii_case(pattern) })
        });
        match found {
            Some(pattern) => {
                out.push_str(&written(pattern, clock, fill)?);
                rest = &tail[pattern.len()..];
                if rest.starts_with("TH") || rest.starts_with("th") {
                    return Err(raise(Error::Unsupported, "TH in a format of to_char is not supported"));
                }
            }
            None if tail.starts_with(['Y', 'I', 'y']) && !tail[1..].starts_with(|c: char| c.is_ascii_lowercase()) => {
                let year = if tail.starts_with('I') { iso_week(clock.local_us.div_euclid(DAY_US)).1 } else { clock.year };
                out.push_str(&year.rem_euclid(10).to_string());
                rest = &tail[1..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Ok(out)
}

/// Whether a pattern's letters say in which case its text is written.
fn is_name(pattern: &str) -> bool {
    ["MONTH", "MON", "DAY", "DY", "AM", "PM", "A.M.", "P.M.", "BC", "AD", "B.C.", "A.D.", "TZ", "RM"].contains(&pattern)
        || ["Month", "Mon", "Day", "Dy"].contains(&pattern)
}

fn all_rows(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    let (times, formats) = (args[0].as_primitive::<TimestampMicrosecondType>(), args[1].as_string::<i32>());
    let moments = is_moment(args[0].data_type());
    let mut out = StringBuilder::new();
    for row in 0..times.len() {
        if times.is_null(row) || formats.is_null(row) {
            out.append_null();
            continue;
        }
        let us = times.value(row);
        let local_us = if moments { zone.local(us) } else { us };
        let (year, month, day) = civil(local_us.div_euclid(DAY_US));
        let offset = moments.then(|| local_us.saturating_sub(us) / SECOND_US);
        let clock = Clock { local_us, offset, year, month, day, of_day: local_us.rem_euclid(DAY_US) };
        out.append_value(one(&clock, formats.value(row))?);
    }
    Ok(Arc::new(out.finish()))
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let to_char = Typed {
        name: "to_char",
        aliases: &[],
        takes: |given| {
            let [time, _] = given else { return None };
            let time = match time {
                DataType::Timestamp(_, Some(_)) => time_type(),
                DataType::Timestamp(_, None) | DataType::Date32 | DataType::Date64 => local_type(),
                _ => return None,
            };
            Some(vec![time, DataType::Utf8])
        },
        gives: |_| DataType::Utf8,
        body: all_rows,
    };
    vec![to_char.udf().as_ref().clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::parse;

    /// Answers of PostgreSQL 15.
    #[test]
    fn patterns_are_postgresqls() {
        let us = parse("2024-03-05 14:05:06.789", Zone::Utc).unwrap();
        let (year, month, day) = civil(us.div_euclid(DAY_US));
        let clock = Clock { local_us: us, offset: Some(-18_000), year, month, day, of_day: us.rem_euclid(DAY_US) };
        let rows = [
            ("YYYY-MM-DD HH24:MI:SS.MS US", "2024-03-05 14:05:06.789 789000"),
            ("HH12 AM pm", "02 PM pm"),
            ("Day|Dy|Mon|Month|DAY|FMMonth", "Tuesday  |Tue|Mar|March    |TUESDAY  |March"),
            ("D DDD IW WW Q J Y,YYY YYY YY Y", "3 065 10 10 1 2460375 2,024 024 24 4"),
            ("FMDD \"YYYY\" yyyy-mm", "5 YYYY 2024-03"),
            ("OF TZH:TZM", "-05 -05:00"),
            ("at HH24h", "at 14h"),
        ];
        for (format, expect) in rows {
            assert_eq!(one(&clock, format).unwrap(), expect, "{format}");
        }
        assert_eq!(one(&clock, "TZ").unwrap_err().sqlstate(), "0A000");
    }
}
