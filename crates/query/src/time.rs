//! Times as text, as PostgreSQL reads and writes them, over all of i64 microseconds.
//!
//! Promises: `format` and `parse` are inverses for every i64 (years beyond 9999 and BC included);
//! parsing the usual form allocates nothing. They may not know what a time is for.

use crate::error::{Error, raise};
use arrow::array::timezone::Tz;
use chrono::{Offset, TimeZone};
use std::fmt::Write;

const DAY_US: i64 = 86_400_000_000;

/// The first year of which the data base of zones says nothing: whatever rule a zone has by then holds on.
const RULES_END_YEAR: i64 = 2100;
/// When it begins.
const RULES_END_US: i64 = 4_102_444_800_000_000;

/// How far a time lies from the same one in a year that zones know, that begins on the same weekday and has as many
/// days: clocks turn in both alike. 0 for times that zones know themselves.
fn beyond_rules(us: i64) -> i64 {
    if us < RULES_END_US {
        return 0;
    }
    let (year, ..) = civil(us.div_euclid(DAY_US));
    let year_of = |year: i64| (days_of(year, 1, 1), days_of(year + 1, 1, 1) - days_of(year, 1, 1));
    let (first, length) = year_of(year);
    // Any 28 years in which every fourth is a leap year hold one of each sort.
    let alike =
        (RULES_END_YEAR - 28..RULES_END_YEAR).map(year_of).find(|(start, days)| (first - start) % 7 == 0 && *days == length);
    alike.map_or(0, |(start, _)| (first - start) * DAY_US)
}

/// A time zone: how times without an offset are read, and how all are written.
#[derive(Clone, Copy, Debug)]
pub enum Zone {
    /// No offset.
    Utc,
    /// Another: a name of the IANA data base, or a fixed offset.
    Other(Tz),
}

impl Zone {
    /// The zone of that name ("UTC", "Asia/Shanghai", "+08:00").
    ///
    /// # Errors
    /// `Error::InvalidParameter`.
    pub fn parse(name: &str) -> Result<Zone, Error> {
        let name = name.trim();
        if ["utc", "gmt", "z", "etc/utc", "+00", "+00:00", "0", "default"].contains(&name.to_ascii_lowercase().as_str()) {
            return Ok(Zone::Utc);
        }
        name.parse().map(Zone::Other).map_err(|_| {
            raise(Error::InvalidParameter, format!("invalid value for parameter \"TimeZone\": \"{name}\""))
                .with_hint("a name like \"Asia/Shanghai\", or an offset like \"+08:00\"")
        })
    }

    /// Seconds east of UTC at a moment.
    fn offset_at(self, us: i64) -> i64 {
        match self {
            Zone::Utc => 0,
            Zone::Other(zone) => chrono::DateTime::from_timestamp_micros(us - beyond_rules(us))
                .map_or(0, |time| i64::from(zone.offset_from_utc_datetime(&time.naive_utc()).fix().local_minus_utc())),
        }
    }

    /// Seconds east of UTC where the local clock shows these microseconds. As PostgreSQL has it: of two such
    /// moments the later (standard time) is meant, and a time that clocks leap over is read as before the leap.
    fn offset_of_local(self, local_us: i128) -> i64 {
        let Zone::Other(zone) = self else { return 0 };
        let at = |local_us: i128| {
            let local_us = i64::try_from(local_us).ok()?;
            let local = chrono::DateTime::from_timestamp_micros(local_us - beyond_rules(local_us))?.naive_utc();
            zone.offset_from_local_datetime(&local).latest().map(|offset| i64::from(offset.fix().local_minus_utc()))
        };
        // No leap is longer than a day.
        (0..=25).find_map(|hours| at(local_us - hours * 3_600_000_000)).unwrap_or(0)
    }

    /// What a clock of the zone shows at a moment, as microseconds from its 1970-01-01; both ends of time
    /// (infinity) stay what they are.
    pub(crate) fn local(self, us: i64) -> i64 {
        if us == i64::MIN || us == i64::MAX { us } else { us.saturating_add(self.offset_at(us) * 1_000_000) }
    }

    /// The moment at which a clock of the zone shows a time.
    #[must_use]
    pub fn moment(self, local_us: i64) -> i64 {
        if local_us == i64::MIN || local_us == i64::MAX {
            return local_us;
        }
        local_us.saturating_sub(self.offset_of_local(local_us.into()) * 1_000_000)
    }
}

/// Year, month and day of a number of days since 1970-01-01 (proleptic Gregorian; year 0 = 1 BC).
pub(crate) fn civil(days: i64) -> (i64, u32, u32) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// The number of days since 1970-01-01.
pub(crate) fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let mp = if month > 2 { month - 3 } else { month + 9 };
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + (153 * mp + 2) / 5 + day - 1;
    era * 146_097 + doe - 719_468
}

/// The number of the month (from year 0) of some microseconds, and how far into the month they are.
pub(crate) fn month_of(us: i128) -> (i128, i128) {
    let days = us.div_euclid(DAY_US.into());
    let (year, month, _) = civil(days as i64);
    let number = i128::from(year) * 12 + i128::from(month) - 1;
    (number, us - day_of(number))
}

