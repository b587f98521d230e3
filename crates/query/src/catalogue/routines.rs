//! Functions as the catalogue tells of them: ours with what they take and give, all others by name, and those that read
//! and write types.

use super::declared::lines;
use std::sync::LazyLock;

/// The number of the first function of this engine.
const FIRST: i64 = 20_000;

/// A function.
pub(crate) struct Routine {
    pub(super) oid: i64,
    pub(crate) name: String,
    /// `f` a function, `a` an aggregate, `w` a window function.
    pub(super) kind: &'static str,
    pub(super) schema: &'static str,
    /// What it takes and gives, as SQL writes it; None where that depends on what it is given.
    pub(super) takes: Option<&'static str>,
    pub(super) gives: Option<&'static str>,
    pub(super) comment: Option<String>,
}

/// A function of this engine: its name, its sort, what it does.
pub(crate) type Known = (String, &'static str, Option<String>);

impl Routine {
    /// Its number.
    pub(crate) fn number(&self) -> i64 {
        self.oid
    }
}

/// Ours: name, what it takes, what it gives, what it does.
#[rustfmt::skip]
const OURS: &[(&str, &str, &str, &str)] = &[
    ("first", "value anyelement, \"time\" timestamp with time zone", "anyelement", "the value of the earliest time"),
    ("last", "value anyelement, \"time\" timestamp with time zone", "anyelement", "the value of the latest time"),
    ("time_bucket", "width interval, \"time\" timestamp with time zone", "timestamp with time zone", "the start of the bin that a time lies in"),
    ("quality_name", "quality smallint", "text", "a quality by its name"),
    ("quality", "name text", "smallint", "a quality by its number"),
    ("is_good", "quality smallint", "boolean", "whether a quality is good"),
    ("label", "tag text, name text", "text", "a label of a tag"),
    ("values_at", "tags text[], times timestamp with time zone[]", "record", "the values of tags at times"),
    ("meridian_flush", "", "text", "writes buffers to files"),
    ("meridian_merge", "", "text", "merges files until nothing is gained any more"),
    ("meridian_set_rule", "w1 bigint, b1 bigint, w2 bigint, b2 bigint, buckets bigint, day interval", "text", "sets the distribution rule before the first tag"),
];

/// All of them: `functions` are those of this engine.
pub(super) fn all(functions: &[Known]) -> Vec<Routine> {
    let read = |line: &'static str| {
        let mut words = line.split(' ');
        let (name, oid) = (words.next()?, words.next()?.parse().ok()?);
        Some(Routine { oid, name: name.to_owned(), kind: "f", schema: "pg_catalog", takes: None, gives: None, comment: None })
    };
    let mut all: Vec<Routine> = lines(include_str!("procedures.txt")).filter_map(read).collect();
    let mut names: Vec<(&str, &'static str, Option<&String>)> =
        functions.iter().map(|(name, kind, comment)| (name.as_str(), *kind, comment.as_ref())).collect();
    names.extend([("first", "a", None), ("last", "a", None), ("values_at", "f", None)]);
    names.sort_unstable();
    names.dedup_by_key(|(name, ..)| *name);
    for (name, kind, comment) in names {
        // What only rules put into plans is nobody's to call.
        if name.starts_with("__") || all.iter().any(|routine| routine.name == name) {
            continue;
        }
        let own = OURS.iter().find(|(own, ..)| *own == name);
        let mine = own.is_some() || name.starts_with("meridian_");
        all.push(Routine {
            oid: FIRST + all.len() as i64,
            name: name.to_owned(),
            kind,
            schema: if mine { "public" } else { "pg_catalog" },
            takes: own.map(|(_, takes, ..)| *takes),
            gives: own.map(|(_, _, gives, _)| *gives),
            comment: own.map(|(.., comment)| (*comment).to_owned()).or_else(|| comment.cloned()),
        });
    }
    all
}

/// The words of the language, their sort (U, C, T, R) and whether they may be labels without AS.
pub(super) static KEYWORDS: LazyLock<Vec<(&'static str, &'static str, bool)>> = LazyLock::new(|| {
    let one = |line: &'static str| {
        let mut words = line.split(' ');
        Some((words.next()?, words.next()?, words.next()? == "t"))
    };
    lines(include_str!("keywords.txt")).filter_map(one).collect()
});

/// Whether a name must be quoted because it is a word of the language.
pub(super) fn is_reserved(name: &str) -> bool {
    KEYWORDS.iter().any(|(word, kind, _)| *word == name && *kind != "U")
}
