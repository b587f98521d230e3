//! What kind a tag's values are: guessed from the file where the tag is new, and held against each
//! value before it is sent, so that a bad row is refused here, with its line, and not by the node
//! together with the whole batch.
//!
//! Promises: a guess that holds for every value it was made from, but for a number that f64 can't hold (1e400), and an
//! integer among decimals that it would round: that row is refused, rather than all those numbers become texts. Numbers are f64;
//! integers alone i64 where f64 would round one, and text where that can't hold it either; true and false
//! alone are bool; all else is text. What is let through here the node takes too.

use types::Kind;

/// The kind that holds all these values.
pub fn guess<'a>(values: impl Iterator<Item = &'a str>) -> Kind {
    let mut seen = false;
    let (mut all_truths, mut all_numbers, mut all_integers, mut all_held, mut rounds) = (true, true, true, true, false);
    for value in values {
        seen = true;
        let value = value.trim();
        all_truths &= matches!(value.to_ascii_lowercase().as_str(), "true" | "false");
        all_numbers &= is_number(value);
        all_integers &= value.trim_start_matches(['-', '+']).bytes().all(|byte| byte.is_ascii_digit());
        all_held &= value.parse::<i64>().is_ok();
        rounds |= Kind::F64.rounds(value);
        if !all_truths && !all_numbers {
            return Kind::Text;
        }
    }
    match (seen, all_truths) {
        (false, _) => Kind::F64,
        (_, true) => Kind::Bool,
        _ if all_held && rounds => Kind::I64,
        _ if all_integers && rounds => Kind::Text,
        _ => Kind::F64,
    }
}

/// Whether it is a number, also where no double can hold it.
fn is_number(value: &str) -> bool {
    !matches!(query::parse_double(value), Err(query::Error::InvalidText(_)))
}

/// Whether a float can hold it, as SQL has it.
fn float(kind: Kind, value: &str) -> Result<(), Misfit> {
    let misfit = |error: query::Error| match error {
        query::Error::OutOfRange(_) => Misfit::Why(format!("{} [{}]", error.message(), error.sqlstate())),
        _ => Misfit::Kind,
    };
    let number = query::parse_double(value).map_err(misfit)?;
    let lost = kind == Kind::F32 && (kind.bits_from_f64(number).is_none() || (number as f32 == 0.0 && number != 0.0));
    if lost { Err(Misfit::Why(format!("\"{value}\" is out of range for type real [22003]"))) } else { Ok(()) }
}

/// An integer, as SQL takes it from text: 12.0 and 1.2e1 are whole numbers too, as long as a double holds them exactly.
fn integer(value: &str) -> Option<i64> {
    const EXACT_MAX: f64 = (1_u64 << 53) as f64;
    let whole = || query::parse_double(value).ok().filter(|number| number.fract() == 0.0 && number.abs() <= EXACT_MAX);
    value.parse().ok().or_else(|| whole().map(|number| number as i64))
}

/// The index of a digital state that a value names: by its index or its name, as the node has it.
fn state(states: &[String], value: &str) -> Option<u32> {
    let value = value.trim();
    let named = || states.iter().position(|state| state == value).and_then(|at| u32::try_from(at).ok());
    value.parse().ok().or_else(named)
}

/// Why a value does not fit.
enum Misfit {
    /// It is none of the kind.
    Kind,
    /// For another reason.
    Why(String),
}

/// Whether the value is one of that kind; `states` are the names of the tag's digital states.
///
/// # Errors
/// Why it is not.
pub fn check(kind: Kind, states: &[String], value: &str) -> Result<(), String> {
    let held = |fits: bool| if fits { Ok(()) } else { Err(Misfit::Kind) };
    let fits = match kind {
        Kind::F64 | Kind::F32 if kind.rounds(value.trim()) => {
            let shown = value.trim().chars().take(64).collect::<String>();
            Err(Misfit::Why(format!("value {shown} does not fit kind {}, which would round it", kind.name())))
        }
        Kind::F64 | Kind::F32 => float(kind, value.trim()),
        Kind::I32 => held(integer(value.trim()).is_some_and(|value| i32::try_from(value).is_ok())),
        Kind::I64 => held(integer(value.trim()).is_some()),
        Kind::State if state(states, value).is_none() => Err(Misfit::Why(no_state(states, value))),
        Kind::State => Ok(()),
        Kind::Bool => {
            held(matches!(value.trim().to_ascii_lowercase().as_str(), "true" | "false" | "t" | "f" | "0" | "1" | "on" | "off"))
        }
        Kind::Text if value.len() > Kind::TEXT_BYTES_MAX => {
            Err(Misfit::Why(format!("a text of {} bytes is longer than the {} allowed", value.len(), Kind::TEXT_BYTES_MAX)))
        }
        Kind::Text => held(!value.contains('\0')),
    };
    fits.map_err(|misfit| match misfit {
        Misfit::Kind => format!("value \"{}\" is not of kind {}", value.chars().take(64).collect::<String>(), kind.name()),
        Misfit::Why(why) => why,
    })
}