/// The microseconds at which a month begins, by its number.
pub(crate) fn day_of(month: i128) -> i128 {
    i128::from(days_of(month.div_euclid(12) as i64, month.rem_euclid(12) as i64 + 1, 1)) * i128::from(DAY_US)
}

/// Writes a moment as PostgreSQL does ("2026-11-01 08:00:00.5+00"), in a zone.
pub fn format(us: i64, zone: Zone, out: &mut String) {
    let offset = zone.offset_at(us);
    let local = i128::from(us) + i128::from(offset) * 1_000_000;
    let (days, rest) = (local.div_euclid(DAY_US.into()) as i64, local.rem_euclid(DAY_US.into()) as i64);
    let (year, month, day) = civil(days);
    let (seconds, micros) = (rest / 1_000_000, rest % 1_000_000);
    let shown = if year > 0 { year } else { 1 - year };
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Writing to a String can't fail.
    let _ = write!(out, "{shown:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}");
    if micros > 0 {
        let _ = write!(out, ".{micros:06}");
        out.truncate(out.trim_end_matches('0').len());
    }
    let (sign, ahead) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
    let _ = write!(out, "{sign}{:02}", ahead / 3600);
    if ahead % 3600 != 0 {
        let _ = write!(out, ":{:02}", ahead / 60 % 60);
    }
    // Local mean times of long ago have seconds in their offset.
    if ahead % 60 != 0 {
        let _ = write!(out, ":{:02}", ahead % 60);
    }
    if year <= 0 {
        out.push_str(" BC");
    }
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> u8 {
        self.text.get(self.at).copied().unwrap_or(0)
    }

    fn eat(&mut self, wanted: u8) -> bool {
        let found = self.peek() == wanted;
        self.at += usize::from(found);
        found
    }

    /// The digits that stand here, and how many; None where there are none or too many.
    fn number(&mut self, digits_max: usize) -> Option<(i64, usize)> {
        let start = self.at;
        let mut value = 0_i64;
        while self.peek().is_ascii_digit() && self.at - start < digits_max {
            value = value * 10 + i64::from(self.peek() - b'0');
            self.at += 1;
        }
        (self.at > start).then_some((value, self.at - start))
    }

    fn two(&mut self, most: i64) -> Option<i64> {
        self.number(2).filter(|(value, _)| *value <= most).map(|(value, _)| value)
    }

    fn spaces(&mut self) {
        while self.peek() == b' ' {
            self.at += 1;
        }
    }

    /// Microseconds of a day: hh:mm[:ss[.ffffff]].
    fn clock(&mut self) -> Option<i64> {
        let hour = self.two(24)?;
        let minute = if self.eat(b':') { self.two(59)? } else { 0 };
        let second = if self.eat(b':') { self.two(60)? } else { 0 };
        let mut micros = 0;
        if self.eat(b'.') {
            let (fraction, digits) = self.number(9)?;
            micros = if digits <= 6 {
                fraction * 10_i64.pow(6 - digits as u32)
            } else {
                let unit = 10_i64.pow(digits as u32 - 6);
                (fraction + unit / 2) / unit
            };
        }
        Some(((hour * 60 + minute) * 60 + second) * 1_000_000 + micros)
    }

    /// Seconds east of UTC, or None inside where there is no offset; the outer None is an error.
    fn offset(&mut self) -> Option<Option<i64>> {
        self.spaces();
        let rest = &self.text[self.at..];
        for name in [b"UTC".as_slice(), b"utc", b"GMT", b"Z", b"z"] {
            if rest.starts_with(name) {
                self.at += name.len();
                return Some(Some(0));
            }
        }
        let sign = match self.peek() {
            b'+' => 1,
            b'-' => -1,
            _ => return Some(None),
        };
        self.at += 1;
        let (value, digits) = self.number(4)?;
        let (hours, mut minutes) = if digits > 2 { (value / 100, value % 100) } else { (value, 0) };
        let mut seconds = 0;
        if self.eat(b':') {
            minutes = self.two(59)?;
            if self.eat(b':') {
                seconds = self.two(59)?;
            }
        }
        (hours <= 18).then_some(Some(sign * (hours * 3600 + minutes * 60 + seconds)))
    }
}

enum Problem {
    Form,
    Range,
}

