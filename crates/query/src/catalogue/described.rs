//! What our tables and their columns hold, in a sentence each; which are written to, by what key, and what is understood.

/// A table.
pub(super) struct Described {
    schema: &'static str,
    name: &'static str,
    /// `r` where rows can be written, `v` else.
    pub(super) kind: &'static str,
    /// The columns of its primary key.
    pub(super) key: &'static [&'static str],
    pub(super) comment: &'static str,
    pub(super) columns: &'static [Told],
}

/// A column.
pub(super) struct Told {
    pub(super) name: &'static str,
    /// What stands in it where nothing is given, as SQL.
    pub(super) default: Option<&'static str>,
    pub(super) comment: &'static str,
}

const fn told(name: &'static str, comment: &'static str) -> Told {
    Told { name, default: None, comment }
}

const fn understood(name: &'static str, default: &'static str, comment: &'static str) -> Told {
    Told { name, default: Some(default), comment }
}

const SAMPLE: &[&str] = &["tag", "time"];
const TAG: Told = told("tag", "the tag's name");
const TIME: Told = understood("time", "now()", "when it was so");
const QUALITY: Told = understood("quality", "192", "the OPC quality byte: 192 and above is good");

#[rustfmt::skip]
const ALL: &[Described] = &[
    Described { schema: "public", name: "samples", kind: "r", key: SAMPLE,
        comment: "samples of all numeric tags, as doubles: one for each tag and time",
        columns: &[TAG, TIME, told("value", "in the tag's unit"), QUALITY] },
    Described { schema: "public", name: "integers", kind: "r", key: SAMPLE,
        comment: "samples of tags of kinds bool, i32, i64 and state, exactly",
        columns: &[TAG, TIME, told("value", "exact; of a state its number"), QUALITY] },
    Described { schema: "public", name: "events", kind: "r", key: SAMPLE,
        comment: "samples of tags of kind text",
        columns: &[TAG, TIME, told("text", "what was said"), QUALITY] },
    Described { schema: "public", name: "latest", kind: "v", key: &[],
        comment: "the newest sample of every tag, from memory",
        columns: &[TAG, told("time", "when it was so"), told("value", "of a numeric tag, in its unit"),
            told("text", "of a text tag"), told("quality", "the OPC quality byte: 192 and above is good"),
            told("age", "how long ago that was")] },
    Described { schema: "public", name: "tags", kind: "r", key: &["name"],
        comment: "the tags: a row is a measuring point",
        columns: &[
            told("name", "what it is called; it can be renamed"),
            understood("description", "''", "what it measures"),
            understood("unit", "''", "the unit of its values"),
            understood("kind", "'f64'", "of its values: bool, i32, i64, f32, f64, state or text"),
            told("states", "names of the states of a tag of kind state"),
            understood("labels", "'{}'", "names and values for grouping and finding, as JSON"),
            told("low_low", "the lower alarm limit"), told("low", "the lower warning limit"),
            told("high", "the upper warning limit"), told("high_high", "the upper alarm limit"),
            told("cadence", "how often a sample is expected"),
            understood("compression", "'lossless'", "lossless, deadband or swinging_door"),
            told("deviation", "how far what is left out may be from what is kept, in its unit"),
            told("span", "the longest gap that leaving out may make"),
            told("created", "when it was made"), told("changed", "when it was last changed"),
            told("ordinal", "its number, never used again")] },
    Described { schema: "meridian", name: "slices", kind: "v", key: &[], comment: "the slices and what they hold", columns: &[] },
    Described { schema: "meridian", name: "file_groups", kind: "v", key: &[], comment: "files of a slice by period", columns: &[] },
    Described { schema: "meridian", name: "files", kind: "v", key: &[], comment: "the files of samples", columns: &[] },
    Described { schema: "meridian", name: "settings", kind: "v", key: &[], comment: "the configuration in force", columns: &[] },
    Described { schema: "meridian", name: "queries", kind: "v", key: &[], comment: "the statements that run", columns: &[] },
    Described { schema: "meridian", name: "node", kind: "v", key: &[], comment: "this node in numbers", columns: &[] },
    Described { schema: "meridian", name: "retention", kind: "v", key: &[], comment: "how long samples of groups of tags are kept",
        columns: &[told("name", "of the policy"), told("tags", "the condition of the tags that are meant"),
            told("rows", "samples or events, where only those are meant"), told("keep", "how long they are kept at least"),
            told("matching_tags", "tags for which it decides: those that no policy keeps longer"),
            told("created", "when it was made"), told("creator", "who made it"),
            told("rows_removed", "how many rows it has removed"), told("removed_before", "what it removed last was older than this"),
            told("last_removal", "when it last removed something"), told("next_removal", "when it can remove more")] },
    Described { schema: "meridian", name: "nodes", kind: "v", key: &[], comment: "the processes of the fleet", columns: &[] },
    Described { schema: "meridian", name: "slice_map", kind: "v", key: &[], comment: "where slices lie", columns: &[] },
    Described { schema: "meridian", name: "operations", kind: "v", key: &[], comment: "what the fleet is busy with", columns: &[] },
    Described { schema: "meridian", name: "archive", kind: "v", key: &[], comment: "how the archiving of the log stands", columns: &[] },
    Described { schema: "meridian", name: "replicas", kind: "v", key: &[], comment: "copies of slices as their nodes see them", columns: &[] },
    Described { schema: "meridian", name: "set_aside", kind: "v", key: &[], comment: "log tails that a recovery put aside", columns: &[] },
    Described { schema: "meridian", name: "grants", kind: "v", key: &[], comment: "what was granted on tables and groups of tags",
        columns: &[told("role", "whom it was granted to"), told("table", "what it was granted on"),
            told("tags", "or the condition of the tags that it was granted on"), told("privileges", "what may be done"),
            told("grantable", "what of it may be granted on"), told("grantor", "who granted it")] },
    Described { schema: "meridian", name: "schedulers", kind: "v", key: &[], comment: "who keeps the tag table", columns: &[] },
];

/// What is said of a table.
pub(super) fn of(schema: &str, name: &str) -> Option<&'static Described> {
    ALL.iter().find(|table| table.schema == schema && table.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_column_of_our_tables_is_told_of() {
        use crate::schema::{EVENTS, INTEGERS, LATEST, SAMPLES, TAGS};
        for (name, schema) in
            [("samples", &SAMPLES), ("integers", &INTEGERS), ("events", &EVENTS), ("latest", &LATEST), ("tags", &TAGS)]
        {
            let told: Vec<&str> = of("public", name).unwrap().columns.iter().map(|told| told.name).collect();
            let there: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
            assert_eq!(told, there, "{name}");
        }
    }
}
