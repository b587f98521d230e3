//! What kind a tag's values are: guessed from the file where the tag is new, and held against each
//! value before it is sent, so that a bad row is refused here, with its line, and not by the node
//! together with the whole batch.
//!
//! Promises: a guess that holds for every value it was made from. Numbers are f64 unless one of
//! them would be rounded; true and false alone are bool; all else is text.

use types::Kind;

/// The kind that holds all these values.
pub fn guess<'a>(values: impl Iterator<Item = &'a str>) -> Kind {
    let mut seen = false;
    let (mut all_truths, mut all_numbers, mut all_integers, mut rounds) = (true, true, true, false);
    for value in values {
        seen = true;
        let value = value.trim();
        all_truths &= matches!(value.to_ascii_lowercase().as_str(), "true" | "false");
        all_numbers &= value.parse::<f64>().is_ok();
        match value.parse::<i64>() {
            Ok(number) => rounds |= Kind::F64.bits_from_i64(number).is_none(),
            Err(_) => all_integers = false,
        }
        if !all_truths && !all_numbers {
            return Kind::Text;
        }
    }
    match (seen, all_truths) {
        (false, _) => Kind::F64,
        (_, true) => Kind::Bool,
        _ if all_integers && rounds => Kind::I64,
        _ => Kind::F64,
    }
}

/// Whether the value is one of that kind.
///
/// # Errors
/// Why it is not.
pub fn check(kind: Kind, value: &str) -> Result<(), String> {
    let fits = match kind {
        Kind::F64 => value.trim().parse::<f64>().is_ok(),
        Kind::F32 => value.trim().parse::<f64>().is_ok_and(|number| Kind::F32.bits_from_f64(number).is_some()),
        Kind::I32 => value.trim().parse::<i32>().is_ok(),
        Kind::I64 => value.trim().parse::<i64>().is_ok(),
        Kind::State => value.trim().parse::<u32>().is_ok(),
        Kind::Bool => {
            matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "false" | "t" | "f" | "0" | "1" | "on" | "off")
        }
        Kind::Text if value.len() > Kind::TEXT_BYTES_MAX => {
            return Err(format!("a text of {} bytes is longer than the {} allowed", value.len(), Kind::TEXT_BYTES_MAX));
        }
        Kind::Text => !value.contains('\0'),
    };
    if fits {
        Ok(())
    } else {
        Err(format!("value \"{}\" is not of kind {}", value.chars().take(64).collect::<String>(), kind.name()))
    }
}

/// The value as COPY reads it for that kind.
pub fn write_value(out: &mut String, kind: Kind, value: &str) {
    match kind {
        Kind::Bool => out.push_str(match value.trim().to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "on" => "1",
            _ => "0",
        }),
        Kind::Text => escape(out, value),
        _ => out.push_str(value.trim()),
    }
}

/// Text as COPY's text format wants it.
pub fn escape(out: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_guessed_so_that_nothing_is_rounded_or_refused() {
        let rows: &[(&[&str], Kind)] = &[
            (&[], Kind::F64),
            (&["1", "2"], Kind::F64),
            (&["1", "2.5", "-3e7", "NaN", "inf"], Kind::F64),
            (&["1", "9007199254740993"], Kind::I64),
            (&["1.5", "9007199254740993"], Kind::F64),
            (&["true", "FALSE"], Kind::Bool),
            (&["true", "1"], Kind::Text),
            (&["1", "pump on"], Kind::Text),
        ];
        for (values, kind) in rows {
            assert_eq!(guess(values.iter().copied()), *kind, "{values:?}");
            for value in *values {
                assert_eq!(check(*kind, value), Ok(()), "{value}");
            }
        }
    }

    #[test]
    fn values_are_held_against_their_kind() {
        for (kind, value, fits) in [
            (Kind::I32, "2147483648", false),
            (Kind::I64, "2147483648", true),
            (Kind::I64, "1.0", false),
            (Kind::F32, "1e300", false),
            (Kind::F64, "1,5", false),
            (Kind::State, "-1", false),
            (Kind::Bool, "2", false),
            (Kind::Text, "a\tb", true),
            (Kind::Text, "a\0b", false),
        ] {
            assert_eq!(check(kind, value).is_ok(), fits, "{kind:?} {value}");
        }
    }

    #[test]
    fn text_is_escaped_for_copy() {
        let mut out = String::new();
        write_value(&mut out, Kind::Text, "a\tb\\c\nd");
        assert_eq!(out, "a\\tb\\\\c\\nd");
    }
}
