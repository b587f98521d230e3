//! Single values in PostgreSQL's binary form: moments counted from 2000-01-01, numeric in digits of
//! ten thousand, arrays.
//!
//! Promises: what does not fit is an error with SQLSTATE; both directions are exact.

use super::error::Report;

/// Microseconds from 1970-01-01 to 2000-01-01, where PostgreSQL's binary time begins.
pub(crate) const EPOCH_US: i64 = 946_684_800_000_000;

/// A moment from our count to PostgreSQL's. Its two outermost values stand for infinities there.
pub(crate) fn timestamp_to_pg(us: i64) -> Result<i64, Report> {
    us.checked_sub(EPOCH_US).filter(|pg| *pg != i64::MIN && *pg != i64::MAX).ok_or_else(|| {
        Report::error("22008", format!("timestamp {us} microseconds from 1970 is out of range for the binary format"))
            .hinted("ask for this column as text, or cast it to bigint")
    })
}

/// A moment from PostgreSQL's count to ours. The infinities become the outermost moments.
pub(crate) fn timestamp_from_pg(pg: i64) -> Result<i64, Report> {
    match pg {
        i64::MAX | i64::MIN => Ok(pg),
        _ => pg.checked_add(EPOCH_US).ok_or_else(|| Report::error("22008", "timestamp out of range")),
    }
}

/// Writes a decimal text ("-12.5") in the binary form of numeric.
///
/// ```text
/// u16 digits, i16 weight (power of 10,000 of the first), u16 sign (0 | 0x4000), u16 scale, digits
/// ```
pub(crate) fn write_numeric(out: &mut Vec<u8>, text: &str) {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let mut groups = Vec::new();
    let head = whole.len() % 4;
    let pad = |part: &str| part.bytes().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0').min(9)));
    if head > 0 {
        groups.push(pad(&whole[..head]));
    }
    whole.as_bytes()[head..].chunks(4).for_each(|part| groups.push(pad(std::str::from_utf8(part).unwrap_or("0"))));
    let mut weight = groups.len() as i32 - 1;
    for part in fraction.as_bytes().chunks(4) {
        let group = pad(std::str::from_utf8(part).unwrap_or("0"));
        groups.push(group * 10_u16.pow(4 - part.len() as u32));
    }
    let leading = groups.iter().take_while(|group| **group == 0).count();
    groups.drain(..leading);
    weight -= leading as i32;
    while groups.last() == Some(&0) {
        groups.pop();
    }
    if groups.is_empty() {
        weight = 0;
    }
    out.extend_from_slice(&(groups.len() as u16).to_be_bytes());
    out.extend_from_slice(&(weight as i16).to_be_bytes());
    out.extend_from_slice(&if negative && !groups.is_empty() { 0x4000_u16 } else { 0 }.to_be_bytes());
    out.extend_from_slice(&(fraction.len() as u16).to_be_bytes());
    groups.iter().for_each(|group| out.extend_from_slice(&group.to_be_bytes()));
}

/// Reads the binary form of numeric as decimal text. None where it is malformed.
pub(crate) fn read_numeric(bytes: &[u8]) -> Option<String> {
    let word = |index: usize| Some(u16::from_be_bytes([*bytes.get(index * 2)?, *bytes.get(index * 2 + 1)?]));
    let (count, weight, sign, scale) = (word(0)?, word(1)? as i16, word(2)?, word(3)?);
    if bytes.len() != 8 + usize::from(count) * 2 {
        return None;
    }
    match sign {
        0 | 0x4000 => {}
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    let group = |at: i32| match usize::try_from(i32::from(weight) - at) {
        Ok(index) if index < usize::from(count) => word(4 + index).filter(|group| *group < 10_000),
        _ => Some(0),
    };
    let mut text = String::from(if sign == 0x4000 { "-" } else { "" });
    if weight < 0 {
        text.push('0');
    }
    for at in (0..=i32::from(weight)).rev() {
        let group = group(at)?;
        text.push_str(&if at == i32::from(weight) { format!("{group}") } else { format!("{group:04}") });
    }
    if scale > 0 {
        let mut fraction = String::new();
        let mut at = -1;
        while fraction.len() < usize::from(scale) {
            fraction.push_str(&format!("{:04}", group(at)?));
            at -= 1;
        }
        text.push('.');
        text.push_str(&fraction[..usize::from(scale)]);
    }
    Some(text)
}

/// An array in binary form: the lengths of its dimensions, its values (None = NULL).
pub(crate) struct BinaryArray<'a> {
    pub(crate) shape: Vec<usize>,
    pub(crate) values: Vec<Option<&'a [u8]>>,
}