/// Why a value is no state; of many states the first are named.
fn no_state(states: &[String], value: &str) -> String {
    const NAMED: usize = 8;
    let value = value.chars().take(64).collect::<String>();
    if states.is_empty() {
        return format!("value \"{value}\" is not the index of a state, and its states have no names");
    }
    let names = states.iter().take(NAMED).map(|state| format!("\"{state}\"")).collect::<Vec<_>>().join(", ");
    let more = if states.len() > NAMED { ", ..." } else { "" };
    format!("value \"{value}\" is neither a state's index nor its name ({names}{more})")
}

/// The value as COPY reads it for that kind.
pub fn write_value(out: &mut String, kind: Kind, states: &[String], value: &str) {
    match kind {
        Kind::State => out.push_str(&state(states, value).unwrap_or_default().to_string()),
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
            (&["1.5", "9007199254740992"], Kind::F64),
            (&["1", "99999999999999999999"], Kind::Text),
            (&["1", "9223372036854775808"], Kind::F64),
            (&["true", "FALSE"], Kind::Bool),
            (&["true", "1"], Kind::Text),
            (&["1", "pump on"], Kind::Text),
        ];
        for (values, kind) in rows {
            assert_eq!(guess(values.iter().copied()), *kind, "{values:?}");
            for value in *values {
                assert_eq!(check(*kind, &[], value), Ok(()), "{value}");
            }
        }
    }

    #[test]
    fn a_number_beyond_doubles_is_refused_alone_as_sql_refuses_it() {
        assert_eq!(guess(["1", "1e400", "1e-400"].into_iter()), Kind::F64);
        for (kind, value, name) in
            [(Kind::F64, "1e400", "double precision"), (Kind::F64, "-1e-400", "double precision"), (Kind::F32, "1e39", "real")]
        {
            let why = check(kind, &[], value).unwrap_err();
            assert_eq!(why, format!("\"{value}\" is out of range for type {name} [22003]"));
        }
        for value in ["inf", "-Infinity", "nan", "5e-324", "0e500"] {
            assert_eq!(check(Kind::F64, &[], value), Ok(()), "{value}");
        }
    }

    #[test]
    fn a_rounded_integer_among_decimals_is_refused_alone() {
        assert_eq!(guess(["1.5", "9007199254740993"].into_iter()), Kind::F64);
        assert!(check(Kind::F64, &[], " 9007199254740993 ").unwrap_err().contains("which would round it"));
    }

    #[test]
    fn values_are_held_against_their_kind() {
        for (kind, value, fits) in [
            (Kind::I32, "2147483648", false),
            (Kind::I64, "2147483648", true),
            (Kind::I64, "1.0", true),
            (Kind::I64, "1e3", true),
            (Kind::I64, "1.5", false),
            (Kind::I64, "1e16", false),
            (Kind::I32, "3e9", false),
            (Kind::F32, "1e300", false),
            (Kind::F32, "16777217", false),
            (Kind::F32, "16777217.0", true),
            (Kind::F64, "9007199254740994", true),
            (Kind::F64, "-9007199254740993", false),
            (Kind::F64, "1,5", false),
            (Kind::F64, "1e400", false),
            (Kind::F64, "-Infinity", true),
            (Kind::State, "-1", false),
            (Kind::State, "1", true),
            (Kind::State, "on", true),
            (Kind::State, "On", false),
            (Kind::Bool, "2", false),
            (Kind::Text, "a\tb", true),
            (Kind::Text, "a\0b", false),
        ] {
            assert_eq!(check(kind, &["off".to_owned(), "on".to_owned()], value).is_ok(), fits, "{kind:?} {value}");
        }
    }

    #[test]
    fn a_state_is_named_by_index_or_name_and_sent_by_index() {
        let states = ["off", "2", "on"].map(str::to_owned);
        for (value, index) in [("off", "0"), (" on ", "2"), ("2", "2"), ("7", "7")] {
            assert_eq!(check(Kind::State, &states, value), Ok(()), "{value}");
            let mut out = String::new();
            write_value(&mut out, Kind::State, &states, value);
            assert_eq!(out, index, "{value}");
        }
        assert!(check(Kind::State, &states, "auto").unwrap_err().contains("(\"off\", \"2\", \"on\")"));
        assert!(check(Kind::State, &[], "auto").unwrap_err().contains("no names"));
    }

    #[test]
    fn text_is_escaped_for_copy() {
        let mut out = String::new();
        write_value(&mut out, Kind::Text, &[], "a\tb\\c\nd");
        assert_eq!(out, "a\\tb\\\\c\\nd");
    }
}
