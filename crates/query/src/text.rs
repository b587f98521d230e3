//! Values as PostgreSQL writes them as text: numbers, times, intervals, bytes, array elements.
//!
//! Promises: floats print the shortest digits that read back to the same float (NaN, Infinity and
//! -0 among them); every moment that `i64` microseconds can name prints exactly, also beyond
//! PostgreSQL's own range (290308 BC to 294247 AD).

use crate::time::{Zone, civil, format};
use std::io::Write as _;

const DAY_US: i64 = 86_400_000_000;

/// A whole number.
#[inline]
pub fn write_u64(out: &mut Vec<u8>, mut value: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A whole number with its sign.
#[inline]
pub fn write_i64(out: &mut Vec<u8>, value: i64) {
    if value < 0 {
        out.push(b'-');
    }
    write_u64(out, value.unsigned_abs());
}

/// A number with leading zeros up to `width` digits.
fn write_padded(out: &mut Vec<u8>, value: u64, width: usize) {
    let mut digits = [b'0'; 20];
    let (mut rest, mut at) = (value, digits.len());
    while rest > 0 || digits.len() - at < width {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&digits[at..]);
}

/// Most values that are measured have few decimals.
const DECIMALS_MAX: usize = 6;

/// The whole number and the number of decimals that a double is exactly written as, where they are few: then no shorter digits mean the
/// same double, since no two decimals of up to 15 digits do, and no more than 15 are taken here.
fn decimal_of(value: f64) -> Option<(u64, usize)> {
    const POWERS: [f64; DECIMALS_MAX + 1] = [1.0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6];
    let value = value.abs();
    if !(1e-4..1e15).contains(&value) {
        return (value == 0.0).then_some((0, 0));
    }
    for (decimals, power) in POWERS.iter().enumerate() {
        let scaled = value * power;
        let whole = scaled.round_ties_even();
        if whole >= 1e15 {
            return None;
        }
        // The division rounds as reading the text would; it is slow, so it is tried only where it may succeed.
        if (scaled - whole).abs() <= scaled * f64::EPSILON && whole / power == value {
            return Some((whole as u64, decimals));
        }
    }
    None
}

/// A double.
pub fn write_f64(out: &mut Vec<u8>, value: f64) {
    if let Some((whole, decimals)) = decimal_of(value) {
        if value.is_sign_negative() {
            out.push(b'-');
        }
        if decimals == 0 {
            return write_u64(out, whole);
        }
        let power = 10_u64.pow(decimals as u32);
        write_u64(out, whole / power);
        out.push(b'.');
        return write_padded(out, whole % power, decimals);
    }
    write_float(out, value.is_nan(), value.is_infinite(), value.is_sign_negative(), 15, |digits| {
        write!(digits, "{:e}", value.abs())
    });
}

/// A float of four bytes.
pub fn write_f32(out: &mut Vec<u8>, value: f32) {
    write_float(out, value.is_nan(), value.is_infinite(), value.is_sign_negative(), 6, |digits| {
        write!(digits, "{:e}", value.abs())
    });
}

/// Lays out shortest digits as PostgreSQL does: plain where the exponent is -4 up to below
/// `exponent_end`, else d.ddde+XX.
fn write_float(
    out: &mut Vec<u8>,
    nan: bool,
    infinite: bool,
    negative: bool,
    exponent_end: i32,
    shortest: impl FnOnce(&mut &mut [u8]) -> std::io::Result<()>,
) {
    if nan {
        out.extend_from_slice(b"NaN");
        return;
    }
    if negative {
        out.push(b'-');
    }
    if infinite {
        out.extend_from_slice(b"Infinity");
        return;
    }
    let mut space = [0_u8; 40];
    let mut rest = &mut space[..];
    shortest(&mut rest).expect("the shortest form of a float has at most 25 bytes");
    let length = 40 - rest.len();
    let text = &space[..length];
    let e = text.iter().position(|byte| *byte == b'e').expect("{:e} writes an exponent");
    let exponent: i32 =
        std::str::from_utf8(&text[e + 1..]).ok().and_then(|t| t.parse().ok()).expect("{:e} writes a number after e");
    let mut digits = [0_u8; 20];
    let mut count = 0;
    for byte in text[..e].iter().filter(|byte| **byte != b'.') {
        digits[count] = *byte;
        count += 1;
    }
    let digits = &digits[..count];
    if exponent < -4 || exponent >= exponent_end {
        out.push(digits[0]);
        if count > 1 {
            out.push(b'.');
            out.extend_from_slice(&digits[1..]);
        }
        out.extend_from_slice(if exponent < 0 { b"e-" } else { b"e+" });
        write_padded(out, u64::from(exponent.unsigned_abs()), 2);
    } else if exponent < 0 {
        out.extend_from_slice(b"0.");
        (1..-exponent).for_each(|_| out.push(b'0'));
        out.extend_from_slice(digits);
    } else {
        let whole = exponent as usize + 1;
        out.extend_from_slice(&digits[..count.min(whole)]);
        (count..whole).for_each(|_| out.push(b'0'));
        if count > whole {
            out.push(b'.');
            out.extend_from_slice(&digits[whole..]);
        }
    }
}

/// A date without the BC that may have to follow; returns whether it has to.
fn write_civil(out: &mut Vec<u8>, day: i64) -> bool {
    let (year, month, day) = civil(day);
    let (year, before) = if year > 0 { (year, false) } else { (1 - year, true) };
    write_padded(out, year.unsigned_abs(), 4);
    out.push(b'-');
    write_padded(out, month.into(), 2);
    out.push(b'-');
    write_padded(out, day.into(), 2);
    before
}

/// A date by its day from 1970-01-01.
pub fn write_date(out: &mut Vec<u8>, day: i64) {
    if write_civil(out, day) {
        out.extend_from_slice(b" BC");
    }
}

/// A time of day in microseconds from midnight.
pub fn write_time(out: &mut Vec<u8>, us: u64) {
    write_clock(out, us);
}

fn write_clock(out: &mut Vec<u8>, us: u64) {
    let (seconds, fraction) = (us / 1_000_000, us % 1_000_000);
    write_padded(out, seconds / 3600, 2);
    out.push(b':');
    write_padded(out, seconds / 60 % 60, 2);
    out.push(b':');
    write_padded(out, seconds % 60, 2);
    if fraction > 0 {
        out.push(b'.');
        let start = out.len();
        write_padded(out, fraction, 6);
        while out.len() > start && out.last() == Some(&b'0') {
            out.pop();
        }
    }
}

/// A moment of the years 1 to 9999, laid out at one go; whether it was one.
fn write_usual(out: &mut Vec<u8>, us: i64) -> bool {
    let (year, month, day) = civil(us.div_euclid(DAY_US));
    let Some(year) = u32::try_from(year).ok().filter(|year| (1..=9999).contains(year)) else { return false };
    let of_day = us.rem_euclid(DAY_US) as u64;
    let (seconds, fraction) = ((of_day / 1_000_000) as u32, (of_day % 1_000_000) as u32);
    let mut text = *b"0000-00-00 00:00:00.000000";
    let mut put = |at: usize, two: u32| (text[at], text[at + 1]) = (b'0' + (two / 10) as u8, b'0' + (two % 10) as u8);
    put(0, year / 100);
    put(2, year % 100);
    put(5, month);
    put(8, day);
    put(11, seconds / 3600);
    put(14, seconds / 60 % 60);
    put(17, seconds % 60);
    let mut length = 19;
    if fraction > 0 {
        put(20, fraction / 10_000);
        put(22, fraction / 100 % 100);
        put(24, fraction % 100);
        length = 26 - text.iter().rev().take_while(|digit| **digit == b'0').count();
    }
    out.extend_from_slice(&text[..length]);
    true
}

/// A moment in microseconds from 1970-01-01 UTC; `zone` = with "+00".
pub fn write_timestamp(out: &mut Vec<u8>, us: i64, zone: bool) {
    if write_usual(out, us) {
        if zone {
            out.extend_from_slice(b"+00");
        }
        return;
    }
    let before = write_civil(out, us.div_euclid(DAY_US));
    out.push(b' ');
    write_clock(out, us.rem_euclid(DAY_US) as u64);
    if zone {
        out.extend_from_slice(b"+00");
    }
    if before {
        out.extend_from_slice(b" BC");
    }
}

/// A moment as text, in a session's time zone.
pub fn write_moment(out: &mut Vec<u8>, us: i64, zone: Zone) {
    if let Zone::Utc = zone {
        write_timestamp(out, us, true);
    } else {
        let mut written = String::new();
        format(us, zone, &mut written);
        out.extend_from_slice(written.as_bytes());
    }
}

/// A date as RFC 3339 writes it; years outside 0000 to 9999 as ISO 8601 does, with a sign and six digits.
pub fn write_iso_date(out: &mut Vec<u8>, day: i64) {
    let (year, month, day) = civil(day);
    if (0..=9999).contains(&year) {
        write_padded(out, year.unsigned_abs(), 4);
    } else {
        out.push(if year < 0 { b'-' } else { b'+' });
        write_padded(out, year.unsigned_abs(), 6);
    }
    out.push(b'-');
    write_padded(out, month.into(), 2);
    out.push(b'-');
    write_padded(out, day.into(), 2);
}

/// A time as RFC 3339 writes it, always with six digits of fraction; with `zone` a moment as that zone's clock shows it,
/// and the offset (Z in UTC).
pub fn write_iso_timestamp(out: &mut Vec<u8>, us: i64, zone: Option<Zone>) {
    let local = zone.map_or(us, |zone| zone.local(us));
    write_iso_date(out, local.div_euclid(DAY_US));
    out.push(b'T');
    let of_day = local.rem_euclid(DAY_US) as u64;
    for (divisor, before) in [(3_600_000_000, None), (60_000_000, Some(b':')), (1_000_000, Some(b':'))] {
        out.extend(before);
        write_padded(out, of_day / divisor % if divisor == 3_600_000_000 { 24 } else { 60 }, 2);
    }
    out.push(b'.');
    write_padded(out, of_day % 1_000_000, 6);
    match zone {
        None => {}
        Some(Zone::Utc) => out.push(b'Z'),
        Some(Zone::Other(_)) => {
            // Zones of a century and more ago have odd seconds, which no offset of RFC 3339 has: they are left out.
            let minutes = (local - us) / 60_000_000;
            out.push(if minutes < 0 { b'-' } else { b'+' });
            write_padded(out, minutes.unsigned_abs() / 60, 2);
            out.push(b':');
            write_padded(out, minutes.unsigned_abs() % 60, 2);
        }
    }
}

/// An interval in PostgreSQL's own style.
pub fn write_interval(out: &mut Vec<u8>, months: i32, days: i32, us: i64) {
    let start = out.len();
    let mut part = |count: i64, one: &str, many: &str| {
        if count != 0 {
            if out.len() > start {
                out.push(b' ');
            }
            write_i64(out, count);
            out.push(b' ');
            out.extend_from_slice(if count == 1 { one } else { many }.as_bytes());
        }
    };
    part(i64::from(months / 12), "year", "years");
    part(i64::from(months % 12), "mon", "mons");
    part(i64::from(days), "day", "days");
    let empty = out.len() == start;
    if us != 0 || empty {
        if !empty {
            out.push(b' ');
        }
        if us < 0 {
            out.push(b'-');
        } else if days < 0 || months < 0 {
            out.push(b'+');
        }
        write_clock(out, us.unsigned_abs());
    }
}

/// Bytes as `\x` and hexadecimal digits.
pub fn write_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    out.extend_from_slice(b"\\x");
    for byte in bytes {
        out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
    }
}

