//! `to_date(text, format)` and `to_timestamp(text, format)` with PostgreSQL's patterns.
//!
//! Promises: texts are read as PostgreSQL reads them: blanks before fields are passed over, a separator stands for any other or for none,
//! letters of the format for any letter, and what is left over at the end is left alone; a pattern of PostgreSQL's that is not known
//! here is refused, not passed over.

use super::time::from_seconds;
use super::to_char::{DAYS, MONTHS, PATTERNS};
use super::typed::Typed;
use crate::error::{Error, raise};
use crate::schema::time_type;
use crate::time::{Zone, days_of};
use arrow::array::{Array, ArrayRef, AsArray, Date32Builder, TimestampMicrosecondBuilder};
use arrow::datatypes::DataType;
use datafusion::error::Result;
use datafusion::logical_expr::ScalarUDF;
use std::sync::Arc;

const SECOND_US: i64 = 1_000_000;
const DAY_US: i64 = 86_400 * SECOND_US;
/// 1970-01-01, counted as Julian days.
const JULIAN_1970: i64 = 2_440_588;
const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];

/// A part of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Pattern { name: &'static str, unfilled: bool },
    Separator,
    Letter(char),
}

fn refused(name: &str) -> Error {
    raise(Error::Unsupported, format!("pattern {name} of to_date and to_timestamp is not supported"))
}

/// A format, taken apart.
fn parts(format: &str) -> std::result::Result<Vec<Part>, Error> {
    let (mut out, mut rest) = (Vec::new(), format);
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let (quoted, after) = rest[1..].split_once('"').unwrap_or((&rest[1..], ""));
            out.extend(quoted.chars().map(Part::Letter));
            rest = after;
            continue;
        }
        let begins = |rest: &str, word: &str| rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        if begins(rest, "FX") {
            return Err(refused("FX"));
        }
        let unfilled = begins(rest, "FM");
        let tail = if unfilled { &rest[2..] } else { rest };
        let single = ["Y", "I"].into_iter().find(|name| begins(tail, name));
        if let Some(name) = PATTERNS.iter().copied().find(|name| begins(tail, name)).or(single) {
            out.push(Part::Pattern { name, unfilled });
            rest = &tail[name.len()..];
            if begins(rest, "TH") {
                return Err(refused("TH"));
            }
            continue;
        }
        out.push(if first.is_ascii() && !first.is_ascii_alphanumeric() { Part::Separator } else { Part::Letter(first) });
        rest = &rest[first.len_utf8()..];
    }
    Ok(out)
}

/// Whether digits may follow the digits of a pattern at once, so that it takes as many as it has letters.
fn digits_follow(next: Option<&Part>) -> bool {
    match next {
        Some(Part::Pattern { name, .. }) => digits_of(name).is_some(),
        Some(Part::Letter(letter)) => letter.is_ascii_digit(),
        Some(Part::Separator) | None => false,
    }
}

/// How many digits a pattern of a number has.
fn digits_of(name: &str) -> Option<usize> {
    Some(match name {
        "YYYY" | "SSSS" => 4,
        "SSSSS" => 5,
        "Y,YYY" => 5,
        "YYY" | "DDD" | "MS" => 3,
        "Y" | "D" | "Q" => 1,
        "J" => 7,
        "US" => 6,
        "YY" | "MM" | "DD" | "HH24" | "HH12" | "HH" | "MI" | "SS" => 2,
        name if name.starts_with("FF") => usize::from(name.as_bytes()[2] - b'0'),
        _ => return None,
    })
}

/// What was read.
#[derive(Debug, Default)]
struct Read {
    year: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    julian: Option<i64>,
    hour: Option<i64>,
    /// Of the 12 of a half of a day.
    twelve: bool,
    afternoon: bool,
    minute: i64,
    second: i64,
    of_day: Option<i64>,
    micros: i64,
    zone: Option<(i64, i64)>,
}

/// A text that is read.
struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
}

