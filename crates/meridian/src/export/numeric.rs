//! PostgreSQL's binary numeric as decimal text.

/// Reads one. None where it is malformed.
///
/// ```text
/// u16 digits, i16 weight (power of 10,000 of the first), u16 sign, u16 digits behind the point, digits of ten thousand
/// ```
pub fn text(raw: &[u8]) -> Option<String> {
    let word = |index: usize| Some(u16::from_be_bytes(raw.get(index * 2..index * 2 + 2)?.try_into().ok()?));
    let (count, weight, sign, scale) = (usize::from(word(0)?), i32::from(word(1)? as i16), word(2)?, usize::from(word(3)?));
    match sign {
        0 | 0x4000 if raw.len() == 8 + count * 2 => {}
        0xC000 => return Some("NaN".to_owned()),
        0xD000 => return Some("Infinity".to_owned()),
        0xF000 => return Some("-Infinity".to_owned()),
        _ => return None,
    }
    // The digits that stand for 10,000 to that power; zeros at both ends are not sent.
    let group = |power: i32| match usize::try_from(weight - power) {
        Ok(index) if index < count => word(4 + index).filter(|group| *group < 10_000),
        _ => Some(0),
    };
    let mut out = String::from(if sign == 0x4000 { "-" } else { "" });
    let start = out.len();
    for power in (0..=weight.max(0)).rev() {
        out.push_str(&format!("{:04}", group(power)?));
    }
    let zeros = out[start..].bytes().take_while(|digit| *digit == b'0').count().min(out.len() - start - 1);
    out.replace_range(start..start + zeros, "");
    if scale > 0 {
        out.push('.');
        let end = out.len() + scale;
        let mut power = -1;
        while out.len() < end {
            out.push_str(&format!("{:04}", group(power)?));
            power -= 1;
        }
        out.truncate(end);
    }
    Some(out)
}