/// Quotes what `out` holds from `start` on as an element of an array, where it needs quotes.
pub fn quote_element(out: &mut Vec<u8>, start: usize) {
    let element = &out[start..];
    let special = |byte: &u8| matches!(byte, b'{' | b'}' | b',' | b'"' | b'\\') || byte.is_ascii_whitespace() || *byte == 0x0b;
    if !element.is_empty() && !element.iter().any(special) && !element.eq_ignore_ascii_case(b"null") {
        return;
    }
    let element = out.split_off(start);
    out.push(b'"');
    for byte in element {
        if matches!(byte, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn floats_print_as_postgresql_prints_them() {
        // Each answer is that of PostgreSQL 15: select x::float8.
        for (value, expected) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (1.0, "1"),
            (-1.5, "-1.5"),
            (0.1, "0.1"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (100_000_000_000_000.0, "100000000000000"),
            (1e15, "1e+15"),
            (1.234_567_890_123_456_6e17, "1.2345678901234566e+17"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(text(|out| write_f64(out, value)), expected);
        }
        for (value, expected) in [(0.1, "0.1"), (1e6, "1e+06"), (123_456.0, "123456"), (f32::MAX, "3.4028235e+38"), (-0.0, "-0")]
        {
            assert_eq!(text(|out| write_f32(out, value)), expected);
        }
    }

    #[test]
    fn few_decimals_are_the_shortest_digits() {
        let mut state = 7_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 11
        };
        for round in 0..200_000 {
            let decimals = round % 9;
            let whole = next() >> (round % 50);
            let value = [whole as f64 / 10_f64.powi(decimals), f64::from_bits(next() << 11)][usize::from(round % 10 == 9)];
            for value in [value, -value, value.next_up(), value.next_down()] {
                let mut long = Vec::new();
                write_float(&mut long, value.is_nan(), value.is_infinite(), value.is_sign_negative(), 15, |digits| {
                    write!(digits, "{:e}", value.abs())
                });
                assert_eq!(text(|out| write_f64(out, value)), String::from_utf8(long).unwrap(), "{value:e}");
            }
        }
    }

    #[test]
    fn every_moment_prints_exactly() {
        for (us, expected) in [
            (0, "1970-01-01 00:00:00+00"),
            (-1, "1969-12-31 23:59:59.999999+00"),
            (1_500_000, "1970-01-01 00:00:01.5+00"),
            (951_782_400_000_000, "2000-02-29 00:00:00+00"),
            (951_782_400_120_000, "2000-02-29 00:00:00.12+00"),
            (253_402_300_799_000_001, "9999-12-31 23:59:59.000001+00"),
            (253_402_300_800_000_000, "10000-01-01 00:00:00+00"),
            (4_102_444_800_000_000, "2100-01-01 00:00:00+00"),
            (-62_135_596_800_000_000, "0001-01-01 00:00:00+00"),
            (-62_135_596_800_000_001, "0001-12-31 23:59:59.999999+00 BC"),
            (i64::MAX, "294247-01-10 04:00:54.775807+00"),
            (i64::MIN, "290309-12-21 19:59:05.224192+00 BC"),
        ] {
            assert_eq!(text(|out| write_timestamp(out, us, true)), expected);
        }
        assert_eq!(text(|out| write_date(out, -719_163)), "0001-12-31 BC");
    }

    #[test]
    fn moments_print_as_rfc_3339_has_them() {
        let shanghai = Zone::parse("Asia/Shanghai").unwrap();
        for (us, zone, expected) in [
            (0, Some(Zone::Utc), "1970-01-01T00:00:00.000000Z"),
            (-1, Some(Zone::Utc), "1969-12-31T23:59:59.999999Z"),
            (1_500_000, Some(shanghai), "1970-01-01T08:00:01.500000+08:00"),
            (1_500_000, Some(Zone::parse("America/St_Johns").unwrap()), "1969-12-31T20:30:01.500000-03:30"),
            (1, None, "1970-01-01T00:00:00.000001"),
            (253_402_300_800_000_000, Some(Zone::Utc), "+010000-01-01T00:00:00.000000Z"),
            (i64::MIN, Some(Zone::Utc), "-290308-12-21T19:59:05.224192Z"),
        ] {
            assert_eq!(text(|out| write_iso_timestamp(out, us, zone)), expected);
        }
    }

    #[test]
    fn intervals_print_as_postgresql_prints_them() {
        for ((months, days, us), expected) in [
            ((0, 0, 0), "00:00:00"),
            ((14, 3, 14_706_789_000), "1 year 2 mons 3 days 04:05:06.789"),
            ((0, 0, -1_000_000), "-00:00:01"),
            ((0, -1, 1_000_000), "-1 days +00:00:01"),
            ((0, 1, 0), "1 day"),
            ((0, 0, 360_000_000_000), "100:00:00"),
        ] {
            assert_eq!(text(|out| write_interval(out, months, days, us)), expected);
        }
    }

    #[test]
    fn array_elements_are_quoted_where_they_must() {
        for (element, expected) in
            [("a", "a"), ("", "\"\""), ("NULL", "\"NULL\""), ("a b", "\"a b\""), ("a\"\\", "\"a\\\"\\\\\"")]
        {
            assert_eq!(
                text(|out| {
                    out.extend_from_slice(element.as_bytes());
                    quote_element(out, 0)
                }),
                expected
            );
        }
        assert_eq!(text(|out| write_bytes(out, &[0, 255])), "\\x00ff");
    }
}