impl Reader<'_> {
    fn blanks(&mut self) -> i64 {
        let trimmed = self.rest.trim_start();
        let passed = self.rest.len() - trimmed.len();
        self.rest = trimmed;
        i64::try_from(passed).unwrap_or(i64::MAX)
    }

    fn invalid(&self, name: &str, why: &str) -> Error {
        let shown: String = self.rest.chars().take_while(|c| !c.is_whitespace()).take(name.len().max(10)).collect();
        raise(Error::InvalidTime, format!("invalid value \"{shown}\" for \"{name}\"")).with_detail(why.to_owned())
    }

    /// A number: of so many digits at most, where other digits may follow. How many digits it has, too.
    fn number(&mut self, name: &str, most: Option<usize>) -> std::result::Result<(i64, usize), Error> {
        let sign = usize::from(name.starts_with('Y') && self.rest.starts_with('-') && most.is_none());
        let digits = self.rest[sign..].bytes().take_while(u8::is_ascii_digit).count();
        if most.is_some_and(|most| digits > 0 && digits < most) {
            return Err(self.invalid(name, "it has fewer digits than the pattern, and another number follows"));
        }
        let digits = digits.min(most.unwrap_or(usize::MAX));
        if digits == 0 {
            return Err(self.invalid(name, "it must be an integer"));
        }
        let number = self.rest[..sign + digits].parse().map_err(|_| self.invalid(name, "it is too large"))?;
        self.rest = &self.rest[sign + digits..];
        Ok((number, digits))
    }

    /// The place of a word in a list: the longest that fits.
    fn word(&mut self, name: &str, words: &[&str]) -> std::result::Result<usize, Error> {
        let fits = |word: &&str| self.rest.get(..word.len()).is_some_and(|head| head.eq_ignore_ascii_case(word));
        let found = words.iter().enumerate().filter(|(_, word)| fits(word)).max_by_key(|(_, word)| word.len());
        let (place, word) = found.ok_or_else(|| self.invalid(name, "it is none of the values that may stand there"))?;
        self.rest = &self.rest[word.len()..];
        Ok(place)
    }

    fn take(&mut self, name: &'static str, most: Option<usize>, passed: i64, out: &mut Read) -> std::result::Result<(), Error> {
        if digits_of(name).is_some() && name != "Y,YYY" {
            let (number, digits) = self.number(name, most)?;
            // Fractions are read from the point on.
            let scaled = |width: usize| number * 10_i64.pow(width.saturating_sub(digits) as u32);
            match name {
                "YYYY" => out.year = Some(number),
                "YYY" | "YY" | "Y" => out.year = Some(near_2020(number)),
                "MM" => out.month = Some(number),
                "DD" => out.day = Some(number),
                "DDD" => out.day_of_year = Some(number),
                "J" => out.julian = Some(number),
                "HH24" => (out.hour, out.twelve) = (Some(number), false),
                "HH12" | "HH" => (out.hour, out.twelve) = (Some(number), true),
                "MI" => out.minute = number,
                "SS" => out.second = number,
                "SSSSS" | "SSSS" => out.of_day = Some(number),
                "MS" => out.micros = scaled(3) * 1_000,
                "US" => out.micros = scaled(6),
                // Days of the week and quarters say nothing that the rest does not.
                "D" | "Q" => {}
                name => {
                    let width = digits_of(name).unwrap_or(6);
                    out.micros = scaled(width) * 10_i64.pow(6_u32.saturating_sub(width as u32));
                }
            }
            return Ok(());
        }
        match name {
            "Y,YYY" => {
                let (thousands, _) = self.number(name, None)?;
                let rest = self.rest.strip_prefix(',').ok_or_else(|| self.invalid(name, "it has no comma"))?;
                self.rest = rest;
                out.year = Some(thousands * 1_000 + self.number(name, Some(3))?.0);
            }
            "MONTH" | "Month" | "month" => out.month = Some(self.word(name, &MONTHS)? as i64 + 1),
            "MON" | "Mon" | "mon" => out.month = Some(self.word(name, &MONTHS.map(|month| &month[..3]))? as i64 + 1),
            "RM" | "rm" => out.month = Some(self.word(name, &ROMAN)? as i64 + 1),
            "DAY" | "Day" | "day" => drop(self.word(name, &DAYS)?),
            "DY" | "Dy" | "dy" => drop(self.word(name, &DAYS.map(|day| &day[..3]))?),
            "AM" | "PM" | "am" | "pm" => (out.afternoon, out.twelve) = (self.word(name, &["AM", "PM"])? == 1, true),
            "A.M." | "P.M." | "a.m." | "p.m." => {
                (out.afternoon, out.twelve) = (self.word(name, &["A.M.", "P.M."])? == 1, true);
            }
            "BC" | "AD" => out.before_christ = self.word(name, &["AD", "BC"])? == 1,
            "B.C." | "A.D." => out.before_christ = self.word(name, &["A.D.", "B.C."])? == 1,
            "TZH" => {
                // The sign may have been taken for a separator.
                let before = &self.text[..self.text.len() - self.rest.len()];
                let signed = self.rest.strip_prefix(['-', '+']);
                let minus = if signed.is_some() { self.rest.starts_with('-') } else { passed > 0 && before.ends_with('-') };
                let sign = if minus { -1 } else { 1 };
                self.rest = signed.unwrap_or(self.rest);
                out.zone = Some((sign, self.number(name, Some(2))?.0 * 60));
            }
            "TZM" => {
                let (sign, minutes) = out.zone.unwrap_or((1, 0));
                out.zone = Some((sign, minutes + self.number(name, Some(2))?.0));
            }
            name => return Err(refused(name)),
        }
        Ok(())
    }

    /// Reads all that the format names.
    fn read(&mut self, parts: &[Part]) -> std::result::Result<Read, Error> {
        let (mut out, mut passed) = (Read::default(), 0);
        for (at, part) in parts.iter().enumerate() {
            if self.rest.is_empty() {
                break;
            }
            if at == 0 || !matches!(part, Part::Letter(_)) {
                passed += self.blanks();
            }
            match part {
                Part::Separator => {
                    passed -= 1;
                    let separator = |c: char| c.is_ascii() && !c.is_ascii_alphanumeric();
                    if let Some(rest) = self.rest.strip_prefix(separator) {
                        (self.rest, passed) = (rest, passed + 1);
                    }
                }
                // Where more was passed over than the format says, the next letter may be a field's.
                Part::Letter(_) if passed > 0 => passed -= 1,
                Part::Letter(_) => {
                    let mut letters = self.rest.chars();
                    letters.next();
                    self.rest = letters.as_str();
                }
                Part::Pattern { name, unfilled } => {
                    let fixed = !unfilled && digits_follow(parts.get(at + 1));
                    self.take(name, digits_of(name).filter(|_| fixed), passed, &mut out)?;
                    passed = self.blanks();
                }
            }
        }
        Ok(out)
    }

    fn out_of_range(&self) -> Error {
        raise(Error::TimeOverflow, format!("date/time field value out of range: \"{}\"", self.text))
    }
}

