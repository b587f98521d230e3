//! Rules for one source file: its head, its name, and nothing left over.

use std::path::Path;

/// What a finished file must not hold: the word, and what to do instead. Split so that this file passes.
const LEFTOVERS: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "mend it, or open an issue"),
    (concat!("TO", "DO"), "do it, or open an issue"),
    (concat!("XX", "X:"), "say what is meant"),
    (concat!("dbg", "!("), "remove it"),
    (concat!("todo", "!("), "build it"),
    (concat!("unimplemented", "!("), "build it"),
    (concat!("#[", "ignore"), "assert today's behaviour and say why it is wrong"),
    (concat!("THIS BODY IS", " THE MODEL"), "put the real one in its place"),
];

const NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "stuff"];

/// What is wrong with a file.
pub fn complaints(root: &Path, file: &Path) -> Vec<String> {
    let name = super::shown(root, file);
    let Ok(text) = std::fs::read_to_string(file) else { return vec![format!("{name}: can't be read as UTF-8")] };
    let mut out = Vec::new();
    if !text.starts_with("//! ") || text.starts_with("//! placeholder") {
        out.push(format!("{name}:1: begins without a head: //! what it is, what it promises, what it may not know"));
    }
    for part in Path::new(name.as_ref()).components().map(|part| part.as_os_str().to_string_lossy().replace(".rs", "")) {
        if NAMES.contains(&part.as_str()) {
            out.push(format!("{name}: \"{part}\" says nothing; name the subject"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        for (word, advice) in LEFTOVERS.iter().filter(|(word, _)| line.contains(word)) {
            out.push(format!("{name}:{}: {word} is left over: {advice}", number + 1));
        }
    }
    out
}
