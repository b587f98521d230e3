//! How long something is kept: an interval, as PostgreSQL writes it.

use crate::error::{Error, raise};
use crate::functions::shift_one;
use crate::rewrite::clocks_in_words;
use crate::text::write_interval;
use arrow::compute::kernels::cast_utils::parse_interval_month_day_nano;
use arrow::datatypes::IntervalMonthDayNano;
use serde::{Deserialize, Serialize};
use std::fmt;

const DAY_US: i64 = 86_400_000_000;
/// The shortest and the longest, in microseconds: those of the setting `retention`.
const SHORTEST_US: i128 = 60_000_000;
const LONGEST_US: i128 = 365_000 * DAY_US as i128;

/// How long something is kept. Months are the calendar's, in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Keep {
    #[serde(default, skip_serializing_if = "is_zero")]
    months: i32,
    #[serde(default, skip_serializing_if = "is_zero")]
    days: i32,
    #[serde(default, skip_serializing_if = "is_zero")]
    us: i64,
}

fn is_zero<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Keep {
    /// Reads one.
    ///
    /// # Errors
    /// `Error::InvalidTime` for what is no interval, `Error::InvalidParameter` for one that is too short or too long.
    pub(crate) fn parse(text: &str) -> Result<Keep, Error> {
        let invalid = || {
            raise(Error::InvalidTime, format!("invalid input syntax for type interval: \"{text}\""))
                .with_hint("as in '90 days', '12 hours', '1 year'")
        };
        // A bare number would be seconds: nobody means that.
        if text.trim().parse::<f64>().is_ok() {
            return Err(invalid());
        }
        let read = parse_interval_month_day_nano(&clocks_in_words(text)).map_err(|_| invalid())?;
        let keep = Keep { months: read.months, days: read.days, us: read.nanoseconds / 1_000 };
        let length = keep.about_us();
        if keep.months < 0 || keep.days < 0 || keep.us < 0 || !(SHORTEST_US..=LONGEST_US).contains(&length) {
            let error = raise(Error::InvalidParameter, format!("samples can't be kept for \"{text}\""));
            return Err(error.with_hint("from 1 minute to 365000 days; without a policy they are kept for ever"));
        }
        Ok(keep)
    }

    /// Of so many microseconds: whole days, and the rest.
    pub(crate) fn of_us(us: i64) -> Keep {
        Keep { months: 0, days: i32::try_from(us / DAY_US).unwrap_or(i32::MAX), us: us % DAY_US }
    }

    /// The oldest moment that is kept.
    pub(crate) fn oldest_us(self, now_us: i64) -> i64 {
        shift_one(now_us, self.interval(), -1, None).unwrap_or(i64::MIN)
    }

    /// When a moment is kept no longer.
    pub(crate) fn ends_us(self, moment_us: i64) -> i64 {
        shift_one(moment_us, self.interval(), 1, None).unwrap_or(i64::MAX)
    }

    /// About how long it is: months count as 30 days.
    pub(crate) fn about_us(self) -> i128 {
        (i128::from(self.months) * 30 + i128::from(self.days)) * i128::from(DAY_US) + i128::from(self.us)
    }

    /// As a value of SQL.
    pub(crate) fn interval(self) -> IntervalMonthDayNano {
        IntervalMonthDayNano::new(self.months, self.days, self.us.saturating_mul(1_000))
    }
}

impl fmt::Display for Keep {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        write_interval(&mut text, self.months, self.days, self.us);
        out.write_str(&String::from_utf8_lossy(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_read_as_they_are_meant() {
        for (text, shown) in [
            ("90 days", "90 days"),
            ("12 hours", "12:00:00"),
            ("1 year 2 months", "1 year 2 mons"),
            ("1 day 02:30:00", "1 day 02:30:00"),
            ("1 minute", "00:01:00"),
            ("365000 days", "365000 days"),
        ] {
            let keep = Keep::parse(text).unwrap();
            assert_eq!(keep.to_string(), shown, "{text}");
            assert_eq!(Keep::parse(shown).unwrap(), keep, "{text}");
            let record = serde_json::to_string(&keep).unwrap();
            assert_eq!(serde_json::from_str::<Keep>(&record).unwrap(), keep);
        }
        for (text, state) in [
            ("soon", "22007"),
            ("", "22007"),
            ("90", "22007"),
            ("59 seconds", "22023"),
            ("-1 day", "22023"),
            ("1 month -40 days", "22023"),
            ("365001 days", "22023"),
            ("2000 years", "22023"),
        ] {
            assert_eq!(Keep::parse(text).unwrap_err().sqlstate(), state, "{text}");
        }
    }

    #[test]
    fn months_are_those_of_the_calendar() {
        let day = |text: &str| crate::time::parse(text, crate::time::Zone::Utc).unwrap();
        let keep = Keep::parse("1 month").unwrap();
        assert_eq!(keep.oldest_us(day("2026-03-31")), day("2026-02-28"));
        assert_eq!(keep.ends_us(day("2026-01-31")), day("2026-02-28"));
        assert_eq!(Keep::parse("365000 days").unwrap().oldest_us(i64::MIN + 1), i64::MIN);
    }
}