/// A year of fewer than four digits is the one nearest to 2020.
fn near_2020(year: i64) -> i64 {
    match year {
        0..=69 => year + 2_000,
        70..=99 => year + 1_900,
        100..=519 => year + 2_000,
        520..=999 => year + 1_000,
        year => year,
    }
}

/// The day, counted from 1970-01-01, and the microseconds of a clock on it; and how far east of UTC it is, in minutes, if that is said.
fn moment(text: &str, parts: &[Part]) -> std::result::Result<(i64, i64, Option<i64>), Error> {
    let mut reader = Reader { text, rest: text };
    let read = reader.read(parts)?;
    let year = read.year.map_or(0, |year| if read.before_christ { -year } else { year });
    let year = if year < 0 { year + 1 } else { year };
    if year.abs() > 300_000 {
        return Err(reader.out_of_range());
    }
    let day = if let Some(julian) = read.julian {
        julian - JULIAN_1970
    } else if let (Some(day), None, None) = (read.day_of_year, read.month, read.day) {
        let (first, next) = (days_of(year, 1, 1), days_of(year + 1, 1, 1));
        if !(1..=next - first).contains(&day) {
            return Err(reader.out_of_range());
        }
        first + day - 1
    } else {
        let (month, day) = (read.month.unwrap_or(1), read.day.unwrap_or(1));
        if !(1..=12).contains(&month) {
            return Err(reader.out_of_range());
        }
        let first = days_of(year, month, 1);
        let next = days_of(year + month / 12, month % 12 + 1, 1);
        if !(1..=next - first).contains(&day) {
            return Err(reader.out_of_range());
        }
        first + day - 1
    };
    let mut hour = read.hour.unwrap_or(0);
    if read.twelve && read.hour.is_some() {
        if !(1..=12).contains(&hour) {
            return Err(raise(Error::InvalidTime, format!("hour \"{hour}\" is invalid for the 12-hour clock"))
                .with_hint("use the 24-hour clock (HH24), or an hour from 1 to 12"));
        }
        hour = hour % 12 + if read.afternoon { 12 } else { 0 };
    }
    if !(0..24).contains(&hour) || !(0..60).contains(&read.minute) || !(0..60).contains(&read.second) {
        return Err(reader.out_of_range());
    }
    let of_day = read.of_day.unwrap_or(hour * 3_600 + read.minute * 60 + read.second);
    if !(0..86_400).contains(&of_day) {
        return Err(reader.out_of_range());
    }
    Ok((day, of_day * SECOND_US + read.micros, read.zone.map(|(sign, minutes)| sign * minutes)))
}