/// Without a zone an offset is read and says nothing.
fn read(text: &str, zone: Option<Zone>) -> Result<i64, Problem> {
    let mut reader = Reader { text: text.trim().as_bytes(), at: 0 };
    let negative = reader.eat(b'-');
    let _ = !negative && reader.eat(b'+');
    let (year, digits) = reader.number(6).ok_or(Problem::Form)?;
    if digits < 4 || !reader.eat(b'-') {
        return Err(Problem::Form);
    }
    let month = reader.two(99).ok_or(Problem::Form)?;
    if !reader.eat(b'-') {
        return Err(Problem::Form);
    }
    let day = reader.two(99).ok_or(Problem::Form)?;
    let mut rest = 0;
    let mut offset = None;
    if reader.peek() == b'T' || reader.peek() == b' ' || reader.peek() == b't' {
        reader.at += 1;
        reader.spaces();
        if reader.peek().is_ascii_digit() {
            rest = reader.clock().ok_or(Problem::Form)?;
        }
        offset = reader.offset().ok_or(Problem::Form)?;
    }
    reader.spaces();
    let mut year = if negative { -year } else { year };
    if reader.text[reader.at..].eq_ignore_ascii_case(b"bc") {
        reader.at += 2;
        year = 1 - year;
    }
    if reader.at != reader.text.len() {
        return Err(Problem::Form);
    }
    let days = days_of(year, month, day);
    if civil(days) != (year, month as u32, day as u32) {
        return Err(Problem::Range);
    }
    let local = i128::from(days) * i128::from(DAY_US) + i128::from(rest);
    let offset = zone.map_or(0, |zone| offset.unwrap_or_else(|| zone.offset_of_local(local)));
    i64::try_from(local - i128::from(offset) * 1_000_000).map_err(|_| Problem::Range)
}

/// The moment that a text names; without an offset it is read in `zone`.
///
/// # Errors
/// `Error::InvalidTime` where it is no time at all, `Error::TimeOverflow` where there is no such moment.
pub fn parse(text: &str, zone: Zone) -> Result<i64, Error> {
    parsed(text, Some(zone))
}

/// The clock's time that a text names, as microseconds from its 1970-01-01; an offset in it says nothing.
///
/// # Errors
/// As `parse`.
pub(crate) fn parse_local(text: &str) -> Result<i64, Error> {
    parsed(text, None)
}

fn parsed(text: &str, zone: Option<Zone>) -> Result<i64, Error> {
    if text.as_bytes().first().is_some_and(u8::is_ascii_digit)
        && let Ok(us) = read(text, zone)
    {
        return Ok(us);
    }
    match text.trim().to_ascii_lowercase().as_str() {
        "infinity" | "+infinity" => return Ok(i64::MAX),
        "-infinity" => return Ok(i64::MIN),
        "epoch" => return Ok(0),
        _ => {}
    }
    let shown = || text.chars().take(64).collect::<String>();
    read(text, zone).map_err(|problem| match problem {
        Problem::Form => {
            raise(Error::InvalidTime, format!("invalid input syntax for type timestamp with time zone: \"{}\"", shown()))
                .with_hint("write it as 2026-11-01 08:00:00.000000+00")
        }
        Problem::Range => raise(Error::TimeOverflow, format!("date/time field value out of range: \"{}\"", shown())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_reads_back() {
        for zone in [Zone::Utc, Zone::parse("Asia/Shanghai").unwrap(), Zone::parse("-03:30").unwrap()] {
            for us in [
                i64::MIN,
                i64::MIN + 1,
                -62_135_596_800_000_001,
                -1,
                0,
                1,
                1_700_000_000_123_450,
                253_402_300_800_000_000,
                i64::MAX,
            ] {
                let mut text = String::new();
                format(us, zone, &mut text);
                assert_eq!(parse(&text, zone).unwrap(), us, "{text}");
            }
        }
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn clocks_turn_on_beyond_the_known_years() {
        for (zone, time, utc) in [
            ("Europe/London", "2099-07-01 12:00", "2099-07-01 11:00"),
            ("Europe/London", "2263-04-01 00:00", "2263-03-31 23:00"),
            ("Europe/London", "2263-12-01 00:00", "2263-12-01 00:00"),
            ("America/New_York", "9999-07-04 00:00", "9999-07-04 04:00"),
            ("America/New_York", "2104-03-09 03:30", "2104-03-09 07:30"),
            ("Asia/Shanghai", "2500-07-01 08:00", "2500-07-01 00:00"),
        ] {
            let zone = Zone::parse(zone).unwrap();
            let (moment, expect) = (parse(time, zone).unwrap(), parse(utc, Zone::Utc).unwrap());
            assert_eq!(moment, expect, "{time} {zone:?}");
            assert_eq!(zone.moment(zone.local(moment)), moment, "{time} {zone:?}");
        }
    }

    #[test]
    fn usual_forms_are_read_and_others_are_not() {
        let utc = |text: &str| parse(text, Zone::Utc).map_err(|error| error.sqlstate());
        for text in [
            "1970-01-02",
            "1970-01-02 00:00",
            "1970-01-02T00:00:00Z",
            "1970-01-02 08:00:00.000000+08",
            "1970-01-01 20:30:00-03:30",
        ] {
            assert_eq!(utc(text), Ok(DAY_US), "{text}");
        }
        assert_eq!(parse("1970-01-01 08:00:00", Zone::parse("Asia/Shanghai").unwrap()).unwrap(), 0);
        assert_eq!(utc("2023-02-29"), Err("22008"));
        assert_eq!(utc("300000-01-01"), Err("22008"));
        for text in ["", "yesterday", "2023", "2023-01-01 25:00", "2023-01-01 00:00:00 nowhere", "12-01-01"] {
            assert_eq!(utc(text), Err("22007"), "{text}");
        }
    }
}
