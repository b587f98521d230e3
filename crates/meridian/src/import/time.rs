//! Times as files write them, and what they mean.
//!
//! Promises: exact microseconds (finer digits are cut off towards the past); a time without an
//! offset is of the zone given (UTC by default); years beyond 9999 and before 1 are read as SQL writes them; a bare number is refused unless its unit was
//! said, since nobody guesses seconds or milliseconds right; a local time that happened twice is
//! the first of the two, one that never happened is an error.

use chrono::{DateTime, FixedOffset, LocalResult, NaiveDate, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;
use types::Timestamp;

/// How the file writes time.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Format {
    /// RFC 3339, or 'YYYY-mm-dd[ T]HH:MM[:SS[.fraction]]' with or without an offset, or a date.
    Auto,
    /// A number since 1970, in units of so many per second.
    Epoch { per_second: i64 },
    /// A strftime pattern; whether it holds an offset.
    Pattern { pattern: String, offset: bool },
}

/// Where a time without an offset is.
#[derive(Clone, Copy, Debug)]
enum Zone {
    Fixed(FixedOffset),
    Named(Tz),
}

/// Reads times of one file.
#[derive(Clone, Debug)]
pub struct TimeReader {
    format: Format,
    zone: Zone,
    /// The same, for times that only SQL writes.
    sql_zone: Option<query::Zone>,
}

impl TimeReader {
    /// A reader for `--time-format` and `--time-zone`.
    ///
    /// # Errors
    /// What is wrong with either, for a person.
    pub fn new(format: &str, zone: &str) -> Result<TimeReader, String> {
        let sql_zone = query::Zone::parse(zone).ok();
        Ok(TimeReader { format: read_format(format)?, zone: read_zone(zone)?, sql_zone })
    }

    /// The moment that a text names.
    ///
    /// # Errors
    /// Why it names none.
    pub fn read(&self, text: &str) -> Result<Timestamp, String> {
        let text = text.trim();
        match &self.format {
            Format::Auto => self.auto(text),
            Format::Epoch { per_second } => epoch(text, *per_second).map(Timestamp),
            Format::Pattern { pattern, offset: true } => DateTime::parse_from_str(text, pattern)
                .map(|time| Timestamp(time.timestamp_micros()))
                .map_err(|error| format!("time \"{}\" is not like {pattern}: {error}", short(text))),
            Format::Pattern { pattern, offset: false } => {
                let naive = NaiveDateTime::parse_from_str(text, pattern).or_else(|error| {
                    NaiveDate::parse_from_str(text, pattern).map(|date| date.and_time(chrono::NaiveTime::MIN)).map_err(|_| error)
                });
                let naive = naive.map_err(|error| format!("time \"{}\" is not like {pattern}: {error}", short(text)))?;
                self.local(naive, text)
            }
        }
    }

    fn auto(&self, text: &str) -> Result<Timestamp, String> {
        let wrong = || {
            let hint = if text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-') && !text.is_empty() {
                "; for a number since 1970 say its unit: --time-format s, ms, us or ns"
            } else {
                "; --time-format takes a strftime pattern"
            };
            format!("time \"{}\" is neither RFC 3339 nor YYYY-mm-dd HH:MM:SS{hint}", short(text))
        };
        if text.ends_with("BC") || text.bytes().take_while(u8::is_ascii_digit).count() > 4 {
            let far = self.sql_zone.and_then(|zone| query::parse_time(text, zone).ok());
            return far.map(Timestamp).ok_or_else(wrong);
        }
        let (naive, rest) = plain(text.as_bytes()).ok_or_else(wrong)?;
        match std::str::from_utf8(rest).map(str::trim) {
            Ok("") => self.local(naive, text),
            Ok(offset) => {
                let seconds = read_offset(offset).ok_or_else(wrong)?;
                Ok(Timestamp(naive.and_utc().timestamp_micros() - i64::from(seconds) * 1_000_000))
            }
            Err(_) => Err(wrong()),
        }
    }

    fn local(&self, naive: NaiveDateTime, text: &str) -> Result<Timestamp, String> {
        let offset = match self.zone {
            Zone::Fixed(offset) => offset,
            Zone::Named(zone) => match zone.offset_from_local_datetime(&naive) {
                LocalResult::Single(offset) | LocalResult::Ambiguous(offset, _) => offset.fix(),
                LocalResult::None => {
                    return Err(format!("time \"{}\" never was in {zone}: the clock jumped over it", short(text)));
                }
            },
        };
        Ok(Timestamp(naive.and_utc().timestamp_micros() - i64::from(offset.local_minus_utc()) * 1_000_000))
    }
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