fn each(
    args: &[ArrayRef],
    mut give: impl FnMut(Option<(i64, i64, Option<i64>)>) -> std::result::Result<(), Error>,
) -> Result<()> {
    let (texts, formats) = (args[0].as_string::<i32>(), args[1].as_string::<i32>());
    let mut known: Option<(&str, Vec<Part>)> = None;
    for row in 0..texts.len() {
        if texts.is_null(row) || formats.is_null(row) {
            give(None)?;
            continue;
        }
        let format = formats.value(row);
        let parts = match known.take().filter(|(of, _)| *of == format) {
            Some(known) => known.1,
            None => parts(format)?,
        };
        give(Some(moment(texts.value(row), &parts)?))?;
        known = Some((format, parts));
    }
    Ok(())
}

fn dates(args: &[ArrayRef], _: Zone) -> Result<ArrayRef> {
    let mut out = Date32Builder::with_capacity(args[0].len());
    each(args, |read| {
        let day = read.map(|(day, ..)| i32::try_from(day)).transpose();
        out.append_option(day.map_err(|_| raise(Error::TimeOverflow, "date out of range"))?);
        Ok(())
    })?;
    Ok(Arc::new(out.finish()))
}

fn timestamps(args: &[ArrayRef], zone: Zone) -> Result<ArrayRef> {
    if args.len() == 1 {
        return from_seconds(args, zone);
    }
    let mut out = TimestampMicrosecondBuilder::with_capacity(args[0].len());
    each(args, |read| {
        let us = read.map(|(day, of_day, offset)| {
            let local = day.checked_mul(DAY_US).and_then(|us| us.checked_add(of_day));
            local.map(|local| offset.map_or_else(|| zone.moment(local), |minutes| local - minutes * 60 * SECOND_US))
        });
        let overflow = || raise(Error::TimeOverflow, "timestamp out of range");
        out.append_option(us.map(|us| us.ok_or_else(overflow)).transpose()?);
        Ok(())
    })?;
    Ok(Arc::new(out.finish().with_timezone("UTC")))
}

