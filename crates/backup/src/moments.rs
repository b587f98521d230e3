//! How moments are told to people: UTC, to the microsecond.
//!
//! Promises: what is told is what PostgreSQL reads as the same moment.

/// A day's date in UTC (year, month, day) and the second of it.
pub(crate) fn date(us: i64) -> (i64, i64, i64, i64) {
    let (days, second) = (us.div_euclid(86_400_000_000), us.rem_euclid(86_400_000_000) / 1_000_000);
    // Days since 0000-03-01 in eras of 400 years, each year beginning in March: a leap day is a year's last.
    let (era, day) = ((days + 719_468).div_euclid(146_097), (days + 719_468).rem_euclid(146_097));
    let of_era = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * of_era + of_era / 4 - of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + of_era + i64::from(month <= 2), month, day, second)
}

/// A moment, microseconds since 1970.
#[must_use]
pub fn words(us: u64) -> String {
    let us = i64::try_from(us).unwrap_or(i64::MAX);
    let (year, month, day, second) = date(us);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{:06}+00", us.rem_euclid(1_000_000))
}