fn read_format(format: &str) -> Result<Format, String> {
    Ok(match format {
        "auto" | "rfc3339" | "iso8601" => Format::Auto,
        "s" | "epoch" => Format::Epoch { per_second: 1 },
        "ms" => Format::Epoch { per_second: 1_000 },
        "us" => Format::Epoch { per_second: 1_000_000 },
        "ns" => Format::Epoch { per_second: 1_000_000_000 },
        pattern if pattern.contains('%') => {
            let bad = chrono::format::StrftimeItems::new(pattern).any(|item| matches!(item, chrono::format::Item::Error));
            if bad {
                return Err(format!("--time-format \"{pattern}\" is not a strftime pattern"));
            }
            let offset = pattern.contains("%z") || pattern.contains("%:z") || pattern.contains("%#z") || pattern.contains("%+");
            Format::Pattern { pattern: pattern.to_owned(), offset }
        }
        other => {
            return Err(format!(
                "--time-format \"{other}\": give auto, s, ms, us, ns or a strftime pattern such as %d.%m.%Y %H:%M"
            ));
        }
    })
}

fn read_zone(zone: &str) -> Result<Zone, String> {
    if let Some(seconds) = read_offset(zone) {
        return FixedOffset::east_opt(seconds).map(Zone::Fixed).ok_or_else(|| format!("--time-zone \"{zone}\" is beyond a day"));
    }
    if zone.eq_ignore_ascii_case("utc") {
        return Ok(Zone::Fixed(Utc.fix()));
    }
    zone.parse::<Tz>().map(Zone::Named).map_err(|_| {
        format!("--time-zone \"{zone}\" is not known; give UTC, an offset such as +08:00, or a name such as Asia/Shanghai")
    })
}

/// Seconds east of "Z", "+08:00", "+0800" or "+08"; local times of long ago have seconds too: "+08:05:43".
fn read_offset(text: &str) -> Option<i32> {
    if text.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, digits) = match text.as_bytes().first()? {
        b'+' => (1, &text[1..]),
        b'-' => (-1, &text[1..]),
        _ => return None,
    };
    let (hours, rest) = match digits.split_once(':') {
        Some((hours, rest)) => (hours, rest),
        None if digits.len() == 4 && digits.is_ascii() => digits.split_at(2),
        None => (digits, "0"),
    };
    let (minutes, seconds) = rest.split_once(':').unwrap_or((rest, "0"));
    let number = |text: &str, end: i32| text.parse::<i32>().ok().filter(|number| (0..end).contains(number));
    Some(sign * (number(hours, 24)? * 3600 + number(minutes, 60)? * 60 + number(seconds, 60)?))
}

/// 'YYYY-mm-dd', '[ T]HH:MM', ':SS' and '.fraction', each but the first optional, and what is left.
fn plain(text: &[u8]) -> Option<(NaiveDateTime, &[u8])> {
    let number = |range: std::ops::Range<usize>| -> Option<u32> {
        text.get(range)?.iter().try_fold(0_u32, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + u32::from(digit - b'0')))
    };
    let is = |place: usize, any: &[u8]| text.get(place).is_some_and(|byte| any.contains(byte));
    if !(is(4, b"-/") && is(7, b"-/")) {
        return None;
    }
    let date = NaiveDate::from_ymd_opt(i32::try_from(number(0..4)?).ok()?, number(5..7)?, number(8..10)?)?;
    if !is(10, b" tT") {
        return Some((date.and_hms_opt(0, 0, 0)?, &text[10..]));
    }
    if !is(13, b":") {
        return None;
    }
    let (hour, minute) = (number(11..13)?, number(14..16)?);
    let mut end = 16;
    let mut second = 0;
    let mut micros = 0;
    if is(16, b":") {
        second = number(17..19)?;
        end = 19;
        if is(19, b".,") {
            end = 20;
            let mut unit = 100_000;
            while is(end, b"0123456789") {
                micros += u32::from(text[end] - b'0') * unit;
                unit /= 10;
                end += 1;
            }
            if end == 20 {
                return None;
            }
        }
    }
    Some((date.and_hms_micro_opt(hour, minute, second, micros)?, &text[end..]))
}

/// Microseconds of a decimal number since 1970 in units of 1/`per_second`.
fn epoch(text: &str, per_second: i64) -> Result<i64, String> {
    let wrong = || format!("time \"{}\" is not a number since 1970 that 64 bits of microseconds can hold", short(text));
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit()) || whole.len() > 30 {
        return Err(wrong());
    }
    // In units of 10^-9 of the unit, so that seconds keep their microseconds whatever is cut.
    let fraction: i128 = format!("{:0<9}", &fraction[..fraction.len().min(9)]).parse().map_err(|_| wrong())?;
    let whole: i128 = whole.parse().map_err(|_| wrong())?;
    let billionths = whole.checked_mul(1_000_000_000).ok_or_else(wrong)? + fraction;
    let billionths = if negative { -billionths } else { billionths };
    let micros = billionths.checked_mul(1_000_000).ok_or_else(wrong)?.div_euclid(i128::from(per_second) * 1_000_000_000);
    i64::try_from(micros).map_err(|_| wrong())
}

