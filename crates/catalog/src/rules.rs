//! What a definition may be. Told before anything is logged, in words that say what is allowed.

use crate::Error;
use types::{Compression, Kind, TagDefinition};

/// Longest description in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 64 << 10;
/// Longest unit in bytes.
pub const UNIT_BYTES_MAX: usize = 256;
/// Most states of a tag.
pub const STATES_MAX: usize = 65_536;
/// Longest name of a state in bytes.
pub const STATE_BYTES_MAX: usize = 256;
/// Most labels of a tag.
pub const LABELS_MAX: usize = 64;
/// Longest label key in bytes.
pub const LABEL_KEY_BYTES_MAX: usize = 256;
/// Longest label value in bytes.
pub const LABEL_VALUE_BYTES_MAX: usize = 1024;

/// Whether a definition keeps the rules.
///
/// # Errors
/// `Error::Invalid` with the first rule broken.
pub fn check(definition: &TagDefinition) -> Result<(), Error> {
    problem(definition).map_or(Ok(()), |problem| Err(invalid(&definition.name, problem)))
}

/// The error for a tag of that name, which is shortened.
pub fn invalid(name: &str, problem: impl Into<String>) -> Error {
    let mut shown: String = name.chars().take(64).flat_map(char::escape_debug).collect();
    if name.chars().nth(64).is_some() {
        shown.push_str("...");
    }
    Error::Invalid { name: shown, problem: problem.into() }
}

/// Whether a name may be a tag's.
#[inline]
pub fn name_fits(name: &str) -> bool {
    !name.is_empty() && name.len() <= TagDefinition::NAME_BYTES_MAX && !has_control(name)
}

fn problem(definition: &TagDefinition) -> Option<String> {
    let TagDefinition { name, description, unit, kind, states, labels, limits, cadence_us, compression } = definition;
    if !name_fits(name) {
        return Some(name_problem(name));
    }
    if description.len() > DESCRIPTION_BYTES_MAX {
        return Some(too_long("the description", description, DESCRIPTION_BYTES_MAX));
    }
    if unit.len() > UNIT_BYTES_MAX {
        return Some(too_long("the unit", unit, UNIT_BYTES_MAX));
    }
    if description.contains('\0') || unit.contains('\0') {
        return Some("description and unit may not hold NUL characters".to_owned());
    }
    if !states.is_empty()
        && let Some(problem) = states_problem(*kind, states)
    {
        return Some(problem);
    }
    if !labels.is_empty()
        && let Some(problem) = labels_problem(labels)
    {
        return Some(problem);
    }
    let given = [limits.low_low, limits.low, limits.high, limits.high_high].into_iter().flatten();
    if given.clone().any(f64::is_nan) || !given.is_sorted() {
        return Some("limits must not be NaN, and low_low <= low <= high <= high_high".to_owned());
    }
    if *cadence_us < 0 {
        return Some(format!("the cadence is {cadence_us} us, but must be at least 0"));
    }
    compression_problem(*kind, compression)
}

fn compression_problem(kind: Kind, compression: &Compression) -> Option<String> {
    let (name, deviation, span_us) = match *compression {
        Compression::Lossless => return None,
        Compression::Deadband { deviation, span_us } => ("a deadband", deviation, span_us),
        Compression::SwingingDoor { deviation, span_us } => ("a swinging door", deviation, span_us),
    };
    if !deviation.is_finite() || deviation < 0.0 {
        return Some(format!("the compression's deviation is {deviation}, but must be finite and at least 0"));
    }
    if span_us < 0 {
        return Some(format!("the compression's longest gap is {span_us} us, but must be at least 0"));
    }
    if !compression.thins(kind) {
        let kind = kind.name();
        return Some(format!(
            "{name} can't thin a tag of kind {kind}: a swinging door takes i32, i64, f32 and f64, a deadband all but text"
        ));
    }
    (deviation > 0.0 && matches!(kind, Kind::Bool | Kind::State))
        .then(|| format!("values of kind {} differ or don't: the deadband's deviation must be 0", kind.name()))
}

fn name_problem(name: &str) -> String {
    if name.is_empty() {
        "a name has at least one character".to_owned()
    } else if name.len() > TagDefinition::NAME_BYTES_MAX {
        too_long("the name", name, TagDefinition::NAME_BYTES_MAX)
    } else {
        "a name may not hold control characters".to_owned()
    }
}

fn states_problem(kind: Kind, states: &[String]) -> Option<String> {
    if kind != Kind::State {
        return Some(format!("only tags of kind state have named states, this one is of kind {}", kind.name()));
    }
    if states.len() > STATES_MAX {
        return Some(format!("{} states are more than {STATES_MAX}", states.len()));
    }
    if let Some(state) = states.iter().find(|state| !text_fits(state, 1, STATE_BYTES_MAX)) {
        return Some(format!(
            "a state's name has 1 to {STATE_BYTES_MAX} bytes and no control characters, one has {} bytes",
            state.len()
        ));
    }
    let mut sorted: Vec<&str> = states.iter().map(String::as_str).collect();
    sorted.sort_unstable();
    sorted.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| format!("the state \"{}\" is named twice", pair[0]))
}

fn labels_problem(labels: &[(String, String)]) -> Option<String> {
    if labels.len() > LABELS_MAX {
        return Some(format!("{} labels are more than {LABELS_MAX}", labels.len()));
    }
    for (i, (key, value)) in labels.iter().enumerate() {
        if !text_fits(key, 1, LABEL_KEY_BYTES_MAX) {
            let len = key.len();
            return Some(format!(
                "a label's key has 1 to {LABEL_KEY_BYTES_MAX} bytes and no control characters, one has {len} bytes"
            ));
        }
        if !text_fits(value, 0, LABEL_VALUE_BYTES_MAX) {
            let len = value.len();
            return Some(format!(
                "the label {key} has a value of {len} bytes; values have at most {LABEL_VALUE_BYTES_MAX} bytes and no control characters"
            ));
        }
        if labels[..i].iter().any(|(other, _)| other == key) {
            return Some(format!("the label {key} is given twice"));
        }
    }
    None
}

fn text_fits(text: &str, bytes_min: usize, bytes_max: usize) -> bool {
    (bytes_min..=bytes_max).contains(&text.len()) && !has_control(text)
}

#[inline]
fn has_control(text: &str) -> bool {
    // Folded without branches, so that eight bytes go at once. C1 controls begin with 0xC2 in UTF-8.
    let suspect = text.bytes().fold(false, |found, byte| found | (byte < 0x20) | (byte == 0x7F) | (byte == 0xC2));
    suspect && text.chars().any(char::is_control)
}

fn too_long(what: &str, text: &str, bytes_max: usize) -> String {
    format!("{what} has {} bytes, at most {bytes_max} are allowed", text.len())
}