/// As in PostgreSQL.
const DIMENSIONS_MAX: usize = 6;

/// An array in binary form. None where it is malformed.
pub(crate) fn read_array(bytes: &[u8]) -> Option<BinaryArray<'_>> {
    let mut fields = super::frame::Fields::new(bytes);
    let dimensions = usize::try_from(fields.i32().ok()?).ok().filter(|count| *count <= DIMENSIONS_MAX)?;
    fields.i32().ok()?;
    // The type of the elements is known from the statement.
    fields.i32().ok()?;
    let mut shape = Vec::with_capacity(dimensions);
    let mut count = usize::from(dimensions > 0);
    for _ in 0..dimensions {
        let length = usize::try_from(fields.i32().ok()?).ok()?;
        fields.i32().ok()?;
        count = count.checked_mul(length)?;
        shape.push(length);
    }
    // Each element takes at least its length: a count beyond that is a lie, and takes no memory.
    if count > fields.rest().len() / 4 {
        return None;
    }
    let values: Option<Vec<_>> = (0..count).map(|_| fields.value().ok()).collect();
    fields.end().ok()?;
    if count == 0 {
        shape.clear();
    }
    Some(BinaryArray { shape, values: values? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numeric_comes_back_from_its_binary_form() {
        for text in ["0", "1", "-1", "9999", "10000", "12345678.9012", "0.00010", "-0.5", "100000000", "99999999999999999999.99"]
        {
            let mut out = Vec::new();
            write_numeric(&mut out, text);
            assert_eq!(read_numeric(&out).as_deref(), Some(text));
        }
        for bytes in [&b""[..], b"\0\x01\0\0\0\0\0\0", b"\0\0\0\0\0\x01\0\0", b"\0\x01\0\0\0\0\0\0\xff\xff"] {
            assert_eq!(read_numeric(bytes), None);
        }
    }

    #[test]
    fn binary_arrays_are_read() {
        let mut bytes = Vec::new();
        for word in [1_i32, 0, 25, 2, 1, 1] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(b"x\xff\xff\xff\xff");
        let read = |bytes: &[u8]| {
            read_array(bytes).map(|array| {
                let values = array.values.into_iter().map(|value| value.map(<[u8]>::to_vec)).collect::<Vec<_>>();
                (array.shape, values)
            })
        };
        assert_eq!(read(&bytes), Some((vec![2], vec![Some(b"x".to_vec()), None])));
        for cut in 0..bytes.len() {
            assert_eq!(read(&bytes[..cut]), None, "cut at {cut}");
        }
        bytes[12..16].copy_from_slice(&i32::MAX.to_be_bytes());
        assert_eq!(read(&bytes), None, "a count beyond the bytes that are there");
        let words = |words: &[i32]| words.iter().flat_map(|word| word.to_be_bytes()).collect::<Vec<u8>>();
        let two = words(&[2, 0, 23, 1, 1, 2, 1, 4, 5, 4, 6]);
        assert_eq!(read(&two), Some((vec![1, 2], vec![Some(words(&[5])), Some(words(&[6]))])));
        assert_eq!(read(&words(&[2, 0, 23, i32::MAX, 1, i32::MAX, 1])), None);
        assert_eq!(read(&words(&[7, 0, 23, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])), None);
    }

    #[test]
    fn moments_outside_the_binary_form_are_refused() {
        for us in [0, EPOCH_US, i64::MAX, i64::MIN + EPOCH_US + 1] {
            assert_eq!(timestamp_to_pg(us).and_then(timestamp_from_pg), Ok(us));
        }
        for us in [i64::MIN, i64::MIN + EPOCH_US] {
            assert_eq!(timestamp_to_pg(us).unwrap_err().sqlstate, "22008");
        }
        assert_eq!(timestamp_from_pg(i64::MAX), Ok(i64::MAX));
    }
}