fn texts(given: &[DataType]) -> Option<Vec<DataType>> {
    let text = |kind: &DataType| matches!(kind, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
    (given.len() == 2 && given.iter().all(text)).then(|| vec![DataType::Utf8; 2])
}

/// What `to_timestamp` takes: seconds, or a text and its format.
fn moments(given: &[DataType]) -> Option<Vec<DataType>> {
    match given {
        [seconds] => seconds.is_numeric().then(|| vec![DataType::Float64]),
        given => texts(given),
    }
}

pub(super) fn all() -> Vec<ScalarUDF> {
    let to_date = Typed { name: "to_date", aliases: &[], takes: texts, gives: |_| DataType::Date32, body: dates };
    let to_timestamp = Typed { name: "to_timestamp", aliases: &[], takes: moments, gives: |_| time_type(), body: timestamps };
    vec![to_date.udf().as_ref().clone(), to_timestamp.udf().as_ref().clone()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::format;

    fn check(text: &str, pattern: &str) -> std::result::Result<String, &'static str> {
        let (day, of_day, offset) = parts(pattern).and_then(|parts| moment(text, &parts)).map_err(|error| error.sqlstate())?;
        let mut out = String::new();
        format(day * DAY_US + of_day - offset.unwrap_or(0) * 60 * SECOND_US, Zone::Utc, &mut out);
        Ok(out)
    }

    /// Answers of PostgreSQL 15, but for what is refused here.
    #[test]
    fn texts_are_read_as_postgresql_reads_them() {
        for (text, pattern, expect) in [
            ("05 Dec 2000", "DD Mon YYYY", Ok("2000-12-05 00:00:00+00")),
            ("05DEC2000", "DDMonYYYY", Ok("2000-12-05 00:00:00+00")),
            ("2000    JUN", "YYYY MON", Ok("2000-06-01 00:00:00+00")),
            ("2000/JUN", "YYYY MON", Ok("2000-06-01 00:00:00+00")),
            ("2000JUN", "YYYY MON", Ok("2000-06-01 00:00:00+00")),
            ("20001205", "YYYYMMDD", Ok("2000-12-05 00:00:00+00")),
            ("2000-6-3", "YYYY-MM-DD", Ok("2000-06-03 00:00:00+00")),
            ("December  9, 1999", "Month DD, YYYY", Ok("1999-12-09 00:00:00+00")),
            ("Thu 9-12-99", "Dy DD-MM-YY", Ok("1999-12-09 00:00:00+00")),
            ("69 070", "YY DDD", Ok("2069-03-11 00:00:00+00")),
            ("44-02-01 BC", "YYYY-MM-DD BC", Ok("0044-02-01 00:00:00+00 BC")),
            ("1,999-12", "Y,YYY-MM", Ok("1999-12-01 00:00:00+00")),
            ("2451545", "J", Ok("2000-01-01 00:00:00+00")),
            ("XII 2001", "RM YYYY", Ok("2001-12-01 00:00:00+00")),
            ("2011-12-18 11:38 PM", "YYYY-MM-DD HH12:MI PM", Ok("2011-12-18 23:38:00+00")),
            ("2011-12-18 12:38 am", "YYYY-MM-DD HH12:MI AM", Ok("2011-12-18 00:38:00+00")),
            ("2018-11-02 12:34:56.025", "YYYY-MM-DD HH24:MI:SS.MS", Ok("2018-11-02 12:34:56.025+00")),
            ("2018-11-02 12:34:56.1", "YYYY-MM-DD HH24:MI:SS.US", Ok("2018-11-02 12:34:56.1+00")),
            ("2011-12-18 11:38 -05", "YYYY-MM-DD HH24:MI TZH", Ok("2011-12-18 16:38:00+00")),
            ("2011-12-18 11:38 +05:20", "YYYY-MM-DD HH24:MI TZH:TZM", Ok("2011-12-18 06:18:00+00")),
            ("at 2000T12", "\"at\" YYYY\"T\"MM", Ok("2000-12-01 00:00:00+00")),
            ("2000-12-05 and more", "YYYY-MM-DD", Ok("2000-12-05 00:00:00+00")),
            ("97/2/16 8:14:30", "FMYYYY/FMMM/FMDD FMHH:FMMI:FMSS", Ok("0097-02-16 08:14:30+00")),
            (
                "My birthday-> Year: 1976, Month: May",
                "\"My birthday-> Year:\" YYYY, \"Month:\" FMMonth",
                Ok("1976-05-01 00:00:00+00"),
            ),
            ("05121445482000", "MMDDHH24MISSYYYY", Ok("2000-05-12 14:45:48+00")),
            ("2000January09Sunday", "YYYYFMMonthDDFMDay", Ok("2000-01-09 00:00:00+00")),
            ("20000-1116", "YYYY-MMDD", Ok("20000-11-16 00:00:00+00")),
            ("9-1116", "Y-MMDD", Ok("2009-11-16 00:00:00+00")),
            ("1997 AD 11 16", "YYYY BC MM DD", Ok("1997-11-16 00:00:00+00")),
            ("0-1-1", "YYYY-MM-DD", Ok("0001-01-01 00:00:00+00 BC")),
            ("2000-01-01 10:00 PM", "YYYY-MM-DD HH24:MI PM", Ok("2000-01-01 22:00:00+00")),
            ("5", "DD", Ok("0001-01-05 00:00:00+00 BC")),
            ("2001-02-29", "YYYY-MM-DD", Err("22008")),
            ("2001-13-01", "YYYY-MM-DD", Err("22008")),
            ("05 Dek 2000", "DD Mon YYYY", Err("22007")),
            ("x5 Dec 2000", "DD Mon YYYY", Err("22007")),
            ("2011-12-18 13:38 PM", "YYYY-MM-DD HH12:MI PM", Err("22007")),
            ("2011-12-18 25:38", "YYYY-MM-DD HH24:MI", Err("22008")),
            ("2011-51", "IYYY-IW", Err("0A000")),
        ] {
            assert_eq!(check(text, pattern), expect.map(str::to_owned), "{text} as {pattern}");
        }
    }
}