/// A moment as COPY reads it, in whatever time zone the session is.
pub fn write_time(out: &mut String, time: Timestamp) {
    query::format_time(time.0, query::Zone::Utc, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn micros(format: &str, zone: &str, text: &str) -> Option<i64> {
        TimeReader::new(format, zone).unwrap().read(text).ok().map(|time| time.0)
    }

    const DAY: i64 = 1_467_331_200_000_000; // 2016-07-01 00:00:00 UTC

    #[test]
    fn times_are_read_as_files_write_them() {
        let rows: &[(&str, &str, &str, Option<i64>)] = &[
            ("auto", "UTC", "2016-07-01 00:00:00", Some(DAY)),
            ("auto", "UTC", "2016-07-01", Some(DAY)),
            ("auto", "UTC", "2016/07/01 00:00", Some(DAY)),
            ("auto", "UTC", "2016-07-01T00:00:00Z", Some(DAY)),
            ("auto", "UTC", "2016-07-01T08:00:00.25+08:00", Some(DAY + 250_000)),
            ("auto", "+08:00", "2016-07-01T08:00:00", Some(DAY)),
            ("auto", "Asia/Shanghai", "2016-07-01 08:00:00", Some(DAY)),
            ("auto", "Asia/Shanghai", "2016-07-01 00:00:00Z", Some(DAY)),
            ("auto", "UTC", "2016-07-01 00:00:00.123456789", Some(DAY + 123_456)),
            ("auto", "UTC", "2016-07-01 00:00:00.", None),
            ("auto", "UTC", "2016-13-01 00:00:00", None),
            ("auto", "UTC", "2016-07-01 24:00:00", None),
            ("auto", "UTC", "1467331200", None),
            ("auto", "Asia/Shanghai", "1900-12-31 08:05:43+08:05:43", Some(-2_177_539_200_000_000)),
            ("auto", "UTC", "12016-07-01", Some(317_036_851_200_000_000)),
            ("auto", "+08:00", "0044-03-15 08:00:00 BC", Some(-63_517_824_000_000_000)),
            ("auto", "UTC", "", None),
            ("auto", "UTC", "yesterday", None),
            ("s", "UTC", "1467331200", Some(DAY)),
            ("s", "UTC", "1467331200.5", Some(DAY + 500_000)),
            ("s", "UTC", "-0.0000001", Some(-1)),
            ("ms", "UTC", "1467331200000", Some(DAY)),
            ("us", "UTC", "-5", Some(-5)),
            ("ns", "UTC", "1467331200000000999", Some(DAY)),
            ("s", "UTC", "99999999999999999999", None),
            ("s", "UTC", "1e9", None),
            ("%d.%m.%Y %H:%M", "UTC", "01.07.2016 00:00", Some(DAY)),
            ("%d.%m.%Y", "UTC", "01.07.2016", Some(DAY)),
            ("%Y%m%d%H%M%S%z", "UTC", "20160701080000+0800", Some(DAY)),
            ("%d.%m.%Y", "UTC", "2016-07-01", None),
        ];
        for (format, zone, text, expected) in rows {
            assert_eq!(micros(format, zone, text), *expected, "{format} {zone} {text:?}");
        }
    }

    #[test]
    fn clocks_that_jump() {
        // 2021-03-28 02:30 never was in Berlin; 2021-10-31 02:30 was twice, the first at +02:00.
        assert_eq!(micros("auto", "Europe/Berlin", "2021-03-28 02:30:00"), None);
        assert_eq!(micros("auto", "Europe/Berlin", "2021-10-31 02:30:00"), micros("auto", "+02:00", "2021-10-31 02:30:00"));
    }

    #[test]
    fn wrong_options_are_said() {
        assert!(TimeReader::new("auto", "Mars/Olympus").is_err());
        assert!(TimeReader::new("%Q!", "UTC").is_err());
        assert!(TimeReader::new("seconds", "UTC").is_err());
    }

    #[test]
    fn what_is_written_reads_back() {
        for time in [0, 1, -1, DAY, 253_402_300_799_999_999, 253_402_300_800_000_000, -62_135_596_800_000_001, i64::MIN, i64::MAX]
        {
            let mut out = String::new();
            write_time(&mut out, Timestamp(time));
            assert_eq!(micros("auto", "UTC", &out), Some(time), "{out}");
        }
    }
}
